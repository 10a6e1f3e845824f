//! Books that a store keeps beside its jobs, and gets wrong.
//!
//! A slot is the lease, and a rate counts the starts of the window that ends
//! now. A store that counts them in some other place can lose count.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windlass_core::Backend;
use windlass_core::backend::{Again, Applied, Ask, Dequeued, LeaseGuard, Result, Transition};
use windlass_core::model::{QueueName, QueueSpec, Timestamp};

use super::fault::Fault;

/// What the faults among these get wrong: slots and starts per queue, and
/// whether there has been a notice since a dequeue found too little.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<BTreeMap<QueueName, Entry>>);

#[derive(Debug)]
struct Entry {
    spec: QueueSpec,
    /// Slots that are gone, or (negative) that nobody has twice.
    lost: i64,
    /// The current calendar bucket, and its starts.
    bucket: (i64, u32),
    noticed: bool,
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, BTreeMap<QueueName, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a declaration, and answers what of it the store is to know.
    pub(super) fn declared(&self, fault: Fault, spec: &QueueSpec) -> QueueSpec {
        let mut books = self.books();
        let fresh = Entry { spec: spec.clone(), lost: 0, bucket: (0, 0), noticed: true };
        let entry = books.entry(spec.name.clone()).or_insert(fresh);
        entry.spec = spec.clone();
        entry.bent(fault)
    }

    /// Something happened in a queue.
    pub(super) fn notice(&self, queue: &QueueName) {
        if let Some(entry) = self.books().get_mut(queue) {
            entry.noticed = true;
        }
    }

    /// Counts slots by what transitions came to.
    pub(super) async fn settled(
        &self,
        fault: Fault,
        inner: &dyn Backend,
        transitions: &[Transition],
        outcomes: &[Applied],
    ) -> Result<()> {
        for (transition, outcome) in transitions.iter().zip(outcomes) {
            self.notice(&transition.job.queue);
            let lost = match (fault, transition.guard.lease, outcome) {
                (Fault::SlotKept, LeaseGuard::RunOut(_), Applied::Applied) => 1,
                (Fault::SlotFreedTwice, LeaseGuard::Held(_), Applied::Stale(_)) => -1,
                _ => continue,
            };
            let bent = self.books().get_mut(&transition.job.queue).map(|entry| {
                entry.lost += lost;
                entry.bent(fault)
            });
            if let Some(bent) = bent {
                inner.declare(&bent).await?;
            }
        }
        Ok(())
    }

    /// Takes starts from a calendar bucket, or waits for a notice.
    pub(super) async fn dequeue(
        &self,
        fault: Fault,
        inner: &dyn Backend,
        mut ask: Ask,
    ) -> Result<Dequeued> {
        let now = inner.now().await?;
        let known = self.books().get(&ask.queue).map(|entry| (entry.spec.clone(), entry.noticed));
        let Some((spec, noticed)) = known else { return inner.dequeue(ask).await };
        let spec = Arc::new(spec);
        let nothing = |again| Dequeued { jobs: Vec::new(), spec: Arc::clone(&spec), now, again };
        if fault == Fault::NoticeNeeded && !noticed {
            return Ok(nothing(Again::OnNotice));
        }
        let mut full_until = None;
        if let Some(rate) = spec.limits.rate.filter(|_| fault == Fault::RateByBucket) {
            let length = Timestamp::EPOCH.after(rate.period).as_micros().max(1);
            let bucket = now.as_micros() / length;
            let end = Timestamp::from_micros((bucket + 1) * length);
            let mut books = self.books();
            let used = books.get_mut(&ask.queue).map_or(0, |entry| {
                if entry.bucket.0 != bucket {
                    entry.bucket = (bucket, 0);
                }
                entry.bucket.1
            });
            let free = rate.limit.saturating_sub(used);
            if free == 0 {
                return Ok(nothing(Again::At(end)));
            }
            ask.max = ask.max.min(free);
            full_until = Some((free, end));
        }
        let (queue, max) = (ask.queue.clone(), ask.max as usize);
        let mut answer = inner.dequeue(ask).await?;
        answer.spec = spec;
        if let Some(entry) = self.books().get_mut(&queue) {
            entry.bucket.1 += u32::try_from(answer.jobs.len()).unwrap_or(u32::MAX);
            entry.noticed = answer.jobs.len() == max;
        }
        if let Some((free, end)) = full_until
            && answer.jobs.len() == free as usize
        {
            answer.again = Again::At(end);
        }
        Ok(answer)
    }
}

impl Entry {
    /// What of its declaration a queue goes by.
    fn bent(&self, fault: Fault) -> QueueSpec {
        let mut spec = self.spec.clone();
        match fault {
            Fault::RateByBucket => spec.limits.rate = None,
            Fault::SlotKept | Fault::SlotFreedTwice => {
                spec.limits.concurrency = spec
                    .limits
                    .concurrency
                    .map(|limit| u32::try_from(i64::from(limit) - self.lost).unwrap_or(0));
            }
            _ => {}
        }
        spec
    }
}
