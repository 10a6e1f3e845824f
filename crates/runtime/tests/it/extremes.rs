//! Nothing at all, and more than there is: durations, counts and limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use windlass_runtime::model::{
    Backoff, Detail, Direction, Filter, JobsQuery, Keep, Limits, Missed, OnRetry, Overlap, State,
    Timestamp,
};
use windlass_runtime::{Attempt, Error, JobError};

use crate::support::{Number, queue, store, until, until_changed, worker};

const ZERO: Duration = Duration::ZERO;
const NANO: Duration = Duration::from_nanos(1);
const MAX: Duration = Duration::MAX;

#[tokio::test]
async fn a_job_takes_any_length_of_time_and_never_is_a_moment() {
    let (queue, clock) = queue().await;
    for (length, state) in [(ZERO, State::Waiting), (NANO, State::Waiting), (MAX, State::Scheduled)]
    {
        let job = || queue.enqueue(Number(1));
        let delayed = job().delay(length).await.unwrap();
        assert_eq!(delayed.state().await.unwrap(), state, "{length:?}");
        delayed.delay(length).await.unwrap();
        assert_eq!(delayed.state().await.unwrap(), state, "{length:?}");
        let expiring = job().expires_after(length).await.unwrap().job().await.unwrap();
        assert_eq!(expiring.expires, Some(clock.now().after(length)));
        for key in ["throttled", "debounced"] {
            let key = format!("{key} {length:?}");
            let first = job().throttle(&key, length).await.unwrap();
            assert_eq!(job().throttle(&key, length).await.unwrap().id(), first.id());
            let key = format!("again {key}");
            let first = job().debounce(&key, Some(length)).delay(MAX).await.unwrap();
            assert_eq!(job().debounce(&key, Some(length)).await.unwrap().id(), first.id());
        }
    }
    for moment in [Timestamp::from_micros(i64::MIN), Timestamp::MAX] {
        let job = queue.enqueue(Number(1)).at(moment).expires_at(moment).await.unwrap();
        let seen = job.job().await.unwrap();
        assert_eq!(seen.due, moment.max(clock.now()));
        job.delay_until(moment).await.unwrap();
        assert_eq!(job.job().await.unwrap().due, moment.max(clock.now()));
    }
    let never = queue.enqueue(Number(1)).delay(MAX).await.unwrap();
    assert!(never.promote().await.unwrap());
    assert_eq!(never.state().await.unwrap(), State::Waiting);
}

#[tokio::test(start_paused = true)]
async fn a_worker_takes_any_length_of_time_that_makes_sense() {
    for length in [NANO, Duration::from_secs(u64::MAX), MAX] {
        let (queue, _) = queue().await;
        let slow = |job: Number| async move {
            tokio::time::sleep(Duration::from_secs(job.0)).await;
            Ok::<_, String>(job.0)
        };
        let running = worker(&queue)
            .lease(length.max(Duration::from_millis(1)))
            .poll_interval(length)
            .sweep_interval(length)
            .cancel_grace(length)
            .shutdown_grace(MAX)
            .concurrency(usize::MAX)
            .handle(slow);
        let running = running.start().await.unwrap();
        let quick = queue.enqueue(Number(0)).await.unwrap();
        assert_eq!(quick.result::<u64>().await.unwrap(), 0);
        let long = queue.enqueue(Number(10)).timeout(MAX).await.unwrap();
        until(&long, State::Active).await;
        let stopped = queue.enqueue(Number(u64::MAX)).await.unwrap();
        until(&stopped, State::Active).await;
        stopped.cancel().await.unwrap();
        if length == NANO {
            // With no grace to speak of it is dropped at once; with all the time
            // there is, the stop below is what it waits for.
            until(&stopped, State::Cancelled).await;
            assert_eq!(long.result::<u64>().await.unwrap(), 10);
            running.stop().await;
        } else {
            assert_eq!(long.result::<u64>().await.unwrap(), 10);
            drop(running);
            until(&stopped, State::Cancelled).await;
        }
    }
    let (queue, _) = queue().await;
    let running = worker(&queue).poll_interval(ZERO).sweep_interval(ZERO).cancel_grace(ZERO);
    let running = running.shutdown_grace(ZERO).handle(|_: Number| async {}).start().await.unwrap();
    queue.enqueue(Number(1)).timeout(NANO).await.unwrap().wait().await.unwrap();
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_takes_any_length_of_time() {
    let (queue, clock) = queue().await;
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let work = move |job: Number| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match (job.0, call) {
                (0, _) => Err(JobError::snooze(MAX)),
                (1, _) => Err(JobError::snooze_until(Timestamp::MAX)),
                (2, _) => Err(JobError::retry_after(MAX, "no")),
                (3, ..100) => Err(JobError::snooze(ZERO)),
                (4, ..200) => Err(JobError::retry_after(ZERO, "no")),
                _ => Ok(()),
            }
        }
    };
    let running = worker(&queue).handle(work).start().await.unwrap();
    for n in 0..3 {
        let handle = queue.enqueue(Number(n)).await.unwrap();
        let job = until(&handle, State::Scheduled).await;
        assert_eq!(job.due, Timestamp::MAX);
        assert!(handle.cancel().await.unwrap());
    }
    for n in 3..5 {
        let handle = queue.enqueue(Number(n)).retries(u32::MAX).await.unwrap();
        handle.result::<()>().await.unwrap();
    }
    let fails = |_: Number, _: Attempt| async { Err::<(), _>("no") };
    running.stop().await;
    let running = worker(&queue).handle(fails).start().await.unwrap();
    let grow = |first, factor, cap| Backoff::Exponential { first, factor, cap };
    for (backoff, least) in [
        (Backoff::Fixed(MAX), Duration::from_secs(1 << 40)),
        (Backoff::Linear { first: MAX, step: MAX, cap: MAX }, Duration::from_secs(1 << 40)),
        (grow(MAX, f64::MAX, MAX), Duration::from_secs(1 << 40)),
        (grow(NANO, 1.0, ZERO), ZERO),
        (Backoff::List(vec![MAX]), Duration::from_secs(1 << 40)),
        (Backoff::List(vec![ZERO, MAX]), ZERO),
    ] {
        let handle = queue.enqueue(Number(9)).backoff(backoff).await.unwrap();
        let job = until_changed(&handle).await;
        assert!(job.due.since(clock.now()) >= least, "{:?}", job.due);
        // One that does not wait may have used up its attempts by now.
        let cancelled = handle.cancel().await;
        assert!(cancelled.is_ok() || least.is_zero(), "{cancelled:?}");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_takes_any_bound() {
    let (client, clock) = store();
    let limits = |limit, period| Limits {
        concurrency: Some(limit),
        rate: Some(windlass_runtime::model::Rate { limit, period }),
    };
    for (name, limit, period, keep, length) in [
        ("all", u32::MAX, MAX, Keep::ForNewest(MAX, u64::MAX), MAX),
        ("least", 1, Duration::from_micros(1), Keep::For(ZERO), Duration::from_micros(1)),
        ("newest", 1, MAX, Keep::Newest(0), MAX),
    ] {
        let queue = client.queue(name).concurrency(limit).rate(limit, period).aging(length);
        let queue = queue.partitions(limits(limit, period), OnRetry::Hold).keep_completed(keep);
        let queue = queue.keep_other(keep).max_stalls(u32::MAX).max_payload(usize::MAX);
        let queue = queue.declare().await.unwrap();
        let running = worker(&queue).handle(|_: Number| async {}).start().await.unwrap();
        for priority in [i32::MAX, -i32::MAX] {
            let job = queue.enqueue(Number(1)).partition("p").priority(priority).await.unwrap();
            if limit > 1 || priority > 0 {
                match job.result::<()>().await {
                    Ok(()) | Err(Error::Gone(_)) => {}
                    Err(error) => panic!("{name}: {error}"),
                }
            }
            clock.advance(Duration::from_micros(1));
        }
        queue.stats().await.unwrap();
        for (age, most) in [(ZERO, u32::MAX), (MAX, u32::MAX), (ZERO, 0)] {
            queue.clean(State::Completed, age, most).await.unwrap();
        }
        running.stop().await;
    }
}

#[tokio::test]
async fn pages_that_make_no_sense_are_bounded() {
    let (queue, _) = queue().await;
    queue.enqueue_all((0..1500).map(Number)).await.unwrap();
    for (limit, after, direction, expected) in [
        (0, None, Direction::OldestFirst, 1),
        (u32::MAX, None, Direction::OldestFirst, 1000),
        (u32::MAX, Some(u64::MAX), Direction::OldestFirst, 0),
        (u32::MAX, Some(u64::MAX), Direction::NewestFirst, 1000),
        (u32::MAX, Some(i64::MAX as u64), Direction::OldestFirst, 0),
        (u32::MAX, Some(0), Direction::NewestFirst, 0),
    ] {
        let filter = Filter { states: vec![State::Waiting; 10_000], ..queue.filter() };
        let query = JobsQuery { filter, direction, after, limit, detail: Detail::Full };
        let page = queue.client().jobs(query).await.unwrap();
        assert_eq!(page.jobs.len(), expected, "limit {limit} after {after:?}");
    }
}

#[tokio::test]
async fn a_repeatable_takes_any_count_and_tells_a_bounded_number_of_moments() {
    let (queue, clock) = queue().await;
    let every = |key: &str| queue.repeat(key, Number(1)).every(Duration::from_millis(1));
    let most = every("most").count(u64::MAX).missed(Missed::RunAll(u32::MAX));
    let most = most.overlap(Overlap::Allow).end(Timestamp::MAX).await.unwrap();
    assert_eq!(most.upcoming(usize::MAX).await.unwrap().len(), 1000);
    let from_the_beginning = every("begun").start(Timestamp::from_micros(i64::MIN)).await.unwrap();
    assert!(from_the_beginning.upcoming(1).await.unwrap()[0] > clock.now());
    for never in [
        every("none").count(0),
        every("past").end(Timestamp::from_micros(i64::MIN)),
        every("too-late").start(Timestamp::MAX),
    ] {
        let error = never.await.unwrap_err();
        assert!(matches!(error, Error::NeverFires(_)), "{error}");
    }
}
