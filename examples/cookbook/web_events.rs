//! Events that come in at a web endpoint and are handled one after another, in order.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use windlass::{Data, Job, Queue, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "events.handle")]
struct HandleEvent {
    number: u32,
}

type Handled = Arc<Mutex<Vec<u32>>>;

async fn handle(job: HandleEvent, handled: Data<Handled>) {
    handled.lock().unwrap_or_else(PoisonError::into_inner).push(job.number);
}

/// Acknowledged only when the event is stored.
async fn endpoint(State(events): State<Queue>, Path(number): Path<u32>) -> StatusCode {
    match events.enqueue(HandleEvent { number }).await {
        Ok(_) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn send(address: std::net::SocketAddr, number: u32) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "POST /events/{number} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    // One at a time, over all processes: that is what keeps the order.
    let events = windlass.queue("cookbook.web_events").concurrency(1).declare().await?;
    let handled = Handled::default();
    let worker = windlass.worker().queue(&events).data(Arc::clone(&handled)).handle(handle);
    let worker = worker.start().await?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app =
        axum::Router::new().route("/events/{number}", post(endpoint)).with_state(events.clone());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    for number in 1..=10 {
        let answer = send(address, number).await?;
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
    server.abort();
    let jobs = windlass.jobs(windlass::model::JobsQuery::of(events.filter())).await?.jobs;
    windlass.wait_all(jobs.iter().map(|job| job.reference())).await?;
    worker.stop().await;
    let handled = handled.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(handled, (1..=10).collect::<Vec<_>>());
    Ok(format!("{} events in the order in which they came", handled.len()))
}
