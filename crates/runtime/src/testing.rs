//! The testing kit: run jobs step by step, on a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use windlass_core::Backend;
use windlass_core::backend::{Ask, Result as StoreResult};
use windlass_core::model::{
    Detail, Direction, Filter, Job as JobRecord, JobsQuery, ManualClock, QueueName, State, json,
};

use crate::client::Client;
use crate::context::Running;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::worker::{Finished, Keeper, Timing, WorkerBuilder, run, settle};

/// A client whose clock the test moves, and what a test wants to know.
///
/// Nothing runs by itself: [`Kit::drain`] runs what is ready, one job after
/// the other, in the order of the queue; [`Kit::advance`] moves the clock.
#[derive(Clone, Debug)]
pub struct Kit {
    client: Client,
    clock: ManualClock,
}

/// How many jobs a drain runs before it takes it that they will not end.
const TOO_MANY: usize = 100_000;

impl Kit {
    /// A kit for a store that goes by this clock.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, clock: ManualClock) -> Self {
        Self { client: Client::new(backend), clock }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Moves the clock forward. Nothing runs before the next
    /// [`Kit::drain`].
    pub fn advance(&self, length: Duration) {
        self.clock.advance(length);
    }

    /// Runs every job that is ready, one after the other, until none is, and
    /// answers how many attempts that took. Lost leases, expired jobs and
    /// repeatables that are due are seen to as well.
    ///
    /// # Errors
    /// [`Error::Worker`] if the worker could not start, [`Error::Endless`] if
    /// the jobs do not come to an end, [`Error::Store`].
    pub async fn drain(
        &self,
        worker: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
    ) -> Result<usize> {
        let builder = worker(self.client.worker());
        let queues = builder.queue_names();
        let parts = builder.parts()?;
        let backend = self.client.backend();
        let mut keeper = Keeper::new(queues.clone(), Duration::ZERO);
        let mut attempts = 0;
        loop {
            keeper.round(&**backend).await?;
            let before = attempts;
            for queue in &queues {
                while let Some(running) = self.next(queue, &parts).await? {
                    let outcome =
                        run(parts.execution(), &running, Timing::default().cancel_grace).await;
                    settle(&**backend, vec![Finished { running, outcome }]).await;
                    attempts += 1;
                    if attempts > TOO_MANY {
                        return Err(Error::Endless(TOO_MANY));
                    }
                }
            }
            if attempts == before {
                return Ok(attempts);
            }
        }
    }

    async fn next(
        &self,
        queue: &QueueName,
        parts: &crate::worker::Parts,
    ) -> StoreResult<Option<Arc<Running>>> {
        let ask = Ask {
            queue: queue.clone(),
            worker: parts.worker(),
            max: 1,
            lease: Timing::default().lease,
        };
        let answer = self.client.backend().dequeue(ask).await?;
        let spec = answer.spec;
        Ok(answer.jobs.into_iter().next().and_then(|job| {
            let lease = job.lease?;
            let shared = Arc::clone(parts.shared());
            Some(Arc::new(Running::new(job, lease, spec, shared, Instant::now())))
        }))
    }

    /// Every job of a type that the store has, in the order of enqueueing, as
    /// it is now.
    ///
    /// # Errors
    /// [`Error::Name`] if the type's name breaks its rule, [`Error::Store`].
    pub async fn jobs_of<J: Job>(&self) -> Result<Vec<JobRecord>> {
        let job_type = Some(windlass_core::model::JobType::new(J::NAME)?);
        self.jobs(Filter { job_type, ..Filter::default() }).await
    }

    /// What jobs of a type were enqueued with, in the order of enqueueing.
    ///
    /// # Errors
    /// [`Error::Decode`] if one is something else; otherwise as
    /// [`Kit::jobs_of`].
    pub async fn enqueued<J: Job>(&self) -> Result<Vec<J>> {
        let read = |job: JobRecord| {
            let payload = job.payload.unwrap_or_default();
            serde_json::from_slice(payload.as_slice())
                .map_err(|error| Error::Decode { what: "job", message: json::problem(&error) })
        };
        self.jobs_of::<J>().await?.into_iter().map(read).collect()
    }

    /// How many jobs of a type are in a state.
    ///
    /// # Errors
    /// As [`Kit::jobs_of`].
    pub async fn count<J: Job>(&self, state: State) -> Result<usize> {
        Ok(self.jobs_of::<J>().await?.into_iter().filter(|job| job.state == state).count())
    }

    /// Every job of a filter, with payloads and results.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn jobs(&self, filter: Filter) -> Result<Vec<JobRecord>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let query = JobsQuery {
                filter: filter.clone(),
                direction: Direction::OldestFirst,
                after,
                limit: 500,
                detail: Detail::Full,
            };
            let page = self.client.jobs(query).await?;
            all.extend(page.jobs);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }
}
