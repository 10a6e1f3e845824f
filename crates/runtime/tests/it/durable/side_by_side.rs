//! Calls that are polled together: `join!`, `try_join!` and streams (rules W1, W2 and W5).

use std::future::IntoFuture;

use tokio::task::yield_now;
use windlass_runtime::model::State;
use windlass_runtime::{Durable, JobError};

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
