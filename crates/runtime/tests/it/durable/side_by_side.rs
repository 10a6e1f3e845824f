//! Calls that are polled together: `join!`, `try_join!` and streams (rules W1, W2 and W5).

use std::future::IntoFuture;

use futures_util::StreamExt;
use tokio::task::yield_now;
use windlass_runtime::backend::Ask;
use windlass_runtime::model::{FIRST_MESSAGE, NewStep, Payload, State, StepName, WorkerId};
use windlass_runtime::{Durable, JobError, Result};

use super::{LATE, Log, drain, kit, secs, troubled};
use crate::support::Number;

/// Fails when it is done for the first time.
fn flaky(log: &Log, what: &str) -> std::result::Result<u32, JobError> {
    log.add(what);
    if log.count(what) == 1 { Err(JobError::new("no connection")) } else { Ok(1) }
}

/// The same when others have had their turn.
async fn flaky_later(log: &Log, what: &str) -> std::result::Result<u32, JobError> {
    yield_now().await;
    flaky(log, what)
}

#[tokio::test]
async fn a_failure_that_is_passed_on_is_no_record_though_its_sibling_begins_after_it() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let log = Log::default();
    let seen = log.clone();
    let work = move |_: Number, ctx: Durable| {
        let log = seen.clone();
        async move {
            let (a, b) = tokio::join!(
                ctx.step_sync("a", || flaky(&log, "a")),
                ctx.step_sync("b", || log.done("b")),
            );
            b?;
            Ok::<u32, JobError>(a?)
        }
    };
    drain(&kit, &queue, work.clone()).await;
    kit.advance(secs(60));
    drain(&kit, &queue, work).await;
    assert_eq!(handle.state().await.unwrap(), State::Completed);
    assert_eq!(handle.result::<u32>().await.unwrap(), 1);
    assert_eq!(["a", "b"].map(|what| log.count(what)), [2, 1]);
}

#[tokio::test]
async fn a_failure_in_a_stream_is_no_record_while_others_are_under_way() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let log = Log::default();
    let seen = log.clone();
    let work = move |_: Number, ctx: Durable| {
        let log = seen.clone();
        async move {
            let one = |n: u32| {
                let log = &log;
                ctx.step(format!("{n}"), move || async move {
                    match n {
                        1 => return flaky(log, "1"),
                        // It lasts until all others have begun.
                        2 => {
                            while log.count("5") == 0 {
                                yield_now().await;
                            }
                        }
                        _ => log.add(format!("{n}")),
                    }
                    Ok(n)
                })
                .into_future()
            };
            let all: Vec<_> =
                futures_util::stream::iter((0..6).map(one)).buffer_unordered(3).collect().await;
            Ok::<u32, JobError>(all.into_iter().sum::<Result<u32>>()?)
        }
    };
    drain(&kit, &queue, work.clone()).await;
    kit.advance(secs(60));
    drain(&kit, &queue, work).await;
    assert_eq!(handle.state().await.unwrap(), State::Completed);
    assert_eq!(handle.result::<u32>().await.unwrap(), 15);
}

#[tokio::test]
async fn of_two_that_fail_both_stay_failed_if_the_handler_goes_on() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let log = Log::default();
    let seen = log.clone();
    let work = move |_: Number, ctx: Durable| {
        let log = seen.clone();
        async move {
            let (a, b) = tokio::join!(
                ctx.step("a", || flaky_later(&log, "a")).into_future(),
                ctx.step("b", || flaky_later(&log, "b")).into_future(),
            );
            if a.is_err() {
                ctx.step_sync("refund", || log.done("refund")).await?;
            }
            ctx.sleep(secs(60)).await?;
            Ok::<_, JobError>((a.is_ok(), b.is_ok()))
        }
    };
    drain(&kit, &queue, work.clone()).await;
    kit.advance(secs(60));
    drain(&kit, &queue, work).await;
    assert_eq!(handle.state().await.unwrap(), State::Completed);
    assert_eq!(handle.result::<(bool, bool)>().await.unwrap(), (false, false));
    assert_eq!(["a", "b", "refund"].map(|what| log.count(what)), [1; 3]);
}

#[tokio::test]
async fn of_two_that_fail_the_one_that_is_passed_on_says_what_it_means() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let work = |_: Number, ctx: Durable| async move {
        let (a, b) = tokio::join!(
            ctx.step_sync("a", || Err::<(), _>(JobError::permanent("card declined"))),
            ctx.step_sync("b", || Err::<(), _>("no connection")),
        );
        a?;
        Ok::<_, JobError>(b?)
    };
    drain(&kit, &queue, work).await;
    assert_eq!(handle.state().await.unwrap(), State::Failed);
}

#[tokio::test]
async fn a_failure_that_ends_a_try_join_ends_it_at_the_same_place_in_a_replay() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let log = Log::default();
    let seen = log.clone();
    let work = move |_: Number, ctx: Durable| {
        let log = seen.clone();
        async move {
            let both = tokio::try_join!(
                ctx.step("a", || flaky_later(&log, "a")).into_future(),
                ctx.step("b", std::future::pending::<Result<u32>>).into_future(),
            );
            if both.is_err() {
                ctx.step_sync("refund", || log.done("refund")).await?;
            }
            ctx.sleep(secs(60)).await?;
            Ok::<_, JobError>(())
        }
    };
    drain(&kit, &queue, work.clone()).await;
    kit.advance(secs(60));
    drain(&kit, &queue, work).await;
    assert_eq!(handle.state().await.unwrap(), State::Completed);
    assert_eq!(log.take(), ["a", "refund"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_beside_a_wait_is_run_before_its_job_is_suspended() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let to = kit.client().handle(handle.reference().clone());
    let work = move |_: Number, ctx: Durable| {
        let to = to.clone();
        async move {
            if ctx.attempt() == 1 {
                return Err(JobError::new("again"));
            }
            let ask = || async { to.send_once("answer", "the one", &42).await };
            let (answer, ()) = tokio::try_join!(
                ctx.receive::<u32>("answer").into_future(),
                ctx.step("ask", ask).into_future(),
            )?;
            Ok::<u32, JobError>(answer)
        }
    };
    drain(&kit, &queue, work.clone()).await;
    kit.advance(secs(60));
    // Both wait for the record, which takes a while.
    drain(&troubled(&kit, LATE, &["steps"]), &queue, work).await;
    assert_eq!(handle.state().await.unwrap(), State::Completed);
    assert_eq!(handle.result::<u32>().await.unwrap(), 42);
}

#[tokio::test]
async fn a_message_is_received_though_a_later_one_was_recorded_first() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    handle.send("a", &1).await.unwrap();
    handle.send("a", &2).await.unwrap();
    // A worker dies when the second of two receives is recorded, and the first is not yet.
    let worker = WorkerId::from_bytes([1; 16]);
    let ask = Ask { queue: queue.name().clone(), worker, max: 1, lease: secs(1) };
    let leased = kit.client().backend().dequeue(ask).await.unwrap().jobs.remove(0);
    let second = NewStep {
        job: leased.reference(),
        token: leased.lease.unwrap().token,
        position: 1,
        name: StepName::new("a").unwrap(),
        outcome: Payload::from(format!(r#"{{"k":"receive","v":{}}}"#, FIRST_MESSAGE + 1)),
    };
    kit.client().backend().record_steps(vec![second]).await.unwrap();
    kit.advance(secs(1));
    let work = |_: Number, ctx: Durable| async move {
        let receive = || ctx.receive::<u32>("a").into_future();
        let (first, second) = tokio::try_join!(receive(), receive())?;
        Ok::<_, JobError>((first, second))
    };
    drain(&kit, &queue, work).await;
    assert_eq!(handle.state().await.unwrap(), State::Completed);
    assert_eq!(handle.result::<(u32, u32)>().await.unwrap(), (1, 2));
}
