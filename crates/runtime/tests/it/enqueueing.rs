//! What an enqueue answers.

use std::time::Duration;

use windlass_runtime::model::{JobRef, QueueName, State};
use windlass_runtime::{Context, Error};

use crate::support::{Number, Other, queue, store, until, worker};

#[tokio::test]
async fn wrong_names_are_refused_before_the_store_is_touched() {
    let (client, _) = store();
    let error = client.queue("not a name").declare().await.unwrap_err();
    assert!(matches!(error, Error::Name(_)), "{error}");
    let queue = client.queue("q").declare().await.unwrap();
    let error = queue.enqueue(Number(1)).key("").await.unwrap_err();
    assert!(matches!(error, Error::Name(_)), "{error}");
    // The first thing that was wrong is the one that is told.
    let error = queue.enqueue(Number(1)).partition("p").tag("a\0b").await.unwrap_err();
    assert!(error.to_string().starts_with("tag"), "{error}");
    assert_eq!(queue.stats().await.unwrap().jobs, [0; 8]);
}

#[tokio::test]
async fn the_same_name_gives_the_same_job() {
    let (queue, _) = queue().await;
    let first = queue.enqueue(Number(1)).key("k").await.unwrap();
    let second = queue.enqueue(Number(2)).key("k").await.unwrap();
    assert_eq!(first.id(), second.id());
    let by_name = queue.client().handle_by_key("q", "k").unwrap();
    assert_eq!(by_name.job().await.unwrap().payload.unwrap().as_slice(), b"1");
}

#[tokio::test]
async fn a_duplicate_is_an_error_that_carries_the_existing_job() {
    let (queue, _) = queue().await;
    let first = queue.enqueue(Number(1)).dedup("k").await.unwrap();
    match queue.enqueue(Number(2)).dedup("k").await.unwrap_err() {
        Error::Duplicate { existing, .. } => assert_eq!(existing, *first.reference()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_debounce_replaces_payload_and_moment_until_its_latest() {
    let (queue, clock) = queue().await;
    let (second, latest) = (Duration::from_secs(1), Some(Duration::from_secs(3)));
    let begin = clock.now();
    let mut ids = Vec::new();
    for n in 0..5 {
        let job = queue.enqueue(Number(n)).delay(second * 2).debounce("k", latest);
        ids.push(job.await.unwrap());
        clock.advance(second);
    }
    // Put off to 2 s, then to 3 s, and no further: from then on it is ready.
    let job = ids[0].job().await.unwrap();
    assert_eq!((job.state, job.place), (State::Waiting, begin.after(second * 3)));
    assert!(ids.iter().all(|handle| handle.id() == ids[0].id()));
    assert_eq!(job.payload.unwrap().as_slice(), b"4");
}

#[tokio::test]
async fn a_throttle_holds_its_key_whatever_becomes_of_the_job() {
    let (queue, clock) = queue().await;
    let period = Duration::from_secs(60);
    let first = queue.enqueue(Number(1)).throttle("k", period).await.unwrap();
    first.cancel().await.unwrap();
    let second = queue.enqueue(Number(2)).throttle("k", period).await.unwrap();
    assert_eq!(second.id(), first.id());
    clock.advance(period);
    let third = queue.enqueue(Number(3)).throttle("k", period).await.unwrap();
    assert_ne!(third.id(), first.id());
}

#[tokio::test]
async fn an_unknown_dependency_refuses_the_batch_and_no_other() {
    let (queue, _) = queue().await;
    let ghost = JobRef { queue: QueueName::new("q").unwrap(), id: "0".repeat(32).parse().unwrap() };
    let good = queue.enqueue(Number(1));
    let bad = queue.enqueue(Number(2)).after(ghost);
    let (good, bad) = tokio::join!(good.into_future(), bad.into_future());
    good.unwrap();
    assert!(matches!(bad.unwrap_err(), Error::Refused(_)));
}

#[tokio::test]
async fn a_batch_gives_each_job_its_own_choices_and_is_all_or_none() {
    let (client, _) = store();
    let queue = client.queue("q").partitioned().declare().await.unwrap();
    let jobs = (0..4).map(|n| queue.enqueue(Number(n)).partition(format!("p{}", n % 2)));
    let handles = client.enqueue_batch(jobs).await.unwrap();
    let third = handles[2].job().await.unwrap();
    assert_eq!(third.partition.unwrap().as_str(), "p0");
    let one_without = [queue.enqueue(Number(5)).partition("p"), queue.enqueue(Number(6))];
    let error = client.enqueue_batch(one_without).await.unwrap_err();
    assert!(matches!(error, Error::Job(_)), "{error}");
    assert_eq!(queue.stats().await.unwrap().count(State::Waiting), 4);
}

#[tokio::test]
async fn a_job_type_can_name_its_queue() {
    let (client, _) = store();
    let error = client.queue_of::<Other>().await.unwrap_err();
    assert!(error.to_string().contains("declare it first"), "{error}");
    client.queue("q").declare().await.unwrap();
    client.queue_of::<Other>().await.unwrap().enqueue(Other).await.unwrap();
    let none = client.queue_of::<Number>().await;
    assert!(matches!(none, Err(Error::NoQueue("number"))));
}

#[tokio::test]
async fn a_queue_cannot_change_what_its_order_depends_on() {
    let (client, _) = store();
    client.queue("q").concurrency(1).declare().await.unwrap();
    client.queue("q").concurrency(2).declare().await.unwrap();
    let error = client.queue("q").partitioned().declare().await.unwrap_err();
    assert!(matches!(error, Error::QueueConflict(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_flow_runs_in_the_order_of_its_graph_and_passes_results_on() {
    let (queue, _) = queue().await;
    let work = |job: Number, context: Context| async move {
        let below: Vec<u64> = context.dependency_results().await?;
        Ok::<_, windlass_runtime::JobError>(job.0 + below.iter().sum::<u64>())
    };
    let mut flow = queue.client().flow();
    let leaves: Vec<_> = (1..=100).map(|n| flow.add(queue.enqueue(Number(n))).unwrap()).collect();
    let middle = flow.add(queue.enqueue(Number(0)).after_all(leaves)).unwrap();
    let top = flow.add(queue.enqueue(Number(1000)).after(middle)).unwrap();
    let stored = flow.enqueue().await.unwrap();
    assert_eq!(stored.jobs.len(), 102);
    let worker = worker(&queue).handle(work).start().await.unwrap();
    assert_eq!(queue.client().handle(top).result::<u64>().await.unwrap(), 6050);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_takes_its_dependents_along_on_down_the_graph() {
    let (queue, _) = queue().await;
    let mut flow = queue.client().flow();
    let first = flow.add(queue.enqueue(Number(1))).unwrap();
    let second = flow.add(queue.enqueue(Number(2)).after(first.clone())).unwrap();
    let third = flow.add(queue.enqueue(Number(3)).after(second.clone())).unwrap();
    let stored = flow.enqueue().await.unwrap();
    assert_eq!(stored.jobs.len(), 3);
    // The first one alone; the others follow by themselves.
    assert!(queue.client().handle(first.clone()).cancel().await.unwrap());
    for job in [first, second, third] {
        let handle = queue.client().handle(job);
        until(&handle, State::Cancelled).await;
    }
}
