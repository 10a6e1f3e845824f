//! Who has which deduplication key (rule E4).

use windlass_core::model::{DedupKey, DedupRecord, JobId, QueueName, Timestamp};

/// The keys that were ever taken, the last holder of each.
#[derive(Default)]
pub(super) struct Keys(Vec<Holder>);

/// The job that has a key.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    queue: QueueName,
    key: DedupKey,
    pub(super) by: JobId,
    /// It has not ended.
    pub(super) live: bool,
    /// Until when it has the key even if it ends before.
    pub(super) until: Option<Timestamp>,
}

impl Keys {
    /// Who has this key now.
    pub(super) fn holder(
        &self,
        queue: &QueueName,
        key: &DedupKey,
        now: Timestamp,
    ) -> Option<&Holder> {
        let last = self.0.iter().find(|holder| holder.queue == *queue && holder.key == *key);
        last.filter(|holder| holder.live || holder.until.is_some_and(|until| until > now))
    }

    /// Gives a key to a live job.
    pub(super) fn take(&mut self, queue: &QueueName, dedup: &DedupRecord, by: JobId) {
        self.0.retain(|holder| holder.queue != *queue || holder.key != dedup.key);
        let (queue, key) = (queue.clone(), dedup.key.clone());
        self.0.push(Holder { queue, key, by, live: true, until: dedup.held_until });
    }

    /// The job that has a key has ended.
    pub(super) fn free(&mut self, queue: &QueueName, dedup: &DedupRecord, by: JobId) {
        let of = self
            .0
            .iter_mut()
            .find(|holder| holder.queue == *queue && holder.key == dedup.key && holder.by == by);
        if let Some(holder) = of {
            holder.live = false;
        }
    }
}
