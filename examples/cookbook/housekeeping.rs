//! Look at a queue, list its jobs, and clean it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::model::{Filter, JobsQuery, State};
use windlass::{Job, JobError, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "housekeeping.task", retries = 0)]
struct Task {
    works: bool,
}

async fn task(job: Task) -> Result<(), JobError> {
    if job.works { Ok(()) } else { Err(JobError::new("it does not")) }
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.housekeeping").declare().await?;
    let jobs = [true, true, false].map(|works| Task { works });
    let handles = queue.enqueue_all(jobs).await?;
    let later = queue.enqueue(Task { works: true }).delay(Duration::from_secs(3600)).await?;
    let worker = windlass.worker().queue(&queue).handle(task).start().await?;
    windlass.wait_all(&handles).await?;
    worker.stop().await;

    let stats = queue.stats().await?;
    let counts = (stats.count(State::Completed), stats.count(State::Failed));
    assert_eq!(counts, (2, 1));
    let failed = Filter { states: vec![State::Failed], ..queue.filter() };
    let listed = windlass.jobs(JobsQuery::of(failed)).await?.jobs;
    assert_eq!(listed[0].id, handles[2].id());
    // Those that wait for their moment can be listed and removed, too.
    assert_eq!(later.state().await?, State::Scheduled);
    later.remove().await?;
    let cleaned = queue.clean(State::Completed, Duration::ZERO, 1000).await?;
    assert_eq!((cleaned, queue.stats().await?.count(State::Completed)), (2, 0));
    let message = listed[0].course.errors[0].message.clone();
    Ok(format!("2 completed jobs cleaned; 1 failed: {message}"))
}
