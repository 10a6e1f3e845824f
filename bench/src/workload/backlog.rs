//! Whether jobs that cannot run yet slow down those that can.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use windlass::{Data, Queue};

use super::drain::Tally;
use crate::job::Noop;
use crate::options::Options;
use crate::report::{Report, per_second};
use crate::store::{BULK, Store};

/// What stands behind the jobs that are drained.
#[derive(Clone, Copy)]
enum Behind {
    Nothing,
    Scheduled,
    WorsePriority,
}

/// Drains `--jobs` in front of nothing, of `--behind` scheduled jobs, and of as
/// many of worse priority. The rate is the worse of the last two.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let store = Store::connect(options).await?;
    let queue = store.fresh_queue(options, |queue| queue).await?;
    let mut calls = 0;
    let mut took = Vec::new();
    for behind in [Behind::Nothing, Behind::Scheduled, Behind::WorsePriority] {
        fill(options, &queue, behind).await?;
        let before = store.calls();
        took.push(drain(options, &store, &queue).await?);
        calls += store.calls() - before;
    }
    let rate = |took| per_second(options.jobs, took);
    let slowest = took[1].max(took[2]);
    Report::new(options)
        .rate(options.jobs, slowest)
        .round_trips(calls)
        .with("behind", options.behind)
        .with("nothing_jobs_per_s", rate(took[0]))
        .with("scheduled_jobs_per_s", rate(took[1]))
        .with("worse_priority_jobs_per_s", rate(took[2]))
        .with("times_slower", slowest.as_secs_f64() / took[0].as_secs_f64())
        .print()
}

/// Jobs behind have numbers from `--jobs` on.
async fn fill(options: &Options, queue: &Queue, behind: Behind) -> Result<()> {
    let enqueue = |n: usize| queue.enqueue(Noop::new(n as u64, options.payload));
    let later = match behind {
        Behind::Nothing => 0,
        Behind::Scheduled | Behind::WorsePriority => options.behind,
    };
    for from in (0..later).step_by(BULK) {
        let jobs = (from..(from + BULK).min(later)).map(|n| {
            let job = enqueue(options.jobs + n);
            match behind {
                Behind::WorsePriority => job.priority(10),
                _ => job.delay(Duration::from_secs(86_400)),
            }
        });
        queue.client().enqueue_batch(jobs).await?;
    }
    for from in (0..options.jobs).step_by(BULK) {
        let jobs = (from..(from + BULK).min(options.jobs)).map(enqueue);
        queue.client().enqueue_batch(jobs).await?;
    }
    Ok(())
}

/// Has a worker do the jobs in front, and answers how long it took. It takes
/// some of those behind in hand towards the end, as it should.
async fn drain(options: &Options, store: &Store, queue: &Queue) -> Result<Duration> {
    let tally = Arc::new(Tally::new(options.jobs));
    let front = options.jobs as u64;
    let handle = move |job: Noop, tally: Data<Arc<Tally>>| async move {
        if job.n < front {
            tally.add();
        }
    };
    let begun = Instant::now();
    let worker =
        store.worker(options, queue).data(Arc::clone(&tally)).handle(handle).start().await?;
    tally.reached().await?;
    let took = begun.elapsed();
    worker.stop().await;
    ensure!(tally.calls() == options.jobs, "{} calls for {} jobs", tally.calls(), options.jobs);
    Ok(took)
}
