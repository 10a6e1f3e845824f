//! A backend of which one call goes wrong.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use windlass_core::Backend;
use windlass_core::backend::{
    ApplyAnswer, Ask, Capabilities, Clean, Declared, Dequeued, EnqueueAnswer, Error, ErrorKind,
    Extend, Extended, NoticeStream, OverduePage, OverdueQuery, PutRepeatable, RepeatablePut,
    Repeatables, RepeatablesQuery, Result, Transition,
};
use windlass_core::model::{
    Beat, Dependency, Interest, Job, JobRef, JobsPage, JobsQuery, NewJob, NewStep, QueueInfo,
    QueueName, QueueSpec, QueueStats, RepeatableKey, Seen, Step, StepRecorded, Timestamp,
    WorkerSeen,
};

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It fails before it takes effect.
    Fails,
    /// It takes effect, and its answer is lost.
    AnswerLost,
    /// It takes effect late: after so many later calls have begun, or when
    /// none come any more for a minute of tokio's time.
    Late {
        /// How many.
        calls: u64,
    },
    /// It takes effect, and is answered late, after as many.
    AnswerLate {
        /// How many.
        calls: u64,
    },
    /// This happens before it takes effect: the process may end, say.
    Before(Happening),
    /// This happens when it has taken effect, and before it is answered.
    After(Happening),
}

/// What happens at a call.
#[derive(Clone, Copy, Debug)]
pub struct Happening(pub fn());

impl PartialEq for Happening {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.0, other.0)
    }
}

impl Eq for Happening {}

/// Another backend of which one call goes wrong, counted from 1 over all that
/// are made through this.
///
/// To the caller, the call fails as [`ErrorKind::Unavailable`] (or takes long).
/// A program that survives this for every call, one after the other, survives
/// the loss of any one packet.
#[derive(Debug)]
pub struct Troubled<B: ?Sized> {
    inner: Arc<B>,
    trouble: Trouble,
    at: u64,
    only: Option<&'static [&'static str]>,
    calls: AtomicU64,
    begun: Notify,
}

impl<B: ?Sized> Troubled<B> {
    /// Makes call `at` of this backend go wrong; 0 for none.
    #[must_use]
    pub fn new(inner: Arc<B>, trouble: Trouble, at: u64) -> Self {
        Self { inner, trouble, at, only: None, calls: AtomicU64::new(0), begun: Notify::new() }
    }

    /// Counts the calls of these methods, and no others.
    #[must_use]
    pub fn only(mut self, methods: &'static [&'static str]) -> Self {
        self.only = Some(methods);
        self
    }

    /// How many calls have been made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    async fn pass<T: Send>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        if self.only.is_some_and(|only| !only.contains(&method)) {
            return call.await;
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.begun.notify_waiters();
        if number != self.at {
            return call.await;
        }
        let away = |what: &str| Error::new(ErrorKind::Unavailable, format!("call {number} {what}"));
        match self.trouble {
            // A call that is never polled has not happened.
            Trouble::Fails => Err(away("did not get through")),
            Trouble::AnswerLost => {
                call.await?;
                Err(away("was not answered"))
            }
            Trouble::Late { calls } => {
                self.gone_by(number, calls).await;
                call.await
            }
            Trouble::Before(Happening(happens)) => {
                happens();
                call.await
            }
            Trouble::After(Happening(happens)) => {
                let answer = call.await;
                happens();
                answer
            }
            Trouble::AnswerLate { calls } => {
                let answer = call.await;
                self.gone_by(number, calls).await;
                answer
            }
        }
    }

    /// Waits until so many calls have begun after one.
    async fn gone_by(&self, number: u64, calls: u64) {
        loop {
            // Listened for before it is looked for, so that none is missed.
            let next = self.begun.notified();
            let passed = self.calls() >= number.saturating_add(calls);
            if passed || tokio::time::timeout(PATIENCE, next).await.is_err() {
                return;
            }
        }
    }
}

/// How long a call waits for a later one.
const PATIENCE: Duration = Duration::from_secs(60);

#[async_trait]
impl<B: Backend + ?Sized> Backend for Troubled<B> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn now(&self) -> Result<Timestamp> {
        self.pass("now", self.inner.now()).await
    }

    async fn declare(&self, spec: &QueueSpec) -> Result<Declared> {
        self.pass("declare", self.inner.declare(spec)).await
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        self.pass("pause", self.inner.pause(queue)).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        self.pass("resume", self.inner.resume(queue)).await
    }

    async fn queues(&self) -> Result<Vec<QueueInfo>> {
        self.pass("queues", self.inner.queues()).await
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<EnqueueAnswer> {
        self.pass("enqueue", self.inner.enqueue(jobs)).await
    }

    async fn dequeue(&self, ask: Ask) -> Result<Dequeued> {
        self.pass("dequeue", self.inner.dequeue(ask)).await
    }

    async fn extend(&self, leases: Vec<Extend>) -> Result<(Vec<Extended>, Timestamp)> {
        self.pass("extend", self.inner.extend(leases)).await
    }

    async fn overdue(&self, query: OverdueQuery) -> Result<OverduePage> {
        self.pass("overdue", self.inner.overdue(query)).await
    }

    async fn apply(&self, transitions: Vec<Transition>) -> Result<ApplyAnswer> {
        self.pass("apply", self.inner.apply(transitions)).await
    }

    async fn repeatables(&self, query: RepeatablesQuery) -> Result<Repeatables> {
        self.pass("repeatables", self.inner.repeatables(query)).await
    }

    async fn put_repeatable(&self, put: PutRepeatable) -> Result<RepeatablePut> {
        self.pass("put_repeatable", self.inner.put_repeatable(put)).await
    }

    async fn remove_repeatable(&self, queue: &QueueName, key: &RepeatableKey) -> Result<bool> {
        self.pass("remove_repeatable", self.inner.remove_repeatable(queue, key)).await
    }

    async fn clean(&self, clean: Clean) -> Result<u64> {
        self.pass("clean", self.inner.clean(clean)).await
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats> {
        self.pass("stats", self.inner.stats(queue)).await
    }

    async fn job(&self, job: &JobRef) -> Result<Option<Seen>> {
        self.pass("job", self.inner.job(job)).await
    }

    async fn jobs(&self, query: JobsQuery) -> Result<JobsPage> {
        self.pass("jobs", self.inner.jobs(query)).await
    }

    async fn dependents(&self, job: &JobRef) -> Result<Vec<Job>> {
        self.pass("dependents", self.inner.dependents(job)).await
    }

    async fn dependencies(&self, job: &JobRef) -> Result<Vec<Dependency>> {
        self.pass("dependencies", self.inner.dependencies(job)).await
    }

    async fn beat(&self, beat: Beat) -> Result<()> {
        self.pass("beat", self.inner.beat(beat)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerSeen>> {
        self.pass("workers", self.inner.workers()).await
    }

    async fn record_steps(&self, steps: Vec<NewStep>) -> Result<Vec<StepRecorded>> {
        self.pass("record_steps", self.inner.record_steps(steps)).await
    }

    async fn steps(&self, job: &JobRef) -> Result<Vec<Step>> {
        self.pass("steps", self.inner.steps(job)).await
    }

    fn watch(&self, interest: Interest) -> NoticeStream {
        self.inner.watch(interest)
    }
}
