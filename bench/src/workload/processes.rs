//! Several worker processes on one store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use windlass::model::State;

use super::drain::{Tally, handle};
use crate::options::{Options, Workload};
use crate::process::{self, Worker};
use crate::report::{Report, per_second};
use crate::store::{PATIENCE, Store};

/// How often the store is asked whether all is done. It is part of the
/// figure, and small against it.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Drains `--jobs` with 1, 2, 4 and 8 processes. The rate is that of the
/// slowest.
pub(crate) async fn run(options: &Options) -> Result<()> {
    ensure!(options.is_shared(), "{}: has one process only", options.scheme());
    let store = Store::connect(options).await?;
    let queue = store.fresh_queue(options, |queue| queue).await?;
    let mut report = Report::new(options);
    let mut slowest = Duration::ZERO;
    for processes in [1, 2, 4, 8] {
        process::load(options, Workload::Load).await?;
        let mut workers = Vec::new();
        for _ in 0..processes {
            workers.push(Worker::start(options).await?);
        }
        let begun = Instant::now();
        for worker in &mut workers {
            worker.go().await?;
        }
        loop {
            let stats = queue.stats().await?;
            if stats.count(State::Waiting) + stats.count(State::Active) == 0 {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "{} jobs wait", stats.count(State::Waiting));
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let took = begun.elapsed();
        let mut calls = 0;
        for mut worker in workers {
            worker.go().await?;
            calls += worker.hear().await?.parse::<usize>()?;
            worker.end().await?;
        }
        if calls != options.jobs {
            bail!("{calls} calls for {} jobs", options.jobs);
        }
        slowest = slowest.max(took);
        let name = format!("{processes}_jobs_per_s");
        report = report.with(&name, per_second(options.jobs, took));
    }
    report.rate(options.jobs, slowest).print()
}

/// One of the processes.
pub(crate) async fn work(options: &Options) -> Result<()> {
    let store = Store::connect(options).await?;
    let queue = store.client.open_queue("bench").await?;
    let mut told = BufReader::new(tokio::io::stdin()).lines();
    println!("ready");
    told.next_line().await?;
    let tally = Arc::new(Tally::new(usize::MAX));
    let worker =
        store.worker(options, &queue).data(Arc::clone(&tally)).handle(handle).start().await?;
    told.next_line().await?;
    worker.stop().await;
    println!("{}", tally.calls());
    Ok(())
}
