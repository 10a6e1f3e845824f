//! Children that begin, and go on only when their parent lets them: by a message to each.

use serde::{Deserialize, Serialize};
use windlass::{Durable, Job, JobError, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "release.child")]
struct Child {
    number: u32,
}

#[derive(Serialize, Deserialize, Job)]
#[job(name = "release.parent")]
struct Parent;

async fn child(job: Child, ctx: Durable) -> Result<String, JobError> {
    ctx.set_value("stage", "ready").await?;
    // Meanwhile it holds neither a worker nor a slot of the queue.
    let word: String = ctx.receive("go").await?;
    Ok(format!("child {}: {word}", job.number))
}

async fn parent(_: Parent, ctx: Durable) -> Result<Vec<String>, JobError> {
    let children = ctx.spawn_all("children", (1..=3).map(|number| Child { number })).await?;
    for child in children.references() {
        ctx.send(child.clone(), "go", "released").await?;
    }
    Ok(children.results().await?)
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    // Even with a single slot for parent and children, nobody waits for ever.
    let queue = windlass.queue("cookbook.release").concurrency(1).declare().await?;
    let worker = windlass.worker().queue(&queue).handle(child).handle(parent).start().await?;
    let said: Vec<String> = queue.enqueue(Parent).await?.result().await?;
    worker.stop().await;
    assert_eq!(said, ["child 1: released", "child 2: released", "child 3: released"]);
    Ok(said.join(", "))
}
