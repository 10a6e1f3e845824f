//! Only the store's clock judges. A client's clock is tokio's here, which a
//! test moves apart from the store's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use windlass_runtime::model::{FailureKind, State};
use windlass_runtime::{Client, JobError};

use crate::support::{Number, Other, queue, until, worker};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn clients_an_hour_ahead_of_the_store_start_and_expire_nothing_early() {
    let (queue, clock) = queue().await;
    let starts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&starts);
    let count = move |_: Number| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {}
    };
    let slow = |_: Other| async {
        tokio::time::sleep(2 * HOUR).await;
        Ok::<_, String>("in time")
    };
    // Two clients of one store, each with a worker of its own.
    let others = Client::new(Arc::clone(queue.client().backend()));
    let first = worker(&queue).handle(count.clone()).handle(slow).start().await.unwrap();
    let second = others.worker().queue(&queue).handle(count).handle(slow).start().await.unwrap();
    let half = HOUR / 2;
    let delayed = queue.enqueue(Number(1)).delay(half).await.unwrap();
    let expiring =
        queue.enqueue(Number(2)).delay(half).expires_after(half + half / 2).await.unwrap();
    let running = queue.enqueue(Other).await.unwrap();
    until(&running, State::Active).await;

    tokio::time::sleep(HOUR).await;
    let early = starts.load(Ordering::SeqCst);
    let expired = u32::from(expiring.state().await.unwrap() == State::Expired);
    let stalled = running.job().await.unwrap().course.stalls;
    eprintln!("an hour ahead: {early} early starts, {expired} false expiries, {stalled} stalls");
    assert_eq!((early, expired, stalled), (0, 0, 0));
    assert_eq!(delayed.state().await.unwrap(), State::Scheduled);

    // The store's own time makes them ready, to the microsecond.
    clock.advance(half - Duration::from_micros(1));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(starts.load(Ordering::SeqCst), 0);
    clock.advance(Duration::from_micros(1));
    until(&delayed, State::Completed).await;
    until(&expiring, State::Completed).await;
    assert_eq!(running.result::<String>().await.unwrap(), "in time");
    first.stop().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn clients_an_hour_behind_the_store_start_what_is_due_and_end_what_has_expired() {
    let (queue, clock) = queue().await;
    let delayed = queue.enqueue(Number(1)).delay(HOUR / 2).await.unwrap();
    let expiring = queue.enqueue(Number(2)).delay(HOUR).expires_after(HOUR).await.unwrap();
    clock.advance(HOUR);
    let running = worker(&queue).handle(|_: Number| async {}).start().await.unwrap();
    until(&delayed, State::Completed).await;
    until(&expiring, State::Expired).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_delayed_for_far_longer_than_a_lease_starts_once() {
    let (queue, clock) = queue().await;
    let lease = Duration::from_secs(5);
    let starts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&starts);
    let work = move |_: Number| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, JobError>(()) }
    };
    let running = worker(&queue).lease(lease).handle(work).start().await.unwrap();
    let handle = queue.enqueue(Number(1)).delay(20 * lease).await.unwrap();
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        clock.advance(Duration::from_secs(1));
    }
    let job = until(&handle, State::Completed).await;
    eprintln!("a delay of twenty leases: {} starts", starts.load(Ordering::SeqCst));
    assert_eq!((starts.load(Ordering::SeqCst), job.course.stalls), (1, 0));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_is_taken_over_by_a_worker_that_does_not_know_the_type() {
    let (queue, clock) = queue().await;
    let mut handles = Vec::new();
    for _ in 0..20 {
        handles.push(queue.enqueue(Other).await.unwrap());
    }
    // Somebody leased them all and is no more.
    let ask = windlass_runtime::backend::Ask {
        queue: queue.name().clone(),
        worker: windlass_runtime::model::WorkerId::from_bytes([7; 16]),
        max: 100,
        lease: Duration::from_secs(30),
    };
    let taken = queue.client().backend().dequeue(ask).await.unwrap().jobs.len();
    assert_eq!(taken, handles.len());
    clock.advance(Duration::from_secs(30));
    let ignorant = worker(&queue).handle(|_: Number| async {}).start().await.unwrap();
    let mut discarded = 0;
    for handle in &handles {
        let job = until(handle, State::Scheduled).await;
        assert_eq!((job.course.stalls, job.course.failed_attempts), (1, 0));
        discarded += u32::from(job.state.is_terminal());
    }
    ignorant.stop().await;
    eprintln!("rescued without a handler: {taken}, wrongly discarded: {discarded}");
    assert_eq!(discarded, 0);
    clock.advance(Duration::from_secs(60));
    let knowing = worker(&queue).handle(|_: Other| async {}).start().await.unwrap();
    for handle in &handles {
        until(handle, State::Completed).await;
    }
    knowing.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_kills_every_worker_ends_and_the_others_finish() {
    let (queue, clock) = queue().await;
    let poison = queue.enqueue(Number(13)).await.unwrap();
    let mut others = Vec::new();
    for n in 0..20 {
        others.push(queue.enqueue(Number(100 + n)).await.unwrap());
    }
    let mut crashes = 0;
    for _ in 0..50 {
        // A worker that dies without a word, and its jobs with it, as soon as it
        // has the bad one in hand: it takes leases and never settles them.
        let ask = windlass_runtime::backend::Ask {
            queue: queue.name().clone(),
            worker: windlass_runtime::model::WorkerId::from_bytes([7; 16]),
            max: 1,
            lease: Duration::from_secs(30),
        };
        let jobs = queue.client().backend().dequeue(ask).await.unwrap().jobs;
        if jobs.first().is_none_or(|job| job.id != poison.id()) {
            break;
        }
        crashes += 1;
        clock.advance(Duration::from_secs(30));
        let rescuer = worker(&queue).handle(|_: Other| async {});
        let kit = windlass_runtime::testing::Kit::new(
            Arc::clone(queue.client().backend()),
            clock.clone(),
        );
        queue.pause().await.unwrap();
        kit.drain(|_| rescuer).await.unwrap();
        queue.resume().await.unwrap();
    }
    clock.advance(Duration::from_secs(30));
    let work = |_: Number| async {};
    let running = worker(&queue).handle(work).start().await.unwrap();
    for other in &others {
        until(other, State::Completed).await;
    }
    let job = poison.wait().await.unwrap();
    assert_eq!((job.state, job.course.failed_attempts), (State::Failed, 0));
    assert_eq!(job.course.errors[0].kind, FailureKind::Stalled);
    eprintln!("a poison job: {crashes} crashes, {} other jobs finished", others.len());
    assert_eq!(crashes, queue.spec().max_stalls + 1);
    running.stop().await;
}
