//! From a URL to a client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use windlass::model::State;
use windlass::{Error, Windlass, backend::ErrorKind};

use crate::server::Schema;

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
    assert!(error.to_string().contains("postgres://"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let error = Windlass::connect("jobs.db").await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_an_error_that_says_why() {
    let error = Windlass::connect("sqlite:/nonexistent/folder/jobs.db").await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent/folder/jobs.db"), "{error}");
}

/// A server that takes no encrypted connections: it answers the first question
/// of a client, which is whether it would, with no, as the server's protocol has
/// it.
fn server_without_tls() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut question = [0; 8];
            client.read_exact(&mut question).unwrap();
            assert_eq!(question[4..], 80_877_103_u32.to_be_bytes());
            client.write_all(b"N").unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_takes_no_encrypted_connection_is_an_error_if_one_is_required() {
    for mode in ["require", "verify-ca", "verify-full"] {
        let at = server_without_tls();
        let url = format!("postgres://me:CANARY@{at}/db?sslmode={mode}");
        let error = Windlass::connect(&url).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Store);
        assert!(error.to_string().contains("no encrypted connection"), "{error}");
        assert!(!format!("{error:?} {}", chain(&error)).contains("CANARY"), "{error:?}");
    }
}

/// All that an error and its sources say.
fn chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(chain).unwrap_or_default();
    format!("{error} {source}")
}

#[tokio::test]
async fn a_postgres_url_that_cannot_be_right_is_an_error_that_does_not_quote_it() {
    for url in ["postgres://me:CANARY@host:no/db", "postgresql://me:CANARY@host/db?schema=A"] {
        let error = Windlass::connect(url).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Invalid);
        assert!(!format!("{error:?} {}", chain(&error)).contains("CANARY"), "{error:?}");
    }
}

#[tokio::test]
async fn two_connections_to_one_file_see_the_same_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("jobs.db").display());
    share(&url).await;
}

#[tokio::test]
async fn two_connections_to_one_database_see_the_same_jobs() {
    let schema = Schema::new();
    share(&schema.url()).await;
    share(&schema.url().replacen("postgres://", "postgresql://", 1)).await;
}

async fn share(url: &str) {
    let first = Windlass::connect(url).await.unwrap();
    let queue = first.queue("q").declare().await.unwrap();
    let job = queue.enqueue_raw("t", &serde_json::json!({"a": 1})).await.unwrap();
    let second = Windlass::connect(url).await.unwrap();
    let seen = second.handle(job.into()).job().await.unwrap();
    assert_eq!(seen.state, State::Waiting);
    assert_eq!(seen.payload.unwrap().as_slice(), br#"{"a":1}"#);
}
