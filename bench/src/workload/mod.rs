//! What is measured.

mod backlog;
mod drain;
mod durable;
mod enqueue;
mod floor;
mod latency;
mod notify;
mod pinned;
mod processes;
mod stats;
mod steady;

use anyhow::Result;

use crate::options::{Options, Workload};

pub(crate) async fn run(options: &Options) -> Result<()> {
    match options.workload {
        Workload::EnqueueSeq => enqueue::plain(options, 1).await,
        Workload::Enqueue64 => enqueue::plain(options, 64).await,
        Workload::EnqueueBulk => enqueue::bulk(options).await,
        Workload::Drain => drain::run(options, |queue| queue).await,
        Workload::Limits => drain::limits(options).await,
        Workload::Partitions => drain::partitions(options).await,
        Workload::Steps => durable::steps(options).await,
        Workload::Flow => durable::flow(options).await,
        Workload::Latency => latency::run(options).await,
        Workload::Steady => steady::run(options).await,
        Workload::Backlog => backlog::run(options).await,
        Workload::Processes => processes::run(options).await,
        Workload::Pinned => pinned::run(options).await,
        Workload::Notify => notify::run(options).await,
        Workload::Stats => stats::run(options).await,
        Workload::Floor => floor::run(options).await,
        Workload::Load => drain::load(options).await,
        Workload::LoadPartitions => drain::load_partitions(options).await,
        Workload::Work => processes::work(options).await,
    }
}
