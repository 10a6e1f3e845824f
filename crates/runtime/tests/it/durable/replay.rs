//! Waiting without a worker (rule W2), code that has changed (rule W5), and an operator.

use windlass_runtime::model::State;
use windlass_runtime::{Durable, Error, JobError};

use super::{Log, drain, kit, secs};
use crate::support::Number;

#[tokio::test]
async fn a_sleep_holds_no_lease_and_ends_at_its_moment() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let log = Log::default();
    let seen = log.clone();
    let work = move |_: Number, ctx: Durable| {
        let log = seen.clone();
        async move {
            ctx.step_sync("before", || log.done("before")).await?;
            ctx.sleep(secs(3600)).await?;
            ctx.step_sync("after", || log.done("after")).await?;
            let until = ctx.now().await?.after(secs(60));
            ctx.sleep_until(until).await?;
            Ok::<_, JobError>(ctx.attempt())
        }
    };
    assert_eq!(drain(&kit, &queue, work.clone()).await, 1);
    let job = handle.job().await.unwrap();
    assert_eq!((job.state, job.lease), (State::Scheduled, None));
    kit.advance(secs(3599));
    assert_eq!(drain(&kit, &queue, work.clone()).await, 0);
    assert_eq!(log.take(), ["before"]);
    kit.advance(secs(1));
    assert_eq!(drain(&kit, &queue, work.clone()).await, 1);
    assert_eq!(log.take(), ["after"]);
    kit.advance(secs(60));
    assert_eq!(drain(&kit, &queue, work.clone()).await, 1);
    // Waiting has used no attempt.
    assert_eq!(handle.result::<u32>().await.unwrap(), 1);
}

#[tokio::test]
async fn a_sleep_of_no_length_is_over_at_once() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let work = |_: Number, ctx: Durable| async move { ctx.sleep(secs(0)).await };
    assert_eq!(drain(&kit, &queue, work).await, 1);
    handle.result::<()>().await.unwrap();
}

#[tokio::test]
async fn a_sleeper_that_is_promoted_sleeps_on_and_one_that_is_cancelled_is() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let work = |_: Number, ctx: Durable| async move { ctx.sleep(secs(100)).await };
    drain(&kit, &queue, work).await;
    handle.promote().await.unwrap();
    assert_eq!(drain(&kit, &queue, work).await, 1);
    assert_eq!(handle.state().await.unwrap(), State::Scheduled);
    handle.cancel().await.unwrap();
    kit.advance(secs(100));
    assert_eq!(drain(&kit, &queue, work).await, 0);
    assert_eq!(handle.state().await.unwrap(), State::Cancelled);
}

#[tokio::test]
async fn in_a_partition_a_sleeper_lets_others_pass() {
    let (kit, _) = kit().await;
    let queue = kit.client().queue("lines").partitioned().declare().await.unwrap();
    let sleeper = queue.enqueue(Number(1)).partition("p").await.unwrap();
    let other = queue.enqueue(Number(0)).partition("p").await.unwrap();
    let work = |job: Number, ctx: Durable| async move { ctx.sleep(secs(job.0 * 100)).await };
    assert_eq!(drain(&kit, &queue, work).await, 2);
    assert_eq!(other.state().await.unwrap(), State::Completed);
    assert_eq!(sleeper.state().await.unwrap(), State::Scheduled);
}

/// Runs one attempt with the first code and one with the second, and answers what the
/// second came to.
async fn changed<A: 'static, B: 'static>(
    before: impl windlass_runtime::Handler<Number, A>,
    after: impl windlass_runtime::Handler<Number, B>,
) -> String {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    drain(&kit, &queue, before).await;
    kit.advance(secs(60));
    drain(&kit, &queue, after).await;
    let job = handle.job().await.unwrap();
    match job.state {
        State::Completed => job.result.map_or_else(String::new, |result| {
            String::from_utf8(result.as_slice().to_vec()).unwrap()
        }),
        _ => job.course.errors.last().unwrap().message.clone(),
    }
}

async fn step(ctx: &Durable, name: &str) -> Result<String, Error> {
    ctx.step_sync(name, || Ok::<_, JobError>(name.to_owned())).await
}

#[tokio::test]
async fn another_step_than_was_recorded_is_an_error_that_names_both() {
    let before = async |_: Number, ctx: Durable| {
        step(&ctx, "charge").await?;
        step(&ctx, "mail").await?;
        Err::<(), _>(JobError::new("again"))
    };
    let message = changed(before, async |_: Number, ctx: Durable| {
        step(&ctx, "charge").await?;
        step(&ctx, "invoice").await?;
        Ok::<_, JobError>(())
    })
    .await;
    assert!(message.starts_with("step 1 of job "), "{message}");
    assert!(message.contains(r#"recorded as step "mail", but the code asks for step "invoice""#));

    let message = changed(before, async |_: Number, ctx: Durable| {
        ctx.sleep(secs(1)).await?;
        Ok::<_, JobError>(())
    })
    .await;
    assert!(
        message.contains(r#"recorded as step "charge", but the code asks for sleep"#),
        "{message}"
    );

    let message = changed(before, async |_: Number, ctx: Durable| {
        step(&ctx, "charge").await?;
        Ok::<_, JobError>(())
    })
    .await;
    assert!(
        message.contains(r#"recorded as step "mail", but the code asks for the end"#),
        "{message}"
    );
}

#[tokio::test]
async fn more_steps_behind_those_recorded_are_welcome() {
    let said = changed(
        async |_: Number, ctx: Durable| {
            step(&ctx, "charge").await?;
            Err::<(), _>(JobError::new("again"))
        },
        async |_: Number, ctx: Durable| {
            step(&ctx, "charge").await?;
            step(&ctx, "mail").await
        },
    )
    .await;
    assert_eq!(said, r#""mail""#);
}

#[tokio::test]
async fn a_change_that_is_marked_leaves_jobs_in_flight_as_they_were() {
    async fn new(ctx: Durable) -> Result<String, Error> {
        step(&ctx, "charge").await?;
        let version = ctx.version("invoices", 2).await?;
        if version >= 1 {
            step(&ctx, "invoice").await?;
        }
        step(&ctx, "mail").await?;
        Ok(format!("version {version}"))
    }
    // It was past the place before the change.
    let said = changed(
        async |_: Number, ctx: Durable| {
            step(&ctx, "charge").await?;
            step(&ctx, "mail").await?;
            Err::<(), _>(JobError::new("again"))
        },
        async |_: Number, ctx: Durable| new(ctx).await,
    )
    .await;
    assert_eq!(said, r#""version 0""#);
    // It was not.
    let said = changed(
        async |_: Number, ctx: Durable| {
            step(&ctx, "charge").await?;
            Err::<(), _>(JobError::new("again"))
        },
        async |_: Number, ctx: Durable| new(ctx).await,
    )
    .await;
    assert_eq!(said, r#""version 2""#);
    // It ran under an earlier version of the change, and keeps it.
    let said = changed(
        async |_: Number, ctx: Durable| {
            step(&ctx, "charge").await?;
            ctx.version("invoices", 1).await?;
            Err::<(), _>(JobError::new("again"))
        },
        async |_: Number, ctx: Durable| new(ctx).await,
    )
    .await;
    assert_eq!(said, r#""version 1""#);
}

#[tokio::test]
async fn a_retry_by_hand_goes_on_where_the_job_was() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).retries(0).await.unwrap();
    let log = Log::default();
    let seen = log.clone();
    let work = move |_: Number, ctx: Durable| {
        let log = seen.clone();
        async move {
            ctx.step_sync("once", || log.done("once")).await?;
            if ctx.job().course.errors.is_empty() { Err(JobError::new("no")) } else { Ok(()) }
        }
    };
    drain(&kit, &queue, work.clone()).await;
    assert_eq!(handle.state().await.unwrap(), State::Failed);
    handle.retry().await.unwrap();
    drain(&kit, &queue, work).await;
    assert_eq!(handle.state().await.unwrap(), State::Completed);
    assert_eq!(log.take(), ["once"]);
}

#[tokio::test]
async fn a_failure_that_the_handler_has_dealt_with_stays_one() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let log = Log::default();
    let seen = log.clone();
    let work = move |_: Number, ctx: Durable| {
        let log = seen.clone();
        async move {
            let charged = ctx.step_sync("charge", || {
                log.add("charge");
                // It would succeed if it were tried again.
                if log.count("charge") == 1 { Err(JobError::new("declined")) } else { Ok(()) }
            });
            match charged.await {
                Err(Error::Step { message, .. }) if message == "declined" => {}
                other => return Err(JobError::permanent(format!("{other:?}"))),
            }
            ctx.step_sync("refund", || log.done("refund")).await?;
            ctx.sleep(secs(60)).await?;
            ctx.step_sync("mail", || log.done("mail")).await?;
            Ok(())
        }
    };
    drain(&kit, &queue, work.clone()).await;
    kit.advance(secs(60));
    drain(&kit, &queue, work).await;
    handle.result::<()>().await.unwrap();
    assert_eq!(log.take(), ["charge", "refund", "mail"]);
}

#[tokio::test]
async fn nothing_is_recorded_or_waited_for_within_a_step() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let work = |_: Number, ctx: Durable| async move {
        let ctx = &ctx;
        let mut said = Vec::new();
        let slept = ctx.step("sleeps", || async { ctx.sleep(secs(60)).await }).await;
        said.push(slept.unwrap_err().to_string());
        let nested = ctx.step("nests", || async { ctx.random().await });
        // Beside another one, which has nothing to do with it.
        let (nested, beside) = tokio::join!(async { nested.await }, step(ctx, "beside"));
        said.push(nested.unwrap_err().to_string());
        Ok::<_, JobError>((said, beside?))
    };
    drain(&kit, &queue, work).await;
    let (said, beside) = handle.result::<(Vec<String>, String)>().await.unwrap();
    assert!(said.iter().all(|said| said.contains("cannot contain another step")), "{said:?}");
    assert_eq!((said.len(), beside.as_str()), (2, "beside"));
}

#[tokio::test]
async fn a_mark_of_a_change_sees_past_a_place_that_was_left_empty() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    handle.send("a", &1).await.unwrap();
    handle.send("a", &2).await.unwrap();
    // What came at once leaves the place of the time-out empty.
    let before = |_: Number, ctx: Durable| async move {
        ctx.receive::<u32>("a").timeout(secs(9)).await?;
        Err::<(), _>(JobError::new("again"))
    };
    drain(&kit, &queue, before).await;
    kit.advance(secs(60));
    let after = |_: Number, ctx: Durable| async move {
        let version = ctx.version("new", 1).await?;
        Ok::<_, JobError>((version, ctx.receive::<u32>("a").timeout(secs(9)).await?))
    };
    drain(&kit, &queue, after).await;
    assert_eq!(handle.result::<(u32, u32)>().await.unwrap(), (0, 1));
}

#[tokio::test]
async fn leases_that_run_out_between_two_waits_are_counted_apart() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let work = |_: Number, ctx: Durable| async move { ctx.sleep(secs(60)).await };
    let backend = kit.client().backend();
    for _ in 0..5 {
        // A worker takes it, and dies.
        let ask = windlass_runtime::backend::Ask {
            queue: queue.name().clone(),
            worker: windlass_runtime::model::WorkerId::from_bytes([1; 16]),
            max: 1,
            lease: secs(1),
        };
        assert_eq!(backend.dequeue(ask).await.unwrap().jobs.len(), 1);
        kit.advance(secs(1));
        // It is taken over, and suspends itself again.
        drain(&kit, &queue, work).await;
        assert_eq!(handle.job().await.unwrap().course.stalls, 0);
        handle.promote().await.unwrap();
    }
}
