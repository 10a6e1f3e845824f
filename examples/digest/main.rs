//! The SHA-256 of every file below a directory, as durable jobs.
//!
//! ```text
//! cargo run --release --example digest -- DIR [--store URL] [--manifest FILE] [--json]
//! ```
//!
//! One job scans the tree and enqueues a job per file, a job per directory
//! that depends on its entries' jobs, and so a last one for the root: a graph.
//! Kill it at any moment and start it again: it goes on where it was. Start it
//! twice on one store: the two share the work. Ctrl-C drains.
//!
//! The exit status is 0 if everything was digested, 1 if some of it could not
//! be, 2 if nothing could, 130 after Ctrl-C.
//!
//! `run.rs` finds or begins a run, `scan.rs` enqueues the graph, `hash.rs` has
//! the handlers, `report.rs` writes the manifest and the summary.

#![allow(clippy::print_stdout, unreachable_pub, reason = "a program, not a library")]

mod hash;
mod report;
mod run;
mod scan;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use windlass::{RunningWorker, Windlass, blocking};

use crate::report::Work;
use crate::run::{Begun, Run};

const DEFAULT_STORE: &str = "sqlite:target/digest.db";

/// Computes the SHA-256 of every file below a directory, as durable jobs.
#[derive(Parser)]
struct Arguments {
    /// The directory. A link to one is followed.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The store.
    #[arg(long, default_value = DEFAULT_STORE)]
    store: String,
    /// Where to write the lines that sha256sum would.
    #[arg(long)]
    manifest: Option<PathBuf>,
    /// Print the summary as JSON, and nothing else.
    #[arg(long)]
    json: bool,
    /// How many files to read at once. Default: twice the number of cores.
    #[arg(long)]
    concurrency: Option<usize>,
}

/// Not everything could be digested.
const SOME_FAILED: u8 = 1;
/// It could not run at all.
const NOT_RUN: u8 = 2;
/// Stopped before the end; starting again goes on.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match digest(Arguments::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(NOT_RUN)
        }
    }
}

async fn digest(arguments: Arguments) -> anyhow::Result<u8> {
    if arguments.store == DEFAULT_STORE {
        std::fs::create_dir_all("target").context("cannot create the folder target")?;
    }
    let windlass = Windlass::connect(&arguments.store).await?;
    let run = Run::find_or_begin(&windlass, &arguments.dir).await?;
    let bar = if arguments.json { ProgressBar::hidden() } else { progress_bar() };
    if run.begun == Begun::Before {
        bar.println("going on with an unfinished run");
    }

    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let begin = Instant::now();
    let worker = windlass
        .worker()
        .queue(&run.queue)
        .concurrency(arguments.concurrency.unwrap_or(cores * 2))
        // Short leases: what a killed process held is taken over soon.
        .lease(Duration::from_secs(3))
        .sweep_interval(Duration::from_secs(1))
        .data(run.queue.clone())
        .handle(scan::scan)
        .handle(blocking(hash::file))
        .handle(hash::directory)
        .start()
        .await?;

    let finished = tokio::select! {
        finished = watch(&run, &bar) => finished?,
        _ = tokio::signal::ctrl_c() => return Ok(interrupted(worker, &bar).await),
    };
    let work = Work { settled: worker.stop().await.settled, took: begin.elapsed() };
    bar.finish_and_clear();

    let report = report::collect(&run, finished).await?;
    if let Some(path) = &arguments.manifest {
        report.write_manifest(path)?;
    }
    if arguments.json {
        report.print_json(&work, run.begun)?;
    } else {
        report.print(&work);
    }
    run.delivered().await?;
    Ok(if report.is_clean() { 0 } else { SOME_FAILED })
}

/// Drains the worker, unless it is interrupted once more.
async fn interrupted(worker: RunningWorker, bar: &ProgressBar) -> u8 {
    bar.finish_and_clear();
    eprintln!("stopping: letting what runs finish; once more to stop at once");
    tokio::select! {
        done = worker.stop() => eprintln!(
            "stopped after {} jobs, {} handed back; start again to go on",
            done.settled, done.handed_back
        ),
        _ = tokio::signal::ctrl_c() => eprintln!("stopped; start again to go on"),
    }
    INTERRUPTED
}

/// Waits until the run has ended, whichever process does the work.
async fn watch(run: &Run, bar: &ProgressBar) -> anyhow::Result<run::Finished> {
    loop {
        let stats = run.queue.stats().await?;
        let (ended, all) = run.progress(&stats);
        bar.set_length(all);
        bar.set_position(ended);
        if let Some(finished) = run.finished(&stats).await? {
            return Ok(finished);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn progress_bar() -> ProgressBar {
    let template = "{bar:40} {pos}/{len} jobs  {per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}
