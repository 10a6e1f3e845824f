//! A bound for each attempt, and one for how long a job may wait before it starts.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::model::{FailureKind, State};
use windlass::{Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "timeouts.slow", retries = 0)]
struct Slow;

async fn slow(_: Slow) {
    std::future::pending::<()>().await;
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.timeouts").declare().await?;
    let late = queue.enqueue(Slow).expires_after(Duration::ZERO).await?;
    let job = queue.enqueue(Slow).timeout(Duration::from_millis(50)).await?;
    let worker = windlass.worker().queue(&queue).sweep_interval(Duration::from_millis(50));
    let worker = worker.handle(slow).start().await?;
    let (job, late) = (job.wait().await?, late.wait().await?);
    worker.stop().await;
    assert_eq!((job.state, late.state), (State::Failed, State::Expired));
    let error = job.course.errors.last().cloned();
    let error = error.ok_or_else(|| anyhow::anyhow!("no error is remembered"))?;
    assert_eq!(error.kind, FailureKind::Timeout);
    Ok(error.message)
}
