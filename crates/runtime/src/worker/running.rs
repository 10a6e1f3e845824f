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

/// A worker at work. Dropping it stops it at once; leases that it held run
/// out and are taken over.
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
        let mut summary = WorkerSummary::default();
        for (pool, settler) in &self.pools {
            summary.handed_back += hand_back(pool, settler);
            pool.ask.notify_one();
            pool.settled.notify_one();
        }
        // A poller that has asked is waited for: what it was given has leases.
        for poller in std::mem::take(&mut self.pollers) {
            let _ = poller.await;
        }
        for (pool, settler) in &self.pools {
            summary.handed_back += hand_back(pool, settler);
        }
        let grace = self.parts.timing.shutdown_grace;
        if tokio::time::timeout(grace, self.drained()).await.is_err() {
            let held = self.parts.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
            tracing::warn!(jobs = held.len(), "the grace period is over; handing jobs back");
            summary.handed_back += held.len() as u64;
            for running in held.into_values() {
                running.stop(StopReason::Shutdown);
            }
            if tokio::time::timeout(LAST_WORDS, self.drained()).await.is_err() {
                tracing::error!(
                    jobs = self.in_hand(),
                    "the store is away, or a handler does not let go; leases will run out"
                );
            }
        }
        summary.settled = self.pools.iter().map(|(pool, _)| pool.finished()).sum();
        let leaving = Beat::Leaving(self.id());
        if let Err(error) = self.parts.shared.client.backend().beat(leaving).await {
            tracing::debug!(%error, "the worker could not say goodbye");
        }
        summary
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
    fn drop(&mut self) {
        for (pool, _) in &self.pools {
            drop(pool.close());
        }
        for task in self.tasks.iter().chain(&self.pollers) {
            task.abort();
        }
    }
}
