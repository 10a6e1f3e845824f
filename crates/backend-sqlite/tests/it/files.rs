//! Whose file it is, and what cannot be opened.

use std::sync::Arc;
use std::time::Duration;

use windlass_core::decide::control::Wish;
use windlass_core::decide::{self, JobRequest};
use windlass_core::model::{JobId, JobRef, JobType, Payload, State, When};
use windlass_core::{Backend, BackendExt, Error, ErrorKind};
use windlass_sqlite::{SqliteBackend, SqliteConfig};

use crate::fixture::{Home, count, declare, dequeue, enqueue, job, queue};

async fn refused(config: SqliteConfig) -> Error {
    SqliteBackend::open(config).await.unwrap_err()
}

#[tokio::test]
async fn a_store_is_found_again_as_it_was_left() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    enqueue(&backend, 1..=5).await;
    dequeue(&backend, 2).await;
    backend.close().await;
    let files: Vec<_> = std::fs::read_dir(home.path().parent().unwrap()).unwrap().collect();
    assert_eq!(files.len(), 1, "the log is gone with the last connection: {files:?}");

    let again = home.open().await;
    assert_eq!(count(&again, State::Active).await, 2);
    assert_eq!(count(&again, State::Waiting).await, 3);
    assert_eq!(dequeue(&again, 9).await.jobs.len(), 3);
}

#[tokio::test]
async fn somebody_elses_database_is_left_alone() {
    let home = Home::new();
    let conn = home.connection();
    conn.execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    let error = refused(home.config()).await;
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    for hint in ["bookmarks", "Neighbours::Welcome"] {
        assert!(error.to_string().contains(hint), "{error}");
    }
    let mode: String = conn.query_row("PRAGMA journal_mode", [], |r| r.get(0)).unwrap();
    assert_eq!(mode, "delete", "nothing of it has changed");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let home = Home::new();
    home.open().await.close().await;
    home.connection().execute_batch("UPDATE windlass_meta SET schema = 1000").unwrap();
    let error = refused(home.config()).await;
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.to_string().contains("schema 1000"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_kept() {
    let home = Home::new();
    std::fs::write(home.path(), "a letter, and a long one too. ".repeat(99)).unwrap();
    let error = refused(home.config()).await;
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(std::fs::read(home.path()).unwrap().starts_with(b"a letter"));
}

#[tokio::test]
async fn a_directory_that_does_not_exist_is_not_created() {
    let home = Home::new();
    let mut config = home.config();
    config.path = home.path().join("no/such/place.db");
    let error = refused(config).await;
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.to_string().contains("directory"), "{error}");
}

#[tokio::test]
async fn a_database_in_memory_is_refused_with_what_to_use_instead() {
    let error = refused(SqliteConfig::new(":memory:")).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("in-memory backend"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_handles_that_open_a_new_file_at_once_create_one_store() {
    let home = Arc::new(Home::new());
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let home = Arc::clone(&home);
            tokio::spawn(async move { home.open().await })
        })
        .collect();
    let mut backends = Vec::new();
    for backend in opening {
        backends.push(backend.await.unwrap());
    }
    declare(&backends[0]).await;
    enqueue(&backends[1], 1..=3).await;
    assert_eq!(count(&backends[2], State::Waiting).await, 3);
    for backend in backends {
        assert_eq!(backend.queues().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn the_number_of_a_removed_job_is_not_handed_out_again() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    enqueue(&backend, 1..=3).await;
    let last = JobRef { queue: queue(), id: job(3).id };
    let seq = backend.job(&last).await.unwrap().unwrap().job.seq;
    assert!(backend.control(&last, Wish::Remove).await.unwrap());
    backend.close().await;

    let again = home.open().await;
    enqueue(&again, [4]).await;
    let new = JobRef { queue: queue(), id: job(4).id };
    assert!(again.job(&new).await.unwrap().unwrap().job.seq > seq);
}

#[tokio::test]
async fn figures_are_right_however_many_jobs_have_become_due_unseen() {
    let home = Home::new();
    let backend = home.open().await;
    let spec = declare(&backend).await;
    let later = |n: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let request = JobRequest {
            due: When::After(Duration::from_secs(60)),
            ..JobRequest::new(JobId::from_bytes(id), JobType::new("t").unwrap(), Payload::from("x"))
        };
        decide::enqueue(&spec, request).unwrap()
    };
    backend.enqueue((0..10_050).map(later).collect()).await.unwrap();
    assert_eq!(count(&backend, State::Scheduled).await, 10_050);
    home.clock.advance(Duration::from_secs(60));
    assert_eq!(count(&backend, State::Scheduled).await, 0);
    assert_eq!(count(&backend, State::Waiting).await, 10_050);
}
