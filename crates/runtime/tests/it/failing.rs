//! Failures, time-outs, panics, lost leases.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use windlass_runtime::model::{Backoff, FailureKind, Job as JobRecord, State};
use windlass_runtime::{Attempt, Context, JobError, JobHandle, StopReason};

use crate::support::{Number, queue, until, worker};

fn last_error(job: &JobRecord) -> (FailureKind, u32, &str) {
    let error = job.course.errors.last().unwrap();
    (error.kind, error.attempt, error.message.as_str())
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_retried_after_its_backoff_and_no_sooner() {
    let (queue, clock) = queue().await;
    let flaky = |_: Number, attempt: Attempt| async move {
        if attempt.0 < 3 { Err(format!("no {}", attempt.0)) } else { Ok(attempt.0) }
    };
    let wait = Duration::from_secs(100);
    let handle = queue.enqueue(Number(1)).backoff(Backoff::Fixed(wait)).await.unwrap();
    let worker = worker(&queue).handle(flaky).start().await.unwrap();
    for failed in 1..=2 {
        let job = until(&handle, State::Scheduled).await;
        assert_eq!(job.course.failed_attempts, failed);
        let due = job.due.since(clock.now());
        assert!(due > wait.mul_f64(0.89) && due < wait.mul_f64(1.11), "{due:?}");
        clock.set(job.due);
        until_left(&handle, job.version).await;
    }
    assert_eq!(handle.result::<u32>().await.unwrap(), 3);
    worker.stop().await;
}

/// Waits, in virtual time, until the job has changed.
async fn until_left<J>(handle: &JobHandle<J>, version: u64) {
    while handle.job().await.unwrap().version == version {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_not_retried() {
    let (queue, _) = queue().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let never = |_: Number| async { Err::<(), _>(JobError::permanent("never")) };
    let worker = worker(&queue).handle(never).start().await.unwrap();
    let job = handle.wait().await.unwrap();
    assert_eq!(job.state, State::Failed);
    assert_eq!(last_error(&job), (FailureKind::Error, 1, "never"));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_snooze_uses_no_attempt() {
    let (queue, clock) = queue().await;
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let snoozing = move |_: Number, attempt: Attempt| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_eq!(attempt, Attempt(1));
            if call < 3 { Err(JobError::snooze(Duration::from_secs(9))) } else { Ok(()) }
        }
    };
    let handle = queue.enqueue(Number(1)).retries(0).await.unwrap();
    let worker = worker(&queue).handle(snoozing).start().await.unwrap();
    for _ in 0..3 {
        let job = until(&handle, State::Scheduled).await;
        clock.set(job.due);
        until_left(&handle, job.version).await;
    }
    handle.result::<()>().await.unwrap();
    assert_eq!(handle.job().await.unwrap().course.snoozes, 3);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_told_dropped_and_counts_as_a_timeout() {
    let (queue, _) = queue().await;
    let (told, mut was_told) = tokio::sync::mpsc::unbounded_channel();
    let slow = move |_: Number, context: Context| {
        let told = told.clone();
        async move {
            let _ = told.send(context.stopped().await);
            // Ignores what it was told.
            std::future::pending::<()>().await;
        }
    };
    let timeout = Duration::from_secs(30);
    let handle = queue.enqueue(Number(1)).timeout(timeout).retries(0).await.unwrap();
    let worker = worker(&queue).handle(slow).start().await.unwrap();
    let job = handle.wait().await.unwrap();
    assert_eq!(job.state, State::Failed);
    assert_eq!(last_error(&job), (FailureKind::Timeout, 1, "the attempt took longer than 30s"));
    assert_eq!(was_told.recv().await, Some(StopReason::Timeout));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_counts_as_a_failure_and_harms_nothing_else() {
    let (queue, _) = queue().await;
    let work = |job: Number| async move {
        assert!(job.0 != 13, "unlucky number {}", job.0);
        Ok::<_, String>(job.0)
    };
    let worker = worker(&queue).concurrency(1).handle(work).start().await.unwrap();
    let bad = queue.enqueue(Number(13)).retries(0).await.unwrap();
    let good = queue.enqueue(Number(14)).await.unwrap();
    let job = bad.wait().await.unwrap();
    assert_eq!(last_error(&job), (FailureKind::Panic, 1, "unlucky number 13"));
    assert_eq!(good.result::<u64>().await.unwrap(), 14);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_lost_its_lease_is_told_and_settles_nothing() {
    let (queue, clock) = queue().await;
    let (told, mut was_told) = tokio::sync::mpsc::unbounded_channel();
    let first = move |_: Number, context: Context| {
        let told = told.clone();
        async move {
            if context.job().course.stalls == 0 {
                let reason = context.stopped().await;
                told.send((reason, context.token())).map_err(|error| error.to_string())?;
                return Ok("late");
            }
            Ok::<_, String>("in time")
        }
    };
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let worker = worker(&queue).lease(Duration::from_secs(30)).handle(first).start().await.unwrap();
    let token = until(&handle, State::Active).await.lease.unwrap().token;
    // The store's time runs past the lease before a heartbeat can: the
    // keeper, this worker's own, takes the job over.
    clock.advance(Duration::from_secs(31));
    let job = handle.wait().await.unwrap();
    assert_eq!(job.course.stalls, 1);
    assert_eq!(handle.result::<String>().await.unwrap(), "in time");
    worker.stop().await;
    assert_eq!(was_told.recv().await, Some((StopReason::LeaseLost, token)));
    assert_eq!(handle.result::<String>().await.unwrap(), "in time");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_the_lease_of_a_slow_job() {
    let (queue, clock) = queue().await;
    let slow = |_: Number| async { tokio::time::sleep(Duration::from_secs(300)).await };
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let worker = worker(&queue).lease(Duration::from_secs(30)).handle(slow).start().await.unwrap();
    until(&handle, State::Active).await;
    // Both clocks move together, ten times as far as a lease lasts.
    for _ in 0..299 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        clock.advance(Duration::from_secs(1));
    }
    let job = handle.wait().await.unwrap();
    assert_eq!((job.state, job.course.stalls), (State::Completed, 0));
    worker.stop().await;
}
