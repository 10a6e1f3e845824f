//! A job, a handler, a worker: `cargo run --example quickstart`.

#![allow(clippy::print_stdout, reason = "a program, not a library")]

use serde::{Deserialize, Serialize};
use windlass::{Job, JobError, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "email.welcome", retries = 5, timeout = "30s")]
struct Welcome {
    to: String,
}

async fn welcome(job: Welcome) -> Result<String, JobError> {
    Ok(format!("welcome, {}", job.to))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let windlass = Windlass::connect("sqlite:quickstart.db").await?;
    let emails = windlass.queue("emails").declare().await?;
    let handle = emails.enqueue(Welcome { to: "ada@example.org".into() }).await?;
    let worker = windlass.worker().queue(&emails).handle(welcome).start().await?;
    println!("{}", handle.result::<String>().await?);
    worker.stop().await;
    Ok(())
}
