//! The contract of a store.
//!
//! A backend stores, orders, compares and counts; it decides nothing. What is
//! to become of a job is decided in [`crate::decide`] and reaches the store as
//! a [`Transition`] with absolute values under a guard.
//!
//! Only four things are the backend's own: eligibility and order at dequeue,
//! compare-and-set, unique keys, and filters. Each method says what it
//! promises under **Atomicity**, **Ordering**, **Idempotency** and **Errors**,
//! and each promise has its case in the conformance suite.

mod call;
mod error;
mod ext;
pub mod hub;
mod transition;

use std::any::Any;
use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;
use futures_core::Stream;

pub use call::*;
pub use error::{Error, ErrorKind};
pub use ext::{BackendExt, ControlError};
pub use transition::{
    Applied, ApplyAnswer, CancelRequest, Expiry, Guard, LeaseGuard, Place, Target, Transition,
};

use crate::model::{
    Beat, Dependency, Interest, Job, JobRef, JobsPage, JobsQuery, NewJob, NewStep, Notice,
    QueueInfo, QueueName, QueueSpec, QueueStats, RepeatableKey, Seen, Step, StepRecorded,
    Timestamp, WorkerSeen,
};

/// What the methods of a [`Backend`] return.
pub type Result<T> = std::result::Result<T, Error>;

/// Notices, one by one, until the backend is dropped.
pub type NoticeStream = Pin<Box<dyn Stream<Item = Notice> + Send>>;

/// A store of jobs.
///
/// # Shared promises
/// - Time is the store's: methods take no `now`, and answers carry it.
/// - What a call that returned `Ok` has changed is durable to the level that
///   the backend states, and visible to every later call on every handle.
/// - A call whose future is dropped has happened whole or not at all.
/// - Every method may answer [`ErrorKind::Unavailable`] or
///   [`ErrorKind::Store`]; below, **Errors** names what comes on top.
/// - A job is `scheduled` before its moment and `waiting` from that moment on,
///   with no help from any scanner, in every answer.
/// - A queue that is declared with several shards is one queue to every method.
///   A store may spread it, and relaxes across shards what [`QueueSpec`] says
///   and nothing else.
#[async_trait]
pub trait Backend: Any + fmt::Debug + Send + Sync {
    // ── what it is ─────────────────────────────────────────────────────────

    /// What it can do beyond what all must. Never changes.
    fn capabilities(&self) -> Capabilities;

    /// The store's time.
    ///
    /// **Atomicity** none needed. **Ordering** never runs backwards between
    /// two calls on one handle while the store's clock does not.
    /// **Idempotency** changes nothing. **Errors** none of its own.
    async fn now(&self) -> Result<Timestamp>;

    // ── queues ─────────────────────────────────────────────────────────────

    /// Stores what a queue is declared to be, as
    /// [`decide::declare`](crate::decide::declare) answers for what is stored.
    ///
    /// **Atomicity** one step, also among several processes: of two first
    /// declarations one creates. **Ordering** the last one holds; its limits
    /// take effect at the next dequeue of every process. **Idempotency**
    /// declaring the same again answers `Unchanged`. **Errors** none of its
    /// own.
    async fn declare(&self, spec: &QueueSpec) -> Result<Declared>;

    /// Stops every process from dequeuing, until [`Backend::resume`].
    ///
    /// **Atomicity** one step. **Ordering** nothing is leased after the answer,
    /// not by a dequeue that was under way either. **Idempotency** pausing a
    /// paused queue changes nothing. **Errors** [`ErrorKind::UnknownQueue`].
    async fn pause(&self, queue: &QueueName) -> Result<()>;

    /// Lets a paused queue go on.
    ///
    /// **Atomicity** one step. **Ordering** as [`Backend::pause`].
    /// **Idempotency** resuming a queue that is not paused changes nothing.
    /// **Errors** [`ErrorKind::UnknownQueue`].
    async fn resume(&self, queue: &QueueName) -> Result<()>;

    /// Every declared queue.
    ///
    /// **Atomicity** a snapshot. **Ordering** by name. **Idempotency** changes
    /// nothing. **Errors** none of its own.
    async fn queues(&self) -> Result<Vec<QueueInfo>>;

    // ── enqueue ────────────────────────────────────────────────────────────

    /// Stores new jobs, with the version 1.
    ///
    /// A job whose id exists, in whatever state, is not stored
    /// ([`Enqueued::Existing`]). One whose deduplication key is taken in its
    /// queue is not stored either ([`Enqueued::Duplicate`],
    /// [`Enqueued::Held`]); a key is taken while the job that has it is not
    /// terminal, and until that job's `held_until`. Both hold among the jobs
    /// of the batch too. What a job names that will not be stored (its parent,
    /// its dependencies) is not looked at. A job with dependencies is stored as
    /// `blocked`, and its counts say how many of them are open and broken; a dependency that
    /// has completed is neither. A dependency may stand before or behind its
    /// dependent in the batch. Storing a dependent sets the dependency's
    /// `has_dependents` and, where that changes it, raises its version. Other
    /// jobs are scheduled or waiting, as `due` resolves.
    ///
    /// **Atomicity** all or nothing; over several queues only with
    /// [`Capabilities::cross_queue_atomicity`]. **Ordering** outcomes come in
    /// the order of the batch; the jobs of a batch have rising sequence
    /// numbers in that order, above those of every earlier acknowledged batch
    /// of the same queue. **Idempotency** by id: the same batch again answers
    /// `Existing`. **Errors** a batch that cannot be stored because of one of
    /// its jobs comes back as [`EnqueueAnswer::Refused`]. An empty batch is
    /// stored with no effect.
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<EnqueueAnswer>;

    // ── dequeue ────────────────────────────────────────────────────────────

    /// Leases the first jobs of a queue that are due and inside its limits.
    ///
    /// Eligible is a job that is waiting, is not past an `expires` moment
    /// before its first start, and whose queue is not paused and has a free
    /// slot and a free start in its rate window; in a partitioned queue its
    /// partition must have them too, and no job of the partition whose place
    /// is kept stands before it in the order. A leased job becomes active
    /// with a fresh token, larger than any before on that job, even if it was
    /// removed since and stored anew under its id; its version rises by one;
    /// `started_at` becomes the store's time. Leases that have run out still
    /// count until they are taken over.
    ///
    /// **Atomicity** one step: two calls never lease the same job, and limits
    /// hold however many call at once. **Ordering** by
    /// [`OrderKey`](crate::model::OrderKey); jobs come back in that order.
    /// `again` is [`Again::Now`] if the call was stopped by `max` alone, the
    /// earliest moment at which the passing of time makes a further job
    /// eligible or a held lease runs out where a limit on leases stopped it,
    /// and [`Again::OnNotice`] if there is no such moment. It may be an earlier
    /// moment, at which something changes that turns out not to help (a job
    /// becomes due, but stands behind another), and never a later one.
    /// **Idempotency** none: each call leases further jobs. An answer that is lost leaves
    /// leases that run out. **Errors** [`ErrorKind::UnknownQueue`].
    async fn dequeue(&self, ask: Ask) -> Result<Dequeued>;

    // ── lease ──────────────────────────────────────────────────────────────

    /// Makes leases last longer, and stores what the jobs tell of themselves.
    ///
    /// A lease that has run out can still be extended while it is the current
    /// one. The job's version does not change.
    ///
    /// **Atomicity** each one alone. **Ordering** outcomes in the order of the
    /// call. **Idempotency** yes. **Errors** none of its own: a lease that is
    /// not current answers [`Extended::Lost`].
    async fn extend(&self, leases: Vec<Extend>) -> Result<(Vec<Extended>, Timestamp)>;

    /// Finds what time, or another job's end, has something to say about.
    ///
    /// **Atomicity** a snapshot. **Ordering** by [`OverduePlace`]; a page
    /// starts behind `after`, so that jobs nobody can help hold nothing up.
    /// **Idempotency** changes nothing. **Errors**
    /// [`ErrorKind::UnknownQueue`].
    async fn overdue(&self, query: OverdueQuery) -> Result<OverduePage>;

    // ── finish, retry, delay, cancel ───────────────────────────────────────

    /// Carries out transitions whose guards hold.
    ///
    /// A guard holds if the job's version is the guard's and, where the guard
    /// names a lease, the job is active under that token. A guard for a lease
    /// that has run out does not hold once it was extended. The version then
    /// rises by one and the lease, if any, ends, except by
    /// [`Target::Stay`]. A job that ends frees its deduplication key, unless
    /// it is held, and counts as ended with each job that depends on it, once.
    /// A job that leaves a terminal state takes its deduplication key again,
    /// or answers [`Applied::KeyTaken`]; `finished_at`, result and
    /// `cancel_requested` are cleared. Steps that come with a transition are
    /// recorded if it is carried out; a position that is recorded stays as it is.
    ///
    /// **Atomicity** each transition alone, with all that belongs to it.
    /// **Ordering** in the order of the call; two transitions of one job see
    /// each other. **Idempotency** by guard: the same one again answers
    /// `Stale`. **Errors** none that concern one transition only: those are
    /// [`Applied::Refused`].
    async fn apply(&self, transitions: Vec<Transition>) -> Result<ApplyAnswer>;

    // ── repeatable ─────────────────────────────────────────────────────────

    /// Looks at repeatables.
    ///
    /// **Atomicity** a snapshot. **Ordering** as [`RepeatablesQuery`] says.
    /// **Idempotency** changes nothing. **Errors** none of its own; an unknown
    /// one is an empty answer.
    async fn repeatables(&self, query: RepeatablesQuery) -> Result<Repeatables>;

    /// Stores a repeatable, and the jobs it fires, if its version is as the
    /// guard says.
    ///
    /// **Atomicity** the record and its jobs in one step: of several that fire
    /// the same moment, one does. **Ordering** none. **Idempotency** by guard:
    /// the same one again answers `Stale`. A job whose id exists is not stored
    /// again, and does not keep the record from being stored. **Errors**
    /// [`ErrorKind::UnknownQueue`].
    async fn put_repeatable(&self, put: PutRepeatable) -> Result<RepeatablePut>;

    /// Removes a repeatable; its jobs stay. Answers whether there was one.
    ///
    /// **Atomicity** one step. **Ordering** none. **Idempotency** yes.
    /// **Errors** none of its own.
    async fn remove_repeatable(&self, queue: &QueueName, key: &RepeatableKey) -> Result<bool>;

    // ── clean ──────────────────────────────────────────────────────────────

    /// Removes jobs for good, with their results, steps and tags, and answers
    /// how many.
    ///
    /// Never removes a job that one which has not ended depends on. One that
    /// had not ended itself counts as ended, and not as completed, with each
    /// job that depends on it. A deduplication key that is held stays held.
    ///
    /// **Atomicity** each job with all that belongs to it. **Ordering** the
    /// first to end (or, if they have not ended, to be enqueued) goes first.
    /// **Idempotency** yes. **Errors** [`ErrorKind::UnknownQueue`];
    /// [`ErrorKind::Invalid`] for blocked and active jobs.
    async fn clean(&self, clean: Clean) -> Result<u64>;

    // ── stats and looking ──────────────────────────────────────────────────

    /// Figures of a queue, at a cost that does not grow with its jobs.
    ///
    /// **Atomicity** a snapshot. **Ordering** none. **Idempotency** changes
    /// nothing. **Errors** [`ErrorKind::UnknownQueue`].
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats>;

    /// A job, with payload and result, or `None`.
    ///
    /// **Atomicity** a snapshot. **Ordering** none. **Idempotency** changes
    /// nothing. **Errors** none of its own.
    async fn job(&self, job: &JobRef) -> Result<Option<Seen>>;

    /// A page of jobs.
    ///
    /// **Atomicity** a snapshot per page; a job that stays in the filter is in
    /// exactly one page of a walk. **Ordering** by the enqueue sequence, per
    /// queue, in the direction asked for. **Idempotency** changes nothing.
    /// **Errors** none of its own; an unknown queue has no jobs.
    async fn jobs(&self, query: JobsQuery) -> Result<JobsPage>;

    /// The jobs that depend on this one, without payload.
    ///
    /// **Atomicity** a snapshot. **Ordering** by the enqueue sequence.
    /// **Idempotency** changes nothing. **Errors** none of its own.
    async fn dependents(&self, job: &JobRef) -> Result<Vec<Job>>;

    /// The jobs that this one depends on, and what they returned.
    ///
    /// **Atomicity** a snapshot. **Ordering** as `depends_on` was given.
    /// **Idempotency** changes nothing. **Errors** none of its own.
    async fn dependencies(&self, job: &JobRef) -> Result<Vec<Dependency>>;

    /// Notes a worker's sign of life.
    ///
    /// **Atomicity** one step. **Ordering** the last one holds.
    /// **Idempotency** yes. **Errors** none of its own.
    async fn beat(&self, beat: Beat) -> Result<()>;

    /// The workers that have been heard of and not forgotten.
    ///
    /// **Atomicity** a snapshot. **Ordering** by when they were first heard
    /// of. **Idempotency** changes nothing. **Errors** none of its own.
    async fn workers(&self) -> Result<Vec<WorkerSeen>>;

    // ── durable execution ──────────────────────────────────────────────────

    /// Records the outcomes of steps, each once, under its job's current lease.
    ///
    /// **Atomicity** each one alone. **Ordering** answers in the order of the
    /// call; two steps of one position see each other. **Idempotency** the first
    /// record of a position stays. **Errors** none that concern one step only,
    /// but for one that is larger than the store can hold.
    async fn record_steps(&self, steps: Vec<NewStep>) -> Result<Vec<StepRecorded>>;

    /// The recorded steps of a job.
    ///
    /// **Atomicity** a snapshot. **Ordering** by position. **Idempotency**
    /// changes nothing. **Errors** none of its own.
    async fn steps(&self, job: &JobRef) -> Result<Vec<Step>>;

    // ── hints ──────────────────────────────────────────────────────────────

    /// A stream of notices from now on. It may lose some; a slow reader loses
    /// the oldest and makes nobody wait. [`hub`] has what it can be made of.
    fn watch(&self, interest: Interest) -> NoticeStream;
}
