//! What a store should answer, worked out the long way.
//!
//! A list of jobs, read from one end to the other for every question. It knows
//! no index, no counter and no cache, so that it can only be wrong about the
//! rules themselves. Each method takes a call and the answer that the store
//! gave, says what is wrong with the answer, and changes the list as the call
//! should have changed the store.
//!
//! What the contract leaves to a store is learnt from its answers, and held
//! against it from then on: sequence numbers, tokens, and the version that a
//! job has when it is first seen.

mod apply;
mod clean;
mod dequeue;
mod enqueue;
mod keys;
mod lease;
mod looking;
mod repeatables;

use std::collections::BTreeMap;

use keys::Keys;
use windlass_core::backend::Declared;
use windlass_core::decide::{Declaration, declare};
use windlass_core::model::{
    Detail, Job, JobId, JobRef, ManualClock, PartitionKey, QueueName, QueueSpec, RepeatableRecord,
    State, Step, Timestamp, Token, WorkerSeen,
};

/// What a store did wrong, or nothing.
pub(super) type Check<T = ()> = Result<T, String>;

/// Breaks off with a message unless something holds.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
pub(super) use ensure;

/// Everything that a store should know.
pub(super) struct Model {
    clock: ManualClock,
    queues: BTreeMap<QueueName, Queue>,
    /// In the order of enqueue.
    jobs: Vec<Entry>,
    /// How many jobs were ever stored.
    count: u64,
    keys: Keys,
    repeatables: Vec<RepeatableRecord>,
    workers: Vec<WorkerSeen>,
}

struct Queue {
    spec: QueueSpec,
    paused: bool,
    /// Every start so far.
    starts: Vec<(Timestamp, Option<PartitionKey>)>,
}

/// A job that is stored. One that has not started or waits again is
/// [`State::Waiting`] here, whatever the clock says.
pub(super) struct Entry {
    /// Tells it from an earlier job with the same id.
    number: u64,
    job: Job,
    seq: Option<u64>,
    version: Version,
    last_token: Token,
    edges: Vec<Edge>,
    steps: Vec<Step>,
}

/// What is known of a job's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Known(u64),
    /// It was raised by an amount that the contract does not fix.
    AtLeast(u64),
}

/// One of the jobs that a job depends on.
struct Edge {
    on: JobRef,
    /// The number of that job.
    number: u64,
    /// It has not ended since.
    open: bool,
}

impl Model {
    pub(super) fn new(clock: ManualClock) -> Self {
        Self {
            clock,
            queues: BTreeMap::new(),
            jobs: Vec::new(),
            count: 0,
            keys: Keys::default(),
            repeatables: Vec::new(),
            workers: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn spec(&self, queue: &QueueName) -> &QueueSpec {
        &self.queues[queue].spec
    }

    /// Every job there is, in the order of enqueue.
    pub(super) fn stored(&self) -> Vec<JobRef> {
        self.jobs.iter().map(|entry| entry.job.reference()).collect()
    }

    /// Those that are active.
    pub(super) fn active(&self) -> Vec<JobId> {
        let active = self.jobs.iter().filter(|entry| entry.job.lease.is_some());
        active.map(|entry| entry.job.id).collect()
    }

    pub(super) fn declare(&mut self, spec: &QueueSpec, answer: &Declared) -> Check {
        let stored = self.queues.get(&spec.name).map(|queue| queue.spec.clone());
        let expected = match declare(stored.as_ref(), spec) {
            Declaration::Create => Declared::Created,
            Declaration::Update => Declared::Updated,
            Declaration::Unchanged => Declared::Unchanged,
            Declaration::Conflict => {
                let stored = stored.ok_or("a first declaration conflicts with nothing")?;
                Declared::Conflict(Box::new(stored))
            }
        };
        ensure!(*answer == expected, "declaring answered {answer:?}, not {expected:?}");
        if matches!(expected, Declared::Created | Declared::Updated) {
            let fresh = Queue { spec: spec.clone(), paused: false, starts: Vec::new() };
            self.queues.entry(spec.name.clone()).or_insert(fresh).spec = spec.clone();
        }
        Ok(())
    }

    pub(super) fn set_paused(&mut self, name: &QueueName, paused: bool) {
        if let Some(queue) = self.queues.get_mut(name) {
            queue.paused = paused;
        }
    }

    fn find(&self, job: &JobRef) -> Option<usize> {
        self.jobs.iter().position(|entry| entry.job.id == job.id && entry.job.queue == job.queue)
    }

    /// The job as the store should show it.
    fn view(&self, at: usize, detail: Detail) -> Job {
        let entry = &self.jobs[at];
        let mut job = entry.job.clone();
        job.state = entry.state(self.now());
        if detail == Detail::Summary {
            job.payload = None;
            job.result = None;
        }
        job
    }

    /// Compares a job that the store showed with what it should be, and learns
    /// what the store alone can know.
    fn meet(&mut self, seen: &Job, detail: Detail) -> Check {
        let at = self.find(&seen.reference());
        let Some(at) = at else { return Err(format!("there is no such job as {seen:?}")) };
        self.learn(at, seen)?;
        let mut expected = self.view(at, detail);
        expected.seq = seen.seq;
        expected.version = seen.version;
        if *seen == expected {
            return Ok(());
        }
        if (&seen.payload, &seen.result) != (&expected.payload, &expected.result) {
            return Err(format!(
                "job {} has payload {:?} and result {:?}, not {:?} and {:?}",
                seen.id, seen.payload, seen.result, expected.payload, expected.result
            ));
        }
        Err(format!("a job is\n  {seen:?}\nand should be\n  {expected:?}"))
    }

    fn learn(&mut self, at: usize, seen: &Job) -> Check {
        let known = self.jobs[at].seq;
        if let Some(known) = known {
            ensure!(seen.seq == known, "job {} changed its sequence number", seen.id);
        } else {
            for (other_at, other) in self.jobs.iter().enumerate() {
                let Some(other_seq) = other.seq.filter(|_| other.job.queue == seen.queue) else {
                    continue;
                };
                ensure!(
                    (other_at < at) == (other_seq < seen.seq) && other_seq != seen.seq,
                    "jobs {} and {} do not stand in the order of enqueue",
                    other.job.id,
                    seen.id
                );
            }
        }
        let entry = &mut self.jobs[at];
        entry.seq = Some(seen.seq);
        match entry.version {
            Version::Known(version) => {
                ensure!(
                    seen.version == version,
                    "job {} has version {}, not {version}",
                    seen.id,
                    seen.version
                );
            }
            Version::AtLeast(least) => {
                ensure!(
                    seen.version >= least,
                    "the version of job {} was not raised: it is {}",
                    seen.id,
                    seen.version
                );
            }
        }
        entry.version = Version::Known(seen.version);
        Ok(())
    }

    fn is_now(&self, now: Timestamp) -> Check {
        let clock = self.now();
        ensure!(now == clock, "the answer is of {now}, but it is {clock}");
        Ok(())
    }
}

impl Entry {
    /// Where it stands, as the clock has it.
    fn state(&self, now: Timestamp) -> State {
        match self.job.state {
            State::Waiting if self.job.due > now => State::Scheduled,
            state => state,
        }
    }

    fn is_pending(&self) -> bool {
        self.job.state == State::Waiting
    }

    fn has_ended(&self) -> bool {
        self.job.state.is_terminal()
    }

    /// Blocked, and for core to decide about.
    fn is_unblocked(&self) -> bool {
        let dependencies = self.job.dependencies;
        self.job.state == State::Blocked && (dependencies.open == 0 || dependencies.broken > 0)
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        let pending = self.is_pending() || self.job.state == State::Blocked;
        pending && !self.job.has_started() && self.job.expires.is_some_and(|at| at <= now)
    }
}

impl Version {
    /// That of a job whose version was raised by one.
    const fn next(self) -> Self {
        match self {
            Self::Known(version) => Self::Known(version + 1),
            Self::AtLeast(version) => Self::AtLeast(version + 1),
        }
    }

    /// That of a job whose version was raised.
    const fn raised(self) -> Self {
        match self {
            Self::Known(version) | Self::AtLeast(version) => Self::AtLeast(version + 1),
        }
    }
}
