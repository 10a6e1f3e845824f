//! What a handler can know and say while it runs.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::Instant;
use windlass_core::model::{
    Dependency, Job as JobRecord, JobId, JobRef, Lease, Payload, Progress, QueueName, QueueSpec,
    State, Token, WorkerId,
};

use crate::client::Client;
use crate::durable::Journal;
use crate::error::{Error, Result};
use crate::handle::decode_result;
use crate::job::Job;
use crate::worker::UnknownTypes;

/// Values that a worker shares with its handlers, by type.
pub(crate) type DataMap = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// What a handler can know and say while it runs. Take it as an argument;
/// cloning is cheap.
#[derive(Clone)]
pub struct Context(Arc<Running>);

/// A leased job in a worker's hands.
pub(crate) struct Running {
    pub(crate) job: JobRecord,
    pub(crate) lease: Lease,
    pub(crate) spec: Arc<QueueSpec>,
    pub(crate) shared: Arc<Shared>,
    /// When it came into this worker's hands. Says how old a lease is; no rule
    /// reads it.
    pub(crate) since: Instant,
    stop: AtomicU8,
    stopped: Notify,
    progress: Mutex<Option<Progress>>,
    untold: AtomicBool,
    settled: AtomicBool,
    journal: OnceLock<Box<Journal>>,
}

/// What all jobs of a worker have in common.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) worker: WorkerId,
    pub(crate) data: DataMap,
    /// Raised when a job has something new to tell, so that it is told soon.
    pub(crate) news: Notify,
    /// Types of jobs that came although nothing here handles them.
    pub(crate) unknown: UnknownTypes,
}

/// Why a handler is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody cancelled the job. A handler that succeeds anyway completes
    /// it.
    Cancelled = 1,
    /// The attempt has used up its time.
    Timeout = 2,
    /// The worker shuts down and its grace period is over.
    Shutdown = 3,
    /// The lease has been lost: another worker may run the job already, and
    /// whatever this handler does is not recorded any more.
    LeaseLost = 4,
}

impl StopReason {
    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Cancelled),
            2 => Some(Self::Timeout),
            3 => Some(Self::Shutdown),
            4 => Some(Self::LeaseLost),
            _ => None,
        }
    }
}

impl Running {
    pub(crate) fn new(
        job: JobRecord,
        lease: Lease,
        spec: Arc<QueueSpec>,
        shared: Arc<Shared>,
        since: Instant,
    ) -> Self {
        let stop = if job.cancel_requested { StopReason::Cancelled as u8 } else { 0 };
        Self {
            progress: Mutex::new(job.progress.clone()),
            job,
            lease,
            spec,
            shared,
            since,
            stop: AtomicU8::new(stop),
            stopped: Notify::new(),
            untold: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            journal: OnceLock::new(),
        }
    }

    /// What is known of its steps, if its handler has any.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.get().map(|journal| &**journal)
    }

    /// The same, for a handler that is about to have some.
    pub(crate) fn open_journal(&self) -> &Journal {
        self.journal.get_or_init(Box::default)
    }

    /// Tells the handler to stop. A weightier reason takes the place of a
    /// lighter one: they are numbered by weight.
    pub(crate) fn stop(&self, reason: StopReason) {
        let told = self.stop.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| {
            (now < reason as u8).then_some(reason as u8)
        });
        if told.is_ok() {
            self.stopped.notify_waiters();
        }
    }

    pub(crate) fn stop_reason(&self) -> Option<StopReason> {
        StopReason::from_code(self.stop.load(Ordering::SeqCst))
    }

    /// Waits until the handler is told to stop, for a reason other than
    /// `known`.
    pub(crate) async fn stopped(&self, known: Option<StopReason>) -> StopReason {
        loop {
            let notified = self.stopped.notified();
            tokio::pin!(notified);
            // Registered before the look, so that no telling is missed.
            notified.as_mut().enable();
            match self.stop_reason() {
                Some(reason) if Some(reason) != known => return reason,
                _ => notified.await,
            }
        }
    }

    /// What there is to tell since the last time, if anything.
    pub(crate) fn news(&self) -> Option<Progress> {
        if !self.untold.swap(false, Ordering::SeqCst) {
            return None;
        }
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn has_news(&self) -> bool {
        self.untold.load(Ordering::SeqCst)
    }

    /// Lets what [`Running::news`] took be told again.
    pub(crate) fn not_told(&self) {
        self.untold.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::SeqCst)
    }

    fn tell(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        change(progress.get_or_insert_with(Progress::default));
        drop(progress);
        if !self.untold.swap(true, Ordering::SeqCst) {
            self.shared.news.notify_one();
        }
    }
}

impl Context {
    pub(crate) fn new(running: Arc<Running>) -> Self {
        Self(running)
    }

    pub(crate) fn running(&self) -> &Running {
        &self.0
    }

    /// The job, as it was when it was leased.
    #[must_use]
    pub fn job(&self) -> &JobRecord {
        &self.0.job
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.0.job.id
    }

    /// Its queue.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.0.job.queue
    }

    /// Which attempt this is, counted from 1. Snoozes and lost leases do not
    /// count.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.job.attempt()
    }

    /// Whether a failure of this attempt ends the job.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.attempt() >= self.0.job.options.retry.max_attempts
    }

    /// The token of its lease. Larger than that of every earlier lease of this
    /// job, so that a system which remembers the largest one it has seen can
    /// refuse a worker that was taken for dead.
    #[must_use]
    pub fn token(&self) -> Token {
        self.0.lease.token
    }

    /// The worker that runs it.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        self.0.shared.worker
    }

    /// The client of the store that it comes from.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.shared.client
    }

    /// What the worker shares under this type, if it does.
    #[must_use]
    pub fn data<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.shared.data.get(&TypeId::of::<T>()).cloned()?.downcast().ok()
    }

    /// Whether it should stop, and why.
    #[must_use]
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.0.stop_reason()
    }

    /// Waits until it should stop. A handler that selects on this can leave
    /// things tidy before it is dropped.
    pub async fn stopped(&self) -> StopReason {
        self.0.stopped(None).await
    }

    /// Tells how far it has come, in whatever unit. Kept with the job within a
    /// second or so, and when the job is settled.
    pub fn progress(&self, done: u64, total: impl Into<Option<u64>>) {
        let total = total.into();
        self.0.tell(|progress| {
            progress.done = done;
            progress.total = total;
        });
    }

    /// Tells what it is at; cut to 1 KiB.
    pub fn say(&self, message: &str) {
        self.0.tell(|progress| progress.say(message));
    }

    /// Adds a line to the job's own log, which keeps the last 20, each cut to
    /// 1 KiB.
    pub fn log(&self, line: &str) {
        self.0.tell(|progress| progress.log(line));
    }

    /// The jobs that this one waited for, and what they returned (rule N3), in
    /// the order in which they were given.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn dependencies(&self) -> Result<Vec<Dependency>> {
        Ok(self.client().backend().dependencies(&self.job().reference()).await?)
    }

    /// What the jobs that this one waited for returned, in the order in which
    /// they were given.
    ///
    /// # Errors
    /// [`Error::NotCompleted`] or [`Error::Gone`] if one did not complete,
    /// [`Error::Decode`] if one returned something else, [`Error::Store`].
    pub async fn dependency_results<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        self.dependencies().await?.into_iter().map(result_of).collect()
    }

    /// What those of the jobs that this one waited for returned that are of this type, or why
    /// they did not, in the order in which they were given.
    ///
    /// Each of them is looked up for its type: where all are of one type, and many,
    /// [`Context::dependency_results`] is one question instead.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn results_of<J: Job, T: DeserializeOwned>(&self) -> Result<Vec<Result<T>>> {
        let mut results = Vec::new();
        for dependency in self.dependencies().await? {
            let of = self.client().job(&dependency.job).await?;
            if of.is_some_and(|job| job.job_type.as_str() == J::NAME) {
                results.push(result_of(dependency));
            }
        }
        Ok(results)
    }

    /// What one of the jobs that this one waited for returned.
    ///
    /// # Errors
    /// [`Error::NotCompleted`] or [`Error::Gone`] if it did not complete, or if this job does
    /// not wait for it, [`Error::Decode`] if it returned something else, [`Error::Store`].
    pub async fn result_of<T: DeserializeOwned>(&self, job: impl Into<JobRef>) -> Result<T> {
        let job = job.into();
        let found = self.dependencies().await?.into_iter().find(|one| one.job == job);
        result_of(found.ok_or(Error::Gone(job.id))?)
    }

    /// Notes that the handler has completed the job itself, inside a
    /// transaction of its own (rule R6). The worker then does not settle it
    /// again; if the transaction did not commit, the attempt counts as failed.
    pub fn settled_elsewhere(&self) {
        self.0.settled.store(true, Ordering::SeqCst);
    }

    /// A result of this job as it is stored. `None`: there is nothing to store.
    ///
    /// # Errors
    /// [`Error::Encode`] if it cannot be written as JSON,
    /// [`Error::ResultTooLarge`].
    pub fn encode_result<T: Serialize + ?Sized>(&self, result: &T) -> Result<Option<Payload>> {
        let result = crate::outcome::encode_result(result)?;
        let (size, max) =
            (result.as_ref().map_or(0, |result| result.len()), self.0.spec.max_payload);
        if size > max {
            return Err(Error::ResultTooLarge { size, max });
        }
        Ok(result)
    }

    /// What completes this job with this result, for those who apply it inside
    /// a transaction of their own (rule R6); call
    /// [`Context::settled_elsewhere`] with it.
    ///
    /// `job` is the job as it is now, if a first try came back stale: somebody
    /// may have asked it to stop, or made another job depend on it, and the
    /// lease still be this one.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if it is not.
    pub fn completion(
        &self,
        result: Option<Payload>,
        job: Option<&JobRecord>,
    ) -> Result<windlass_core::backend::Transition> {
        use windlass_core::decide::{Attempt, Outcome, finish};
        let attempt = Attempt { token: self.token(), outcome: Outcome::Success { result } };
        finish(job.unwrap_or(self.job()), &self.0.spec, &attempt)
            .ok_or_else(|| Error::LeaseLost(self.id()))
    }

    /// Where the job stands.
    #[must_use]
    pub fn reference(&self) -> JobRef {
        self.0.job.reference()
    }
}

/// What a dependency returned.
fn result_of<T: DeserializeOwned>(dependency: Dependency) -> Result<T> {
    match dependency.state {
        Some(State::Completed) => {
            decode_result(dependency.result.as_ref().map(|result| result.as_slice()))
        }
        Some(state) => Err(Error::NotCompleted { id: dependency.job.id, state, error: None }),
        None => Err(Error::Gone(dependency.job.id)),
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Context");
        shown.field("queue", self.queue()).field("id", &self.id());
        shown.field("attempt", &self.attempt()).finish_non_exhaustive()
    }
}
