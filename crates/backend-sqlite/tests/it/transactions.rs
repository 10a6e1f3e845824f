//! Enqueuing and settling inside the caller's own transaction (rules E6 and
//! R6).

use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::TransactionBehavior;
use windlass_core::backend::{Applied, EnqueueAnswer, Enqueued, Refusal};
use windlass_core::model::{QueueName, State};
use windlass_core::{Backend, ErrorKind};
use windlass_sqlite::{Neighbours, SqliteBackend};

use crate::fixture::{Home, count, declare, dequeue, enqueue, job, queue, success};

#[tokio::test]
async fn e6_a_job_exists_if_and_only_if_the_callers_transaction_commits() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    let mut conn = home.connection();
    conn.execute_batch("CREATE TABLE orders (id INTEGER)").unwrap();

    for commits in [false, true] {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        tx.execute("INSERT INTO orders VALUES (1)", []).unwrap();
        let answer = backend.enqueue_in(&tx, vec![job(1), job(2)]).unwrap();
        assert!(matches!(
            answer,
            EnqueueAnswer::Stored { outcomes, .. } if outcomes == [Enqueued::Stored, Enqueued::Stored]
        ));
        assert_eq!(count(&backend, State::Waiting).await, 0, "not before the commit");
        if commits {
            tx.commit().unwrap();
        } else {
            tx.rollback().unwrap();
        }
        assert_eq!(count(&backend, State::Waiting).await, if commits { 2 } else { 0 });
    }
    let orders: i64 = conn.query_row("SELECT count(*) FROM orders", [], |r| r.get(0)).unwrap();
    assert_eq!(orders, 1);
    let leased = dequeue(&backend, 5).await.jobs;
    assert_eq!(leased.iter().map(|job| job.id).collect::<Vec<_>>(), [job(1).id, job(2).id]);
}

#[tokio::test]
async fn r6_a_completion_and_the_handlers_writes_commit_together_or_not_at_all() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    enqueue(&backend, [1]).await;
    let leased = dequeue(&backend, 1).await.jobs.remove(0);
    let mut conn = home.connection();
    conn.execute_batch("CREATE TABLE effects (id INTEGER)").unwrap();

    for commits in [false, true] {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        tx.execute("INSERT INTO effects VALUES (1)", []).unwrap();
        let answer = backend.apply_in(&tx, &[success(&leased)]).unwrap();
        assert!(matches!(answer.outcomes[..], [Applied::Applied]), "{answer:?}");
        if commits {
            tx.commit().unwrap();
        } else {
            tx.rollback().unwrap();
        }
        let expected = if commits { State::Completed } else { State::Active };
        let seen = backend.job(&leased.reference()).await.unwrap().unwrap();
        assert_eq!(seen.job.state, expected);
        assert_eq!(count(&backend, expected).await, 1);
    }
    let effects: i64 = conn.query_row("SELECT count(*) FROM effects", [], |r| r.get(0)).unwrap();
    assert_eq!(effects, 1);
}

#[tokio::test]
async fn a_stale_lease_cannot_complete_a_job_inside_a_transaction_either() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    enqueue(&backend, [1]).await;
    let leased = dequeue(&backend, 1).await.jobs.remove(0);
    backend.apply(vec![success(&leased)]).await.unwrap();
    let mut conn = home.connection();
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let answer = backend.apply_in(&tx, &[success(&leased)]).unwrap();
    assert!(matches!(answer.outcomes[..], [Applied::Stale(_)]), "{answer:?}");
}

#[tokio::test]
async fn a_batch_that_is_refused_leaves_the_rest_of_the_transaction_alone() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    let mut conn = home.connection();
    conn.execute_batch("CREATE TABLE orders (id INTEGER)").unwrap();
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    tx.execute("INSERT INTO orders VALUES (7)", []).unwrap();
    let mut lost = job(2);
    lost.queue = QueueName::new("unknown").unwrap();
    match backend.enqueue_in(&tx, vec![job(1), lost]).unwrap() {
        EnqueueAnswer::Refused { index: 1, why: Refusal::UnknownQueue(_), jobs } => {
            assert_eq!(jobs.len(), 2);
        }
        answer => panic!("{answer:?}"),
    }
    tx.commit().unwrap();
    let orders: i64 = conn.query_row("SELECT sum(id) FROM orders", [], |r| r.get(0)).unwrap();
    assert_eq!(orders, 7);
    assert_eq!(count(&backend, State::Waiting).await, 0);
}

#[tokio::test]
async fn a_transaction_on_another_file_is_an_error_that_says_so() {
    let (home, other) = (Home::new(), Home::new());
    let backend = home.open().await;
    declare(&backend).await;
    // Once without any jobs in it, once with the jobs of another store.
    for opened in [false, true] {
        if opened {
            declare(&other.open().await).await;
        }
        let mut conn = other.connection();
        let tx = conn.transaction().unwrap();
        let error = backend.enqueue_in(&tx, vec![job(1)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("another file"), "{error}");
        drop(tx);
        assert!(conn.is_autocommit());
    }
}

#[tokio::test]
async fn a_file_that_is_only_attached_is_another_file() {
    let (home, other) = (Home::new(), Home::new());
    let backend = home.open().await;
    declare(&backend).await;
    let mut conn = other.connection();
    conn.execute_batch("CREATE TABLE orders (id INTEGER)").unwrap();
    conn.execute("ATTACH ?1 AS jobs", [home.path().to_str().unwrap()]).unwrap();
    let tx = conn.transaction().unwrap();
    // A crash could keep the one half without the other.
    let error = backend.enqueue_in(&tx, vec![job(1)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    drop(tx);
    assert_eq!(count(&backend, State::Waiting).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deferred_transaction_that_begins_with_an_enqueue_waits_for_its_turn() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    let mut others = home.connection();
    let writing = others.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let mut conn = home.connection();
    // Whoever waits asks here whether to go on: by then it is known that it waits.
    static ASKED: AtomicBool = AtomicBool::new(false);
    conn.busy_handler(Some(|_| {
        ASKED.store(true, Ordering::SeqCst);
        std::thread::yield_now();
        true
    }))
    .unwrap();
    let (by, enqueued) = (backend.clone(), std::sync::mpsc::channel());
    let call = std::thread::spawn(move || {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Deferred).unwrap();
        let answer = by.enqueue_in(&tx, vec![job(1)]);
        enqueued.0.send(()).unwrap();
        answer.map(|_| tx.commit().unwrap())
    });
    while !ASKED.load(Ordering::SeqCst) && enqueued.1.try_recv().is_err() {
        std::thread::yield_now();
    }
    writing.commit().unwrap();
    call.join().unwrap().expect("it has waited");
    assert_eq!(count(&backend, State::Waiting).await, 1);
}

#[tokio::test]
async fn a_transaction_that_was_overtaken_fails_clearly_and_changes_nothing() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    let mut conn = home.connection();
    let tx = conn.transaction_with_behavior(TransactionBehavior::Deferred).unwrap();
    // It has read, somebody writes, and now it cannot write any more.
    let _: i64 = tx.query_row("SELECT count(*) FROM windlass_jobs", [], |r| r.get(0)).unwrap();
    enqueue(&backend, [1]).await;
    let error = backend.enqueue_in(&tx, vec![job(2)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("BEGIN IMMEDIATE"), "{error}");
    drop(tx);
    assert_eq!(count(&backend, State::Waiting).await, 1);
}

#[tokio::test]
async fn jobs_stand_beside_the_applications_tables_if_they_are_welcome() {
    let home = Home::new();
    home.connection().execute_batch("CREATE TABLE orders (id INTEGER)").unwrap();
    let mut config = home.config();
    config.neighbours = Neighbours::Welcome;
    let backend = SqliteBackend::open(config).await.unwrap();
    declare(&backend).await;
    let mut conn = home.connection();
    let mark: i64 = conn.query_row("PRAGMA application_id", [], |r| r.get(0)).unwrap();
    assert_eq!(mark, 0, "the file is the application's");
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    tx.execute("INSERT INTO orders VALUES (1)", []).unwrap();
    backend.enqueue_in(&tx, vec![job(1)]).unwrap();
    tx.commit().unwrap();
    assert_eq!(dequeue(&backend, 1).await.jobs.len(), 1);
    assert_eq!(backend.queues().await.unwrap()[0].spec.name, queue());
}
