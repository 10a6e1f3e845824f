//! The same work as bare statements, in batches: what the store can do.

mod memory;
mod postgres;
mod redis;
mod server;
mod sqlite;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::latency::EVERY;
use crate::options::Options;
use crate::report::{Report, per_second};

/// How many jobs one batch has.
const BATCHES: [usize; 2] = [100, 1000];

/// One by one, so many times fewer jobs: each waits for the disk.
const LONE_PART: usize = 50;

/// How many one by one at the pace of `latency`, after which the machine is as
/// cold as there.
const PACED: usize = 100;

/// How many steps each job records, and how many jobs at once, as many as a worker runs.
const STEPS: usize = 5;
const AT_ONCE: usize = 64;

/// What a step comes to.
const OUTCOME: &[u8] = br#"{"Ok":12345}"#;

/// A bare queue: priority, moment, lease and acknowledgement, and no other
/// rule.
trait Bare {
    /// Stores a batch of jobs with this payload, as durably as a queue does.
    fn enqueue(&mut self, from: usize, count: usize, payload: &str) -> Result<()>;

    /// Acknowledges what the last call gave out and leases the next jobs, in
    /// one step. Answers how many it gave out.
    fn turn(&mut self, count: usize) -> Result<usize>;

    /// Records what step `step` of each of the jobs came to that were given out last, so
    /// many in one step.
    fn record(&mut self, step: usize, at_once: usize) -> Result<()>;
}

fn open(options: &Options, batch: usize) -> Result<Box<dyn Bare>> {
    Ok(match options.scheme() {
        "memory" => Box::new(memory::Queue::default()),
        "sqlite" => Box::new(sqlite::Queue::create(options, batch)?),
        other => bail!("there is no floor for {other:?} yet"),
    })
}

/// Drains `--jobs` that record their steps one after the other.
fn steps(options: &Options, payload: &str) -> Result<Duration> {
    let mut bare = open(options, BATCHES[1] + STEPS)?;
    for from in (0..options.jobs).step_by(BATCHES[1]) {
        bare.enqueue(from, BATCHES[1].min(options.jobs - from), payload)?;
    }
    let begun = Instant::now();
    while bare.turn(BATCHES[1])? > 0 {
        for step in 0..STEPS {
            bare.record(step, AT_ONCE)?;
        }
    }
    Ok(begun.elapsed())
}

/// Enqueues and drains `--jobs` in batches of each size. The rate is that of
/// draining in the largest.
///
/// On a server, where round trips and connections matter as much as the
/// statements, each workload has a floor of its own.
pub(crate) async fn run(options: &Options) -> Result<()> {
    if options.is_postgres() {
        return server::run::<postgres::Queue>(options).await;
    }
    if options.is_redis() {
        return server::run::<redis::Queue>(options).await;
    }
    let mut report = Report::new(options);
    let mut last = Duration::ZERO;
    let payload = "x".repeat(options.payload);
    let lone = options.jobs / LONE_PART;
    let mut bare = open(options, 1)?;
    let begun = Instant::now();
    for n in 0..lone {
        bare.enqueue(n, 1, &payload)?;
    }
    report = report.with("enqueue_1_jobs_per_s", per_second(lone, begun.elapsed()));
    let mut paced = Vec::with_capacity(PACED);
    for n in lone..lone + PACED {
        tokio::time::sleep(EVERY).await;
        let begun = Instant::now();
        bare.enqueue(n, 1, &payload)?;
        paced.push(begun.elapsed());
    }
    paced.sort_unstable();
    report = report.with("enqueue_paced_p50_ms", paced[PACED / 2].as_secs_f64() * 1000.0);
    for batch in BATCHES {
        let mut bare = open(options, batch)?;
        let begun = Instant::now();
        for from in (0..options.jobs).step_by(batch) {
            bare.enqueue(from, batch.min(options.jobs - from), &payload)?;
        }
        let enqueued = begun.elapsed();
        let begun = Instant::now();
        let mut done = 0;
        loop {
            let count = bare.turn(batch)?;
            if count == 0 {
                break;
            }
            done += count;
        }
        last = begun.elapsed();
        ensure!(done == options.jobs, "{done} jobs came back of {}", options.jobs);
        report = report
            .with(&format!("enqueue_{batch}_jobs_per_s"), per_second(options.jobs, enqueued))
            .with(&format!("drain_{batch}_jobs_per_s"), per_second(options.jobs, last));
    }
    let took = steps(options, &payload)?;
    report = report.with("steps_jobs_per_s", per_second(options.jobs, took));
    report.rate(options.jobs, last).print()
}
