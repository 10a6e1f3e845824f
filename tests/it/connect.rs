//! From a URL to a client.

use windlass::model::State;
use windlass::{Error, Windlass, backend::ErrorKind};

fn kind(error: &Error) -> ErrorKind {
    match error {
        Error::Store(error) => error.kind(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_unknown_scheme_is_an_error_that_names_the_known_ones() {
    let error = Windlass::connect("mysql://user:secret@host/db").await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Unsupported);
    assert!(error.to_string().contains("sqlite:PATH"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let error = Windlass::connect("jobs.db").await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_an_error_that_says_why() {
    let error = Windlass::connect("sqlite:/nonexistent/folder/jobs.db").await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent/folder/jobs.db"), "{error}");
}

#[tokio::test]
async fn two_connections_to_one_file_see_the_same_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("jobs.db").display());
    let first = Windlass::connect(&url).await.unwrap();
    let queue = first.queue("q").declare().await.unwrap();
    let job = queue.enqueue_raw("t", &serde_json::json!({"a": 1})).await.unwrap();
    let second = Windlass::connect(&url).await.unwrap();
    let seen = second.handle(job.into()).job().await.unwrap();
    assert_eq!(seen.state, State::Waiting);
    assert_eq!(seen.payload.unwrap().as_slice(), br#"{"a":1}"#);
}
