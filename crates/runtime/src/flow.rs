//! Flows: graphs of jobs that are enqueued together.

use windlass_core::decide::OnDuplicate;
use windlass_core::model::{Filter, FlowId, Job as JobRecord, JobRef, JobsQuery, NewJob, State};

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
#[non_exhaustive]
pub struct StoredFlow {
    /// Its id, by which its jobs can be listed and cancelled.
    pub id: FlowId,
    /// Its jobs, in the order in which they were added. Where a job key or a
    /// deduplication key was taken, the job that has it.
    pub jobs: Vec<JobRef>,
    /// A handle on all of it.
    pub handle: FlowHandle,
}

/// A flow seen from outside, by this or another process. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct FlowHandle {
    client: Client,
    id: FlowId,
}

/// How the jobs of a flow stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStatus {
    /// How many are in each state, indexed by [`State::code`].
    pub jobs: [u64; 8],
}

impl FlowStatus {
    /// How many are in this state.
    #[must_use]
    pub fn count(&self, state: State) -> u64 {
        self.jobs[usize::from(state.code())]
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.jobs.iter().sum()
    }

    /// How many have not ended.
    #[must_use]
    pub fn open(&self) -> u64 {
        let open = State::ALL.into_iter().filter(|state| !state.is_terminal());
        open.map(|state| self.count(state)).sum()
    }
}

impl FlowHandle {
    pub(crate) fn new(client: Client, id: FlowId) -> Self {
        Self { client, id }
    }

    /// The flow's id.
    #[must_use]
    pub fn id(&self) -> FlowId {
        self.id
    }

    /// A filter for its jobs.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter { flow: Some(self.id), ..Filter::default() }
    }

    /// Its jobs as they are now, queue by queue in the order of enqueueing, without payloads.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store).
    pub async fn jobs(&self) -> Result<Vec<JobRecord>> {
        let mut all = Vec::new();
        let mut query = JobsQuery::of(self.filter());
        loop {
            let page = self.client.jobs(query.clone()).await?;
            all.extend(page.jobs);
            if page.next.is_none() {
                return Ok(all);
            }
            query.after = page.next;
        }
    }

    /// How its jobs stand.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store).
    pub async fn status(&self) -> Result<FlowStatus> {
        let mut status = FlowStatus::default();
        for job in self.jobs().await? {
            status.jobs[usize::from(job.state.code())] += 1;
        }
        Ok(status)
    }

    /// Cancels what has not ended of it (rule N4), and answers how many jobs that were.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store).
    pub async fn cancel(&self) -> Result<u64> {
        self.client.cancel_flow(self.id).await
    }

    /// Waits until all of its jobs have ended, and answers how they stand.
    ///
    /// # Errors
    /// [`Error::Gone`](crate::Error::Gone) if one of them is removed meanwhile,
    /// [`Error::Store`](crate::Error::Store).
    pub async fn wait(&self) -> Result<FlowStatus> {
        let open = self.jobs().await?;
        let open = open.iter().filter(|job| !job.state.is_terminal()).map(JobRecord::reference);
        self.client.wait_all(open).await?;
        self.status().await
    }
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
        Ok(StoredFlow { id: self.id, jobs, handle: FlowHandle::new(self.client, self.id) })
    }
}
