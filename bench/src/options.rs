//! What is measured, and on what.

use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Measures Windlass, and prints one line of JSON.
#[derive(Clone, Debug, Parser)]
#[command(about, disable_version_flag = true)]
pub(crate) struct Options {
    /// What to measure.
    #[arg(value_enum)]
    pub(crate) workload: Workload,
    /// The store: `memory:`, `sqlite:FILE`, which must hold no jobs yet, or
    /// `postgres://…` or `redis://…`, where the run makes a database, or a prefix, of
    /// its own and drops it.
    #[arg(long, default_value = "memory:")]
    pub(crate) store: String,
    /// How many jobs; `latency` and `steady` go by time instead.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) jobs: usize,
    /// How long completed jobs are kept.
    #[arg(long, value_enum, default_value_t = Retention::Default)]
    pub(crate) retention: Retention,
    /// How many jobs a worker runs at once; without it, the worker's default.
    #[arg(long)]
    pub(crate) concurrency: Option<usize>,
    /// How many bytes a payload has, about.
    #[arg(long, default_value_t = 100)]
    pub(crate) payload: usize,
    /// How long `latency`, `steady`, `pinned`, and each part of `notify`, run;
    /// without it, `pinned` for ten minutes and the others for ten seconds.
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// Whether `pinned` holds a snapshot: without, it is its own control.
    #[arg(long, value_enum, default_value_t = Snapshot::Held)]
    pub(crate) snapshot: Snapshot,
    /// How many jobs wait behind those that `backlog` drains.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) behind: usize,
    /// Whether statistics of a Postgres server's tables are gathered before what
    /// is measured begins.
    #[arg(long)]
    pub(crate) analyze: bool,
    /// Whether `latency` enqueues by a handle of its own, as another process does.
    #[arg(long)]
    pub(crate) elsewhere: bool,
    /// How many partition keys `partitions` has.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) keys: usize,
}

impl Options {
    pub(crate) fn time(&self) -> Duration {
        let default = if self.workload == Workload::Pinned { 600 } else { 10 };
        Duration::from_secs(self.seconds.unwrap_or(default))
    }

    /// The scheme of the store's URL: the rest may hold a password.
    pub(crate) fn scheme(&self) -> &str {
        self.store.split(':').next().unwrap_or_default()
    }

    pub(crate) fn is_redis(&self) -> bool {
        self.scheme().starts_with("redis")
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.scheme(), "postgres" | "postgresql")
    }

    /// Whether other processes can open the store.
    pub(crate) fn is_shared(&self) -> bool {
        self.scheme() != "memory"
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// One task enqueues one job after the other.
    EnqueueSeq,
    /// 64 tasks do, by the same plain call.
    #[value(name = "enqueue-64")]
    Enqueue64,
    /// One task enqueues 1,000 jobs a call.
    EnqueueBulk,
    /// One worker process runs jobs that are there already.
    Drain,
    /// One job every 20 ms: from before its enqueue to its handler's start.
    Latency,
    /// A producer of 1,000 jobs a call beside a worker, in one process.
    Steady,
    /// Drains jobs in front of nothing, of as many scheduled ones, and of as
    /// many of worse priority.
    Backlog,
    /// Drains a queue with limits that do not bind.
    Limits,
    /// Drains a partitioned queue.
    Partitions,
    /// Runs durable jobs of five steps each that are there already.
    Steps,
    /// Stores and runs a flow: one job, `--jobs` that wait for it, and one that waits for
    /// all of these.
    Flow,
    /// Drains with 1, 2, 4 and 8 worker processes.
    Processes,
    /// A producer of 50,000 jobs a second beside a worker, while a snapshot from
    /// before the first job is held: figures of every ten seconds.
    Pinned,
    /// 16 applications that write, with and without jobs and notices.
    Notify,
    /// What statistics and dequeues take in front of `--jobs` finished and
    /// `--behind` scheduled jobs.
    Stats,
    /// The same work as bare statements in batches of 100 and of 1,000.
    Floor,
    /// Part of other workloads: fills the store.
    #[value(hide = true)]
    Load,
    /// Part of `partitions`: fills the store.
    #[value(hide = true)]
    LoadPartitions,
    /// Part of `processes`: one worker.
    #[value(hide = true)]
    Work,
}

impl Workload {
    /// Whether it runs within another, on the same store.
    pub(crate) fn is_part(self) -> bool {
        matches!(self, Self::Load | Self::LoadPartitions | Self::Work)
    }

    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Whether somebody holds a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Snapshot {
    Held,
    None,
}

/// How long completed jobs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Retention {
    /// As a queue has it by default: for a day.
    Default,
    /// Not at all.
    Remove,
}
