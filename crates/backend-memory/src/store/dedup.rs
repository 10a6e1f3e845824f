//! Who has which deduplication key (rule E4).

use std::collections::{BTreeSet, HashMap};

use windlass_core::model::{DedupKey, DedupRecord, JobId, Timestamp};

/// The deduplication keys of a queue that are taken, or were when somebody
/// last looked.
#[derive(Debug, Default)]
pub(crate) struct DedupKeys {
    taken: HashMap<DedupKey, Holder>,
    /// The keys that only time frees, by the moment at which it does.
    held: BTreeSet<(Timestamp, DedupKey)>,
}

/// The job that has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) by: JobId,
    /// It has not ended.
    pub(crate) live: bool,
    /// Until when it has the key even if it ends before.
    pub(crate) until: Option<Timestamp>,
}

impl Holder {
    fn has_it(&self, now: Timestamp) -> bool {
        self.live || self.until.is_some_and(|until| until > now)
    }
}

impl DedupKeys {
    /// Who has this key at `now`.
    pub(crate) fn holder(&self, key: &DedupKey, now: Timestamp) -> Option<Holder> {
        self.taken.get(key).copied().filter(|h| h.has_it(now))
    }

    /// Gives a key that nobody else has to a live job.
    pub(crate) fn take(&mut self, record: &DedupRecord, by: JobId, now: Timestamp) {
        self.forget_passed(now);
        let holder = Holder { by, live: true, until: record.held_until };
        if let Some(before) = self.taken.insert(record.key.clone(), holder)
            && let Some(until) = before.until.filter(|_| !before.live)
        {
            self.held.remove(&(until, record.key.clone()));
        }
    }

    /// Frees the key of a job that has ended, or leaves it to time.
    pub(crate) fn release(&mut self, record: &DedupRecord, by: JobId, now: Timestamp) {
        let Some(holder) = self.taken.get_mut(&record.key) else {
            return;
        };
        if holder.by != by || !holder.live {
            return;
        }
        holder.live = false;
        match holder.until.filter(|until| *until > now) {
            Some(until) => {
                self.held.insert((until, record.key.clone()));
            }
            None => {
                self.taken.remove(&record.key);
            }
        }
    }

    /// Keys that nobody asks for again must not stay for ever.
    fn forget_passed(&mut self, now: Timestamp) {
        while let Some((until, _)) = self.held.first() {
            if *until > now {
                break;
            }
            if let Some((_, key)) = self.held.pop_first() {
                self.taken.remove(&key);
            }
        }
    }
}
