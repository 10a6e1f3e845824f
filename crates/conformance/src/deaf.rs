//! A backend that delivers no notice.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, future};
use windlass_core::Backend;
use windlass_core::backend::{
    ApplyAnswer, Ask, Capabilities, Clean, Declared, Dequeued, EnqueueAnswer, Extend, Extended,
    NoticeStream, OverduePage, OverdueQuery, PutRepeatable, RepeatablePut, Repeatables,
    RepeatablesQuery, Result, Support, Transition,
};
use windlass_core::model::{
    Beat, Dependency, Interest, Job, JobRef, JobsPage, JobsQuery, NewJob, NewStep, QueueInfo,
    QueueName, QueueSpec, QueueStats, RepeatableKey, Seen, Step, StepRecorded, Timestamp,
    WorkerSeen,
};

/// Another backend with every notice dropped. Notices are hints (rule Q6):
/// whatever works on a backend works behind this too.
#[derive(Debug)]
pub struct Deaf<B: ?Sized>(Arc<B>);

impl<B: ?Sized> Deaf<B> {
    /// Drops every notice of this backend.
    #[must_use]
    pub const fn new(backend: Arc<B>) -> Self {
        Self(backend)
    }
}

#[async_trait]
impl<B: Backend + ?Sized> Backend for Deaf<B> {
    fn capabilities(&self) -> Capabilities {
        Capabilities { notices: Support::No, ..self.0.capabilities() }
    }

    async fn now(&self) -> Result<Timestamp> {
        self.0.now().await
    }

    async fn declare(&self, spec: &QueueSpec) -> Result<Declared> {
        self.0.declare(spec).await
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        self.0.pause(queue).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        self.0.resume(queue).await
    }

    async fn queues(&self) -> Result<Vec<QueueInfo>> {
        self.0.queues().await
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<EnqueueAnswer> {
        self.0.enqueue(jobs).await
    }

    async fn dequeue(&self, ask: Ask) -> Result<Dequeued> {
        self.0.dequeue(ask).await
    }

    async fn extend(&self, leases: Vec<Extend>) -> Result<(Vec<Extended>, Timestamp)> {
        self.0.extend(leases).await
    }

    async fn overdue(&self, query: OverdueQuery) -> Result<OverduePage> {
        self.0.overdue(query).await
    }

    async fn apply(&self, transitions: Vec<Transition>) -> Result<ApplyAnswer> {
        self.0.apply(transitions).await
    }

    async fn repeatables(&self, query: RepeatablesQuery) -> Result<Repeatables> {
        self.0.repeatables(query).await
    }

    async fn put_repeatable(&self, put: PutRepeatable) -> Result<RepeatablePut> {
        self.0.put_repeatable(put).await
    }

    async fn remove_repeatable(&self, queue: &QueueName, key: &RepeatableKey) -> Result<bool> {
        self.0.remove_repeatable(queue, key).await
    }

    async fn clean(&self, clean: Clean) -> Result<u64> {
        self.0.clean(clean).await
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats> {
        self.0.stats(queue).await
    }

    async fn job(&self, job: &JobRef) -> Result<Option<Seen>> {
        self.0.job(job).await
    }

    async fn jobs(&self, query: JobsQuery) -> Result<JobsPage> {
        self.0.jobs(query).await
    }

    async fn dependents(&self, job: &JobRef) -> Result<Vec<Job>> {
        self.0.dependents(job).await
    }

    async fn dependencies(&self, job: &JobRef) -> Result<Vec<Dependency>> {
        self.0.dependencies(job).await
    }

    async fn beat(&self, beat: Beat) -> Result<()> {
        self.0.beat(beat).await
    }

    async fn workers(&self) -> Result<Vec<WorkerSeen>> {
        self.0.workers().await
    }

    async fn record_steps(&self, steps: Vec<NewStep>) -> Result<Vec<StepRecorded>> {
        self.0.record_steps(steps).await
    }

    async fn steps(&self, job: &JobRef) -> Result<Vec<Step>> {
        self.0.steps(job).await
    }

    /// A stream that yields nothing, and ends when the backend's own does.
    fn watch(&self, interest: Interest) -> NoticeStream {
        Box::pin(self.0.watch(interest).filter(|_| future::ready(false)))
    }
}
