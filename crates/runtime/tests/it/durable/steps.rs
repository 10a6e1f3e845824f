//! Steps (rule W1), and what else is the same in every attempt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use windlass_runtime::model::{Backoff, FailureKind, State};
use windlass_runtime::{Durable, Error, JobError};

use super::{Log, drain, kit, secs};
use crate::support::Number;

#[tokio::test]
async fn a_later_attempt_gets_what_was_recorded_and_does_the_rest() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let log = Log::default();
    let steps = log.clone();
    let work = move |_: Number, ctx: Durable| {
        let log = steps.clone();
        async move {
            let first: u32 = ctx
                .step("first", || async {
                    log.add("first");
                    Ok::<_, JobError>(ctx.attempt())
                })
                .await?;
            let second: String = ctx
                .step_sync("second", || {
                    log.add("second");
                    Ok::<_, JobError>(format!("after {first}"))
                })
                .await?;
            if ctx.attempt() < 3 {
                return Err(JobError::new("not yet"));
            }
            Ok((first, second))
        }
    };
    drain(&kit, &queue, work.clone()).await;
    assert_eq!(log.take(), ["first", "second"]);
    for _ in 0..2 {
        kit.advance(secs(60));
        drain(&kit, &queue, work.clone()).await;
    }
    assert_eq!(log.take(), Vec::<String>::new());
    assert_eq!(handle.result::<(u32, String)>().await.unwrap(), (1, "after 1".to_owned()));
}

#[tokio::test]
async fn a_step_that_fails_is_not_recorded_and_fails_the_attempt() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let work = move |_: Number, ctx: Durable| {
        let tries = Arc::clone(&counted);
        async move {
            ctx.step("charge", || async {
                match tries.fetch_add(1, Ordering::SeqCst) {
                    0 => Err("no connection"),
                    n => Ok(n),
                }
            })
            .await
        }
    };
    drain(&kit, &queue, work.clone()).await;
    let job = handle.job().await.unwrap();
    assert_eq!(job.course.errors[0].message, "step \"charge\" failed: no connection");
    kit.advance(secs(60));
    drain(&kit, &queue, work).await;
    assert_eq!(handle.result::<u32>().await.unwrap(), 1);
}

#[tokio::test]
async fn a_permanent_failure_of_a_step_that_is_passed_on_is_the_jobs() {
    let (kit, queue) = kit().await;
    let passed = queue.enqueue(Number(0)).await.unwrap();
    let handled = queue.enqueue(Number(1)).await.unwrap();
    let snoozed = queue.enqueue(Number(2)).await.unwrap();
    let work = |job: Number, ctx: Durable| async move {
        let declined = ctx
            .step("charge", || async {
                match job.0 {
                    2 => Err::<u32, _>(JobError::snooze(secs(5))),
                    _ => Err(JobError::permanent("card declined")),
                }
            })
            .await;
        match (job.0, declined) {
            (1, Err(Error::Step { name, message })) => Ok(format!("{name}: {message}")),
            (_, declined) => declined.map(|_| String::new()),
        }
    };
    drain(&kit, &queue, work).await;
    let job = passed.job().await.unwrap();
    assert_eq!(job.state, State::Failed);
    assert_eq!(job.course.errors[0].message, "step \"charge\" failed: card declined");
    assert_eq!(handled.result::<String>().await.unwrap(), "charge: card declined");
    let job = snoozed.job().await.unwrap();
    assert_eq!((job.state, job.course.failed_attempts), (State::Scheduled, 0));
}

#[tokio::test(start_paused = true)]
async fn a_step_has_retries_and_a_time_out_of_its_own() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(0)).await.unwrap();
    let hangs = queue.enqueue(Number(1)).retries(0).await.unwrap();
    let work = |job: Number, ctx: Durable| async move {
        let tries = AtomicU32::new(0);
        let (tries, hangs) = (&tries, job.0 == 1);
        ctx.step("flaky", || async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            match tries.fetch_add(1, Ordering::SeqCst) {
                n @ 0..=2 => Err(format!("no {n}")),
                n => Ok(n),
            }
        })
        .retries(3)
        .backoff(Backoff::Fixed(secs(2)))
        .timeout(secs(10))
        .await
    };
    let begun = tokio::time::Instant::now();
    drain(&kit, &queue, work).await;
    assert_eq!(handle.result::<u32>().await.unwrap(), 3);
    assert_eq!(handle.job().await.unwrap().course.failed_attempts, 0);
    let job = hangs.job().await.unwrap();
    assert_eq!(job.state, State::Failed);
    assert_eq!(job.course.errors[0].kind, FailureKind::Timeout);
    assert_eq!(job.course.errors[0].message, "step \"flaky\" failed: it took longer than 10s");
    assert!(begun.elapsed() >= secs(3 * 2 + 4 * 10));
}

#[tokio::test]
async fn steps_that_run_together_are_recorded_each() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let log = Log::default();
    let steps = log.clone();
    let work = move |_: Number, ctx: Durable| {
        let log = steps.clone();
        async move {
            let one = async |n: u32| {
                ctx.step(format!("part {n}"), || async {
                    log.add(format!("part {n}"));
                    // The later ones are done first.
                    for _ in 0..4 - n {
                        tokio::task::yield_now().await;
                    }
                    Ok::<_, JobError>(n)
                })
                .await
            };
            let (a, b, c) = tokio::try_join!(one(1), one(2), one(3))?;
            if ctx.attempt() == 1 {
                return Err(JobError::new("again"));
            }
            Ok(a + b + c)
        }
    };
    drain(&kit, &queue, work.clone()).await;
    kit.advance(secs(60));
    drain(&kit, &queue, work).await;
    let mut done = log.take();
    done.sort();
    assert_eq!(done, ["part 1", "part 2", "part 3"]);
    assert_eq!(handle.result::<u32>().await.unwrap(), 6);
}

#[tokio::test]
async fn time_and_chance_are_the_same_in_every_attempt() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let log = Log::default();
    let seen = log.clone();
    let work = move |_: Number, ctx: Durable| {
        let seen = seen.clone();
        async move {
            let (now, random, again) = (ctx.now().await?, ctx.random().await?, ctx.random().await?);
            seen.add(format!("{now} {random} {again}"));
            if random == again {
                return Err(JobError::permanent("two random numbers are the same"));
            }
            if ctx.attempt() < 3 { Err(JobError::new("again")) } else { Ok(()) }
        }
    };
    for _ in 0..3 {
        drain(&kit, &queue, work.clone()).await;
        kit.advance(secs(60));
    }
    let seen = log.take();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    assert_eq!(handle.state().await.unwrap(), State::Completed);
}

#[tokio::test]
async fn what_is_too_large_for_the_queue_is_not_recorded() {
    let (kit, _) = kit().await;
    let small = kit.client().queue("small").max_payload(100).declare().await.unwrap();
    let handle = small.enqueue(Number(1)).await.unwrap();
    let work = |_: Number, ctx: Durable| async move {
        match ctx.step("big", || async { Ok::<_, JobError>("x".repeat(200)) }).await {
            Err(Error::ResultTooLarge { max: 100, .. }) => Ok(()),
            other => Err(JobError::permanent(format!("{other:?}"))),
        }
    };
    drain(&kit, &small, work).await;
    handle.result::<()>().await.unwrap();
}

#[tokio::test]
async fn a_step_whose_result_cannot_be_kept_has_failed_and_is_not_run_again() {
    let (kit, _) = kit().await;
    let small = kit.client().queue("small").max_payload(100).declare().await.unwrap();
    let handle = small.enqueue(Number(1)).await.unwrap();
    let log = Log::default();
    let steps = log.clone();
    let work = move |_: Number, ctx: Durable| {
        let log = steps.clone();
        async move {
            let big = ctx.step_sync("big", || log.done("big").map(|()| "x".repeat(200))).await;
            let odd = ctx
                .step_sync("odd", || log.done("odd").map(|()| BTreeMap::from([((1, 2), 3)])))
                .await;
            match (&big, &odd) {
                (Err(Error::ResultTooLarge { max: 100, .. }), Err(Error::Encode { .. })) => {}
                other => return Err(JobError::permanent(format!("{other:?}"))),
            }
            ctx.sleep(secs(60)).await?;
            // Passed on in a later attempt, it still means what it meant in the first.
            big.map(|_| ()).map_err(Into::into)
        }
    };
    drain(&kit, &small, work.clone()).await;
    kit.advance(secs(60));
    drain(&kit, &small, work).await;
    assert_eq!(log.take(), ["big", "odd"]);
    let job = handle.job().await.unwrap();
    assert_eq!((job.state, job.course.errors[0].kind), (State::Failed, FailureKind::Result));
}
