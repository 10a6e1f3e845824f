//! Durable jobs, and flows.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use windlass::{Context, Data, Durable, JobError, WorkerBuilder};

use super::drain::{Tally, drain_with, fill, settled};
use crate::job::Noop;
use crate::meter::Meter;
use crate::options::{Options, Workload};
use crate::process;
use crate::report::Report;
use crate::store::{Store, check_done};

/// The steps of each job.
const STEPS: u64 = 5;

async fn work(job: Noop, ctx: Durable, tally: Data<Arc<Tally>>) -> Result<(), JobError> {
    for step in 0..STEPS {
        let made = ctx.step("step", || async { Ok::<_, JobError>(job.n + step) }).await?;
        if made != job.n + step {
            return Err(JobError::permanent("a step came to something else"));
        }
    }
    tally.add();
    Ok(())
}

/// One worker process runs durable jobs that are there already.
pub(crate) async fn steps(options: &Options) -> Result<()> {
    let store = Store::connect(options).await?;
    let queue = store.fresh_queue(options, |queue| queue).await?;
    if options.is_shared() {
        process::load(options, Workload::Load).await?;
    } else {
        fill(options, &queue).await?;
    }
    let meter = Meter::start(options).await?;
    let worker = store.worker(options, &queue).handle(work);
    let (took, calls) = drain_with(&store, options.jobs, worker).await?;
    let metered = meter.stop(options, options.jobs).await?;
    check_done(options, &queue, options.jobs).await?;
    let report = Report::new(options).rate(options.jobs, took).round_trips(calls);
    metered.report(report).await?.print()
}

async fn part(job: Noop, ctx: Context, tally: Data<Arc<Tally>>) -> Result<u64, JobError> {
    tally.add();
    // The last one puts together what the others returned.
    if job.n == u64::MAX {
        return Ok(ctx.dependency_results::<u64>().await?.into_iter().sum());
    }
    Ok(job.n)
}

/// One job, many that wait for it, and one that waits for all of these: from before the flow
/// is stored to its end.
pub(crate) async fn flow(options: &Options) -> Result<()> {
    let store = Store::connect(options).await?;
    let queue = store.fresh_queue(options, |queue| queue).await?;
    let tally = Arc::new(Tally::new(options.jobs + 2));
    let worker: WorkerBuilder = store.worker(options, &queue).handle(part);
    let worker = worker.data(Arc::clone(&tally)).start().await?;
    let before = store.calls();
    let begun = Instant::now();
    let mut flow = store.client.flow();
    let first = flow.add(queue.enqueue(Noop::new(0, options.payload)))?;
    let mut parts = Vec::with_capacity(options.jobs);
    for n in 0..options.jobs {
        let part = queue.enqueue(Noop::new(n as u64, options.payload)).after(first.clone());
        parts.push(flow.add(part)?);
    }
    let last = queue.enqueue(Noop::new(u64::MAX, options.payload)).after_all(parts);
    let last = flow.add(last)?;
    flow.enqueue().await?;
    let stored = begun.elapsed();
    tally.reached().await?;
    let sum: u64 = store.client.handle(last).result().await?;
    let took = begun.elapsed();
    settled(&worker).await;
    let calls = store.calls() - before;
    worker.stop().await;
    let expected: u64 = (0..options.jobs as u64).sum();
    ensure!(sum == expected, "the parts come to {sum} instead of {expected}");
    check_done(options, &queue, options.jobs + 2).await?;
    let report = Report::new(options).rate(options.jobs + 2, took).round_trips(calls);
    report.with("stored_ms", stored.as_millis().to_string()).print()
}
