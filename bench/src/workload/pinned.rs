//! Whether a snapshot that somebody holds makes the queue rot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use windlass::Queue;
use windlass::postgres::PostgresConfig;
use windlass::postgres::sqlx::{self, AssertSqlSafe, Executor};

use super::drain::{Tally, handle, settled};
use crate::job::Noop;
use crate::meter::Meter;
use crate::options::{Options, Snapshot};
use crate::report::{Report, per_second, percentile};
use crate::server::postgres as server;
use crate::store::{BULK, Store, check_done};

/// How often 1,000 jobs are enqueued: 50,000/s.
const EVERY: Duration = Duration::from_millis(20);

/// How far the producer may be ahead of the worker, in jobs. It waits then, so
/// that a worker that falls behind is not measured on a queue without end.
const AHEAD: usize = 100_000;

/// How often figures are taken.
const WINDOW: Duration = Duration::from_secs(10);

/// What is compared with its like at the other end of the run, at most.
const MINUTE: Duration = Duration::from_secs(60);

/// A producer of up to 50,000/s beside a worker, while another connection holds
/// a snapshot from before the first job. The rate is that of the last minute.
pub(crate) async fn run(options: &Options) -> Result<()> {
    ensure!(options.is_postgres(), "{}: no snapshot can be held", options.scheme());
    let store = Store::connect(options).await?;
    let queue = store.fresh_queue(options, |queue| queue).await?;
    let meter = Meter::start(options).await?;
    // Not before the checkpoint, which has a transaction of its own to wait for.
    let mut holder = server::connect(&options.store).await?;
    if options.snapshot == Snapshot::Held {
        let schema = PostgresConfig::parse(&options.store)?.schema;
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        // The schema's name is one that the store has accepted.
        let look = format!("SELECT count(*) FROM {schema}.jobs");
        sqlx::query(AssertSqlSafe(look)).fetch_one(&mut holder).await?;
    }
    let tally = Arc::new(Tally::new(usize::MAX));
    let worker =
        store.worker(options, &queue).data(Arc::clone(&tally)).handle(handle).start().await?;
    let before = store.calls();
    let producer = tokio::spawn(produce(queue.clone(), options.clone(), Arc::clone(&tally)));
    let windows = watch(options, &store, &tally).await;
    let produced = producer.await??;
    let calls = store.calls() - before;
    while tally.calls() < produced {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    settled(&worker).await;
    let metered = meter.stop(options, produced).await?;
    worker.stop().await;
    check_done(options, &queue, produced).await?;

    let some = MINUTE.min(options.time() / 2).max(WINDOW);
    let count = (some.as_secs() / WINDOW.as_secs()) as usize;
    ensure!(windows.len() >= 2 * count, "{} windows are too few to compare", windows.len());
    let (first, last) = (&windows[..count], &windows[windows.len() - count..]);
    let jobs = |windows: &[Window]| windows.iter().map(|window| window.jobs).sum::<usize>();
    let p99 = |windows: &[Window]| {
        percentile(windows.iter().flat_map(|window| window.dequeues.clone()).collect(), 0.99)
    };
    let report = Report::new(options)
        .rate(jobs(last), last.iter().map(|window| window.took).sum())
        .round_trips(calls)
        .with("snapshot", if options.snapshot == Snapshot::Held { "held" } else { "none" })
        .with("compared_seconds", some.as_secs())
        .with("jobs_last_over_first", jobs(last) as f64 / jobs(first) as f64)
        .with("dequeue_p99_ms_first", p99(first))
        .with("dequeue_p99_ms_last", p99(last))
        .with("windows", windows.iter().map(Window::told).collect::<Vec<_>>());
    metered.report(report).await?.print()?;
    drop(holder);
    Ok(())
}

/// Enqueues until the time is up, and answers how many.
async fn produce(queue: Queue, options: Options, tally: Arc<Tally>) -> Result<usize> {
    let begun = Instant::now();
    let mut produced = 0;
    let mut tick = tokio::time::interval(EVERY);
    while begun.elapsed() < options.time() {
        tick.tick().await;
        if produced - tally.calls() > AHEAD {
            continue;
        }
        let batch = (produced..produced + BULK).map(|n| Noop::new(n as u64, options.payload));
        queue.enqueue_all(batch).await?;
        produced += BULK;
    }
    Ok(produced)
}

/// What happened in one window.
struct Window {
    jobs: usize,
    took: Duration,
    dequeues: Vec<Duration>,
}

impl Window {
    fn told(&self) -> Value {
        json!({
            "jobs_per_s": per_second(self.jobs, self.took),
            "dequeues": self.dequeues.len(),
            "dequeue_p99_ms": percentile(self.dequeues.clone(), 0.99),
        })
    }
}

/// Takes figures until the time is up.
async fn watch(options: &Options, store: &Store, tally: &Tally) -> Vec<Window> {
    let begun = Instant::now();
    let (mut windows, mut done, mut since) = (Vec::new(), tally.calls(), begun);
    store.take_dequeues();
    while begun.elapsed() + WINDOW / 2 < options.time() {
        tokio::time::sleep(WINDOW).await;
        let (calls, now) = (tally.calls(), Instant::now());
        let dequeues = store.take_dequeues();
        windows.push(Window { jobs: calls - done, took: now - since, dequeues });
        (done, since) = (calls, now);
    }
    windows
}
