//! Who has which deduplication key (rule E4). What follows when a key is taken
//! is core's to decide; that it is taken once is the store's.

use serde::{Deserialize, Serialize};
use windlass::backend::Result;
use windlass::model::{DedupKey, JobId, QueueName, Timestamp};

use super::Store;
use crate::keys::{Key, Keys, Space};
use crate::kv::encode;
use crate::record::Record;

/// The job that has a key.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) by: JobId,
    /// It has not ended.
    pub(super) live: bool,
    /// Until when it has the key even if it ends before.
    pub(super) until: Option<Timestamp>,
}

impl Store<'_> {
    /// Who has this key now.
    pub(super) fn holder(&self, queue: &QueueName, key: &DedupKey) -> Result<Option<Holder>> {
        let holder: Option<Holder> = self.pairs.read(&of_key(queue, key))?;
        Ok(holder.filter(|h| h.live || h.until.is_some_and(|until| until > self.now)))
    }

    /// Gives a job its key, which nobody else has.
    pub(super) fn take_key(&mut self, record: &Record) -> Result<()> {
        let Some(dedup) = &record.dedup else {
            return Ok(());
        };
        let key = of_key(&record.queue, &dedup.key);
        if let Some(Holder { until: Some(until), .. }) = self.pairs.read(&key)? {
            self.pairs.remove(&held(&record.queue, until, &dedup.key))?;
        }
        let holder = Holder { by: record.id, live: true, until: dedup.held_until };
        self.pairs.write(&key, &holder)
    }

    /// Frees the key of a job that has ended, or leaves it to time.
    pub(super) fn free_key(&mut self, record: &Record) -> Result<()> {
        let Some(dedup) = &record.dedup else {
            return Ok(());
        };
        let key = of_key(&record.queue, &dedup.key);
        let Some(holder) = self.pairs.read::<Holder>(&key)? else {
            return Ok(());
        };
        if holder.by != record.id || !holder.live {
            return Ok(());
        }
        match holder.until.filter(|until| *until > self.now) {
            Some(until) => {
                self.pairs.write(&key, &Holder { live: false, ..holder })?;
                let value = encode(&dedup.key)?;
                self.pairs.put(&held(&record.queue, until, &dedup.key), &value)
            }
            None => self.pairs.remove(&key).map(drop),
        }
    }

    /// Keys that nobody asks for again must not stay for ever.
    pub(super) fn forget_held(&mut self, queue: &QueueName, passed: Keys) -> Result<()> {
        for key in self.pairs.read_all::<DedupKey>(passed)? {
            let holder = self.pairs.read::<Holder>(&of_key(queue, &key))?;
            if let Some(until) = holder.and_then(|holder| holder.until) {
                self.pairs.remove(&held(queue, until, &key))?;
                self.pairs.remove(&of_key(queue, &key))?;
            }
        }
        Ok(())
    }
}

fn of_key(queue: &QueueName, key: &DedupKey) -> Key {
    Key::of_queue(Space::Dedup, queue).text(key.as_str())
}

fn held(queue: &QueueName, until: Timestamp, key: &DedupKey) -> Key {
    Key::of_queue(Space::Held, queue).moment(until).text(key.as_str())
}
