//! Producing and working at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::drain::{Tally, handle, settled};
use crate::job::Noop;
use crate::meter::Meter;
use crate::options::Options;
use crate::report::Report;
use crate::store::{BULK, Store, check_done};

/// How far a producer may be ahead of the worker, in jobs: a queue that grows
/// without end measures the producer.
pub(super) const AHEAD: usize = 20_000;

/// A producer and a worker in one process. What counts is what was worked on
/// until the time was up.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let store = Store::connect(options).await?;
    let queue = store.fresh_queue(options, |queue| queue).await?;
    let tally = Arc::new(Tally::new(usize::MAX));
    let worker =
        store.worker(options, &queue).data(Arc::clone(&tally)).handle(handle).start().await?;
    let meter = Meter::start(options).await?;
    let before = store.calls();
    let begun = Instant::now();
    let mut produced = 0;
    while begun.elapsed() < options.time() {
        if produced - tally.calls() > AHEAD {
            tokio::time::sleep(Duration::from_micros(200)).await;
            continue;
        }
        let from = produced;
        let batch = (from..from + BULK).map(|n| Noop::new(n as u64, options.payload));
        queue.enqueue_all(batch).await?;
        produced += BULK;
    }
    let (done, took) = (tally.calls(), begun.elapsed());
    let calls = store.calls() - before;
    while tally.calls() < produced {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    settled(&worker).await;
    let metered = meter.stop(options, produced).await?;
    worker.stop().await;
    check_done(options, &queue, produced).await?;
    let report = Report::new(options).rate(done, took).round_trips(calls);
    metered.report(report).await?.print()
}
