//! The testing kit.

use std::time::Duration;

use windlass_runtime::testing::Kit;
use windlass_runtime::{Error, Queue, model::State};

use crate::support::{Number, store};

async fn kit() -> (Kit, Queue) {
    let (client, clock) = store();
    let queue = client.queue("q").declare().await.unwrap();
    (Kit::new(client.backend().clone(), clock), queue)
}

#[tokio::test]
async fn a_drain_runs_what_is_ready_in_order_and_nothing_else() {
    let (kit, queue) = kit().await;
    queue.enqueue(Number(1)).priority(5).await.unwrap();
    queue.enqueue(Number(2)).priority(1).await.unwrap();
    queue.enqueue(Number(3)).delay(Duration::from_secs(60)).await.unwrap();
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    let work = move |job: Number| {
        send.send(job.0).unwrap();
        async {}
    };
    let drain = |worker: windlass_runtime::WorkerBuilder| worker.queue(&queue).handle(work.clone());
    assert_eq!(kit.drain(drain).await.unwrap(), 2);
    assert_eq!(kit.count::<Number>(State::Scheduled).await.unwrap(), 1);
    kit.advance(Duration::from_secs(60));
    assert_eq!(kit.drain(drain).await.unwrap(), 1);
    let mut order = Vec::new();
    while let Ok(n) = receive.try_recv() {
        order.push(n);
    }
    assert_eq!(order, [2, 1, 3]);
    assert_eq!(kit.enqueued::<Number>().await.unwrap(), [Number(1), Number(2), Number(3)]);
}

#[tokio::test]
async fn jobs_that_enqueue_each_other_are_drained_too_but_not_for_ever() {
    let (kit, queue) = kit().await;
    queue.enqueue(Number(3)).await.unwrap();
    let next = queue.clone();
    let work = move |job: Number| {
        let next = next.clone();
        async move {
            match job.0 {
                0 => Ok(()),
                n => next.enqueue(Number(n - 1)).await.map(drop),
            }
        }
    };
    let attempts = kit.drain(|worker| worker.queue(&queue).handle(work)).await.unwrap();
    assert_eq!(attempts, 4);

    let next = queue.clone();
    let endless = move |job: Number| {
        let next = next.clone();
        async move { next.enqueue(job).await.map(drop) }
    };
    queue.enqueue(Number(0)).await.unwrap();
    let error = kit.drain(|worker| worker.queue(&queue).handle(endless)).await.unwrap_err();
    assert!(matches!(error, Error::Endless(_)), "{error}");
}
