//! Enqueue from another application, which has neither the job's type nor its handler.

use serde::{Deserialize, Serialize};
use windlass::{Job, JobError, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "pipeline.run")]
struct Pipeline {
    source: String,
}

async fn pipeline(job: Pipeline) -> Result<usize, JobError> {
    Ok(job.source.len())
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.elsewhere").declare().await?;
    let worker = windlass.worker().queue(&queue).handle(pipeline).start().await?;

    // The other application knows names and JSON.
    let there = windlass.open_queue("cookbook.elsewhere").await?;
    let payload = serde_json::json!({ "source": "s3://bucket/file" });
    let handle = there.enqueue_raw("pipeline.run", &payload).await?;
    // And whoever has only the id finds it by that.
    let found = windlass.find(handle.id()).await?;
    let found = found.ok_or_else(|| anyhow::anyhow!("there is no job {}", handle.id()))?;
    let length: usize = found.result().await?;
    worker.stop().await;
    assert_eq!(length, 16);
    Ok(format!("a pipeline of {length} bytes"))
}
