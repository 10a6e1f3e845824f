//! Stopping a worker.

use std::time::Duration;

use windlass_runtime::model::State;

use crate::support::{Number, queue, until, worker};

#[tokio::test(start_paused = true)]
async fn a_stopping_worker_lets_what_runs_finish_and_hands_the_rest_back() {
    const QUICK: u64 = 400;
    let (queue, _) = queue().await;
    // Quick ones first, so that the poller leases ahead; then slow ones.
    let work = |job: Number| async move {
        let length = if job.0 < QUICK { 1 } else { 20_000 };
        tokio::time::sleep(Duration::from_millis(length)).await;
    };
    let jobs = queue.enqueue_all((0..QUICK + 50).map(Number)).await.unwrap();
    let worker = worker(&queue).concurrency(2).handle(work).start().await.unwrap();
    until(&jobs[QUICK as usize + 1], State::Active).await;
    until(&jobs[QUICK as usize - 1], State::Completed).await;
    let ahead = worker.in_hand();
    assert!(ahead > 10, "only {ahead} jobs were in hand");
    let summary = worker.stop().await;
    assert_eq!(summary.handed_back, ahead as u64 - 2);
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.count(State::Completed), stats.leases), (QUICK + 2, 0));
    for job in &jobs {
        let job = job.job().await.unwrap();
        assert_eq!((job.course.failed_attempts, job.course.stalls), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_worker_stops_its_handlers_and_hands_their_jobs_back() {
    let (queue, _) = queue().await;
    let (send, mut ticks) = tokio::sync::mpsc::unbounded_channel();
    let tick = move |_: Number| {
        let send = send.clone();
        async move {
            while send.send(()).is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    };
    let job = queue.enqueue(Number(1)).await.unwrap();
    let worker = worker(&queue).handle(tick).start().await.unwrap();
    until(&job, State::Active).await;
    drop(worker);
    until(&job, State::Waiting).await;
    while ticks.try_recv().is_ok() {}
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(ticks.try_recv().is_err(), "the handler still runs");
    assert_eq!(job.job().await.unwrap().course.failed_attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn after_the_grace_period_a_job_is_handed_back_with_no_attempt_used() {
    let (queue, _) = queue().await;
    let endless = |_: Number| std::future::pending::<()>();
    let job = queue.enqueue(Number(1)).retries(0).await.unwrap();
    let worker = worker(&queue).shutdown_grace(Duration::from_secs(5)).handle(endless);
    let worker = worker.start().await.unwrap();
    until(&job, State::Active).await;
    let summary = worker.stop().await;
    assert_eq!(summary.handed_back, 1);
    let job = job.job().await.unwrap();
    assert_eq!((job.state, job.course.failed_attempts), (State::Waiting, 0));
}

#[tokio::test(start_paused = true)]
async fn run_until_drains_when_its_future_is_ready() {
    let (queue, _) = queue().await;
    let job = queue.enqueue(Number(1)).await.unwrap();
    let quick = |_: Number| async {};
    let done = async { drop(job.wait().await) };
    let summary = worker(&queue).handle(quick).run_until(done).await.unwrap();
    assert_eq!((summary.settled, summary.handed_back), (1, 0));
}
