//! A worker at work, and how it stops.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use windlass_core::decide::Outcome;
use windlass_core::model::{Beat, WorkerId};

use super::builder::Parts;
use super::pool::Pool;
use super::settler::{Finished, Settler};
use super::supervise::supervise;
use crate::context::StopReason;

/// How long a stopping worker waits for the store to take what is settled.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A worker at work. Dropping it stops it at once: handlers are dropped, and
/// their jobs handed back.
#[must_use = "dropping a worker stops it"]
pub struct RunningWorker {
    pub(super) parts: Arc<Parts>,
    pub(super) pools: Vec<(Arc<Pool>, Arc<Settler>)>,
    pub(super) pollers: Vec<JoinHandle<()>>,
    pub(super) tasks: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for RunningWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningWorker").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// What a worker has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerSummary {
    /// How many jobs it has settled, however they ended.
    pub settled: u64,
    /// How many of them it handed back when it stopped.
    pub handed_back: u64,
}

impl RunningWorker {
    /// Begins one of its loops.
    pub(super) fn begin<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        name: &'static str,
        begin: impl Fn() -> F + Send + Sync + 'static,
    ) {
        self.tasks.push(tokio::spawn(async move { supervise(name, begin).await }));
    }

    /// Its identity, drawn at this start.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.parts.shared.worker
    }

    /// How many jobs it has in hand.
    #[must_use]
    pub fn in_hand(&self) -> usize {
        self.pools.iter().map(|(pool, _)| pool.in_hand()).sum()
    }

    /// Drains it: takes no further jobs, lets handlers finish for the grace
    /// period, then drops them, and hands back what did not finish: no
    /// attempt is used.
    pub async fn stop(mut self) -> WorkerSummary {
        let mut handed_back = 0;
        for (pool, settler) in &self.pools {
            handed_back += hand_back(pool, settler);
            pool.ask.notify_one();
            pool.settled.notify_one();
        }
        let grace = self.parts.timing.shutdown_grace;
        let deadline = tokio::time::Instant::now() + grace;
        // A poller that has asked is waited for: what it is given has leases.
        let mut pollers = std::mem::take(&mut self.pollers);
        let asked = futures_util::future::join_all(&mut pollers);
        if tokio::time::timeout_at(deadline, asked).await.is_err() {
            tracing::warn!("the store does not answer; not waiting for the jobs it may give");
            pollers.iter().for_each(JoinHandle::abort);
        }
        for (pool, settler) in &self.pools {
            handed_back += hand_back(pool, settler);
        }
        if tokio::time::timeout_at(deadline, self.drained()).await.is_err() {
            let stopped = self.stop_handlers();
            tracing::warn!(jobs = stopped, "the grace period is over; handing jobs back");
            handed_back += stopped;
            if tokio::time::timeout(LAST_WORDS, self.drained()).await.is_err() {
                tracing::error!(
                    jobs = self.in_hand(),
                    "the store is away, or a handler does not let go; leases will run out"
                );
            }
        }
        // Before it says goodbye: the keeper would say that it is there.
        self.tasks.iter().for_each(JoinHandle::abort);
        let leaving = Beat::Leaving(self.id());
        if let Err(error) = self.parts.shared.client.backend().beat(leaving).await {
            tracing::debug!(error = format!("{error:#}"), "the worker could not say goodbye");
        }
        let settled = self.pools.iter().map(|(pool, _)| pool.finished()).sum();
        WorkerSummary { settled, handed_back }
    }

    /// Tells every handler that it is dropped now, and answers how many.
    fn stop_handlers(&self) -> u64 {
        let held = self.parts.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for running in held.values() {
            running.stop(StopReason::Shutdown);
        }
        held.len() as u64
    }

    async fn drained(&self) {
        for (pool, _) in &self.pools {
            while pool.in_hand() > 0 {
                pool.settled.notified().await;
            }
        }
    }
}

fn hand_back(pool: &Pool, settler: &Settler) -> u64 {
    let waiting = pool.close();
    let count = waiting.len() as u64;
    let release = |running| Finished { running, outcome: Some(Outcome::Release) };
    settler.submit(waiting.into_iter().map(release).collect());
    count
}

impl Drop for RunningWorker {
    /// Stops at once: handlers are dropped at their next suspension and their
    /// jobs handed back, if there is still a runtime to do it in.
    fn drop(&mut self) {
        self.tasks.iter().chain(&self.pollers).for_each(JoinHandle::abort);
        let runs = tokio::runtime::Handle::try_current().is_ok();
        for (pool, settler) in &self.pools {
            if runs {
                hand_back(pool, settler);
            } else {
                drop(pool.close());
            }
        }
        self.stop_handlers();
    }
}
