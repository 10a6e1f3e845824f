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
async fn a_newer_schema_is_refused_with_what_to_do() {
    let home = Home::new();
    home.open().await.close().await;
    home.connection().execute_batch("UPDATE windlass_meta SET schema = 1000").unwrap();
    let error = refused(home.config()).await;
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    says(&error, "has schema 1000, and this program knows schemas up to", "use a newer version");
}

/// Asserts that an error says which file it is about, what is wrong with it and
/// what would be right.
#[track_caller]
fn says(error: &Error, wrong: &str, right: &str) {
    let text = error.to_string();
    assert!(text.contains("jobs.db"), "{text}");
    assert!(text.contains(wrong), "what is wrong ({wrong}) is missing: {text}");
    assert!(text.contains(right), "what would be right ({right}) is missing: {text}");
}

#[tokio::test]
async fn files_that_are_no_store_are_refused_and_kept_byte_for_byte() {
    let letter = "a letter, and a long one too. ".repeat(99).into_bytes();
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    enqueue(&backend, 1..=200).await;
    backend.close().await;
    let store = std::fs::read(home.path()).unwrap();
    let garbled = [&store[..4096], &vec![0xa5; store.len() - 4096]].concat();
    let no_database = "not a SQLite database; name another one";
    let damaged = "is damaged; restore it from a backup";
    for (bytes, wrong) in [
        (&letter[..], no_database),
        // Cut inside its header, behind it, and inside a page.
        (&store[..50], damaged),
        (&store[..100], damaged),
        (&store[..4096], damaged),
        (&store[..10_000], damaged),
        (&garbled, damaged),
    ] {
        let home = Home::new();
        std::fs::write(home.path(), bytes).unwrap();
        let error = refused(home.config()).await;
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{} bytes: {error:#}", bytes.len());
        says(&error, wrong, wrong);
        assert!(std::fs::read(home.path()).unwrap() == bytes, "{} bytes", bytes.len());
    }
}

#[tokio::test]
async fn an_empty_file_is_a_new_store() {
    let home = Home::new();
    std::fs::write(home.path(), "").unwrap();
    let backend = home.open().await;
    declare(&backend).await;
    enqueue(&backend, 1..=2).await;
    assert_eq!(count(&backend, State::Waiting).await, 2);
}

#[tokio::test]
async fn a_directory_is_refused_with_what_to_name_instead() {
    let home = Home::new();
    std::fs::create_dir(home.path()).unwrap();
    let error = refused(home.config()).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    says(&error, "it is a directory", "name a file in it");
}

#[tokio::test]
async fn a_path_with_nul_and_readers_without_number_are_refused() {
    let error = refused(SqliteConfig::new("jobs.db\0.txt")).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("contains NUL; leave it out"), "{error}");
    let home = Home::new();
    let mut config = home.config();
    config.readers = usize::MAX;
    let error = refused(config).await;
    assert!(error.to_string().contains("use 1 to 64 readers"), "{error}");
    assert!(!home.path().exists());
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
