//! Looks from the front of a queue, from time to time.
//!
//! What dequeues go by is exact: the last checkpoint and what the journal adds to
//! it. The look from the front is there for what nobody has thought of. It walks
//! past all that vacuum could not remove yet, so that it is taken the less often
//! the longer it takes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use windlass_core::model::QueueName;

use super::Store;
use super::query::Query;
use crate::record::get;

/// The shortest time between two looks at a queue by one process: a job that
/// nobody has thought of is hidden no longer than that, or than [`SHARE`] times
/// what a look takes.
const PAUSE: Duration = Duration::from_secs(60);

/// Between two looks lies at least so many times what the last one took.
const SHARE: u32 = 100;

/// More dead rows than autovacuum leaves behind in the busiest of times.
const MANY_DEAD: i64 = 2_000_000;

/// When each queue is to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<HashMap<QueueName, Instant>>);

impl Looks {
    /// Whether it is time to look at a queue; if so, nobody else is told so.
    fn is_time(&self, queue: &QueueName) -> bool {
        let now = Instant::now();
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match next.get_mut(queue) {
            // The checkpoints were made or mended when this process came.
            None => {
                next.insert(queue.clone(), now + PAUSE);
                false
            }
            Some(at) if *at > now => false,
            Some(at) => {
                *at = now + PAUSE;
                true
            }
        }
    }

    fn took(&self, queue: &QueueName, time: Duration) {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        next.insert(queue.clone(), Instant::now() + PAUSE.max(time.saturating_mul(SHARE)));
    }
}

impl Store {
    /// Looks at a queue from its front if it is time, beside all else.
    pub(super) fn look_from_the_front(&self, queue: &QueueName) {
        if !self.looks.is_time(queue) {
            return;
        }
        let (store, queue) = (self.clone(), queue.clone());
        tokio::spawn(async move {
            let begun = Instant::now();
            if let Err(error) = store.call(Query::Announce, (&queue.as_str(),)).await {
                let error = format!("{error:#}");
                tracing::debug!(error, "a queue could not be looked at from its front");
            }
            store.looks.took(&queue, begun.elapsed());
            store.warn_of_dead_rows().await;
        });
    }

    /// Warns where rows pile up that vacuum may not remove.
    async fn warn_of_dead_rows(&self) {
        let rows = self.call(Query::ReadDeadRows, ()).await;
        let dead: Option<i64> = rows.ok().and_then(|rows| get(rows.first()?, 0).ok());
        if let Some(dead) = dead.filter(|dead| *dead > MANY_DEAD) {
            tracing::warn!(
                dead_rows = dead,
                "vacuum cannot remove what the queues have done with, and the tables grow: \
                 somebody keeps an old snapshot open; see backend_xmin in pg_stat_activity, \
                 pg_prepared_xacts and pg_replication_slots"
            );
        }
    }
}
