//! Queues that are declared with several shards: what holds of them on every store,
//! whether it spreads them or not.

mod change;
mod jobs;
mod run;

use std::collections::BTreeMap;

use windlass_core::backend::Again;
use windlass_core::model::{Job, JobId, QueueSpec};

use crate::fixture::{Queue, ids};
use crate::harness::{Case, Context};

/// Every table of these cases.
pub(crate) const ALL: [&[Case]; 3] = [run::CASES, jobs::CASES, change::CASES];

/// Over how many shards the queues of these cases are spread.
const SHARDS: u32 = 4;

/// So many jobs are in every shard, whatever their keys.
const MANY: usize = 64;

/// A queue with shards that differs from the defaults.
async fn spread(ctx: &Context, differ: impl FnOnce(&mut QueueSpec)) -> Queue {
    ctx.queue_with("q", |spec| {
        spec.shards = SHARDS;
        differ(spec);
    })
    .await
}

/// Leases and completes whatever can be, until nothing is left that can start now;
/// answers the jobs in the order in which they were leased. No two are the same.
async fn run_all(queue: &Queue) -> Vec<Job> {
    let mut ran: Vec<Job> = Vec::new();
    loop {
        let taken = queue.dequeue(7).await;
        if taken.jobs.is_empty() {
            assert_ne!(taken.again, Again::Now, "nothing, but look at once");
            break;
        }
        for job in taken.jobs {
            assert_eq!(job.queue, queue.spec.name, "it is of the queue that it was enqueued to");
            queue.complete(&job).await;
            ran.push(job);
        }
    }
    let mut distinct = ids(&ran);
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), ran.len(), "a job ran twice");
    ran
}

/// These ids, sorted.
fn sorted(mut ids: Vec<JobId>) -> Vec<JobId> {
    ids.sort_unstable();
    ids
}

/// Jobs by their partition, in the order given.
fn by_partition(jobs: &[Job]) -> BTreeMap<String, Vec<JobId>> {
    let mut found: BTreeMap<String, Vec<JobId>> = BTreeMap::new();
    for job in jobs {
        let partition = job.partition.as_ref().expect("a partition").to_string();
        found.entry(partition).or_default().push(job.id);
    }
    found
}
