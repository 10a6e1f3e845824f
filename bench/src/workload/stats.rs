//! Whether a store that is full slows down its statistics and its dequeues.

use std::time::{Duration, Instant};

use anyhow::Result;
use windlass::Queue;
use windlass::model::State;

use super::drain::drain;
use crate::job::Noop;
use crate::options::Options;
use crate::report::{Report, percentile};
use crate::server::postgres as server;
use crate::store::{BULK, Store};

/// How many jobs are drained to see how long a dequeue takes: enough for more than
/// a hundred of them.
const PROBE: usize = 200_000;

/// How often statistics are asked for.
const TIMES: usize = 100;

/// Fills the store with `--jobs` finished and `--behind` scheduled jobs, and lets a
/// server come to rest. What each call of the statistics took, and the dequeues before and after.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let store = Store::connect(options).await?;
    let queue = store.fresh_queue(options, |queue| queue).await?;
    let empty = probe(options, &store, &queue).await?;
    for from in (0..options.behind).step_by(BULK) {
        let jobs = (from..(from + BULK).min(options.behind)).map(|n| {
            let job = Noop::new(n as u64, options.payload);
            queue.enqueue(job).delay(Duration::from_secs(86_400))
        });
        queue.client().enqueue_batch(jobs).await?;
    }
    fill(options, &queue, options.jobs).await?;
    drain(options, &store, &queue, options.jobs).await?;
    if options.is_postgres() {
        server::settle(&options.store).await?;
    }
    let full = probe(options, &store, &queue).await?;
    let mut each = Vec::with_capacity(TIMES);
    let begun = Instant::now();
    for _ in 0..TIMES {
        let asked = Instant::now();
        let stats = queue.stats().await?;
        each.push(asked.elapsed());
        let (done, later) = (stats.count(State::Completed), stats.count(State::Scheduled));
        let expected = ((options.jobs + 2 * PROBE) as u64, options.behind as u64);
        anyhow::ensure!((done, later) == expected, "{done} completed, {later} scheduled");
    }
    let took = begun.elapsed();
    Report::new(options)
        .latencies(each, took)
        .with("completed", options.jobs)
        .with("scheduled", options.behind)
        .with("dequeue_p50_ms_empty", percentile(empty.clone(), 0.5))
        .with("dequeue_p50_ms_full", percentile(full.clone(), 0.5))
        .with("dequeue_p99_ms_empty", percentile(empty, 0.99))
        .with("dequeue_p99_ms_full", percentile(full, 0.99))
        .print()
}

/// Has a worker do some jobs, and answers how long each dequeue took.
async fn probe(options: &Options, store: &Store, queue: &Queue) -> Result<Vec<Duration>> {
    fill(options, queue, PROBE).await?;
    store.take_dequeues();
    drain(options, store, queue, PROBE).await?;
    Ok(store.take_dequeues())
}

async fn fill(options: &Options, queue: &Queue, jobs: usize) -> Result<()> {
    for from in (0..jobs).step_by(BULK) {
        let to = (from + BULK).min(jobs);
        queue.enqueue_all((from..to).map(|n| Noop::new(n as u64, options.payload))).await?;
    }
    Ok(())
}
