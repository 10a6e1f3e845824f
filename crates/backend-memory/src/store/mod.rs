//! The data, and what every call does with it. Plain data without a lock: the
//! caller has it for itself.

mod apply;
mod clean;
mod dedup;
mod dependencies;
mod dequeue;
mod enqueue;
mod ids;
mod lease;
mod line;
mod listing;
mod partitions;
mod queue;
mod queues;
mod repeatables;
mod slab;
mod steps;
#[cfg(test)]
mod tests;
mod window;
mod workers;

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::backend::{Error, Result};
use windlass_core::model::{Detail, Job, JobRef, QueueName, RepeatableKey, Timestamp, WorkerSeen};

use crate::record::Record;
use ids::Ids;
use queue::Queue;
use slab::Slab;

pub(crate) use slab::Slot;

/// Everything there is.
#[derive(Debug, Default)]
pub(crate) struct Store {
    jobs: Slab<Record>,
    ids: Ids,
    queues: Slab<Queue>,
    /// Where each queue is in `queues`. Queues are never removed.
    names: BTreeMap<QueueName, Slot>,
    /// Repeatables of every queue by when a keeper has to look at them.
    due: BTreeSet<(Timestamp, QueueName, RepeatableKey)>,
    /// In the order in which they were first heard of.
    workers: Vec<WorkerSeen>,
    last_seq: u64,
    last_token: u64,
}

impl Store {
    fn queue_index(&self, name: &QueueName) -> Result<Slot> {
        let found = self.names.get(name).copied();
        found.ok_or_else(|| Error::unknown_queue(name))
    }

    /// Where the job is, if it is in the queue in which it is said to be.
    fn find(&self, job: &JobRef) -> Option<Slot> {
        let slot = self.ids.get(job.id, &self.jobs)?;
        let queue = &self.queues[self.jobs[slot].queue];
        (queue.spec.name == job.queue).then_some(slot)
    }

    /// Changes a job in such a way that its place in the indexes may change.
    fn change(&mut self, slot: Slot, now: Timestamp, change: impl FnOnce(&mut Record)) {
        let Self { jobs, queues, .. } = self;
        let queue = &mut queues[jobs[slot].queue];
        queue.detach(jobs, slot, now);
        change(&mut jobs[slot]);
        queue.attach(jobs, slot, now);
    }

    fn tick(&mut self, queue: Slot, now: Timestamp) {
        self.queues[queue].tick(&mut self.jobs, now);
    }

    fn view(&self, slot: Slot, now: Timestamp, detail: Detail) -> Job {
        let record = &self.jobs[slot];
        record.view(&self.queues[record.queue].spec.name, now, detail)
    }
}
