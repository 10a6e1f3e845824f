//! A graph: one job, then several side by side, then one that puts together what they
//! returned. One of them may fail.

use serde::{Deserialize, Serialize};
use windlass::model::State;
use windlass::{Context, Job, JobError, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "graph.ingest")]
struct Ingest;

#[derive(Serialize, Deserialize, Job)]
#[job(name = "graph.transform", retries = 0)]
struct Transform {
    by: i64,
}

#[derive(Serialize, Deserialize, Job)]
#[job(name = "graph.aggregate")]
struct Aggregate;

async fn ingest(_: Ingest) -> Result<i64, JobError> {
    Ok(7)
}

async fn transform(job: Transform, ctx: Context) -> Result<i64, JobError> {
    if job.by == 0 {
        return Err(JobError::new("nothing comes of this"));
    }
    let found: Vec<i64> = ctx.dependency_results().await?;
    Ok(found[0] * job.by)
}

async fn aggregate(_: Aggregate, ctx: Context) -> Result<i64, JobError> {
    let parts = ctx.results_of::<Transform, i64>().await?;
    // Those that did not complete are left out.
    Ok(parts.into_iter().filter_map(Result::ok).sum())
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.fan_out").declare().await?;
    let mut flow = windlass.flow();
    let first = flow.add(queue.enqueue(Ingest))?;
    let mut last = queue.enqueue(Aggregate).after(first.clone());
    for by in [10, 100] {
        last = last.after(flow.add(queue.enqueue(Transform { by }).after(first.clone()))?);
    }
    // Whatever becomes of this one.
    last = last.after_ended(flow.add(queue.enqueue(Transform { by: 0 }).after(first))?);
    let last = flow.add(last)?;
    // All or none.
    let stored = flow.enqueue().await?;

    let worker = windlass.worker().queue(&queue).handle(ingest).handle(transform);
    let worker = worker.handle(aggregate).start().await?;
    let sum: i64 = windlass.handle(last).result().await?;
    let status = stored.handle.wait().await?;
    worker.stop().await;
    assert_eq!((sum, status.total(), status.count(State::Failed)), (770, 5, 1));
    Ok(format!("{sum} of {} jobs", status.total()))
}
