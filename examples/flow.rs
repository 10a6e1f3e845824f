//! A flow: fan out, then gather: `cargo run --example flow`.

#![allow(clippy::print_stdout, reason = "a program, not a library")]

use serde::{Deserialize, Serialize};
use windlass::{Context, Job, JobError, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "count")]
struct Count {
    text: String,
}

#[derive(Serialize, Deserialize, Job)]
#[job(name = "sum")]
struct Sum;

async fn count(job: Count) -> Result<usize, JobError> {
    Ok(job.text.split_whitespace().count())
}

async fn sum(_: Sum, context: Context) -> Result<usize, JobError> {
    Ok(context.dependency_results::<usize>().await?.into_iter().sum())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let windlass = Windlass::connect("memory:").await?;
    let words = windlass.queue("words").declare().await?;

    let mut flow = windlass.flow();
    let mut counts = Vec::new();
    for text in ["to be or not to be", "that is the question", "whether"] {
        counts.push(flow.add(words.enqueue(Count { text: text.into() }))?);
    }
    let total = flow.add(words.enqueue(Sum).after_all(counts))?;
    flow.enqueue().await?;

    let worker = windlass.worker().queue(&words).handle(count).handle(sum).start().await?;
    let total: usize = windlass.handle(total).result().await?;
    println!("{total} words");
    assert_eq!(total, 11);
    worker.stop().await;
    Ok(())
}
