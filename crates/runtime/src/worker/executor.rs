//! Runs handlers: one at a time each, with time-outs, cancellation and panics
//! taken care of.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tracing::Instrument;
use windlass_core::decide::{Outcome, Retryable};
use windlass_core::model::FailureKind;

use super::pool::Pool;
use super::settler::{Finished, Settler};
use crate::context::{Context, Running, StopReason};
use crate::durable::until_suspended;
use crate::outcome::JobError;
use crate::service::Execution;

/// How long a handler whose time is up may go on before it is dropped.
const TIMEOUT_GRACE: Duration = Duration::from_secs(1);

/// How long an executor runs jobs in a row, at most about, before it settles
/// them and lets others have the thread: the heartbeat, above all.
const IN_A_ROW: Duration = Duration::from_millis(1);

/// Runs the jobs of a pool until there is none left.
///
/// Handlers that finish without suspending are settled together; before one
/// that suspends, what has finished goes out, so that nothing waits for it.
pub(super) async fn execute(
    pool: Arc<Pool>,
    execution: Execution,
    settler: Arc<Settler>,
    cancel_grace: Duration,
) {
    let mut finished = Vec::new();
    let mut begun = Instant::now();
    while let Some(running) = pool.next() {
        let outcome = {
            // A handler's panic is caught where it runs. What is caught here is
            // what it does when it is dropped: it must not take the slot along.
            let run = AssertUnwindSafe(run(&execution, &running, cancel_grace)).catch_unwind();
            let mut run = pin!(run.map(|run| run.unwrap_or_else(|panic| Some(panicked(&*panic)))));
            let first = std::future::poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx))).await;
            match first {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => {
                    settler.submit(std::mem::take(&mut finished));
                    let outcome = run.await;
                    begun = Instant::now();
                    outcome
                }
            }
        };
        finished.push(Finished { running, outcome });
        if begun.elapsed() >= IN_A_ROW {
            settler.submit(std::mem::take(&mut finished));
            tokio::task::yield_now().await;
            begun = Instant::now();
        }
    }
    settler.submit(finished);
}

/// Runs one job. `None`: its lease has been lost, and there is nothing to
/// settle.
pub(crate) async fn run(
    execution: &Execution,
    running: &Arc<Running>,
    cancel_grace: Duration,
) -> Option<Outcome> {
    let job = &running.job;
    let span = tracing::info_span!(
        "job",
        queue = %job.queue,
        job_type = %job.job_type,
        id = %job.id,
        attempt = job.attempt(),
    );
    supervise(execution, running, cancel_grace).instrument(span).await
}

async fn supervise(
    execution: &Execution,
    running: &Arc<Running>,
    cancel_grace: Duration,
) -> Option<Outcome> {
    match running.stop_reason() {
        None => {}
        // It was told to stop before it could begin.
        Some(StopReason::Cancelled) => return Some(Outcome::Cancelled),
        Some(StopReason::LeaseLost) => return None,
        Some(StopReason::Timeout | StopReason::Shutdown) => return Some(Outcome::Release),
    }
    let context = Context::new(Arc::clone(running));
    // A panic harms nothing but its own attempt: what the handler shared with
    // others is behind their own locks.
    let call = until_suspended(running, async { execution.run(context).await });
    let call = AssertUnwindSafe(call).catch_unwind();
    let mut call = pin!(call);
    let time_out = async {
        match running.job.options.timeout {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let outcome = |caught: std::thread::Result<Outcome>| match caught {
        Ok(outcome) => outcome,
        Err(panic) => panicked(&*panic),
    };
    let reason = tokio::select! {
        biased;
        caught = &mut call => return Some(settled(running, outcome(caught))),
        reason = running.stopped(None) => reason,
        () = time_out => {
            running.stop(StopReason::Timeout);
            StopReason::Timeout
        }
    };
    let grace = match reason {
        StopReason::Cancelled => cancel_grace,
        StopReason::Timeout => TIMEOUT_GRACE,
        StopReason::LeaseLost => {
            tracing::warn!("the lease is lost; the handler is dropped");
            return None;
        }
        StopReason::Shutdown => return Some(Outcome::Release),
    };
    let caught = tokio::select! {
        biased;
        caught = tokio::time::timeout(grace, &mut call) => caught,
        later = running.stopped(Some(reason)) => match later {
            StopReason::LeaseLost => return None,
            _ => return Some(Outcome::Release),
        },
    };
    match (reason, caught) {
        // The time was up, whatever the handler came to after that.
        (StopReason::Timeout, _) => {
            let limit = running.job.options.timeout.unwrap_or_default();
            let message = format!("the attempt took longer than {limit:?}");
            Some(JobError::of_kind(FailureKind::Timeout, message, Retryable::Yes).into_outcome())
        }
        (_, Ok(caught)) => match settled(running, outcome(caught)) {
            success @ Outcome::Success { .. } => Some(success),
            _ => Some(Outcome::Cancelled),
        },
        (_, Err(_)) => Some(Outcome::Cancelled),
    }
}

/// A handler that completed its job in a transaction of its own has nothing
/// left for the worker to complete: if the transaction did not commit, the
/// attempt must not count as a success.
fn settled(running: &Running, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Success { .. } if running.is_settled() => {
            let message = "the handler completed the job in a transaction that did not commit";
            JobError::new(message).into_outcome()
        }
        other => other,
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Outcome {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("the panic did not say why");
    JobError::of_kind(FailureKind::Panic, said, Retryable::Yes).into_outcome()
}
