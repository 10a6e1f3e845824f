//! Step b after step a: a job that waits for another one, and reads its result.

use serde::{Deserialize, Serialize};
use windlass::{Context, Job, JobError, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "chain.fetch")]
struct Fetch {
    page: String,
}

#[derive(Serialize, Deserialize, Job)]
#[job(name = "chain.count")]
struct Count;

async fn fetch(job: Fetch) -> Result<String, JobError> {
    Ok(format!("the words of {}", job.page))
}

async fn count(_: Count, ctx: Context) -> Result<usize, JobError> {
    let texts: Vec<String> = ctx.dependency_results().await?;
    Ok(texts.iter().map(|text| text.split(' ').count()).sum())
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.chain").declare().await?;
    let first = queue.enqueue(Fetch { page: "home".into() }).await?;
    let second = queue.enqueue(Count).after(&first).await?;
    let worker = windlass.worker().queue(&queue).handle(fetch).handle(count).start().await?;
    let words: usize = second.result().await?;
    worker.stop().await;
    assert_eq!(words, 4);
    Ok(format!("{words} words"))
}
