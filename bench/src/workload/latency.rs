//! How soon a lone job starts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use windlass::{Data, Queue};

use crate::job::Noop;
use crate::options::Options;
use crate::report::Report;
use crate::store::{Store, check_done};

/// How often a job comes.
pub(super) const EVERY: Duration = Duration::from_millis(20);

/// When each job was begun to be enqueued, and when it started.
type Times = Mutex<Vec<(Instant, Option<Instant>)>>;

async fn handle(job: Noop, times: Data<Arc<Times>>) {
    let now = Instant::now();
    let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
    times[job.n as usize].1 = Some(now);
}

async fn produce(queue: Queue, jobs: usize, payload: usize, times: Arc<Times>) -> Result<()> {
    let mut tick = tokio::time::interval(EVERY);
    for n in 0..jobs {
        tick.tick().await;
        let job = Noop::new(n as u64, payload);
        times.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), None));
        queue.enqueue(job).await?;
    }
    Ok(())
}

/// From before the call that enqueues to the first line of the handler.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let store = Store::connect(options).await?;
    let queue = store.fresh_queue(options, |queue| queue).await?;
    let times: Arc<Times> = Arc::default();
    let before = store.calls();
    let worker =
        store.worker(options, &queue).data(Arc::clone(&times)).handle(handle).start().await?;
    let begun = Instant::now();
    let jobs = (options.time().as_millis() / EVERY.as_millis()) as usize;
    let from = if options.elsewhere {
        anyhow::ensure!(options.is_shared(), "{}: nobody else can open it", options.scheme());
        Store::connect(options).await?.queue(options, |queue| queue).await?
    } else {
        queue.clone()
    };
    // A task, as an application's requests are.
    let producer = tokio::spawn(produce(from, jobs, options.payload, Arc::clone(&times)));
    producer.await??;
    let took = begun.elapsed();
    // The last ones, whatever they take.
    let mut tick = tokio::time::interval(EVERY);
    // One that is leased and has not started would be handed back by the stop.
    while queue.stats().await?.count(windlass::model::State::Completed) < jobs as u64 {
        tick.tick().await;
    }
    let calls = store.calls() - before;
    worker.stop().await;
    check_done(options, &queue, jobs).await?;
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    let each: Option<Vec<_>> =
        times.iter().map(|(begin, start)| Some(start.as_ref()?.duration_since(*begin))).collect();
    let each = each.ok_or_else(|| anyhow::anyhow!("a job never started"))?;
    Report::new(options).latencies(each, took).round_trips(calls).print()
}
