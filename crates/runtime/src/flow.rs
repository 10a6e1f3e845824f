//! Flows: graphs of jobs that are enqueued together.

use windlass_core::decide::OnDuplicate;
use windlass_core::model::{FlowId, JobRef, NewJob};

use crate::client::Client;
use crate::enqueue::{Enqueue, store_all};
use crate::error::Result;

/// Jobs, of any queues, that are enqueued in one step: all or none (rule N4).
///
/// ```no_run
/// # use windlass_runtime::{Client, Job, Queue, Result};
/// # async fn example<A: Job, B: Job>(client: Client, queue: Queue, a: A, b: B) -> Result<()> {
/// let mut flow = client.flow();
/// let first = flow.add(queue.enqueue(a))?;
/// let second = flow.add(queue.enqueue(b).after(first))?;
/// let stored = flow.enqueue().await?;
/// # let _ = (second, stored); Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "nothing is enqueued before `enqueue().await`"]
pub struct Flow {
    client: Client,
    id: FlowId,
    jobs: Vec<(NewJob, OnDuplicate)>,
}

/// A flow that is stored.
#[derive(Clone, Debug)]
pub struct StoredFlow {
    /// Its id, by which its jobs can be listed and cancelled.
    pub id: FlowId,
    /// Its jobs, in the order in which they were added. Where a job key or a
    /// deduplication key was taken, the job that has it.
    pub jobs: Vec<JobRef>,
}

impl Flow {
    pub(crate) fn new(client: Client, id: FlowId) -> Self {
        Self { client, id, jobs: Vec::new() }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> FlowId {
        self.id
    }

    /// How many jobs it has so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether it has no job yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Adds a job, and answers where it will stand, for others to wait for.
    ///
    /// # Errors
    /// Whatever was wrong with the job.
    pub fn add<J>(&mut self, job: Enqueue<J>) -> Result<JobRef> {
        let prepared = job.in_flow(self.id).prepare()?;
        let of = prepared.reference();
        self.jobs.push((prepared.job, prepared.on_duplicate));
        Ok(of)
    }

    /// Stores the flow.
    ///
    /// # Errors
    /// [`Error::Job`](crate::Error::Job) if its jobs wait for each other in a circle,
    /// [`Error::Refused`](crate::Error::Refused) if one waits for a job that does not exist,
    /// [`Error::Duplicate`](crate::Error::Duplicate) if a deduplication key is taken (the other jobs
    /// are stored then), [`Error::Store`](crate::Error::Store).
    pub async fn enqueue(self) -> Result<StoredFlow> {
        let jobs = store_all(&self.client, self.jobs).await?;
        Ok(StoredFlow { id: self.id, jobs })
    }
}
