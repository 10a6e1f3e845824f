//! Keeps leases alive, stores what jobs tell, and passes on what the store
//! says: that a job was asked to stop, or that its lease is lost.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use windlass_core::backend::{Extend, Extended};

use super::builder::Parts;
use super::settler::Held;
use crate::context::{Running, StopReason};

/// How soon news of a job is stored.
const NEWS: Duration = Duration::from_secs(1);

/// How often, at most, notices lead to asking whether jobs were told to stop.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// How long a job has run before it is asked about on a notice.
const SHORT: Duration = Duration::from_millis(10);

/// How many leases go in one call.
const PAGE: usize = 1000;

/// Beats for as long as the worker is there.
pub(super) async fn beat(parts: Arc<Parts>) {
    let every = (parts.timing.lease / 3).max(Duration::from_millis(1));
    let mut next_beat = Instant::now() + every;
    let mut news_at: Option<Instant> = None;
    let mut ask_at: Option<Instant> = None;
    let mut asked_at = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next_beat) => {
                extend(&parts, select(&parts.held, |_| true)).await;
                next_beat = Instant::now() + every;
            }
            () = at(news_at) => {
                news_at = None;
                extend(&parts, select(&parts.held, |running| running.has_news())).await;
            }
            () = at(ask_at) => {
                ask_at = None;
                asked_at = Instant::now();
                // Those that have been running for a moment: of a flood of
                // short ones, most have ended by now.
                let old = |running: &Running| running.since.elapsed() >= SHORT;
                extend(&parts, select(&parts.held, old)).await;
            }
            () = parts.shared.news.notified(), if news_at.is_none() => {
                news_at = Some(Instant::now() + NEWS);
            }
            () = parts.hint.notified(), if ask_at.is_none() => {
                // Put off, not forgotten: a hint may be about a job that is
                // too young to be asked about yet.
                ask_at = Some((asked_at + ASK_EVERY).max(Instant::now() + SHORT));
            }
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
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
                        // It has completed its job itself, in a transaction,
                        // and may tidy up.
                        Extended::Lost if running.is_settled() => {}
                        // A job that was settled a moment ago is lost too, and
                        // hears nothing of it.
                        Extended::Lost => running.stop(StopReason::LeaseLost),
                    }
                }
            }
            Err(error) => {
                // Until somebody takes them over, the leases are still ours:
                // the next beat may succeed.
                tracing::warn!(
                    error = format!("{error:#}"),
                    leases = page.len(),
                    "leases could not be extended"
                );
                for (running, told) in page.iter().zip(told) {
                    if told.is_some() {
                        running.not_told();
                    }
                }
            }
        }
    }
}
