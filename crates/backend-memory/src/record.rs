//! A job as it lies in memory, and the job that callers see.

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_core::model::{
    Course, DedupRecord, Dependencies, Detail, End, FlowId, Job, JobId, JobKey, JobOptions, JobRef,
    JobType, Lease, OrderKey, OrderRule, PartitionKey, Payload, Progress, QueueName, State, Step,
    Tag, Timestamp,
};

use crate::store::Slot;

/// A stored job. What few jobs have lies in a box of its own, so that the many
/// others are small: copying records to and from main memory is most of what a
/// store in memory does.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: JobId,
    /// The place of its queue in the store.
    pub(crate) queue: Slot,
    pub(crate) stand: Stand,
    /// It is pending, but has to do with no order: it did not start in time,
    /// or its moment to expire comes no later than its moment to start.
    pub(crate) parked: bool,
    pub(crate) cancel_requested: bool,
    pub(crate) job_type: JobType,
    pub(crate) payload: Payload,
    pub(crate) options: Arc<JobOptions>,
    pub(crate) course: Option<Box<Course>>,
    pub(crate) version: u64,
    pub(crate) seq: u64,
    pub(crate) order: OrderRule,
    pub(crate) due: Timestamp,
    pub(crate) place: Timestamp,
    pub(crate) enqueued_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) partition: Option<PartitionKey>,
    pub(crate) extra: Option<Box<Extra>>,
}

/// In which indexes of its queue a record is, and what it has only there.
#[derive(Debug)]
pub(crate) enum Stand {
    Blocked,
    /// Pending, and its moment had not come when the queue was last looked at.
    Scheduled,
    /// Pending, and its moment had come.
    Waiting,
    Active(Box<Lease>),
    Ended(Ended),
}

/// How a job ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) at: Timestamp,
    pub(crate) result: Option<Box<Payload>>,
}

impl Stand {
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self, Self::Ended(_))
    }

    pub(crate) fn is_pending(&self) -> bool {
        matches!(self, Self::Scheduled | Self::Waiting)
    }

    pub(crate) fn is_blocked(&self) -> bool {
        matches!(self, Self::Blocked)
    }

    pub(crate) fn end(&self) -> Option<End> {
        self.ended().map(|ended| ended.end)
    }

    pub(crate) fn ended(&self) -> Option<&Ended> {
        match self {
            Self::Ended(ended) => Some(ended),
            _ => None,
        }
    }

    pub(crate) fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Active(lease) => Some(lease),
            _ => None,
        }
    }
}

/// What few jobs have.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    pub(crate) expires: Option<Timestamp>,
    pub(crate) progress: Option<Progress>,
    pub(crate) key: Option<JobKey>,
    pub(crate) dedup: Option<DedupRecord>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) flow: Option<FlowId>,
    pub(crate) parent: Option<JobRef>,
    pub(crate) steps: BTreeMap<u32, Step>,
    /// What it waits for, as given.
    pub(crate) depends_on: Vec<JobRef>,
    pub(crate) dependencies: Dependencies,
    /// Whether others depend, or have depended, on it.
    pub(crate) has_dependents: bool,
    /// Those that depend on it and are still stored, by enqueue sequence.
    pub(crate) dependents: BTreeMap<u64, Edge>,
    /// How many of them have not ended.
    pub(crate) live_dependents: usize,
}

/// A job that depends on another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) dependent: Slot,
    /// Whether the dependency has not yet counted as ended with it. It counts
    /// once, even if it is retried and ends again.
    pub(crate) open: bool,
}

impl Record {
    pub(crate) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// When it expires, if that still counts: it never does once it started.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        match self.started_at {
            None => self.extra.as_ref()?.expires,
            Some(_) => None,
        }
    }

    pub(crate) fn dedup(&self) -> Option<&DedupRecord> {
        self.extra.as_ref()?.dedup.as_ref()
    }

    pub(crate) fn dependencies(&self) -> Dependencies {
        self.extra.as_ref().map_or_else(Dependencies::default, |extra| extra.dependencies)
    }

    /// Whether core has to decide about it, should it be blocked.
    pub(crate) fn is_unblocked(&self) -> bool {
        let dependencies = self.dependencies();
        dependencies.open == 0 || dependencies.broken > 0
    }

    pub(crate) fn order_key(&self) -> OrderKey {
        self.order.key(self.place, self.seq)
    }

    pub(crate) fn state(&self, now: Timestamp) -> State {
        match &self.stand {
            Stand::Blocked => State::Blocked,
            Stand::Scheduled | Stand::Waiting if self.due <= now => State::Waiting,
            Stand::Scheduled | Stand::Waiting => State::Scheduled,
            Stand::Active(_) => State::Active,
            Stand::Ended(ended) => ended.end.into(),
        }
    }

    /// The job as callers see it at `now`.
    pub(crate) fn view(&self, queue: &QueueName, now: Timestamp, detail: Detail) -> Job {
        let extra = self.extra.as_deref();
        let full = detail == Detail::Full;
        let ended = self.stand.ended();
        Job {
            id: self.id,
            queue: queue.clone(),
            job_type: self.job_type.clone(),
            payload: full.then(|| self.payload.clone()),
            options: self.options.clone(),
            course: self.course.as_deref().cloned().unwrap_or_default(),
            state: self.state(now),
            version: self.version,
            seq: self.seq,
            order: self.order,
            due: self.due,
            place: self.place,
            enqueued_at: self.enqueued_at,
            started_at: self.started_at,
            finished_at: ended.map(|ended| ended.at),
            expires: extra.and_then(|extra| extra.expires),
            lease: self.stand.lease().copied(),
            cancel_requested: self.cancel_requested,
            result: ended.filter(|_| full).and_then(|ended| ended.result.as_deref().cloned()),
            progress: extra.and_then(|extra| extra.progress.clone()),
            key: extra.and_then(|extra| extra.key.clone()),
            dedup: extra.and_then(|extra| extra.dedup.clone()),
            partition: self.partition.clone(),
            tags: extra.map_or_else(Vec::new, |extra| extra.tags.clone()),
            flow: extra.and_then(|extra| extra.flow),
            parent: extra.and_then(|extra| extra.parent.clone()),
            dependencies: self.dependencies(),
            has_dependents: extra.is_some_and(|extra| extra.has_dependents),
        }
    }
}
