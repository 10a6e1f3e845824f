//! Kills, stops and restarts real processes on one store, and judges what is
//! left.
//!
//! ```text
//! windlass-chaos [--seconds 60] [--store URL] [--seed N] [--workers 5] [--producers 3]
//!     [--disturb COMMAND --disturb-every SECONDS] …
//! ```
//!
//! The *conductor* starts worker and producer processes (this same program),
//! kills them with SIGKILL, stops them for three lease lengths and continues
//! them, restarts them, disturbs the store by commands that it is given, and in
//! the end lets the workers drain what is left.
//! Every process writes down what it knows, a line a fact, in a file of its own
//! that a kill does not take back. An *observer* looks at the store meanwhile.
//! The *judge* then compares the facts, what was observed and what is stored.
//!
//! The summary goes to standard output as JSON, a table to standard error. The
//! exit status is 0 if nothing was violated, 1 if something was, 2 if it could
//! not run.
//!
//! `windlass-chaos edges --store URL` is another run: of durable jobs whose workers die, one
//! after the other, before and after each call that stores something (`edges.rs`, and
//! `edge.rs` the worker).
//!
//! `plan.rs` says what is done, `fact.rs` what is written down, `worker.rs`,
//! `stale.rs` and `producer.rs` are the processes, `conductor.rs`,
//! `crew.rs` and `disturb.rs` drive them, `observer.rs` and `collect.rs` gather what the store
//! says, `judge/` compares.

#![allow(clippy::print_stdout, reason = "a program, not a library")]

mod collect;
mod conductor;
mod crew;
mod disturb;
mod edge;
mod edges;
mod fact;
mod gauge;
mod integrity;
mod jobs;
mod judge;
mod observer;
mod plan;
mod producer;
mod report;
mod stale;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::disturb::Trouble;

/// Something was violated.
const VIOLATED: u8 = 1;
/// It could not run.
const NOT_RUN: u8 = 2;

/// What can go wrong outside of what is judged.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Kills, stops and restarts real processes on one store, and judges what is
/// left.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    run: Run,
}

/// What a whole run is like.
#[derive(Args)]
struct Run {
    /// For how long processes are killed and stopped.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The store; an empty one. Default: a fresh file in a temporary folder.
    #[arg(long)]
    store: Option<String>,
    /// What the random choices are drawn from. Default: drawn, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// How many worker processes, at least 3.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(3..=64))]
    workers: u32,
    /// How many producer processes, at least 1.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    producers: u32,
    /// How long a lease is, in milliseconds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    lease_ms: u64,
    /// How long the workers may take to finish what is left.
    #[arg(long, default_value_t = 300)]
    drain_seconds: u64,
    /// A shell command that does something to the store, such as to restart its
    /// server; to be followed by how often. May be given several times.
    #[arg(long)]
    disturb: Vec<String>,
    /// How often the command before it is run, in seconds on average, and within
    /// these for the first time.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    disturb_every: Vec<u32>,
    /// Where the histories go, and stay. Default: a temporary folder, which
    /// stays only if something was violated.
    #[arg(long)]
    histories: Option<PathBuf>,
}

/// The processes that a run starts.
#[derive(Subcommand)]
enum Role {
    /// Handles jobs until standard input ends.
    #[command(hide = true)]
    Worker(Member),
    /// Enqueues jobs until standard input ends.
    #[command(hide = true)]
    Producer(Member),
    /// Lets workers die before and after each call that stores something of durable jobs.
    Edges(edges::Edges),
    /// Works a queue, and dies at a call.
    #[command(hide = true)]
    Edge(edge::Edge),
}

/// What one process of a run is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct Member {
    /// The store.
    #[arg(long)]
    pub(crate) store: String,
    /// Where it writes down what it knows.
    #[arg(long)]
    pub(crate) history: PathBuf,
    /// Which worker, or producer, it is.
    #[arg(long)]
    pub(crate) index: u32,
    /// What its random choices are drawn from.
    #[arg(long)]
    pub(crate) seed: u64,
    /// How long a lease is, in milliseconds.
    #[arg(long)]
    pub(crate) lease_ms: u64,
}

impl Member {
    /// How long a lease is.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Two threads each: a handler that blocks for a moment must not keep the
    // heartbeat from its turn.
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return not_run(&error.into()),
        };
    let outcome = runtime.block_on(async {
        match arguments.role {
            Some(Role::Worker(member)) => worker::run(member).await.map(|()| ExitCode::SUCCESS),
            Some(Role::Producer(member)) => producer::run(member).await.map(|()| ExitCode::SUCCESS),
            Some(Role::Edges(edges)) => Ok(match edges::run(edges).await? {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(VIOLATED),
            }),
            Some(Role::Edge(edge)) => edge::run(edge).await.map(|()| ExitCode::SUCCESS),
            None => whole(arguments.run).await,
        }
    });
    outcome.unwrap_or_else(|error| not_run(&error))
}

fn not_run(error: &Failure) -> ExitCode {
    eprintln!("ERROR the process could not run: {error:#}");
    ExitCode::from(NOT_RUN)
}

impl Run {
    fn troubles(&self) -> Result<Vec<Trouble>, Failure> {
        if self.disturb.len() != self.disturb_every.len() {
            return Err("each --disturb COMMAND wants a --disturb-every SECONDS".into());
        }
        let every = self.disturb_every.iter().map(|seconds| Duration::from_secs((*seconds).into()));
        let troubles = self.disturb.iter().cloned().zip(every);
        Ok(troubles.map(|(command, every)| Trouble { command, every }).collect())
    }
}

async fn whole(run: Run) -> Result<ExitCode, Failure> {
    let troubles = run.troubles()?;
    let evidence = conductor::conduct(&conductor::Orders {
        length: Duration::from_secs(run.seconds),
        store: run.store,
        seed: run.seed.unwrap_or_else(|| fastrand::u64(..1 << 53)),
        workers: run.workers,
        producers: run.producers,
        lease: Duration::from_millis(run.lease_ms),
        drain: Duration::from_secs(run.drain_seconds),
        troubles,
        histories: run.histories,
    })
    .await?;
    let verdict = judge::judge(&evidence);
    report::table(&verdict);
    println!("{}", report::json(&verdict)?);
    if verdict.is_clean() {
        return Ok(ExitCode::SUCCESS);
    }
    for place in evidence.places.keep() {
        eprintln!("what it was judged by is in {}", place.display());
    }
    Ok(ExitCode::from(VIOLATED))
}
