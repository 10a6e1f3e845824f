//! Jobs that come again and again (rules S1, S2 and S6).

use windlass_core::backend::hub::News;
use windlass_core::backend::{
    Error, ErrorKind, PutRepeatable, Refusal, RepeatablePut, Repeatables, RepeatablesQuery, Result,
};
use windlass_core::model::{QueueName, RepeatableKey, RepeatableRecord, Timestamp};

use super::Store;

impl Store {
    pub(crate) fn repeatables(&self, query: &RepeatablesQuery, now: Timestamp) -> Repeatables {
        let mut next_due = None;
        let records = match query {
            RepeatablesQuery::One(queue, key) => {
                self.repeatable(queue, key).cloned().into_iter().collect()
            }
            RepeatablesQuery::OfQueue(queue) => match self.names.get(queue) {
                Some(at) => self.queues[*at].repeatables.values().cloned().collect(),
                None => Vec::new(),
            },
            RepeatablesQuery::Due(limit) => {
                let limit = *limit as usize;
                let due = self.due.iter();
                let found: Vec<_> = due
                    .take_while(|(moment, ..)| *moment <= now)
                    .take(limit)
                    .filter_map(|(_, queue, key)| self.repeatable(queue, key).cloned())
                    .collect();
                next_due = self.due.iter().nth(found.len()).map(|(moment, ..)| *moment);
                found
            }
        };
        Repeatables { records, next_due, now }
    }

    pub(crate) fn put_repeatable(
        &mut self,
        put: PutRepeatable,
        now: Timestamp,
        news: &mut News,
    ) -> Result<RepeatablePut> {
        let name = put.record.spec.queue.clone();
        let at = self.queue_index(&name)?;
        let stored = self.queues[at].repeatables.get(&put.record.spec.key);
        if stored.map(|record| record.version) != put.guard {
            let stored = stored.cloned().map(Box::new);
            return Ok(RepeatablePut::Stale(stored));
        }
        match self.check(&put.jobs, now) {
            Ok(()) => {}
            Err((_, Refusal::UnknownQueue(queue))) => return Err(Error::unknown_queue(&queue)),
            Err((_, why)) => return Err(Error::new(ErrorKind::Invalid, why.to_string())),
        }
        self.remove_repeatable(&name, &put.record.spec.key);
        if let Some(due) = put.record.due() {
            let key = put.record.spec.key.clone();
            self.due.insert((due, name.clone(), key));
        }
        let key = put.record.spec.key.clone();
        self.queues[at].repeatables.insert(key, put.record);
        self.store_all(put.jobs, now, news);
        // Even without a job: its next moment may come before any that
        // keepers know of.
        news.touch(&name);
        Ok(RepeatablePut::Stored)
    }

    pub(crate) fn remove_repeatable(&mut self, queue: &QueueName, key: &RepeatableKey) -> bool {
        let Some(at) = self.names.get(queue) else {
            return false;
        };
        let Some(removed) = self.queues[*at].repeatables.remove(key) else {
            return false;
        };
        if let Some(due) = removed.due() {
            self.due.remove(&(due, queue.clone(), key.clone()));
        }
        true
    }

    fn repeatable(&self, queue: &QueueName, key: &RepeatableKey) -> Option<&RepeatableRecord> {
        let at = self.names.get(queue)?;
        self.queues[*at].repeatables.get(key)
    }
}
