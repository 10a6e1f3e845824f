//! Looks after what nobody else does: lost leases, expired and forgotten jobs,
//! repeatables, retention.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use windlass_core::backend::{
    Backend, BackendExt, Overdue, OverduePage, OverdueQuery, RepeatablesQuery, Result,
};
use windlass_core::decide::repeat::{self, Previous};
use windlass_core::decide::{cleaning, overdue};
use windlass_core::model::{
    Beat, JobRef, Overlap, QueueName, QueueSpec, RepeatableRecord, Timestamp, WorkerInfo,
};

use super::builder::Parts;
use super::pool::Pool;
use super::store_backoff;

/// How many jobs are looked at, or cleaned, in one call.
const PAGE: u32 = 500;

/// How many calls in a row clean one state of one queue, so that a long
/// backlog does not keep the keeper from the rest.
const CLEAN_CALLS: usize = 20;

/// How often, at least, the keeper looks for repeatables that are due: one may
/// have been put by another process.
const LOOK: Duration = Duration::from_secs(1);

/// After how long a worker that is not heard of is forgotten.
const FORGET_WORKERS: Duration = Duration::from_secs(300);

/// How many pages of repeatables are fired in one round.
const FIRE_CALLS: usize = 4;

/// How often a worker says that it is there.
const BEAT_EVERY: Duration = Duration::from_secs(15);

/// How often retention is applied.
const CLEAN_EVERY: Duration = Duration::from_secs(60);

/// Looks after some queues and every repeatable. Any number may do so at once.
pub(crate) struct Keeper {
    queues: Vec<QueueName>,
    sweep: Duration,
    swept: Option<Instant>,
    cleaned: Option<Instant>,
}

impl Keeper {
    /// A keeper that sweeps so often.
    pub(crate) fn new(queues: Vec<QueueName>, sweep: Duration) -> Self {
        Self { queues, sweep, swept: None, cleaned: None }
    }

    /// One round: fires repeatables, and does what else it is time for.
    /// Answers how long until the next repeatable is due, if one is.
    ///
    /// A queue that fails does not keep the others from being looked after;
    /// the first failure is what the round answers.
    pub(crate) async fn round(&mut self, backend: &dyn Backend) -> Result<Option<Duration>> {
        let specs = specs(backend).await?;
        let sweeps = self.swept.is_none_or(|at| at.elapsed() >= self.sweep);
        let cleans = self.cleaned.is_none_or(|at| at.elapsed() >= CLEAN_EVERY);
        let (mut failure, mut more) = (None, false);
        for spec in self.queues.iter().filter_map(|queue| specs.get(queue)) {
            if sweeps {
                failure = failure.or(sweep_queue(backend, spec).await.err());
            }
            if cleans {
                match clean(backend, spec).await {
                    Ok(left) => more |= left,
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
        }
        let next = fire_due(backend, &specs).await;
        if let Some(error) = failure {
            return Err(error);
        }
        if sweeps {
            self.swept = Some(Instant::now());
        }
        if cleans && !more {
            self.cleaned = Some(Instant::now());
        }
        next
    }
}

async fn specs(backend: &dyn Backend) -> Result<HashMap<QueueName, QueueSpec>> {
    let queues = backend.queues().await?;
    Ok(queues.into_iter().map(|info| (info.spec.name.clone(), info.spec)).collect())
}

/// Decides about everything that is overdue in a queue, a page at a time. What
/// nobody can help is passed over (rule L4), and a page that fails keeps nobody
/// from the next.
async fn sweep_queue(backend: &dyn Backend, spec: &QueueSpec) -> Result<()> {
    let mut failure = None;
    for what in Overdue::ALL {
        let mut after = None;
        loop {
            let query = OverdueQuery { queue: spec.name.clone(), what, after, limit: PAGE };
            let page = backend.overdue(query).await?;
            let next = page.next;
            failure = failure.or(take_over(backend, spec, what, page).await.err());
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn take_over(
    backend: &dyn Backend,
    spec: &QueueSpec,
    what: Overdue,
    page: OverduePage,
) -> Result<()> {
    if what == Overdue::Unblocked {
        return backend.release(page.jobs).await;
    }
    let decided: Vec<_> =
        page.jobs.iter().filter_map(|job| overdue(job, spec, what, page.now)).collect();
    if !decided.is_empty() {
        tracing::info!(queue = %spec.name, ?what, jobs = decided.len(), "taking over");
        // Who was faster, was faster: the guard says so, and there is nothing
        // left to do.
        backend.apply_through(decided).await?;
    }
    Ok(())
}

/// Fires repeatables that are due, and answers how long until the next.
async fn fire_due(
    backend: &dyn Backend,
    specs: &HashMap<QueueName, QueueSpec>,
) -> Result<Option<Duration>> {
    let mut failure = None;
    for _ in 0..FIRE_CALLS {
        let due = backend.repeatables(RepeatablesQuery::Due(PAGE)).await?;
        let mut fired = false;
        for record in &due.records {
            let Some(spec) = specs.get(&record.spec.queue) else { continue };
            match fire(backend, record, spec, due.now).await {
                Ok(moved) => fired |= moved,
                // The others can still fire.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        // A full page may have more behind it; one on which nothing moved
        // would come again as it is.
        if due.records.len() < PAGE as usize || !fired {
            return match failure {
                Some(error) => Err(error),
                None => Ok(due.next_due.map(|next| next.since(due.now))),
            };
        }
    }
    // There is more, but the rest of the round has to have its turn.
    failure.map_or(Ok(Some(Duration::ZERO)), Err)
}

/// Fires one repeatable. Answers whether it moved on.
async fn fire(
    backend: &dyn Backend,
    record: &RepeatableRecord,
    spec: &QueueSpec,
    now: Timestamp,
) -> Result<bool> {
    let previous = match record.last_job.filter(|_| record.spec.overlap == Overlap::Skip) {
        Some(id) => {
            let job = JobRef { queue: spec.name.clone(), id };
            let seen = backend.job(&job).await?;
            if seen.is_some_and(|seen| !seen.job.state.is_terminal()) {
                Previous::Live
            } else {
                Previous::Ended
            }
        }
        // Nobody asks.
        None => Previous::Ended,
    };
    let put = match repeat::fire(record, spec, now, previous) {
        Ok(put) => put,
        Err(error) => {
            // Its queue was declared anew and takes its jobs no longer. It
            // goes on to its next moment, so that it stands in nobody's way.
            tracing::error!(error = format!("{error:#}"), repeatable = %record.spec.key, "a repeatable cannot fire");
            repeat::pass_over(record, now)
        }
    };
    match put {
        Some(put) => {
            backend.put_repeatable(put).await?;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Applies retention to a queue. Answers whether there is more to clean, which
/// the next round does.
async fn clean(backend: &dyn Backend, spec: &QueueSpec) -> Result<bool> {
    let mut more = false;
    for clean in cleaning(spec, PAGE) {
        let mut calls = 0;
        while backend.clean(clean.clone()).await? == u64::from(PAGE) {
            calls += 1;
            if calls == CLEAN_CALLS {
                more = true;
                break;
            }
        }
    }
    Ok(more)
}

/// Keeps house, and tells the store that this worker is there.
pub(super) async fn keep(parts: Arc<Parts>, pools: Vec<Arc<Pool>>, sweep: Duration) {
    let queues: Vec<_> = pools.iter().map(|pool| pool.queue.clone()).collect();
    let mut keeper = Keeper::new(queues.clone(), sweep);
    let backend = parts.shared.client.backend();
    let mut failures = 0;
    let mut beat_at: Option<Instant> = None;
    loop {
        if beat_at.is_none_or(|at| at.elapsed() >= BEAT_EVERY) {
            match backend.beat(alive(&parts, &pools, &queues)).await {
                Ok(()) => beat_at = Some(Instant::now()),
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "the worker could not say that it is there"
                ),
            }
        }
        let wait = match keeper.round(&**backend).await {
            Ok(next) => {
                failures = 0;
                next.unwrap_or(LOOK).min(LOOK).min(sweep).max(Duration::from_millis(1))
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the keeper's round failed; it goes on after a while"
                );
                store_backoff(failures)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

fn alive(parts: &Parts, pools: &[Arc<Pool>], queues: &[QueueName]) -> Beat {
    let total: usize = pools.iter().map(|pool| pool.concurrency).sum();
    let running: usize = pools
        .iter()
        // Two looks, and jobs move in between.
        .map(|pool| pool.in_hand().saturating_sub(pool.waiting()))
        .sum();
    let host = ["HOSTNAME", "COMPUTERNAME"].iter().find_map(|name| std::env::var(name).ok());
    Beat::Alive {
        worker: WorkerInfo {
            id: parts.shared.worker,
            host: host.unwrap_or_else(|| "unknown".to_owned()),
            pid: std::process::id(),
            queues: queues.to_vec(),
            concurrency: u32::try_from(total).unwrap_or(u32::MAX),
            running: u32::try_from(running).unwrap_or(u32::MAX),
        },
        forget_after: FORGET_WORKERS,
    }
}
