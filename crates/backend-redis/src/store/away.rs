//! Queues that do not answer for longer than anybody waits for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use windlass_core::model::QueueName;

/// Which queues are away, and for how many that try to reach them. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Away(Arc<Mutex<HashMap<QueueName, usize>>>);

/// Somebody who still tries to reach a queue.
pub(super) struct Trying<'a> {
    away: &'a Away,
    queue: &'a QueueName,
}

impl Away {
    pub(super) fn contains(&self, queue: &QueueName) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(queue)
    }

    /// Notes that a queue is away until the answer is dropped.
    pub(super) fn enter<'a>(&'a self, queue: &'a QueueName) -> Trying<'a> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(queue.clone()).or_default() += 1;
        Trying { away: self, queue }
    }
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        let mut known = self.away.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = known.get_mut(self.queue) {
            *count -= 1;
            if *count == 0 {
                known.remove(self.queue);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_away_until_the_last_one_has_stopped_trying() {
        let (away, queue) = (Away::default(), QueueName::new("q").unwrap());
        let first = away.enter(&queue);
        let second = away.enter(&queue);
        drop(first);
        assert!(away.contains(&queue));
        drop(second);
        assert!(!away.contains(&queue));
    }
}
