//! Get each result as soon as it is ready, and not only when all are: tasks send it to the
//! job that waits for them.

use serde::{Deserialize, Serialize};
use windlass::model::JobRef;
use windlass::{Data, Durable, Job, JobError, Queue, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "ready.task")]
struct Task {
    number: u64,
    tell: JobRef,
}

#[derive(Serialize, Deserialize, Job)]
#[job(name = "ready.main")]
struct Main;

async fn task(job: Task, ctx: Durable) -> Result<(), JobError> {
    let answer = ctx.step("work", || async { Ok::<_, JobError>(job.number * 10) }).await?;
    // Once, however often this attempt is made.
    Ok(ctx.send(job.tell, "done", &answer).await?)
}

async fn main(_: Main, ctx: Durable, tasks: Data<Queue>) -> Result<Vec<u64>, JobError> {
    let jobs = (1..=4).map(|number| tasks.enqueue(Task { number, tell: ctx.reference() }));
    let spawned = ctx.spawn_all("tasks", jobs).await?;
    let mut seen = Vec::new();
    for _ in 0..spawned.len() {
        seen.push(ctx.receive("done").await?);
    }
    Ok(seen)
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let tasks = windlass.queue("cookbook.first_come.tasks").declare().await?;
    let mains = windlass.queue("cookbook.first_come").declare().await?;
    let all = mains.enqueue(Main).await?;
    let worker = windlass.worker().queue(&tasks).queue(&mains).data(tasks.clone());
    let worker = worker.handle(task).handle(main).start().await?;
    let mut seen: Vec<u64> = all.result().await?;
    worker.stop().await;
    seen.sort_unstable();
    assert_eq!(seen, [10, 20, 30, 40]);
    Ok(format!("{} results, each as it came", seen.len()))
}
