//! The bound at which a dequeue begins to look, by hand: each way in which a job
//! comes to stand before it.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use windlass_core::Backend;
use windlass_core::decide::Outcome;
use windlass_core::model::{JobId, ManualClock};
use windlass_postgres::{PostgresBackend, sqlx};

use crate::fixture::*;

/// More dequeues than there are between two checkpoints.
const ROUNDS: usize = 60;

/// Enqueues and leases jobs, so that the bound moves on and checkpoints are
/// written; every one of them is found.
async fn move_on(backend: &PostgresBackend) {
    for _ in 0..ROUNDS {
        let batch = jobs(3);
        let expected: Vec<JobId> = batch.iter().map(|job| job.id).collect();
        enqueue(backend, batch).await;
        let leased = take(backend, 3).await;
        assert_eq!(leased.iter().map(|job| job.id).collect::<Vec<_>>(), expected);
        apply(backend, leased.iter().map(done).collect()).await;
    }
}

async fn ids_of(backend: &PostgresBackend) -> Vec<JobId> {
    take(backend, 10_000).await.iter().map(|job| job.id).collect()
}

/// Leases five jobs in a transaction that stays open, and answers its process.
async fn lease_and_wait(home: &Home, connection: &mut PgConnection) -> i32 {
    let mut transaction = connection.begin().await.unwrap();
    let text = "SELECT count(*) FROM windlass.dequeue(NULL, 'q', \
                '00000000-0000-0000-0000-000000000001', 5, 60000000)";
    let rows: i64 = sqlx::query_scalar(home.sql(text)).fetch_one(&mut *transaction).await.unwrap();
    assert_eq!(rows, 6, "five jobs and a head");
    let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *transaction).await;
    // Left as it is: what becomes of the connection decides.
    std::mem::forget(transaction);
    pid.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_transaction_commits_late_is_found_though_the_bound_has_moved_on() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    let mut connection = home.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    let late = jobs(2);
    let expected: Vec<JobId> = late.iter().map(|job| job.id).collect();
    backend.enqueue_in(&mut transaction, late).await.unwrap();
    move_on(&backend).await;
    assert!(ids_of(&backend).await.is_empty());
    transaction.commit().await.unwrap();
    assert_eq!(ids_of(&backend).await, expected);
    eprintln!("found after {ROUNDS} rounds: {} of {}", expected.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_job_whose_transaction_commits_late_is_found_at_its_moment() {
    let home = Home::new();
    let clock = ManualClock::new();
    let backend = home.open_by(&clock).await;
    backend.declare(&spec()).await.unwrap();
    let mut connection = home.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    let late = due_after(Duration::from_secs(1));
    let id = late.id;
    backend.enqueue_in(&mut transaction, vec![late]).await.unwrap();
    for _ in 0..ROUNDS {
        // Each of these comes later than the one that is not there yet.
        enqueue(&backend, vec![due_after(Duration::from_secs(2))]).await;
        clock.advance(Duration::from_secs(2));
        assert_eq!(take(&backend, 10).await.len(), 1);
    }
    transaction.commit().await.unwrap();
    assert_eq!(ids_of(&backend).await, [id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writing_transaction_that_stays_open_hides_no_job_of_others() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    let mut connection = home.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    backend.enqueue_in(&mut transaction, jobs(1)).await.unwrap();
    for _ in 0..5 {
        move_on(&backend).await;
    }
    transaction.rollback().await.unwrap();
    assert!(ids_of(&backend).await.is_empty());
    eprintln!("leased beside an open transaction: {}", 5 * ROUNDS * 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_better_rank_that_comes_later_goes_first_and_hides_none() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    let mut expected = Vec::new();
    // From the worst to the best, more than stand alone in a checkpoint.
    for priority in (0..200).rev() {
        let job = with_priority(priority);
        expected.push(job.id);
        enqueue(&backend, vec![job]).await;
        let first = take(&backend, 1).await.remove(0);
        assert_eq!(Some(&first.id), expected.last());
        apply(&backend, vec![settle(&first, Outcome::Release)]).await;
    }
    expected.reverse();
    assert_eq!(ids_of(&backend).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_handed_back_returns_to_its_old_place_before_the_bound() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    enqueue(&backend, jobs(4)).await;
    let old = take(&backend, 4).await;
    move_on(&backend).await;
    enqueue(&backend, jobs(1)).await;
    let newer = take(&backend, 1).await.remove(0);
    apply(&backend, vec![settle(&newer, Outcome::Release)]).await;
    apply(&backend, old.iter().map(|job| settle(job, Outcome::Release)).collect()).await;
    let mut expected: Vec<JobId> = old.iter().map(|job| job.id).collect();
    expected.push(newer.id);
    assert_eq!(ids_of(&backend).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_a_dequeue_that_was_undone_come_back() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    let batch = jobs(5);
    let expected: Vec<JobId> = batch.iter().map(|job| job.id).collect();
    enqueue(&backend, batch).await;
    for ending in ["pg_terminate_backend", "ROLLBACK"] {
        let mut connection = home.connection().await;
        let pid = lease_and_wait(&home, &mut connection).await;
        assert!(ids_of(&backend).await.is_empty(), "they are taken");
        move_on(&backend).await;
        match ending {
            "ROLLBACK" => {
                sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
            }
            _ => {
                home.run(&format!("SELECT pg_terminate_backend({pid})")).await;
                let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
                until("the process ends", || async { home.number(&gone).await == 0 }).await;
            }
        }
        let back = take(&backend, 10).await;
        assert_eq!(back.iter().map(|job| job.id).collect::<Vec<_>>(), expected, "{ending}");
        let release = back.iter().map(|job| settle(job, Outcome::Release)).collect();
        apply(&backend, release).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_was_begun_by_hand_is_the_users_own_as_well() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    let mut connection = home.connection().await;
    for (end, expected) in [("ROLLBACK", 0), ("COMMIT", 3)] {
        sqlx::raw_sql("BEGIN").execute(&mut connection).await.unwrap();
        backend.enqueue_in(&mut connection, jobs(2)).await.unwrap();
        // One that fails undoes itself and nothing else.
        let unknown = windlass_core::model::NewJob {
            queue: windlass_core::model::QueueName::new("nowhere").unwrap(),
            ..jobs(1).remove(0)
        };
        backend.enqueue_in(&mut connection, vec![unknown]).await.unwrap();
        backend.enqueue_in(&mut connection, jobs(1)).await.unwrap();
        assert!(ids_of(&backend).await.is_empty(), "not yet");
        sqlx::raw_sql(end).execute(&mut connection).await.unwrap();
        assert_eq!(ids_of(&backend).await.len(), expected, "{end}");
    }
    // Without one it is refused: nothing would say when it ends.
    assert!(backend.enqueue_in(&mut connection, jobs(2)).await.is_err());
    assert!(ids_of(&backend).await.is_empty());
}
