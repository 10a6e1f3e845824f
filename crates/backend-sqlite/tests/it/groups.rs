//! Calls that share a transaction.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;
use windlass_core::backend::Applied;
use windlass_core::model::{JobRef, State};
use windlass_core::{Backend, ErrorKind};

use crate::fixture::{Home, count, declare, dequeue, enqueue, job, queue, success};

#[tokio::test]
async fn a_damaged_row_fails_the_calls_that_read_it_and_no_other() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    enqueue(&backend, 1..=3).await;
    let leased = dequeue(&backend, 3).await.jobs;
    let damaged = JobRef { queue: queue(), id: leased[1].id };
    let connection = home.connection();
    let damage = "UPDATE windlass_jobs SET course = X'00' WHERE id = ?1";
    connection.execute(damage, [damaged.id.as_bytes()]).unwrap();
    // A job whose guard does not hold has to be read.
    let other = "UPDATE windlass_leases SET version = 9
                 WHERE job = (SELECT seq FROM windlass_jobs WHERE id = ?1)";
    connection.execute(other, [damaged.id.as_bytes()]).unwrap();

    let seen = backend.job(&damaged).await.unwrap_err();
    assert_eq!(seen.kind(), ErrorKind::Incompatible);
    let answer = backend.apply(leased.iter().map(success).collect()).await.unwrap();
    assert!(
        matches!(answer.outcomes[..], [Applied::Applied, Applied::Refused(_), Applied::Applied]),
        "{answer:?}"
    );
    assert_eq!(count(&backend, State::Completed).await, 2);
}

#[tokio::test]
async fn a_call_that_breaks_half_way_does_not_take_its_group_with_it() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    // A trigger makes one job impossible to store, as a full disk would.
    home.connection()
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON windlass_jobs WHEN new.payload = X'050505'
             BEGIN SELECT raise(ABORT, 'no room'); END",
        )
        .unwrap();
    // All of them are put into the inbox before any is awaited to its end.
    let answers = join_all((1..=9).map(|n| backend.enqueue(vec![job(n + 100), job(n)]))).await;
    for (n, answer) in (1..=9).zip(&answers) {
        assert_eq!(answer.is_err(), n == 5, "{n}: {answer:?}");
    }
    assert_eq!(count(&backend, State::Waiting).await, 16, "the batch of job 5 is whole: absent");
    let ids: Vec<_> = dequeue(&backend, 99).await.jobs.into_iter().map(|job| job.id).collect();
    assert_eq!(ids.len(), 16);
    assert!(!ids.contains(&job(105).id));
}

#[tokio::test]
async fn a_call_whose_future_is_dropped_has_happened_whole_or_not_at_all() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    for n in 0..50 {
        let mut call = backend.enqueue(vec![job(2 * n), job(2 * n + 1)]);
        // It is asked for, and then nobody waits for it any more.
        assert!((&mut call).now_or_never().is_none());
        drop(call);
    }
    let stored = backend.close_and_count(&home).await;
    assert_eq!(stored % 2, 0);
}

/// Reads after everything that was asked for is done.
trait CloseAndCount {
    async fn close_and_count(self, home: &Home) -> u64;
}

impl CloseAndCount for windlass_sqlite::SqliteBackend {
    async fn close_and_count(self, home: &Home) -> u64 {
        self.close().await;
        count(&home.open().await, State::Waiting).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_never_reaches_a_caller_however_many_handles_write() {
    let home = Home::new();
    let first = home.open().await;
    declare(&first).await;
    let mut backends = vec![Arc::new(first)];
    for _ in 0..3 {
        backends.push(Arc::new(home.open().await));
    }
    let tasks: Vec<_> = (0..8_u8)
        .map(|task| {
            let backend = Arc::clone(&backends[usize::from(task) % backends.len()]);
            tokio::spawn(async move {
                for n in 0..25 {
                    enqueue(&backend, [task * 30 + n]).await;
                    let leased = dequeue(&backend, 1).await.jobs;
                    backend.apply(leased.iter().map(success).collect()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let stats = backends[0].stats(&queue()).await.unwrap();
    assert_eq!(stats.count(State::Completed) + stats.count(State::Waiting), 200);
    assert_eq!(stats.leases, 0);
}
