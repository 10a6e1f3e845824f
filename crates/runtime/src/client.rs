//! The way in: a store, and what can be asked of it.

use std::sync::Arc;

use futures_util::FutureExt;
use windlass_core::backend::{Backend, BackendExt, EnqueueAnswer, Enqueued, NoticeStream, Refusal};
use windlass_core::decide::control::Wish;
use windlass_core::model::{
    Filter, FlowId, Interest, Job as JobRecord, JobId, JobRef, JobsPage, JobsQuery, NewJob,
    NewStep, QueueInfo, QueueName, QueueStats, StepRecorded, Timestamp, WorkerSeen,
};

use crate::batch::{Batcher, Call};
use crate::enqueue::{Enqueue, store_all};
use crate::error::{Error, Result};
use crate::flow::{Flow, FlowHandle};
use crate::handle::JobHandle;
use crate::job::Job;
use crate::queue::{Queue, QueueBuilder};
use crate::wait::{Until, wait};
use crate::worker::WorkerBuilder;

/// A store and what can be asked of it. Cloning is cheap and shares
/// everything.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Arc<dyn Backend>,
    enqueue: Arc<Batcher<Vec<NewJob>, Result<Stored>>>,
    steps: Arc<Batcher<NewStep, Result<StepRecorded>>>,
}

/// What became of the jobs that one caller enqueued.
pub(crate) struct Stored {
    pub(crate) outcomes: Vec<Enqueued>,
    pub(crate) now: Timestamp,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.inner.backend).finish()
    }
}

impl Client {
    /// A client of this store.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        let store = Arc::clone(&backend);
        let enqueue = Batcher::new(move |batch| send(Arc::clone(&store), batch).boxed());
        let store = Arc::clone(&backend);
        let steps = Batcher::new(move |batch| record(Arc::clone(&store), batch).boxed());
        Self { inner: Arc::new(Inner { backend, enqueue, steps }) }
    }

    /// The store itself.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.inner.backend
    }

    /// Begins to declare a queue. Nothing happens before
    /// [`QueueBuilder::declare`].
    pub fn queue(&self, name: impl Into<String>) -> QueueBuilder {
        QueueBuilder::new(self.clone(), name.into())
    }

    /// A queue that has been declared, by this or another process.
    ///
    /// # Errors
    /// [`Error::Store`] of kind
    /// [`UnknownQueue`](windlass_core::ErrorKind::UnknownQueue) if it has not.
    pub async fn open_queue(&self, name: impl Into<String>) -> Result<Queue> {
        let name = QueueName::new(name.into())?;
        let known = self.backend().queues().await?;
        match known.into_iter().find(|info| info.spec.name == name) {
            Some(info) => Ok(Queue::new(self.clone(), Arc::new(info.spec))),
            None => Err(windlass_core::Error::unknown_queue(&name).into()),
        }
    }

    /// The queue that a job type names, if it has been declared.
    ///
    /// # Errors
    /// [`Error::NoQueue`] if its type names none; otherwise as
    /// [`Client::open_queue`].
    pub async fn queue_of<J: Job>(&self) -> Result<Queue> {
        match J::defaults().queue {
            Some(name) => self.open_queue(name).await,
            None => Err(Error::NoQueue(J::NAME)),
        }
    }

    /// Enqueues jobs, of any queues and each with its own choices, in one step,
    /// all or none, in this order. Answers with a handle for each.
    ///
    /// # Errors
    /// Whatever was wrong with one of them; otherwise as
    /// [`Flow::enqueue`](crate::Flow::enqueue).
    pub async fn enqueue_batch<J: 'static>(
        &self,
        jobs: impl IntoIterator<Item = Enqueue<J>>,
    ) -> Result<Vec<JobHandle<J>>> {
        let prepare = |job: Enqueue<J>| job.prepare().map(|job| (job.job, job.on_duplicate));
        let jobs = jobs.into_iter().map(prepare).collect::<Result<_>>()?;
        let of = store_all(self, jobs).await?;
        Ok(of.into_iter().map(|of| JobHandle::new(self.clone(), of)).collect())
    }

    /// Notices of what happens, from now on (rule Q6). Hints: some may be
    /// missed, and nothing depends on one.
    #[must_use]
    pub fn watch(&self, interest: Interest) -> NoticeStream {
        self.backend().watch(interest)
    }

    /// Begins a flow: jobs, of any queues, that are enqueued together.
    pub fn flow(&self) -> Flow {
        Flow::new(self.clone(), uuid::Uuid::now_v7().into())
    }

    /// Goes on with a flow that is too large to be enqueued in one step, or
    /// that was interrupted. Each part is enqueued all or none.
    pub fn continue_flow(&self, id: FlowId) -> Flow {
        Flow::new(self.clone(), id)
    }

    /// Begins a worker. Nothing happens before
    /// [`WorkerBuilder::run_until`] or [`WorkerBuilder::start`].
    pub fn worker(&self) -> WorkerBuilder {
        WorkerBuilder::new(self.clone())
    }

    /// A handle on a job that was enqueued, by this or another process.
    #[must_use]
    pub fn handle(&self, job: JobRef) -> JobHandle {
        JobHandle::new(self.clone(), job)
    }

    /// A handle on the job with this id, in whatever queue. `None`: there is none.
    ///
    /// It is looked for in one queue after another; whoever knows the queue should use
    /// [`Client::handle`].
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn find(&self, id: JobId) -> Result<Option<JobHandle>> {
        for info in self.queues().await? {
            let of = JobRef { queue: info.spec.name, id };
            if self.job(&of).await?.is_some() {
                return Ok(Some(self.handle(of)));
            }
        }
        Ok(None)
    }

    /// Waits until all of these have ended, and answers with the jobs, in their order. One
    /// subscription serves all of them.
    ///
    /// # Errors
    /// [`Error::Gone`] if one of them is not there, [`Error::Store`]. A store that is away
    /// for a while is waited for.
    pub async fn wait_all<R: Into<JobRef>>(
        &self,
        jobs: impl IntoIterator<Item = R>,
    ) -> Result<Vec<JobRecord>> {
        let jobs: Vec<JobRef> = jobs.into_iter().map(Into::into).collect();
        let mut ended = wait(self, &jobs, Until::All).await?;
        Ok((0..jobs.len()).filter_map(|place| ended.remove(&place)).collect())
    }

    /// Waits until one of these has ended, and answers with its place among them and the job.
    /// Of none at all, none ever will: `None`.
    ///
    /// # Errors
    /// As [`Client::wait_all`].
    pub async fn wait_any<R: Into<JobRef>>(
        &self,
        jobs: impl IntoIterator<Item = R>,
    ) -> Result<Option<(usize, JobRecord)>> {
        let jobs: Vec<JobRef> = jobs.into_iter().map(Into::into).collect();
        Ok(wait(self, &jobs, Until::One).await?.into_iter().next())
    }

    /// A handle on the job that a queue and a job key name (rule E3), whether
    /// it exists or not.
    ///
    /// # Errors
    /// [`Error::Name`] if one of them breaks rule E5.
    pub fn handle_by_key(&self, queue: &str, key: &str) -> Result<JobHandle> {
        let queue = QueueName::new(queue)?;
        let key = windlass_core::model::JobKey::new(key)?;
        let id = JobId::derived(&queue, &key);
        Ok(self.handle(JobRef { queue, id }))
    }

    /// Every declared queue, by name.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn queues(&self) -> Result<Vec<QueueInfo>> {
        Ok(self.backend().queues().await?)
    }

    /// Figures of a queue.
    ///
    /// # Errors
    /// [`Error::Store`], also for an unknown queue.
    pub async fn stats(&self, queue: &QueueName) -> Result<QueueStats> {
        Ok(self.backend().stats(queue).await?)
    }

    /// A page of jobs.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn jobs(&self, query: JobsQuery) -> Result<JobsPage> {
        Ok(self.backend().jobs(query).await?)
    }

    /// A job as it is now, or `None`.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn job(&self, job: &JobRef) -> Result<Option<JobRecord>> {
        Ok(self.backend().job(job).await?.map(|seen| seen.job))
    }

    /// The workers that are there.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn workers(&self) -> Result<Vec<WorkerSeen>> {
        Ok(self.backend().workers().await?)
    }

    /// Cancels every job of a filter that has not ended (rule C3), and answers
    /// how many. Active ones are asked to stop.
    ///
    /// # Errors
    /// [`Error::Store`]; what was cancelled until then stays so.
    pub async fn cancel_all(&self, filter: Filter) -> Result<u64> {
        Ok(self.backend().control_all(filter, Wish::Cancel).await?)
    }

    /// Retries every ended job of a filter, and answers how many. Completed
    /// ones too, unless the filter names states.
    ///
    /// # Errors
    /// [`Error::Store`]; what was retried until then stays so.
    pub async fn retry_all(&self, filter: Filter) -> Result<u64> {
        Ok(self.backend().control_all(filter, Wish::Retry).await?)
    }

    /// Removes every job of a filter that is neither active nor blocked nor
    /// needed, and answers how many.
    ///
    /// # Errors
    /// [`Error::Store`]; what was removed until then stays so.
    pub async fn remove_all(&self, filter: Filter) -> Result<u64> {
        Ok(self.backend().control_all(filter, Wish::Remove).await?)
    }

    /// A handle on a flow that was enqueued, by this or another process.
    #[must_use]
    pub fn flow_handle(&self, id: FlowId) -> FlowHandle {
        FlowHandle::new(self.clone(), id)
    }

    /// Cancels what has not ended of a flow (rule N4).
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn cancel_flow(&self, flow: FlowId) -> Result<u64> {
        self.cancel_all(Filter { flow: Some(flow), ..Filter::default() }).await
    }

    /// Records a step, together with those of other callers where there are some.
    pub(crate) async fn record_step(&self, step: NewStep) -> Result<StepRecorded> {
        self.inner.steps.submit(step, 1).await.unwrap_or_else(|_| Err(Error::shut_down()))
    }

    /// Stores jobs, together with those of other callers where there are some.
    pub(crate) async fn store(&self, jobs: Vec<NewJob>) -> Result<Stored> {
        let weight = jobs.len();
        let answer = self.inner.enqueue.submit(jobs, weight);
        answer.await.unwrap_or_else(|_| Err(Error::shut_down()))
    }
}

/// Records the steps of several callers in one call. Should the store refuse it because of
/// one of them, they go one by one.
async fn record(backend: Arc<dyn Backend>, batch: Vec<Call<NewStep, Result<StepRecorded>>>) {
    let (steps, callers): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|call| (call.input, call.reply)).unzip();
    let again = if steps.len() > 1 { steps.clone() } else { Vec::new() };
    match backend.record_steps(steps).await {
        Ok(answers) => {
            for (answer, reply) in answers.into_iter().zip(callers) {
                let _ = reply.send(Ok(answer));
            }
        }
        Err(error) if error.kind().is_transient() || again.is_empty() => {
            let error = Error::from(error);
            for reply in callers {
                let _ = reply.send(Err(error.clone()));
            }
        }
        Err(_) => {
            for (step, reply) in again.into_iter().zip(callers) {
                let _ = reply.send(backend.record_step(step).await.map_err(Error::from));
            }
        }
    }
}

/// Sends what several callers enqueue in one call. If the store refuses it
/// because of one of them, that one learns why and the others go again.
async fn send(backend: Arc<dyn Backend>, batch: Vec<Call<Vec<NewJob>, Result<Stored>>>) {
    let count: usize = batch.iter().map(|call| call.input.len()).sum();
    let mut callers = Vec::with_capacity(batch.len());
    let mut jobs = Vec::new();
    for mut call in batch {
        callers.push((call.input.len(), call.reply));
        if call.input.len() == count {
            // A lone caller's jobs go as they are.
            jobs = call.input;
        } else {
            jobs.reserve_exact(count - jobs.len());
            jobs.append(&mut call.input);
        }
    }
    loop {
        match backend.enqueue(jobs).await {
            Ok(EnqueueAnswer::Stored { outcomes, unblocked, now }) => {
                if let Err(error) = backend.release(unblocked).await {
                    // They are stored; the sweep releases what this could not.
                    tracing::warn!(error = format!("{error:#}"), "blocked jobs wait for the sweep");
                }
                let mut outcomes = outcomes.into_iter();
                for (count, reply) in callers {
                    let outcomes = outcomes.by_ref().take(count).collect();
                    let _ = reply.send(Ok(Stored { outcomes, now }));
                }
                return;
            }
            Ok(EnqueueAnswer::Refused { index, why, jobs: back }) => {
                jobs = back;
                if !refuse_one(&mut callers, &mut jobs, index, &why) {
                    return;
                }
            }
            Err(error) => {
                let error = Error::from(error);
                for (_, reply) in callers {
                    let _ = reply.send(Err(error.clone()));
                }
                return;
            }
        }
    }
}

/// Takes the caller of the refused job, and its jobs, out of the batch.
/// Answers whether any is left.
fn refuse_one(
    callers: &mut Vec<(usize, tokio::sync::oneshot::Sender<Result<Stored>>)>,
    jobs: &mut Vec<NewJob>,
    index: usize,
    why: &Refusal,
) -> bool {
    let mut first = 0;
    let at = callers.iter().position(|(count, _)| {
        first += count;
        index < first
    });
    let Some(at) = at else { return false };
    let (count, reply) = callers.remove(at);
    jobs.drain(first - count..first);
    let _ = reply.send(Err(why.clone().into()));
    !callers.is_empty()
}
