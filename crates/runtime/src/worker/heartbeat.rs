//! Keeps leases alive, stores what jobs tell, and passes on what the store
//! says: that a job was asked to stop, or that its lease is lost.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use windlass_core::backend::{Extend, Extended};

use super::builder::Parts;
use super::settler::Held;
use crate::context::{Running, StopReason};

/// How soon news of a job is stored.
const NEWS: Duration = Duration::from_secs(1);

/// How often, at most, a notice leads to asking whether jobs were told to
/// stop. Jobs that are younger are not asked about: most end before.
const ASK_AFTER: Duration = Duration::from_millis(250);

/// How many leases go in one call.
const PAGE: usize = 1000;

/// Beats until the worker has nothing in hand any more and is dropped.
pub(super) async fn beat(parts: Arc<Parts>) {
    let every = (parts.timing.lease / 3).max(Duration::from_millis(1));
    let mut next_beat = tokio::time::Instant::now() + every;
    let mut news_at: Option<tokio::time::Instant> = None;
    let mut asked_at = Instant::now();
    loop {
        let news = async {
            match news_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => {
                    parts.shared.news.notified().await;
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep_until(next_beat) => {
                extend(&parts, select(&parts.held, |_| true)).await;
                next_beat = tokio::time::Instant::now() + every;
                asked_at = Instant::now();
            }
            () = news => {
                if news_at.take().is_some() {
                    let fresh = select(&parts.held, |running| running.has_news());
                    extend(&parts, fresh).await;
                } else {
                    news_at = Some(tokio::time::Instant::now() + NEWS);
                }
            }
            () = parts.hint.notified() => {
                if asked_at.elapsed() >= ASK_AFTER {
                    let old = select(&parts.held, |running| running.since.elapsed() >= ASK_AFTER);
                    extend(&parts, old).await;
                    asked_at = Instant::now();
                }
            }
        }
    }
}

fn select(held: &Held, which: impl Fn(&Running) -> bool) -> Vec<Arc<Running>> {
    let held = held.lock().unwrap_or_else(PoisonError::into_inner);
    held.values().filter(|running| which(running)).cloned().collect()
}

async fn extend(parts: &Parts, jobs: Vec<Arc<Running>>) {
    for page in jobs.chunks(PAGE) {
        let told: Vec<_> = page.iter().map(|running| running.news()).collect();
        let leases = page
            .iter()
            .zip(&told)
            .map(|(running, progress)| Extend {
                job: running.job.reference(),
                token: running.lease.token,
                lease: parts.timing.lease,
                progress: progress.clone(),
            })
            .collect();
        match parts.shared.client.backend().extend(leases).await {
            Ok((outcomes, _)) => {
                for (running, outcome) in page.iter().zip(outcomes) {
                    match outcome {
                        Extended::Held { cancel_requested: true, .. } => {
                            running.stop(StopReason::Cancelled);
                        }
                        Extended::Held { .. } => {}
                        // A job that was settled a moment ago is lost too, and
                        // hears nothing of it.
                        Extended::Lost => running.stop(StopReason::LeaseLost),
                    }
                }
            }
            Err(error) => {
                // Until somebody takes them over, the leases are still ours:
                // the next beat may succeed.
                tracing::warn!(%error, leases = page.len(), "leases could not be extended");
                for (running, told) in page.iter().zip(told) {
                    if told.is_some() {
                        running.not_told();
                    }
                }
            }
        }
    }
}
