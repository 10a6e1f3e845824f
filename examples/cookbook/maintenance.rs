//! Pause a queue for maintenance: what runs finishes, what comes is stored, nothing starts.

use serde::{Deserialize, Serialize};
use windlass::model::State;
use windlass::{Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "maintenance.task")]
struct Task;

async fn task(_: Task) {}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.maintenance").declare().await?;
    let worker = windlass.worker().queue(&queue).handle(task).start().await?;
    queue.enqueue(Task).await?.wait().await?;

    // Stored: it holds for every process, also for those that start later.
    queue.pause().await?;
    let waits = queue.enqueue(Task).await?;
    let stats = queue.stats().await?;
    assert!(stats.paused);
    assert_eq!((stats.count(State::Waiting), waits.state().await?), (1, State::Waiting));
    // … maintenance …
    queue.resume().await?;
    waits.wait().await?;
    worker.stop().await;
    Ok("one job waited for the maintenance to end".to_owned())
}
