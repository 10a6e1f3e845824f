//! Messages and values (rule W4).

use windlass_runtime::model::State;
use windlass_runtime::{Durable, Error, JobError, JobHandle};

use super::{drain, kit, secs};
use crate::support::Number;

async fn three(_: Number, ctx: Durable) -> Result<Vec<u32>, JobError> {
    let mut got = Vec::new();
    for topic in ["a", "b", "a"] {
        got.push(ctx.receive(topic).await?);
    }
    Ok(got)
}

#[tokio::test]
async fn messages_come_by_topic_in_order_each_once_also_those_sent_before_the_start() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    handle.send("a", &1).await.unwrap();
    handle.send("a", &2).await.unwrap();
    assert_eq!(drain(&kit, &queue, three).await, 1);
    let job = handle.job().await.unwrap();
    assert_eq!((job.state, job.lease), (State::Scheduled, None));
    // Not for this topic.
    handle.send("c", &9).await.unwrap();
    assert_eq!(drain(&kit, &queue, three).await, 0);
    handle.send("b", &3).await.unwrap();
    assert_eq!(drain(&kit, &queue, three).await, 1);
    assert_eq!(handle.result::<Vec<u32>>().await.unwrap(), [1, 3, 2]);
}

#[tokio::test]
async fn a_receive_times_out_by_the_stores_clock_and_stays_so() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let work = |_: Number, ctx: Durable| async move {
        let late = ctx.receive::<u32>("a").timeout(secs(10)).await;
        if !matches!(&late, Err(Error::NoMessage(topic)) if topic == "a") {
            return Err(JobError::permanent(format!("{late:?}")));
        }
        if ctx.attempt() == 1 {
            return Err(JobError::new("again"));
        }
        Ok(ctx.receive::<u32>("a").timeout(secs(10)).await?)
    };
    drain(&kit, &queue, work).await;
    kit.advance(secs(9));
    assert_eq!(drain(&kit, &queue, work).await, 0);
    kit.advance(secs(1));
    assert_eq!(drain(&kit, &queue, work).await, 1);
    handle.send("a", &7).await.unwrap();
    kit.advance(secs(60));
    // The first one has timed out for good; the second gets what came.
    assert_eq!(drain(&kit, &queue, work).await, 1);
    assert_eq!(handle.result::<u32>().await.unwrap(), 7);
}

#[tokio::test]
async fn a_message_with_a_name_comes_once_and_none_to_those_who_are_gone_or_have_ended() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    for _ in 0..3 {
        handle.send_once("a", "the one", &1).await.unwrap();
    }
    handle.send("a", &2).await.unwrap();
    handle.send("b", &3).await.unwrap();
    drain(&kit, &queue, three).await;
    assert_eq!(handle.result::<Vec<u32>>().await.unwrap(), [1, 3, 2]);
    assert!(matches!(handle.send("a", &4).await, Err(Error::Ended(id)) if id == handle.id()));
    handle.remove().await.unwrap();
    assert!(matches!(handle.send("a", &4).await, Err(Error::Gone(id)) if id == handle.id()));
}

#[tokio::test]
async fn a_job_sends_a_message_once_however_often_it_is_tried() {
    let (kit, queue) = kit().await;
    let receiver = kit.client().queue("r").declare().await.unwrap();
    let to = receiver.enqueue(Number(1)).await.unwrap();
    let sender = queue.enqueue(Number(2)).await.unwrap();
    let target: JobHandle = kit.client().handle(to.reference().clone());
    let work = move |_: Number, ctx: Durable| {
        let to = target.clone();
        async move {
            ctx.send(&to, "a", &5).await?;
            ctx.send(&to, "b", &6).await?;
            ctx.send(&to, "a", &7).await?;
            if ctx.attempt() < 3 { Err(JobError::new("again")) } else { Ok(()) }
        }
    };
    for _ in 0..3 {
        drain(&kit, &queue, work.clone()).await;
        kit.advance(secs(60));
    }
    assert_eq!(sender.state().await.unwrap(), State::Completed);
    drain(&kit, &receiver, three).await;
    assert_eq!(to.result::<Vec<u32>>().await.unwrap(), [5, 6, 7]);
    let steps = kit.client().backend().steps(to.reference()).await.unwrap();
    assert_eq!(steps.len(), 6, "three messages, each received once: {steps:?}");
}

#[tokio::test]
async fn a_message_that_comes_while_the_job_is_about_to_wait_is_not_missed() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let other = kit.client().handle(handle.reference().clone());
    let work = move |_: Number, ctx: Durable| {
        let other = other.clone();
        async move {
            // Behind the look at what is there, and before the job is suspended.
            ctx.random().await?;
            other.send_once("a", "it", &1).await?;
            Ok::<u32, JobError>(ctx.receive("a").await?)
        }
    };
    assert_eq!(drain(&kit, &queue, work).await, 2);
    assert_eq!(handle.result::<u32>().await.unwrap(), 1);
}

#[tokio::test]
async fn values_can_be_read_by_others_and_the_last_one_counts() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let work = |_: Number, ctx: Durable| async move {
        ctx.set_value("stage", "begun").await?;
        ctx.sleep(secs(10)).await?;
        ctx.set_value("stage", "done").await
    };
    assert_eq!(handle.value::<String>("stage").await.unwrap(), None);
    drain(&kit, &queue, work).await;
    assert_eq!(handle.value::<String>("stage").await.unwrap().unwrap(), "begun");
    assert_eq!(handle.value::<String>("other").await.unwrap(), None);
    kit.advance(secs(10));
    drain(&kit, &queue, work).await;
    assert_eq!(handle.value::<String>("stage").await.unwrap().unwrap(), "done");
    assert!(matches!(handle.value::<u32>("stage").await, Err(Error::Decode { .. })));

    // A job that reads one sees the same in every attempt.
    let of = handle.reference().clone();
    let reader = queue.enqueue(Number(2)).await.unwrap();
    let work = move |_: Number, ctx: Durable| {
        let of = of.clone();
        async move { ctx.value::<String>(of, "stage").await }
    };
    drain(&kit, &queue, work).await;
    assert_eq!(reader.result::<Option<String>>().await.unwrap().unwrap(), "done");
}

#[tokio::test]
async fn two_receives_at_once_get_a_message_each() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let work = |_: Number, ctx: Durable| async move {
        let (a, b) = tokio::try_join!(ctx.receive::<u32>("a").into_future(), async {
            ctx.receive::<u32>("a").await
        })?;
        Ok::<_, JobError>((a, b))
    };
    handle.send("a", &1).await.unwrap();
    drain(&kit, &queue, work).await;
    assert_eq!(handle.state().await.unwrap(), State::Scheduled);
    handle.send("a", &2).await.unwrap();
    drain(&kit, &queue, work).await;
    assert_eq!(handle.result::<(u32, u32)>().await.unwrap(), (1, 2));
}

#[tokio::test]
async fn a_message_of_one_life_of_a_job_does_not_stand_in_the_way_of_the_next() {
    let (kit, queue) = kit().await;
    let senders = kit.client().queue("s").keep_completed(windlass_runtime::model::Keep::Remove);
    let senders = senders.declare().await.unwrap();
    let to = queue.enqueue(Number(1)).await.unwrap();
    let target = to.reference().clone();
    let work = move |job: Number, ctx: Durable| {
        let to = target.clone();
        async move { ctx.send(to, "a", &job.0).await }
    };
    for day in [7, 8] {
        senders.enqueue(Number(day)).key("daily").await.unwrap();
        drain(&kit, &senders, work.clone()).await;
        kit.advance(secs(60));
    }
    let both = |_: Number, ctx: Durable| async move {
        let first: u64 = ctx.receive("a").await?;
        Ok::<_, JobError>((first, ctx.receive::<u64>("a").await?))
    };
    drain(&kit, &queue, both).await;
    assert_eq!(to.result::<(u64, u64)>().await.unwrap(), (7, 8));
}
