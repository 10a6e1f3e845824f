//! Servers of a test's own, which it does harm to (F28).

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::AssertSqlSafe;
use windlass_core::model::{JobId, State};
use windlass_core::{Backend, Error, ErrorKind};
use windlass_postgres::{PostgresBackend, sqlx};

use crate::fixture::*;
use crate::server::Server;

/// A server that nobody else uses, removed at the end.
struct Own {
    instance: &'static str,
    server: Server,
}

impl Own {
    fn start(instance: &'static str) -> Self {
        let said = services(instance, &["start"]);
        let line = said.lines().find_map(|line| line.strip_prefix("export DATABASE_URL="));
        let url = line.expect("services tells a URL").to_owned();
        Self { instance, server: Server::at(&url) }
    }

    /// Restarts it while others go on.
    async fn restart(&self, mode: &'static str) {
        let instance = self.instance;
        tokio::task::spawn_blocking(move || services(instance, &["restart", "postgres", mode]))
            .await
            .expect("restart");
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        services(self.instance, &["remove"]);
    }
}

fn services(instance: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
    let output = Command::new(script)
        .args(["--instance", instance, "--only", "postgres"])
        .args(arguments)
        // The server of the other tests is not to be harmed.
        .env_remove("DATABASE_URL")
        .output()
        .expect("scripts/services can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "services {arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

fn refused(answer: Result<impl Sized, Error>, words: &str) {
    let error = answer.err().expect("it is refused");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
    assert!(error.to_string().contains(words), "{error:#}");
}

/// Enqueues until it is told to stop; answers what was acknowledged, and how many
/// calls were refused.
async fn produce(backend: Arc<PostgresBackend>, stop: Arc<AtomicBool>) -> (Vec<JobId>, usize) {
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    while !stop.load(Ordering::SeqCst) {
        let batch = jobs(3);
        let ids: Vec<JobId> = batch.iter().map(|job| job.id).collect();
        match backend.enqueue(batch).await {
            Ok(_) => acknowledged.extend(ids),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
                refused += 1;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    }
    (acknowledged, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_under_load_loses_nothing_that_was_acknowledged() {
    let own = Own::start("restarts");
    let home = Home::on(own.server.clone());
    let backend = Arc::new(home.open().await);
    backend.declare(&spec()).await.unwrap();
    let mut all: HashSet<JobId> = HashSet::new();
    let mut refused = 0;
    for mode in ["fast", "immediate"] {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = (0..8)
            .map(|_| tokio::spawn(produce(Arc::clone(&backend), Arc::clone(&stop))))
            .collect();
        own.restart(mode).await;
        // The same handle goes on by itself.
        until("work resumes", || async { backend.enqueue(jobs(1)).await.is_ok() }).await;
        stop.store(true, Ordering::SeqCst);
        for task in tasks {
            let (acknowledged, errors) = task.await.unwrap();
            all.extend(acknowledged);
            refused += errors;
        }
    }
    let mut ended: HashSet<JobId> = HashSet::new();
    loop {
        let leased = take(&backend, 500).await;
        if leased.is_empty() {
            break;
        }
        apply(&backend, leased.iter().map(done).collect()).await;
        ended.extend(leased.iter().map(|job| job.id));
    }
    let lost = all.difference(&ended).count();
    assert_eq!(lost, 0, "of {} acknowledged", all.len());
    let stats = backend.stats(&queue()).await.unwrap();
    assert_eq!(stats.count(State::Completed), ended.len() as u64);
    eprintln!(
        "restarted fast and immediately under load: {} acknowledged, {refused} calls refused, \
         lost {lost}",
        all.len()
    );
    backend.close().await;
    drop(home);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_read_only_or_out_of_locks_for_a_while_is_told_and_left_again() {
    let own = Own::start("refusing");
    let home = Home::on(own.server.clone());
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    enqueue(&backend, jobs(2)).await;
    let leased = take(&backend, 1).await;

    // As after a failover: new sessions are read-only, and the old ones have ended.
    let mut operator = home.connection().await;
    let set = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only \
               = on', current_database()); END $$; \
               SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE application_name = 'windlass' AND usename = current_user \
               AND pid <> pg_backend_pid()";
    sqlx::raw_sql(set).execute(&mut operator).await.unwrap();
    until("it is read-only", || async {
        backend.enqueue(jobs(1)).await.is_err_and(|error| error.to_string().contains("read-only"))
    })
    .await;
    for _ in 0..10 {
        refused(backend.enqueue(jobs(1)).await, "connect to the primary");
        refused(backend.dequeue(ask(1)).await, "connect to the primary");
        refused(backend.apply(vec![done(&leased[0])]).await, "connect to the primary");
    }
    let reset = "SET default_transaction_read_only = off; \
                 DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET \
                 default_transaction_read_only', current_database()); END $$";
    sqlx::raw_sql(reset).execute(&mut operator).await.unwrap();
    // No connection is kept that leads to a server of which it was told so.
    apply(&backend, vec![done(&leased[0])]).await;
    enqueue(&backend, jobs(1)).await;
    assert_eq!(take(&backend, 10).await.len(), 2);
    eprintln!("read-only: 30 calls refused, resumed with the first call after it");

    // Locks of a session's own stay when the statement that took them fails: the
    // table of locks is full, for everybody.
    let mut held = 0_i64;
    loop {
        let text =
            format!("SELECT count(pg_advisory_lock({held} + n)) FROM generate_series(1, 64) n");
        match sqlx::query(AssertSqlSafe(text)).execute(&mut operator).await {
            Ok(_) => held += 64,
            Err(error) => {
                assert!(error.to_string().contains("shared memory"), "{error}");
                break;
            }
        }
        assert!(held < 10_000_000, "the table of locks has no end");
    }
    until("locks are short", || async {
        backend.dequeue(ask(1)).await.is_err_and(|error| {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
            error.to_string().contains("short of memory, locks or connections")
        })
    })
    .await;
    sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut operator).await.unwrap();
    enqueue(&backend, jobs(1)).await;
    let waiting = home.number("SELECT count(*) FROM windlass.ready").await;
    assert_eq!(take(&backend, 1000).await.len(), usize::try_from(waiting).unwrap());
    eprintln!("out of shared memory after {held} locks: refused, resumed when they were freed");
    backend.close().await;
}
