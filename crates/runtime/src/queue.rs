//! Queues: declaring them and what can be asked of one.

use std::sync::Arc;
use std::time::Duration;

use windlass_core::backend::{Clean, CleanWhich, Declared};
use windlass_core::decide::check_queue;
use windlass_core::model::{
    Filter, Keep, Limits, OnRetry, Partitions, PriorityMode, QueueName, QueueSpec, QueueStats,
    Rate, RepeatableKey, RepeatableRecord, State,
};

use crate::client::Client;
use crate::enqueue::{Enqueue, EnqueueAll};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::repeat::{Repeat, RepeatHandle};

/// Builds the declaration of a queue. What is not said has its default; see
/// [`QueueSpec`] for what can change later.
#[derive(Debug)]
#[must_use = "nothing is declared before `declare().await`"]
pub struct QueueBuilder {
    client: Client,
    name: String,
    spec: QueueSpec,
}

impl QueueBuilder {
    pub(crate) fn new(client: Client, name: String) -> Self {
        // The real name is checked by `declare`; a builder has no place to
        // report it.
        let placeholder = QueueName::new("-").unwrap_or_else(|_| unreachable!("a valid name"));
        Self { client, name, spec: QueueSpec::new(placeholder) }
    }

    /// How many jobs may run at once, over all processes (rule G1). 0 stops
    /// the queue.
    pub fn concurrency(mut self, limit: u32) -> Self {
        self.spec.limits.concurrency = Some(limit);
        self
    }

    /// How many jobs may start in every window of this length, over all
    /// processes (rule G1).
    pub fn rate(mut self, limit: u32, period: Duration) -> Self {
        self.spec.limits.rate = Some(Rate { limit, period });
        self
    }

    /// What a priority means (rule O2). Fixed by the first declaration.
    pub fn priority(mut self, mode: PriorityMode) -> Self {
        self.spec.priority = mode;
        self
    }

    /// Lets time make up for a worse priority: a job is passed only by jobs of
    /// the next better rank that became ready less than `step` later (rule
    /// O3). Fixed by the first declaration.
    pub fn aging(mut self, step: Duration) -> Self {
        self.spec.aging = Some(step);
        self
    }

    /// Gives every job a partition key, and runs one job of each partition at
    /// a time, in order (rules P1 and P2). Fixed by the first declaration.
    pub fn partitioned(self) -> Self {
        self.partitions(Limits { concurrency: Some(1), rate: None }, OnRetry::Hold)
    }

    /// Gives every job a partition key, with bounds for each partition.
    pub fn partitions(mut self, limits: Limits, on_retry: OnRetry) -> Self {
        self.spec.partitions = Some(Partitions { limits, on_retry });
        self
    }

    /// How long completed jobs are kept (rule Q4). Default 24 h.
    pub fn keep_completed(mut self, keep: Keep) -> Self {
        self.spec.retention.completed = keep;
        self
    }

    /// How long failed, cancelled and expired jobs are kept. Default 14 days.
    pub fn keep_other(mut self, keep: Keep) -> Self {
        self.spec.retention.other = keep;
        self
    }

    /// How often a job's lease may run out before the job fails (rule L3).
    /// Default 3.
    pub fn max_stalls(mut self, stalls: u32) -> Self {
        self.spec.max_stalls = stalls;
        self
    }

    /// The largest payload or result, in bytes (rule E5). Default 1 MiB.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.spec.max_payload = bytes;
        self
    }

    /// Over how many shards a store of several machines spreads the queue, 1 to
    /// 64, because it is hotter than one of them (rule Q7). Order within a
    /// partition and the queue's bounds hold as ever; what is relaxed across
    /// shards is listed at [`QueueSpec`]. Other stores ignore it and relax
    /// nothing. Default 1.
    pub fn shards(mut self, shards: u32) -> Self {
        self.spec.shards = shards;
        self
    }

    /// Stores the declaration. Declaring again changes what may change, for
    /// every process.
    ///
    /// # Errors
    /// [`Error::Name`] and [`Error::Queue`] if it makes no sense,
    /// [`Error::QueueConflict`] if it was declared before with something else
    /// that is fixed, [`Error::Store`].
    pub async fn declare(mut self) -> Result<Queue> {
        self.spec.name = QueueName::new(self.name)?;
        check_queue(&self.spec)?;
        match self.client.backend().declare(&self.spec).await? {
            Declared::Conflict(stored) => Err(Error::QueueConflict(stored)),
            Declared::Created | Declared::Updated | Declared::Unchanged => {
                Ok(Queue::new(self.client, Arc::new(self.spec)))
            }
        }
    }
}

/// A declared queue. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    spec: Arc<QueueSpec>,
}

impl Queue {
    pub(crate) fn new(client: Client, spec: Arc<QueueSpec>) -> Self {
        Self { client, spec }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &QueueName {
        &self.spec.name
    }

    /// What this process declared it to be. Bounds may have been changed by
    /// others since.
    #[must_use]
    pub fn spec(&self) -> &Arc<QueueSpec> {
        &self.spec
    }

    pub(crate) fn into_client(self) -> Client {
        self.client
    }

    /// The client it belongs to.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Begins to enqueue a job; awaiting the builder does it.
    pub fn enqueue<J: Job>(&self, job: J) -> Enqueue<J> {
        Enqueue::typed(self.clone(), &job)
    }

    /// Begins to enqueue a job by the name of its type, for tools that do not
    /// have the type.
    pub fn enqueue_raw(
        &self,
        job_type: impl Into<String>,
        payload: &serde_json::Value,
    ) -> Enqueue<()> {
        Enqueue::raw(self.clone(), job_type.into(), payload)
    }

    /// Begins to enqueue many jobs of a type in one step, all or none, in this
    /// order.
    pub fn enqueue_all<J: Job>(&self, jobs: impl IntoIterator<Item = J>) -> EnqueueAll<J> {
        EnqueueAll::new(self, jobs)
    }

    /// Begins a repeatable: a job that comes again and again. Awaiting the
    /// builder stores it.
    pub fn repeat<J: Job>(&self, key: impl Into<String>, job: J) -> Repeat {
        Repeat::new(self.clone(), key.into(), &job)
    }

    /// A handle on a repeatable of this queue.
    ///
    /// # Errors
    /// [`Error::Name`] if the key breaks its rule.
    pub fn repeatable(&self, key: &str) -> Result<RepeatHandle> {
        Ok(RepeatHandle::new(self.clone(), RepeatableKey::new(key)?))
    }

    /// The repeatables of this queue, by key.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn repeatables(&self) -> Result<Vec<RepeatableRecord>> {
        let query = windlass_core::backend::RepeatablesQuery::OfQueue(self.name().clone());
        Ok(self.client.backend().repeatables(query).await?.records)
    }

    /// Stops every process from taking jobs of this queue. What runs finishes.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn pause(&self) -> Result<()> {
        Ok(self.client.backend().pause(self.name()).await?)
    }

    /// Lets a paused queue go on.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn resume(&self) -> Result<()> {
        Ok(self.client.backend().resume(self.name()).await?)
    }

    /// Figures of this queue.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn stats(&self) -> Result<QueueStats> {
        self.client.stats(self.name()).await
    }

    /// Removes jobs in this state that ended (or, if they have not ended, were
    /// enqueued) so long ago, `limit` at most, and answers how many.
    ///
    /// # Errors
    /// [`Error::Store`]; of kind [`Invalid`](windlass_core::ErrorKind::Invalid)
    /// for blocked and active jobs.
    pub async fn clean(&self, state: State, older_than: Duration, limit: u32) -> Result<u64> {
        let which = CleanWhich::OlderThan(older_than);
        let clean = Clean { queue: self.name().clone(), state, which, limit };
        Ok(self.client.backend().clean(clean).await?)
    }

    /// A filter for the jobs of this queue.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter { queue: Some(self.name().clone()), ..Filter::default() }
    }
}
