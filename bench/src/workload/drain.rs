//! How fast jobs that are there are done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::Notify;
use windlass::{Data, Queue, QueueBuilder, RunningWorker, WorkerBuilder};

use crate::job::Noop;
use crate::meter::Meter;
use crate::options::{Options, Workload};
use crate::process;
use crate::report::Report;
use crate::store::{PATIENCE, Store, batches, check_done};

/// Counts the calls of a handler, and tells when there have been enough.
#[derive(Debug)]
pub(crate) struct Tally {
    calls: AtomicUsize,
    enough: usize,
    reached: Notify,
}

impl Tally {
    pub(crate) fn new(enough: usize) -> Self {
        Self { calls: AtomicUsize::new(0), enough, reached: Notify::new() }
    }

    pub(crate) fn add(&self) {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.enough {
            self.reached.notify_one();
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Waits for enough calls.
    pub(crate) async fn reached(&self) -> Result<()> {
        if tokio::time::timeout(PATIENCE, self.reached.notified()).await.is_err() {
            bail!("only {} of {} jobs have started", self.calls(), self.enough);
        }
        Ok(())
    }
}

pub(crate) async fn handle(_: Noop, tally: Data<Arc<Tally>>) {
    tally.add();
}

/// Waits until a worker has settled all it has in hand.
pub(crate) async fn settled(worker: &RunningWorker) {
    while worker.in_hand() > 0 {
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
}

/// Drains a queue with these choices.
pub(crate) async fn run(
    options: &Options,
    choose: impl FnOnce(QueueBuilder) -> QueueBuilder,
) -> Result<()> {
    let store = Store::connect(options).await?;
    let queue = store.fresh_queue(options, choose).await?;
    if options.is_shared() {
        process::load(options, Workload::Load).await?;
    } else {
        fill(options, &queue).await?;
    }
    measure(options, &store, &queue).await
}

/// Drains what is there, and reports.
async fn measure(options: &Options, store: &Store, queue: &Queue) -> Result<()> {
    let meter = Meter::start(options).await?;
    let (took, calls) = drain(options, store, queue, options.jobs).await?;
    let metered = meter.stop(options, options.jobs).await?;
    check_done(options, queue, options.jobs).await?;
    let report = Report::new(options).rate(options.jobs, took).round_trips(calls);
    metered.report(report).await?.print()
}

/// Has a worker do so many jobs that are there, and answers how long it took
/// and how many calls of the store.
pub(crate) async fn drain(
    options: &Options,
    store: &Store,
    queue: &Queue,
    jobs: usize,
) -> Result<(Duration, u64)> {
    drain_with(store, jobs, store.worker(options, queue).handle(handle)).await
}

/// The same with any worker, whose handler counts its calls.
pub(crate) async fn drain_with(
    store: &Store,
    jobs: usize,
    worker: WorkerBuilder,
) -> Result<(Duration, u64)> {
    let tally = Arc::new(Tally::new(jobs));
    let before = store.calls();
    let begun = Instant::now();
    let worker = worker.data(Arc::clone(&tally)).start().await?;
    tally.reached().await?;
    settled(&worker).await;
    let took = begun.elapsed();
    let calls = store.calls() - before;
    worker.stop().await;
    anyhow::ensure!(tally.calls() == jobs, "{} calls for {jobs} jobs", tally.calls());
    Ok((took, calls))
}

/// With limits that are there and do not bind.
pub(crate) async fn limits(options: &Options) -> Result<()> {
    run(options, |queue| queue.concurrency(1_000_000).rate(1_000_000_000, Duration::from_secs(1)))
        .await
}

/// Over many partitions, each of which runs one job at a time.
pub(crate) async fn partitions(options: &Options) -> Result<()> {
    let store = Store::connect(options).await?;
    let queue = store.fresh_queue(options, QueueBuilder::partitioned).await?;
    if options.is_shared() {
        process::load(options, Workload::LoadPartitions).await?;
    } else {
        fill_partitions(options, &queue).await?;
    }
    measure(options, &store, &queue).await
}

/// Fills the partitions, as a process of its own.
pub(crate) async fn load_partitions(options: &Options) -> Result<()> {
    let store = Store::connect(options).await?;
    let queue = store.client.open_queue("bench").await?;
    fill_partitions(options, &queue).await
}

async fn fill_partitions(options: &Options, queue: &Queue) -> Result<()> {
    for batch in batches(options, options.jobs) {
        let jobs = batch.into_iter().map(|job| {
            let key = (job.n as usize % options.keys).to_string();
            queue.enqueue(job).partition(key)
        });
        queue.client().enqueue_batch(jobs).await?;
    }
    Ok(())
}

/// Fills the store, as a process of its own: the queue is there already.
pub(crate) async fn load(options: &Options) -> Result<()> {
    let store = Store::connect(options).await?;
    let queue = store.client.open_queue("bench").await?;
    fill(options, &queue).await
}

pub(crate) async fn fill(options: &Options, queue: &Queue) -> Result<()> {
    for batch in batches(options, options.jobs) {
        queue.enqueue_all(batch).await?;
    }
    Ok(())
}
