//! Notices are hints: they may go missing, and slow nobody down (F24, F25).

use std::time::Duration;

use futures_util::StreamExt;
use sqlx::Connection;
use sqlx::postgres::PgListener;
use windlass_core::Backend;
use windlass_core::model::{Interest, Notice};
use windlass_postgres::{Listen, PostgresBackend, sqlx};

use crate::fixture::*;

/// A store whose connections can be told apart by their name.
async fn named(home: &Home) -> PostgresBackend {
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    backend
}

/// The listening connections of this schema: its channels have its name.
fn listeners(home: &Home) -> String {
    format!(
        "FROM pg_stat_activity WHERE application_name = 'windlass listener' \
         AND query LIKE '%windlass_{}_%'",
        home.schema
    )
}

/// Waits for a notice of the queue, within the patience of a test.
async fn hear(stream: &mut windlass_core::backend::NoticeStream) {
    let heard = async {
        while let Some(notice) = stream.next().await {
            if matches!(notice, Notice::Queue(_) | Notice::Anything) {
                return;
            }
        }
        panic!("the stream has ended");
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("a notice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminated_listener_comes_back_and_polling_suffices_meanwhile() {
    let home = Home::new();
    let worker = named(&home).await;
    let producer = home.open().await;
    let mut stream = worker.watch(Interest::Work);
    let count = format!("SELECT count(*) {}", listeners(&home));
    until("somebody listens", || async { home.number(&count).await == 1 }).await;
    const TIMES: usize = 5;
    for _ in 0..TIMES {
        let pid = home.number(&format!("SELECT pid::bigint {}", listeners(&home))).await;
        let ended =
            home.number(&format!("SELECT pg_terminate_backend({pid}::int)::int::bigint")).await;
        assert_eq!(ended, 1);
        enqueue(&producer, jobs(1)).await;
        // By polling, whatever became of the notice.
        assert_eq!(take(&worker, 10).await.len(), 1);
        let another = format!("SELECT count(*) {} AND pid <> {pid}", listeners(&home));
        until("somebody listens again", || async { home.number(&another).await == 1 }).await;
        // It says once that something may have been missed; drain that.
        hear(&mut stream).await;
        while tokio::time::timeout(Duration::from_millis(200), stream.next()).await.is_ok() {}
        enqueue(&producer, jobs(1)).await;
        hear(&mut stream).await;
        assert_eq!(take(&worker, 10).await.len(), 1);
    }
    eprintln!("{TIMES} listeners terminated: jobs not picked up 0, notices lost for good 0");
}

/// Listens as any other program could.
async fn overhear(home: &Home) -> PgListener {
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect_with(home.config().server)
        .await
        .unwrap();
    let mut listener = PgListener::connect_with(&pool).await.unwrap();
    let names: Vec<String> =
        (0..64).map(|channel| format!("windlass_{}_{channel}", home.schema)).collect();
    listener.listen_all(names.iter().map(String::as_str)).await.unwrap();
    listener
}

/// Sends a notice of the test's own, and counts those that came before it.
async fn count_notices(home: &Home, listener: &mut PgListener) -> usize {
    listener.listen(&home.schema).await.unwrap();
    home.run(&format!("NOTIFY {}", home.schema)).await;
    let mut count = 0;
    loop {
        let notice = tokio::time::timeout(PATIENCE, listener.recv()).await.unwrap().unwrap();
        if notice.channel() == home.schema {
            return count;
        }
        assert_eq!(notice.payload(), "", "a notice is empty");
        count += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_enqueues_send_few_notices_and_those_are_empty() {
    let home = Home::new();
    let backend = named(&home).await;
    let mut listener = overhear(&home).await;
    let begin = tokio::time::Instant::now();
    let calls = (0..1000).map(|_| backend.enqueue(jobs(1)));
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    assert_eq!(home.number("SELECT count(*) FROM windlass.jobs").await, 1000);
    let took = begin.elapsed();
    // One comes at once, whatever became of the others.
    let first = tokio::time::timeout(PATIENCE, listener.recv()).await.expect("a notice").unwrap();
    assert_eq!(first.payload(), "", "a notice is empty");
    let count = 1 + count_notices(&home, &mut listener).await;
    // One at once, and then one in each 5 ms of however long it took.
    let bound = 2 + usize::try_from(took.as_millis() / 5).unwrap();
    assert!(count <= bound, "{count} notices in {took:?}");
    eprintln!("1,000 enqueues in {took:?}: {count} notices, all empty (at most {bound})");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_notice_is_sent_from_inside_a_users_transaction() {
    let home = Home::new();
    let backend = home.open().await;
    let mut listener = overhear(&home).await;
    backend.declare(&spec()).await.unwrap();
    // That sends one.
    tokio::time::timeout(PATIENCE, listener.recv()).await.unwrap().unwrap();
    let mut connection = home.connection().await;
    const TIMES: usize = 50;
    for _ in 0..TIMES {
        let mut transaction = connection.begin().await.unwrap();
        backend.enqueue_in(&mut transaction, jobs(2)).await.unwrap();
        transaction.commit().await.unwrap();
    }
    // The server delivers in the order of the commits.
    assert_eq!(count_notices(&home, &mut listener).await, 0);
    assert_eq!(take(&backend, 1000).await.len(), 2 * TIMES);
    eprintln!("{TIMES} transactions of a user's: 0 notices");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_notices_switched_off_nobody_listens_and_jobs_are_found() {
    let home = Home::new();
    let mut config = home.config();
    config.listen = Listen::Off;
    let backend = PostgresBackend::connect(config).await.unwrap();
    backend.declare(&spec()).await.unwrap();
    let _stream = backend.watch(Interest::Work);
    enqueue(&backend, jobs(3)).await;
    assert_eq!(take(&backend, 10).await.len(), 3);
    assert_eq!(home.number(&format!("SELECT count(*) {}", listeners(&home))).await, 0);
}
