//! Stopping a worker.

use std::time::Duration;

use windlass_runtime::model::State;

use crate::support::{Number, queue, until, worker};

#[tokio::test(start_paused = true)]
async fn a_stopping_worker_lets_what_runs_finish_and_hands_the_rest_back() {
    let (queue, _) = queue().await;
    let slow = |_: Number| async { tokio::time::sleep(Duration::from_secs(20)).await };
    let jobs = queue.enqueue_all((0..5).map(Number)).await.unwrap();
    let worker = worker(&queue).concurrency(2).handle(slow).start().await.unwrap();
    until(&jobs[1], State::Active).await;
    worker.stop().await;
    let mut states = Vec::new();
    for job in &jobs {
        let job = job.job().await.unwrap();
        assert_eq!((job.course.failed_attempts, job.course.stalls), (0, 0));
        assert_eq!(job.lease, None);
        states.push(job.state);
    }
    let (done, waiting) = (State::Completed, State::Waiting);
    assert_eq!(states, [done, done, waiting, waiting, waiting]);
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
