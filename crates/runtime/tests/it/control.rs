//! Cancelling, delaying, promoting, retrying, pausing.

use std::time::Duration;

use windlass_runtime::model::{Filter, State};
use windlass_runtime::{Context, Error};

use crate::support::{Number, queue, until, worker};

#[tokio::test(start_paused = true)]
async fn a_waiting_job_is_cancelled_at_once_and_frees_its_key() {
    let (queue, _) = queue().await;
    let handle = queue.enqueue(Number(1)).dedup("k").await.unwrap();
    assert!(handle.cancel().await.unwrap());
    assert!(!handle.cancel().await.unwrap());
    assert_eq!(handle.state().await.unwrap(), State::Cancelled);
    queue.enqueue(Number(2)).dedup("k").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_running_job_is_told_and_gets_a_grace_period() {
    let (queue, _) = queue().await;
    let stubborn = |job: Number, context: Context| async move {
        context.stopped().await;
        match job.0 {
            // Tidies up and succeeds: it completes.
            1 => Ok(1),
            // Tidies up and fails: it is cancelled, and not retried.
            2 => Err("stopped".to_owned()),
            // Does not listen.
            _ => std::future::pending().await,
        }
    };
    let grace = Duration::from_secs(10);
    let worker = worker(&queue).cancel_grace(grace).handle(stubborn).start().await.unwrap();
    for (number, end) in [(1, State::Completed), (2, State::Cancelled), (3, State::Cancelled)] {
        let handle = queue.enqueue(Number(number)).await.unwrap();
        until(&handle, State::Active).await;
        let begin = tokio::time::Instant::now();
        assert!(handle.cancel().await.unwrap());
        assert_eq!(handle.wait().await.unwrap().state, end, "job {number}");
        // In virtual time: dropped after the grace period, not before.
        assert_eq!(begin.elapsed() >= grace, number == 3, "job {number}");
    }
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_hears_of_it_at_once_where_the_store_notifies() {
    let (queue, _) = queue().await;
    let listening = |_: Number, context: Context| async move {
        context.stopped().await;
    };
    let lease = Duration::from_secs(3000);
    let worker = worker(&queue).lease(lease).handle(listening).start().await.unwrap();
    // However young it is, and however close they come.
    for age in [0, 50, 150, 240, 260, 1000] {
        let handle = queue.enqueue(Number(1)).await.unwrap();
        until(&handle, State::Active).await;
        tokio::time::sleep(Duration::from_millis(age)).await;
        let begin = tokio::time::Instant::now();
        handle.cancel().await.unwrap();
        handle.wait().await.unwrap();
        // In virtual time; the next heartbeat would be in a thousand seconds.
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?} at {age} ms", begin.elapsed());
    }
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn delay_and_promote_move_a_job_that_has_not_begun() {
    let (queue, clock) = queue().await;
    let hour = Duration::from_secs(3600);
    let handle = queue.enqueue(Number(1)).delay(hour).await.unwrap();
    handle.delay(hour * 2).await.unwrap();
    assert_eq!(handle.job().await.unwrap().due, clock.now().after(hour * 2));
    handle.promote().await.unwrap();
    assert_eq!(handle.state().await.unwrap(), State::Waiting);
    handle.cancel().await.unwrap();
    let error = handle.promote().await.unwrap_err();
    assert!(matches!(error, Error::Control(_)), "{error}");
    assert!(error.to_string().contains("is cancelled"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_ended_job_starts_afresh_when_it_is_retried() {
    let (queue, _) = queue().await;
    let handle = queue.enqueue(Number(1)).retries(0).await.unwrap();
    let fail = |_: Number| async { Err::<(), _>("no") };
    let broken = worker(&queue).handle(fail).start().await.unwrap();
    assert_eq!(handle.wait().await.unwrap().state, State::Failed);
    broken.stop().await;
    assert!(handle.retry().await.unwrap());
    let mended = worker(&queue).handle(|_: Number| async {}).start().await.unwrap();
    let job = handle.wait().await.unwrap();
    assert_eq!((job.state, job.course.errors.len()), (State::Completed, 1));
    mended.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_queue_gives_nothing_until_it_is_resumed() {
    let (queue, _) = queue().await;
    queue.pause().await.unwrap();
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let worker = worker(&queue).handle(|_: Number| async {}).start().await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(handle.state().await.unwrap(), State::Waiting);
    queue.resume().await.unwrap();
    until(&handle, State::Completed).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn cancelling_in_bulk_counts_each_job_once_and_lets_none_loose() {
    let (queue, _) = queue().await;
    // More than a page, in a chain whose last link runs whatever happens.
    let mut flow = queue.client().flow();
    let first = flow.add(queue.enqueue(Number(0))).unwrap();
    let mut last = first.clone();
    for n in 1..1100 {
        last = flow.add(queue.enqueue(Number(n)).after(last)).unwrap();
    }
    let stubborn = flow.add(queue.enqueue(Number(1100)).after(first).even_if_broken()).unwrap();
    let stored = flow.enqueue().await.unwrap();
    assert_eq!(queue.client().cancel_flow(stored.id).await.unwrap(), 1101);
    let state = queue.client().handle(stubborn).state().await.unwrap();
    assert_eq!(state, State::Cancelled);
    assert_eq!(queue.stats().await.unwrap().count(State::Cancelled), 1101);
}

#[tokio::test(start_paused = true)]
async fn bulk_forms_say_how_many() {
    let (queue, _) = queue().await;
    queue.enqueue_all((0..1200).map(Number)).await.unwrap();
    let client = queue.client();
    assert_eq!(client.cancel_all(queue.filter()).await.unwrap(), 1200);
    let cancelled = Filter { states: vec![State::Cancelled], ..queue.filter() };
    assert_eq!(client.retry_all(cancelled).await.unwrap(), 1200);
    assert_eq!(queue.stats().await.unwrap().count(State::Waiting), 1200);
    assert_eq!(client.remove_all(queue.filter()).await.unwrap(), 1200);
    assert_eq!(queue.stats().await.unwrap().jobs, [0; 8]);
}
