//! Settles what came of jobs, in batches.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use windlass_core::backend::{Applied, Backend, BackendExt, Extend, Transition};
use windlass_core::decide::{Attempt, Outcome, Retryable, finish};
use windlass_core::model::{FailureKind, Job, JobId};

use super::pool::Pool;
use super::store_backoff;
use crate::batch::{Batcher, Call};
use crate::context::Running;
use crate::outcome::JobError;

/// A job whose attempt has come to an end.
pub(crate) struct Finished {
    pub(crate) running: Arc<Running>,
    /// What came of it. `None`: its lease is lost, and nothing is to be
    /// settled.
    pub(crate) outcome: Option<Outcome>,
}

/// The jobs in a worker's hands, whose leases must be kept.
pub(crate) type Held = Mutex<HashMap<JobId, Arc<Running>>>;

/// Settles finished jobs together, one batch at a time.
pub(crate) struct Settler {
    batcher: Arc<Batcher<Vec<Finished>, ()>>,
}

impl Settler {
    pub(super) fn new(backend: Arc<dyn Backend>, pool: Arc<Pool>, held: Arc<Held>) -> Self {
        let flush = move |batch: Vec<Call<Vec<Finished>, ()>>| {
            let (backend, pool, held) =
                (Arc::clone(&backend), Arc::clone(&pool), Arc::clone(&held));
            async move {
                let finished: Vec<_> = batch.into_iter().flat_map(|call| call.input).collect();
                // Whatever happens, what was in hand is let go: a slot that
                // stays taken, or a lease that is kept alive for nobody, would
                // outlast the fault.
                let _let_go = LetGo {
                    jobs: finished.iter().map(|f| Arc::clone(&f.running)).collect(),
                    pool,
                    held,
                };
                let settled = AssertUnwindSafe(settle(&*backend, finished)).catch_unwind().await;
                if settled.is_err() {
                    tracing::error!("settling panicked; the leases of these jobs will run out");
                }
            }
            .boxed()
        };
        Self { batcher: Batcher::new(flush) }
    }

    /// Settles these with the next batch. Does not wait for it.
    pub(super) fn submit(&self, finished: Vec<Finished>) {
        if !finished.is_empty() {
            let weight = finished.len();
            drop(self.batcher.submit(finished, weight));
        }
    }
}

/// Lets jobs go when it is dropped.
struct LetGo {
    jobs: Vec<Arc<Running>>,
    pool: Arc<Pool>,
    held: Arc<Held>,
}

impl Drop for LetGo {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for running in &self.jobs {
            // A job may have come back to this worker meanwhile, under another
            // lease.
            let id = &running.job.id;
            if held.get(id).is_some_and(|now| now.lease.token == running.lease.token) {
                held.remove(id);
            }
        }
        drop(held);
        self.pool.done(self.jobs.len());
    }
}

/// Settles jobs, whatever it takes: a store that is away is waited for, and
/// one job that the store refuses does not keep the others (rule R7).
pub(crate) async fn settle(backend: &dyn Backend, finished: Vec<Finished>) {
    tell_news(backend, &finished).await;
    let mut open: Vec<(Finished, Option<Job>)> = finished.into_iter().map(|f| (f, None)).collect();
    let mut failures = 0;
    loop {
        // What each one comes to, seen from the job as it was leased or, if
        // that turned out stale, as it is now.
        let mut transitions = Vec::with_capacity(open.len());
        open.retain(|(finished, seen)| match decide(finished, seen.as_ref()) {
            Some(transition) => {
                transitions.push(transition);
                true
            }
            None => false,
        });
        if open.is_empty() {
            return;
        }
        match backend.apply_through(transitions).await {
            Ok(outcomes) => {
                failures = 0;
                open = open.into_iter().zip(outcomes).filter_map(again).collect();
            }
            Err(error) if error.kind().is_transient() => {
                failures += 1;
                tracing::warn!(
                    error = format!("{error:#}"),
                    jobs = open.len(),
                    "settling again after a while"
                );
                tokio::time::sleep(store_backoff(failures)).await;
            }
            Err(error) if open.len() == 1 => {
                let id = open[0].0.running.job.id;
                tracing::error!(error = format!("{error:#}"), job = %id, "a job cannot be settled; its lease will run out");
                return;
            }
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    jobs = open.len(),
                    "a batch is refused; settling one by one"
                );
                for one in open {
                    Box::pin(settle(backend, vec![one.0])).await;
                }
                return;
            }
        }
    }
}

/// What a finished job comes to. `None`: nothing, or nothing any more.
fn decide(finished: &Finished, seen: Option<&Job>) -> Option<Transition> {
    let running = &finished.running;
    let token = running.lease.token;
    let attempt = Attempt { token, outcome: finished.outcome.clone()? };
    let decided = finish(seen.unwrap_or(&running.job), &running.spec, &attempt);
    if decided.is_none() && !running.is_settled() {
        tracing::warn!(job = %running.job.id, "the lease is not the current one any more; somebody else settled or settles the job");
    }
    if matches!(finished.outcome, Some(Outcome::UnknownType)) {
        let job = &running.job;
        running.shared.unknown.note(&job.queue, &job.job_type, job.id);
    }
    decided
}

/// What is to be tried again, given what became of it.
fn again(
    ((mut finished, _), outcome): ((Finished, Option<Job>), Applied),
) -> Option<(Finished, Option<Job>)> {
    let id = finished.running.job.id;
    match outcome {
        Applied::Applied | Applied::KeyTaken { .. } => None,
        Applied::Stale(now) => Some((finished, Some(*now))),
        Applied::Gone => {
            tracing::warn!(job = %id, "the job was removed while it ran");
            None
        }
        Applied::Refused(error) => match finished.outcome {
            Some(Outcome::Success { result: Some(_) }) => {
                // The work is done, but what came of it cannot be kept.
                let message = format!("the store does not take the result: {error}");
                let failed = JobError::of_kind(FailureKind::Result, message, Retryable::No);
                finished.outcome = Some(failed.into_outcome());
                Some((finished, None))
            }
            _ => {
                tracing::error!(error = format!("{error:#}"), job = %id, "a job cannot be settled; its lease will run out");
                None
            }
        },
    }
}

/// Stores what the jobs have told of themselves and nobody has stored yet. It
/// is news, not the outcome: if the store fails, it is dropped.
async fn tell_news(backend: &dyn Backend, finished: &[Finished]) {
    let news: Vec<_> = finished
        .iter()
        .filter_map(|Finished { running, .. }| {
            let progress = running.news()?;
            Some(Extend {
                job: running.job.reference(),
                token: running.lease.token,
                lease: running.lease.until.since(running.job.started_at?),
                progress: Some(progress),
            })
        })
        .collect();
    if !news.is_empty()
        && let Err(error) = backend.extend(news).await
    {
        tracing::warn!(error = format!("{error:#}"), "the last progress of finished jobs is lost");
    }
}
