//! Jobs that come again and again (rules S1, S2 and S6).

use windlass::backend::{
    Error, ErrorKind, PutRepeatable, Refusal, RepeatablePut, Repeatables, RepeatablesQuery, Result,
};
use windlass::model::{QueueName, RepeatableKey, RepeatableRecord, Timestamp};

use super::Store;
use crate::keys::{Key, Space};
use crate::kv::{decode, encode};

impl Store<'_> {
    pub(crate) fn repeatables(&self, query: &RepeatablesQuery) -> Result<Repeatables> {
        let (mut records, mut next_due) = (Vec::new(), None);
        match query {
            RepeatablesQuery::One(queue, key) => {
                records.extend(self.repeatable(queue, key)?);
            }
            RepeatablesQuery::OfQueue(queue) => {
                let keys = Key::of_queue(Space::Repeatable, queue).below();
                records = self.pairs.read_all(keys)?;
            }
            RepeatablesQuery::Due(limit) => {
                for due in self.pairs.walk(Key::new(Space::Due).below())? {
                    let (moment, queue, key): (Timestamp, QueueName, RepeatableKey) =
                        decode(&due?)?;
                    if moment > self.now || records.len() >= *limit as usize {
                        next_due = Some(moment);
                        break;
                    }
                    records.extend(self.repeatable(&queue, &key)?);
                }
            }
        }
        Ok(Repeatables { records, next_due, now: self.now })
    }

    /// The record and the jobs that it fires are stored in one step, so that a
    /// moment fires once, whoever is stopped where.
    pub(crate) fn put_repeatable(&mut self, put: PutRepeatable) -> Result<RepeatablePut> {
        let PutRepeatable { record, guard, jobs } = put;
        let (queue, key) = (&record.spec.queue, &record.spec.key);
        self.queue(queue)?;
        let stored = self.repeatable(queue, key)?;
        if stored.as_ref().map(|stored| stored.version) != guard {
            return Ok(RepeatablePut::Stale(stored.map(Box::new)));
        }
        match self.store_all(&jobs)? {
            Ok(_) => {}
            Err((_, Refusal::UnknownQueue(queue))) => return Err(Error::unknown_queue(&queue)),
            Err((_, why)) => return Err(Error::new(ErrorKind::Invalid, why.to_string())),
        }
        self.remove_repeatable(queue, key)?;
        if let Some(due) = record.due() {
            self.pairs.put(&due_key(due, queue, key), &encode(&(due, queue, key))?)?;
        }
        self.pairs.write(&repeatable_key(queue, key), &record)?;
        // Even without a job: its next moment may come before any that keepers
        // know of.
        self.news.touch(queue);
        Ok(RepeatablePut::Stored)
    }

    pub(crate) fn remove_repeatable(
        &mut self,
        queue: &QueueName,
        key: &RepeatableKey,
    ) -> Result<bool> {
        let Some(stored) = self.repeatable(queue, key)? else {
            return Ok(false);
        };
        if let Some(due) = stored.due() {
            self.pairs.remove(&due_key(due, queue, key))?;
        }
        self.pairs.remove(&repeatable_key(queue, key))
    }

    fn repeatable(
        &self,
        queue: &QueueName,
        key: &RepeatableKey,
    ) -> Result<Option<RepeatableRecord>> {
        self.pairs.read(&repeatable_key(queue, key))
    }
}

fn repeatable_key(queue: &QueueName, key: &RepeatableKey) -> Key {
    Key::of_queue(Space::Repeatable, queue).text(key.as_str())
}

fn due_key(due: Timestamp, queue: &QueueName, key: &RepeatableKey) -> Key {
    Key::new(Space::Due).moment(due).text(queue.as_str()).text(key.as_str())
}
