//! Jobs that spawn jobs and wait for them (rules W2 and W3).

use windlass_conformance::Trouble;
use windlass_runtime::model::{Filter, JobRef, Keep, State};
use windlass_runtime::{Durable, Error, JobError};

use super::{LATE, Log, drain, kit, secs, troubled};
use crate::support::{Number, Other};

/// 0 is a parent, which spawns 1 to 3; the others double themselves.
async fn family(job: Number, ctx: Durable) -> Result<Vec<u64>, JobError> {
    if job.0 > 0 {
        return Ok(vec![job.0 * 2]);
    }
    let children = ctx.spawn_all("parts", (1..=3).map(Number)).await?;
    let results: Vec<Vec<u64>> = children.results().await?;
    Ok(results.concat())
}

#[tokio::test]
async fn a_parent_with_its_childrens_only_slot_finishes() {
    let (kit, _) = kit().await;
    let narrow = kit.client().queue("narrow").concurrency(1).declare().await.unwrap();
    let handle = narrow.enqueue(Number(0)).await.unwrap();
    // Twice the parent, once each child.
    assert_eq!(drain(&kit, &narrow, family).await, 5);
    assert_eq!(handle.result::<Vec<u64>>().await.unwrap(), [2, 4, 6]);
    let left = kit.jobs(Filter::default()).await.unwrap();
    assert_eq!(left.len(), 4, "the gate is gone: {left:?}");
    assert!(left.iter().skip(1).all(|job| job.parent.as_ref() == Some(handle.reference())));
}

#[tokio::test]
async fn a_parent_in_a_partition_of_one_at_a_time_finishes() {
    let (kit, _) = kit().await;
    let lines = kit.client().queue("lines").partitioned().declare().await.unwrap();
    let handle = lines.enqueue(Number(0)).partition("p").await.unwrap();
    let queue = lines.clone();
    let work = move |job: Number, ctx: Durable| {
        let queue = queue.clone();
        async move {
            if job.0 > 0 {
                return Ok(job.0);
            }
            let child = ctx.spawn("one", queue.enqueue(Number(7)).partition("p")).await?;
            Ok::<u64, JobError>(child.result().await?)
        }
    };
    drain(&kit, &lines, work).await;
    assert_eq!(handle.result::<u64>().await.unwrap(), 7);
}

#[tokio::test]
async fn each_child_exists_once_whatever_becomes_of_the_attempts() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(0)).await.unwrap();
    let log = Log::default();
    let seen = log.clone();
    let work = move |job: Number, ctx: Durable| {
        let log = seen.clone();
        async move {
            if job.0 > 0 {
                log.add(format!("child {}", job.0));
                return Ok(());
            }
            let children = ctx.spawn_all("parts", (1..=3).map(Number)).await?;
            if ctx.attempt() < 3 {
                return Err(JobError::new("again"));
            }
            children.results::<()>().await?;
            Ok(())
        }
    };
    for _ in 0..4 {
        drain(&kit, &queue, work.clone()).await;
        kit.advance(secs(60));
    }
    assert_eq!(handle.state().await.unwrap(), State::Completed);
    assert_eq!(log.take(), ["child 1", "child 2", "child 3"]);
}

#[tokio::test]
async fn results_of_queues_that_keep_nothing_are_there() {
    let (kit, _) = kit().await;
    let parents = kit.client().queue("parents").declare().await.unwrap();
    let handle = parents.enqueue(Number(0)).await.unwrap();
    let fleeting =
        kit.client().queue("fleeting").keep_completed(Keep::Remove).declare().await.unwrap();
    let queue = fleeting.clone();
    let work = move |job: Number, ctx: Durable| {
        let queue = queue.clone();
        async move {
            if job.0 > 0 {
                return Ok(job.0 * 2);
            }
            let jobs = (1..=3).map(|n| queue.enqueue(Number(n)));
            let children = ctx.spawn_all("parts", jobs).await?;
            // Longer than they live.
            ctx.sleep(secs(100)).await?;
            Ok::<u64, JobError>(children.results::<u64>().await?.into_iter().sum())
        }
    };
    drain(&kit, &parents, work.clone()).await;
    drain(&kit, &fleeting, work.clone()).await;
    // What others depended on goes with the next cleaning.
    drain(&kit, &fleeting, work.clone()).await;
    let stats = fleeting.stats().await.unwrap();
    assert_eq!(stats.count(State::Completed), 0);
    kit.advance(secs(100));
    drain(&kit, &parents, work).await;
    assert_eq!(handle.result::<u64>().await.unwrap(), 12);
}

#[tokio::test]
async fn a_child_that_does_not_complete_is_told_apart() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(0)).await.unwrap();
    let work = |job: Number, ctx: Durable| async move {
        match job.0 {
            0 => {}
            2 => return Err(JobError::permanent("no")),
            n => return Ok(format!("{n}")),
        }
        let children = ctx.spawn_all("parts", (1..=3).map(Number)).await?;
        let joined = children.join::<String>().await?;
        let said: Vec<_> = joined
            .into_iter()
            .map(|one| match one {
                Ok(n) => n,
                Err(Error::NotCompleted { state, .. }) => state.to_string(),
                Err(other) => other.to_string(),
            })
            .collect();
        let states = children.states().await?;
        assert_eq!(states[1], Some(State::Failed));
        let failed = children.results::<String>().await;
        assert!(matches!(failed, Err(Error::NotCompleted { state: State::Failed, .. })));
        Ok(said.join(" "))
    };
    drain(&kit, &queue, work).await;
    assert_eq!(handle.result::<String>().await.unwrap(), "1 failed 3");
}

#[tokio::test]
async fn the_first_to_end_wakes_its_parent_and_stays_the_first() {
    let (kit, queue) = kit().await;
    let (slow, fast) = (
        kit.client().queue("slow").declare().await.unwrap(),
        kit.client().queue("fast").declare().await.unwrap(),
    );
    let handle = queue.enqueue(Number(0)).await.unwrap();
    let (to_slow, to_fast) = (slow.clone(), fast.clone());
    let work = move |job: Number, ctx: Durable| {
        let (slow, fast) = (to_slow.clone(), to_fast.clone());
        async move {
            if job.0 > 0 {
                return Ok(format!("{}", job.0));
            }
            let one = ctx.spawn("one", slow.enqueue(Number(1))).await?;
            let two = ctx.spawn("two", fast.enqueue(Number(2))).await?;
            let first = ctx.first(&[&one, &two]).await?;
            if ctx.attempt() == 1 {
                return Err(JobError::new("again"));
            }
            ctx.join(&[&one, &two]).await?;
            let (one, two): (String, String) = (one.result().await?, two.result().await?);
            Ok(format!("{first}: {one} {two}"))
        }
    };
    drain(&kit, &queue, work.clone()).await;
    drain(&kit, &fast, work.clone()).await;
    assert_eq!(drain(&kit, &queue, work.clone()).await, 1);
    // Both have ended when it is asked again.
    drain(&kit, &slow, work.clone()).await;
    kit.advance(secs(60));
    drain(&kit, &queue, work.clone()).await;
    assert_eq!(handle.result::<String>().await.unwrap(), "1: 1 2");
}

#[tokio::test]
async fn no_children_are_no_reason_to_wait_and_a_type_may_name_its_queue() {
    let (kit, queue) = kit().await;
    let elsewhere = kit.client().queue("elsewhere").declare().await.unwrap();
    let handle = elsewhere.enqueue(Number(0)).await.unwrap();
    let work = |_: Number, ctx: Durable| async move {
        let none = ctx.spawn_all("none", Vec::<Number>::new()).await?;
        assert!(none.is_empty());
        assert_eq!(none.results::<()>().await?, Vec::new());
        // Its type names the queue `q`.
        let other = ctx.enqueue("other", Other).await?;
        Ok::<JobRef, JobError>(other.reference().clone())
    };
    assert_eq!(drain(&kit, &elsewhere, work).await, 1);
    let other: JobRef = handle.result().await.unwrap();
    assert_eq!(&other.queue, queue.name());
    assert_eq!(kit.count::<Other>(State::Waiting).await.unwrap(), 1);
}

#[tokio::test]
async fn children_that_are_the_same_job_have_the_same_result() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(0)).await.unwrap();
    let to = queue.clone();
    let work = move |job: Number, ctx: Durable| {
        let to = to.clone();
        async move {
            use windlass_runtime::decide::OnDuplicate::ReturnExisting;
            if job.0 > 0 {
                return Ok(vec![job.0]);
            }
            let jobs = [(5, "x"), (6, "y"), (7, "x")]
                .map(|(n, key)| to.enqueue(Number(n)).dedup_with(key, ReturnExisting, None));
            let children = ctx.spawn_all("parts", jobs).await?;
            Ok::<_, JobError>(children.results::<Vec<u64>>().await?.concat())
        }
    };
    drain(&kit, &queue, work).await;
    assert_eq!(handle.result::<Vec<u64>>().await.unwrap(), [5, 6, 5]);
}

#[tokio::test]
async fn a_gate_that_an_operator_takes_away_is_put_up_again() {
    let (kit, queue) = kit().await;
    let others = kit.client().queue("others").declare().await.unwrap();
    let handle = queue.enqueue(Number(0)).await.unwrap();
    let to = others.clone();
    let work = move |job: Number, ctx: Durable| {
        let to = to.clone();
        async move {
            if job.0 > 0 {
                return Ok(job.0);
            }
            let child = ctx.spawn("one", to.enqueue(Number(7))).await?;
            Ok::<u64, JobError>(child.result().await?)
        }
    };
    drain(&kit, &queue, work.clone()).await;
    let blocked = Filter { states: vec![State::Blocked], ..Filter::default() };
    assert_eq!(kit.client().cancel_all(blocked).await.unwrap(), 1);
    drain(&kit, &others, work.clone()).await;
    assert_eq!(drain(&kit, &queue, work.clone()).await, 0);
    kit.advance(secs(3600));
    drain(&kit, &queue, work.clone()).await;
    assert_eq!(handle.result::<u64>().await.unwrap(), 7);
}

#[tokio::test]
async fn a_parent_that_is_stored_anew_under_its_key_has_children_of_its_own() {
    let (kit, _) = kit().await;
    let parents = kit.client().queue("parents").keep_completed(Keep::Remove).declare().await;
    let parents = parents.unwrap();
    let children = kit.client().queue("children").declare().await.unwrap();
    let (to, log) = (children.clone(), Log::default());
    let seen = log.clone();
    let work = move |job: Number, ctx: Durable| {
        let (to, log) = (to.clone(), seen.clone());
        async move {
            if job.0 >= 100 {
                return Ok(job.0);
            }
            let child = ctx.spawn("one", to.enqueue(Number(job.0 + 100))).await?;
            let result: u64 = child.result().await?;
            log.add(format!("{result}"));
            Ok::<u64, JobError>(result)
        }
    };
    for day in 1..=3 {
        parents.enqueue(Number(day)).key("daily").await.unwrap();
        drain(&kit, &parents, work.clone()).await;
        drain(&kit, &children, work.clone()).await;
        drain(&kit, &parents, work.clone()).await;
        kit.advance(secs(3600));
    }
    assert_eq!(log.take(), ["101", "102", "103"]);
}

#[tokio::test]
async fn a_spawn_that_is_tried_again_is_the_same_spawn() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    // The child is stored, but nobody is told.
    let away = troubled(&kit, Trouble::AnswerLost, &["enqueue"]);
    let work = |_: Number, ctx: Durable| async move {
        let child = loop {
            match ctx.spawn("other", Other).await {
                Err(error) if error.is_transient() => {}
                answer => break answer?,
            }
        };
        child.result::<()>().await?;
        Ok::<_, JobError>(())
    };
    away.drain(|worker| worker.queue(&queue).handle(work).handle(|_: Other| async {}))
        .await
        .unwrap();
    assert_eq!(kit.jobs_of::<Other>().await.unwrap().len(), 1);
    assert_eq!(handle.state().await.unwrap(), State::Completed);
}

#[tokio::test]
async fn a_send_that_could_not_be_made_and_is_left_out_keeps_its_place() {
    let (kit, queue) = kit().await;
    let to = queue.enqueue(Other).delay(secs(3600)).await.unwrap();
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let away = troubled(&kit, Trouble::Fails, &["job"]);
    let work = move |_: Number, ctx: Durable| {
        let to = to.reference().clone();
        async move {
            let _ = ctx.send(to, "news", &1).await;
            ctx.step_sync("after", || Ok::<_, JobError>(())).await?;
            if ctx.attempt() == 1 { Err(JobError::new("again")) } else { Ok(()) }
        }
    };
    drain(&away, &queue, work.clone()).await;
    kit.advance(secs(60));
    drain(&kit, &queue, work).await;
    assert_eq!(handle.state().await.unwrap(), State::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_a_dying_process_has_enqueued_is_run_once_also_where_nothing_is_kept() {
    let (kit, queue) = kit().await;
    let fleeting = kit.client().queue("fleeting").keep_completed(Keep::Remove).declare().await;
    let fleeting = fleeting.unwrap();
    let handle = queue.enqueue(Number(0)).await.unwrap();
    let (to, log) = (fleeting.clone(), Log::default());
    let seen = log.clone();
    let work = move |job: Number, ctx: Durable| {
        let (to, log) = (to.clone(), seen.clone());
        async move {
            match job.0 {
                0 => ctx.enqueue("mail", to.enqueue(Number(1))).await.map(|_| ())?,
                _ => log.add("mail"),
            }
            Ok::<_, JobError>(())
        }
    };
    // It dies while it records what it has stored.
    let dying = troubled(&kit, LATE, &["record_steps"]);
    let died = tokio::time::timeout(secs(5), drain(&dying, &queue, work.clone())).await;
    died.unwrap_err();
    drain(&kit, &fleeting, work.clone()).await;
    kit.advance(secs(60));
    drain(&kit, &queue, work.clone()).await;
    drain(&kit, &fleeting, work).await;
    assert_eq!(handle.state().await.unwrap(), State::Completed);
    assert_eq!(log.take(), ["mail"]);
}
