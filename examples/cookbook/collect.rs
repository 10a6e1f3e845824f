//! Enqueue many tasks, let them run side by side, and collect what they return.

use serde::{Deserialize, Serialize};
use windlass::{Durable, Job, JobError, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "tasks.process")]
struct Process {
    number: u64,
}

#[derive(Serialize, Deserialize, Job)]
#[job(name = "tasks.process_all")]
struct ProcessAll {
    up_to: u64,
}

async fn process(job: Process) -> Result<u64, JobError> {
    Ok(job.number * job.number)
}

/// It survives a crash at any point, and holds no slot while its tasks run.
async fn process_all(job: ProcessAll, ctx: Durable) -> Result<Vec<u64>, JobError> {
    let tasks = (1..=job.up_to).map(|number| Process { number });
    let tasks = ctx.spawn_all("tasks", tasks).await?;
    Ok(tasks.results().await?)
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.collect").declare().await?;
    let all = queue.enqueue(ProcessAll { up_to: 5 }).await?;
    let worker = windlass.worker().queue(&queue).handle(process).handle(process_all);
    let worker = worker.start().await?;
    let squares: Vec<u64> = all.result().await?;
    assert_eq!(squares, [1, 4, 9, 16, 25]);

    // The same from outside, without a parent.
    let handles = queue.enqueue_all((1..=3).map(|number| Process { number })).await?;
    let mut sum = 0;
    for handle in &handles {
        sum += handle.result::<u64>().await?;
    }
    assert_eq!(sum, 14);
    worker.stop().await;
    Ok(format!("{squares:?}"))
}
