//! How fast jobs are taken in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;
use windlass::model::State;

use crate::job::Noop;
use crate::meter::Meter;
use crate::options::Options;
use crate::report::Report;
use crate::store::{Store, batches};

/// So many tasks, each awaiting one plain call after the other.
pub(crate) async fn plain(options: &Options, tasks: usize) -> Result<()> {
    let store = Store::connect(options).await?;
    let queue = store.fresh_queue(options, |queue| queue).await?;
    let (jobs, payload) = (options.jobs, options.payload);
    let meter = Meter::start(options).await?;
    let before = store.calls();
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let (queue, next) = (queue.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= jobs {
                        return windlass::Result::Ok(());
                    }
                    queue.enqueue(Noop::new(n as u64, payload)).await?;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let took = begun.elapsed();
    let calls = store.calls() - before;
    let metered = meter.stop(options, jobs).await?;
    check(&queue, jobs).await?;
    let report = Report::new(options).rate(jobs, took).round_trips(calls);
    metered.report(report).await?.print()
}

/// One task, 1,000 jobs a call.
pub(crate) async fn bulk(options: &Options) -> Result<()> {
    let store = Store::connect(options).await?;
    let queue = store.fresh_queue(options, |queue| queue).await?;
    let meter = Meter::start(options).await?;
    let before = store.calls();
    let begun = Instant::now();
    for batch in batches(options, options.jobs) {
        queue.enqueue_all(batch).await?;
    }
    let took = begun.elapsed();
    let calls = store.calls() - before;
    let metered = meter.stop(options, options.jobs).await?;
    check(&queue, options.jobs).await?;
    let report = Report::new(options).rate(options.jobs, took).round_trips(calls);
    metered.report(report).await?.print()
}

async fn check(queue: &windlass::Queue, jobs: usize) -> Result<()> {
    let waiting = queue.stats().await?.count(State::Waiting);
    anyhow::ensure!(waiting == jobs as u64, "{waiting} jobs are waiting instead of {jobs}");
    Ok(())
}
