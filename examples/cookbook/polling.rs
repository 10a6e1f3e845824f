//! How often an idle worker asks by itself. Notices wake it before; without them, as behind
//! some poolers, this is how long a job waits at most.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::{Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "polling.ping")]
struct Ping;

async fn ping(_: Ping) -> Result<&'static str, String> {
    Ok("pong")
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.polling").declare().await?;
    let worker = windlass.worker().queue(&queue).poll_interval(Duration::from_millis(100));
    let worker = worker.handle(ping).start().await?;
    let said: String = queue.enqueue(Ping).await?.result().await?;
    worker.stop().await;
    Ok(said)
}
