//! Handles on one file wake one another.

use futures_util::{FutureExt, StreamExt};
use rusqlite::TransactionBehavior;
use windlass_core::Backend;
use windlass_core::model::{Event, Interest, Notice};

use crate::fixture::{Home, declare, dequeue, enqueue, job, queue, success};

#[tokio::test]
async fn two_handles_on_one_file_wake_each_other() {
    let home = Home::new();
    let (one, other) = (home.open().await, home.open().await);
    declare(&one).await;
    let mut notices = other.watch(Interest::Work);
    enqueue(&one, [1]).await;
    assert_eq!(notices.next().await, Some(Notice::Anything));
    let mut notices = one.watch(Interest::Work);
    enqueue(&other, [2]).await;
    assert_eq!(notices.next().await, Some(Notice::Anything));
}

#[tokio::test]
async fn a_commit_of_the_callers_own_transaction_wakes_those_who_watch() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    let mut notices = backend.watch(Interest::Work);
    let mut conn = home.connection();
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    backend.enqueue_in(&tx, vec![job(1)]).unwrap();
    tx.commit().unwrap();
    assert_eq!(notices.next().await, Some(Notice::Anything));
}

#[tokio::test]
async fn work_of_the_same_handle_is_told_by_queue_and_once() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    let mut notices = backend.watch(Interest::Work);
    enqueue(&backend, [1]).await;
    enqueue(&backend, [2]).await;
    assert_eq!(notices.next().await, Some(Notice::Queue(queue())));
    assert_eq!(notices.next().now_or_never(), None);
}

#[tokio::test]
async fn what_happens_to_a_job_is_told_to_those_who_want_to_know() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    let notices = backend.watch(Interest::Jobs);
    enqueue(&backend, [1]).await;
    let leased = dequeue(&backend, 1).await.jobs;
    backend.apply(vec![success(&leased[0])]).await.unwrap();
    let reference = leased[0].reference();
    let expected = [Event::Enqueued, Event::Started, Event::Completed]
        .map(|event| Notice::Job { job: reference.clone(), event });
    assert_eq!(notices.take(3).collect::<Vec<_>>().await, expected);
}

#[tokio::test]
async fn the_stream_ends_with_the_backend() {
    let home = Home::new();
    let backend = home.open().await;
    let mut notices = backend.watch(Interest::Work);
    drop(backend);
    assert_eq!(notices.next().await, None);
}
