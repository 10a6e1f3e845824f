//! What goes to a store and what comes back, beside transitions.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Job, JobId, JobRef, NewJob, Progress, QueueName, QueueSpec, RepeatableKey, RepeatableRecord,
    State, Timestamp, Token, WorkerId,
};

/// What a backend can do beyond what all of them must.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Jobs can be enqueued and completed inside the caller's own transaction
    /// (rules E6 and R6).
    pub transactions: Support,
    /// Notices reach other processes.
    pub notices: Support,
    /// A batch over several queues, or over several shards of one, is all or
    /// nothing.
    pub cross_queue_atomicity: Support,
    /// The store outlives the process, and several handles can be opened on
    /// it.
    pub shared: Support,
}

/// Whether a backend has a capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Support {
    /// It has.
    Yes,
    /// It has not; what takes it answers
    /// [`ErrorKind::Unsupported`](super::ErrorKind::Unsupported).
    #[default]
    No,
}

/// What became of a declaration.
#[derive(Clone, Debug, PartialEq)]
pub enum Declared {
    /// The queue is new.
    Created,
    /// It was declared before with other bounds; the new ones hold from now
    /// on.
    Updated,
    /// It was declared just so before.
    Unchanged,
    /// It was declared before with something else that is fixed; nothing
    /// changed. Carries the stored declaration.
    Conflict(Box<QueueSpec>),
}

/// What became of a batch of new jobs.
#[derive(Debug)]
pub enum EnqueueAnswer {
    /// The batch is stored.
    Stored {
        /// For each job, in order, what became of it.
        outcomes: Vec<Enqueued>,
        /// Jobs of the batch that wait for nothing that is still open, or for
        /// something broken, without payload; core has to decide about them.
        unblocked: Vec<Job>,
        /// The store's time.
        now: Timestamp,
    },
    /// Nothing is stored, because of one of the jobs.
    Refused {
        /// Which, counted from 0.
        index: usize,
        /// Why.
        why: Refusal,
        /// The whole batch, back.
        jobs: Vec<NewJob>,
    },
}

/// What became of one new job.
#[derive(Clone, Debug, PartialEq)]
pub enum Enqueued {
    /// It is stored.
    Stored,
    /// A job with this id exists; nothing of it changed (rule E3).
    Existing,
    /// Its deduplication key is taken by this live job (without payload). Core
    /// decides what follows (rule E4).
    Duplicate(Box<Job>),
    /// Its deduplication key is held until a moment by a job that has ended
    /// (throttle, rule E4).
    Held {
        /// The job that has it; it may have been removed.
        by: JobId,
        /// Until when.
        until: Timestamp,
    },
}

/// Why a batch of new jobs was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The queue was never declared.
    #[error("queue {0:?} is not known to this store; declare it first")]
    UnknownQueue(QueueName),
    /// A dependency is neither stored nor in the batch (rule N1).
    #[error("job {} of queue {:?}, on which a job depends, does not exist", .0.id, .0.queue)]
    UnknownDependency(JobRef),
    /// The parent's lease is not the current one (rule L2).
    #[error("the lease of the parent job {} has been lost", .0.id)]
    StaleParent(JobRef),
    /// The id is already that of a job in another queue. A store that spreads
    /// queues over machines (without
    /// [`Capabilities::cross_queue_atomicity`]) cannot know.
    #[error("job id {0} is already taken in another queue")]
    IdTaken(JobId),
}

/// A request for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The queue.
    pub queue: QueueName,
    /// Who asks; for people to read.
    pub worker: WorkerId,
    /// How many jobs at most, 1 to 10,000.
    pub max: u32,
    /// How long the leases are; more than zero.
    pub lease: Duration,
}

/// Leased jobs.
#[derive(Clone, Debug)]
pub struct Dequeued {
    /// The jobs, in the order of the queue, each active under a fresh lease,
    /// with its payload.
    pub jobs: Vec<Job>,
    /// The queue's declaration as it is now.
    pub spec: Arc<QueueSpec>,
    /// The store's time: the beginning of the leases.
    pub now: Timestamp,
    /// When to ask again.
    pub again: Again,
}

/// When a dequeue may find more than the last one did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// At once: there may be more.
    Now,
    /// At this moment, if nothing happens before.
    At(Timestamp),
    /// When something happens.
    OnNotice,
}

/// A wish to keep a lease, with news of the job.
#[derive(Clone, Debug, PartialEq)]
pub struct Extend {
    /// The job.
    pub job: JobRef,
    /// The lease.
    pub token: Token,
    /// How long from now it is to last; more than zero.
    pub lease: Duration,
    /// How far the job has come. `None`: as before.
    pub progress: Option<Progress>,
}

/// What became of a wish to keep a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// The lease is still held.
    Held {
        /// When it now runs out.
        until: Timestamp,
        /// Whether the job was asked to stop.
        cancel_requested: bool,
    },
    /// The lease is not the current one; nothing changed.
    Lost,
}

/// A page of jobs about which time, or another job's end, has something to
/// say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverdueQuery {
    /// The queue.
    pub queue: QueueName,
    /// What to look for.
    pub what: Overdue,
    /// The page starts behind this place. `None`: at the beginning.
    pub after: Option<OverduePlace>,
    /// How many at most, 1 to 1,000; any other number is taken for the nearest
    /// of these.
    pub limit: u32,
}

/// What can be overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overdue {
    /// Active jobs whose lease has run out.
    LostLeases,
    /// Jobs that have not started and whose `expires` moment has come.
    Expired,
    /// Blocked jobs without an open dependency, or with a broken one.
    Unblocked,
}

impl Overdue {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::LostLeases, Self::Expired, Self::Unblocked];
}

/// A place in a listing of what is overdue: by the moment at which it became
/// so (the epoch for what knows none), then by the enqueue sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OverduePlace {
    /// The end of the lease, or the `expires` moment.
    pub moment: Timestamp,
    /// The enqueue sequence.
    pub seq: u64,
}

/// A page of what is overdue.
#[derive(Clone, Debug, PartialEq)]
pub struct OverduePage {
    /// The jobs, without payload, in the order of [`OverduePlace`].
    pub jobs: Vec<Job>,
    /// What to give as `after` for the next page. `None`: this was the last.
    pub next: Option<OverduePlace>,
    /// The store's time.
    pub now: Timestamp,
}

/// Which repeatables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepeatablesQuery {
    /// This one.
    One(QueueName, RepeatableKey),
    /// Those of a queue, by key.
    OfQueue(QueueName),
    /// Those of every queue whose [`RepeatableRecord::due`] has come, the
    /// earliest first, so many at most.
    Due(u32),
}

/// Repeatables as the store has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeatables {
    /// The records.
    pub records: Vec<RepeatableRecord>,
    /// For [`RepeatablesQuery::Due`]: when the next one that is not among them
    /// is due.
    pub next_due: Option<Timestamp>,
    /// The store's time.
    pub now: Timestamp,
}

/// A new record of a repeatable, and the jobs that it has fired.
#[derive(Clone, Debug, PartialEq)]
pub struct PutRepeatable {
    /// The record; its version is one above the guard's.
    pub record: RepeatableRecord,
    /// The version that must be stored. `None`: none may be.
    pub guard: Option<u64>,
    /// Jobs to be stored in the same step.
    pub jobs: Vec<NewJob>,
}

/// What became of a new record.
#[derive(Clone, Debug, PartialEq)]
pub enum RepeatablePut {
    /// It is stored, and its jobs with it.
    Stored,
    /// The guard did not hold; nothing changed. Carries what is stored.
    Stale(Option<Box<RepeatableRecord>>),
}

/// Jobs to be removed for good (rule Q3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clean {
    /// The queue.
    pub queue: QueueName,
    /// Jobs in this state: a terminal one, scheduled or waiting.
    pub state: State,
    /// Which of them.
    pub which: CleanWhich,
    /// How many at most.
    pub limit: u32,
}

/// Which jobs of a state are cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanWhich {
    /// Those that ended (or, if they have not ended, were enqueued) so long
    /// ago or longer.
    OlderThan(Duration),
    /// All but so many, the latest to end.
    BeyondNewest(u64),
}
