//! A job, as a store has it, and a job to be stored.

use std::sync::Arc;
use std::time::Duration;

use super::course::Course;
use super::id::{FlowId, JobId, JobRef, Token, WorkerId};
use super::name::{DedupKey, JobKey, JobType, PartitionKey, QueueName, Tag};
use super::options::JobOptions;
use super::payload::Payload;
use super::progress::Progress;
use super::state::State;
use super::time::{Timestamp, When};
use crate::decide::shards::own_of;

/// A job as the store has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its identity.
    pub id: JobId,
    /// The queue it stands in.
    pub queue: QueueName,
    /// By which a worker finds the handler.
    pub job_type: JobType,
    /// What the handler is given. `None` where a listing did not ask for it.
    pub payload: Option<Payload>,
    /// What the caller chose.
    pub options: Arc<JobOptions>,
    /// What has become of it.
    pub course: Course,
    /// Where it stands.
    pub state: State,
    /// Grows with every change by dequeue or apply; guards compare it.
    pub version: u64,
    /// The enqueue sequence: breaks ties in the order, and pages listings.
    pub seq: u64,
    /// How its place makes its order key.
    pub order: OrderRule,
    /// The moment it may start (or could have, once it has).
    pub due: Timestamp,
    /// The moment that gives it its place in the order; not after `due`. It
    /// lags behind `due` where a job that is put off keeps its place.
    pub place: Timestamp,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// When it was last leased.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it expires if it has never started (rule R5).
    pub expires: Option<Timestamp>,
    /// The lease, while it is active.
    pub lease: Option<Lease>,
    /// Whether somebody asked an active job to stop (rule C1).
    pub cancel_requested: bool,
    /// What it returned.
    pub result: Option<Payload>,
    /// How far it has come.
    pub progress: Option<Progress>,
    /// The name its caller gave it.
    pub key: Option<JobKey>,
    /// Its deduplication key and what came with it.
    pub dedup: Option<DedupRecord>,
    /// Whose limits it runs under, in a partitioned queue.
    pub partition: Option<PartitionKey>,
    /// Labels to search by.
    pub tags: Vec<Tag>,
    /// The flow it was enqueued with.
    pub flow: Option<FlowId>,
    /// The job whose handler enqueued it.
    pub parent: Option<JobRef>,
    /// What it waits for.
    pub dependencies: Dependencies,
    /// Whether other jobs depend, or have depended, on it.
    pub has_dependents: bool,
}

impl Job {
    /// The number of the attempt that runs, or would run next, counted from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.course.failed_attempts.saturating_add(1)
    }

    /// Whether this is its first lease, and nothing happened to it before but its enqueue:
    /// there is nothing recorded of it.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        own_of(self.version).1 == 2
    }

    /// Whether it was ever leased.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.started_at.is_some()
    }

    /// Where it stands and how to find it.
    #[must_use]
    pub fn reference(&self) -> JobRef {
        JobRef { queue: self.queue.clone(), id: self.id }
    }

    /// The order key it has now.
    #[must_use]
    pub fn order_key(&self) -> OrderKey {
        self.order.key(self.place, self.seq)
    }
}

/// An exclusive right to run a job, until it ends (rule L1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Proves that this lease is the current one.
    pub token: Token,
    /// When it runs out.
    pub until: Timestamp,
    /// Who holds it; for people to read, never to compare.
    pub worker: WorkerId,
}

/// How many of a job's dependencies stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// How many have not ended.
    pub open: u32,
    /// How many ended in another way than completed.
    pub broken: u32,
}

/// How a job's place makes its order key. Core makes it from the rank and the
/// queue's ageing; a backend only evaluates it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OrderRule {
    /// The part that does not change: the rank, or rank × ageing step in
    /// microseconds.
    pub base: i64,
    /// Whether the place counts together with the base or after it.
    pub mode: OrderMode,
}

/// How base and place go together in an order key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OrderMode {
    /// First by base, then by place.
    #[default]
    Ranked = 0,
    /// By base + place, so that time makes up for a worse rank.
    Aged = 1,
}

impl OrderMode {
    /// The number a store keeps: what the place is multiplied by in
    /// `primary = base + number × place`. It never changes its meaning.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The mode with this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Ranked),
            1 => Some(Self::Aged),
            _ => None,
        }
    }
}

impl OrderRule {
    /// The order key of a job with this rule at this place:
    /// `primary = base + (mode is aged ? place : 0)`, then the place, then the
    /// enqueue sequence, each ascending.
    #[must_use]
    pub fn key(self, place: Timestamp, seq: u64) -> OrderKey {
        let primary = match self.mode {
            OrderMode::Ranked => self.base,
            OrderMode::Aged => self.base.saturating_add(place.as_micros()),
        };
        OrderKey { primary, place, seq }
    }
}

/// By which the ready jobs of a queue are sorted, ascending, field by field
/// (rule O1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey {
    /// The rank, or with ageing the moment the rank is worth.
    pub primary: i64,
    /// The moment that gives the job its place.
    pub place: Timestamp,
    /// The enqueue sequence.
    pub seq: u64,
}

/// A deduplication key of a stored job (rule E4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DedupRecord {
    /// The key.
    pub key: DedupKey,
    /// Until when the key stays taken even if the job ends before.
    pub held_until: Option<Timestamp>,
    /// How far a debounce may put the job off.
    pub latest: Option<Timestamp>,
}

/// A deduplication key of a job to be stored (rule E4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDedup {
    /// The key.
    pub key: DedupKey,
    /// For how long from the enqueue the key stays taken even if the job ends
    /// before (throttle).
    pub hold: Option<Duration>,
    /// How long from the enqueue a debounce may put the job off.
    pub latest: Option<Duration>,
}

/// A job to be stored: what [`decide::enqueue`](crate::decide::enqueue) made
/// of a caller's wish.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// Its identity: drawn, or derived from `key`.
    pub id: JobId,
    /// The queue it goes to.
    pub queue: QueueName,
    /// By which a worker finds the handler.
    pub job_type: JobType,
    /// What the handler is given.
    pub payload: Payload,
    /// What the caller chose.
    pub options: Arc<JobOptions>,
    /// How its place makes its order key.
    pub order: OrderRule,
    /// The moment it may start; also its first place.
    pub due: When,
    /// When it expires if it has not started.
    pub expires: Option<When>,
    /// The name its caller gave it; the id derives from it.
    pub key: Option<JobKey>,
    /// Its deduplication key.
    pub dedup: Option<NewDedup>,
    /// Whose limits it runs under.
    pub partition: Option<PartitionKey>,
    /// Labels to search by; no two are the same.
    pub tags: Vec<Tag>,
    /// What it waits for; no two are the same.
    pub depends_on: Vec<JobRef>,
    /// The flow it belongs to.
    pub flow: Option<FlowId>,
    /// The job whose handler enqueues it, and the lease that must be current
    /// for that.
    pub parent: Option<Parent>,
}

/// The job whose handler enqueues another one (rule L2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The job.
    pub job: JobRef,
    /// Its current lease.
    pub token: Token,
}
