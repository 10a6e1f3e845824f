//! Jobs seen from outside: how they stand, how far they are, and which is ready first.

use serde::{Deserialize, Serialize};
use windlass::model::State;
use windlass::{Context, Durable, Job, JobError, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "handles.count")]
struct Count {
    to: u64,
}

#[derive(Serialize, Deserialize, Job)]
#[job(name = "handles.wait")]
struct Wait;

async fn count(job: Count, ctx: Context) -> Result<u64, JobError> {
    for n in 1..=job.to {
        ctx.progress(n, job.to);
    }
    Ok(job.to)
}

async fn wait(_: Wait, ctx: Durable) -> Result<String, JobError> {
    Ok(ctx.receive("word").await?)
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.handles").declare().await?;
    let worker = windlass.worker().queue(&queue).handle(count).handle(wait).start().await?;
    let waits = queue.enqueue(Wait).await?;
    let counts = queue.enqueue(Count { to: 5 }).await?;
    // Any process can wait, for many jobs with one subscription.
    let both = [waits.reference().clone(), counts.reference().clone()];
    let first = windlass.wait_any(both.clone()).await?;
    let (place, job) = first.ok_or_else(|| anyhow::anyhow!("there was nothing to wait for"))?;
    assert_eq!((place, job.state), (1, State::Completed));
    let status = counts.status().await?;
    let progress = status.progress.map(|progress| (progress.done, progress.total));
    assert_eq!(progress, Some((5, Some(5))));
    waits.send("word", "please").await?;
    let all = windlass.wait_all(both).await?;
    worker.stop().await;
    assert!(all.iter().all(|job| job.state == State::Completed));
    Ok(format!("{} of {}, and then the word", 5, 5))
}
