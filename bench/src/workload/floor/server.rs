//! The floor of a server: every workload as bare statements.
//!
//! One connection enqueues, one leases and one acknowledges; each statement is a
//! round trip.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::sync::{mpsc, oneshot};

use super::{AT_ONCE, STEPS};
use crate::options::Options;
use crate::report::{Report, per_second};
use crate::workload::latency::EVERY;
use crate::workload::steady::AHEAD;

/// How many jobs a bulk insert has.
const BULK: usize = 1000;

/// How many jobs a lease has, and an acknowledgement.
const LEASE: usize = 500;

/// How many leased batches may wait for their acknowledgement.
const IN_HAND: usize = 2;

/// How many tasks enqueue at once, where many do.
const TASKS: usize = 64;

/// One by one, so many times fewer jobs: each waits for the disk.
const LONE_PART: usize = 20;

/// What becomes of a job that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Kept,
    Removed,
}

/// A connection to a bare queue.
pub(super) trait Queue: Sized + Send + 'static {
    /// What hears of new jobs.
    type Ear: Send + 'static;

    /// Makes the queue anew.
    async fn create(url: &str) -> Result<Self>;

    async fn open(url: &str) -> Result<Self>;

    /// Lets the server come to rest.
    fn settle(&mut self) -> impl Future<Output = Result<()>> + Send;

    fn enqueue(
        &mut self,
        from: usize,
        count: usize,
        payload: &[u8],
    ) -> impl Future<Output = Result<()>> + Send;

    async fn enqueue_and_notify(&mut self, n: usize, payload: &[u8]) -> Result<()>;

    /// Leases up to so many jobs and answers their ids, which rise.
    fn lease(&mut self, count: usize) -> impl Future<Output = Result<Vec<i64>>> + Send;

    fn acknowledge(&mut self, ids: &[i64], done: Done) -> impl Future<Output = Result<()>> + Send;

    /// Records what step `step` of these jobs came to.
    fn record(&mut self, ids: &[i64], step: usize) -> impl Future<Output = Result<()>> + Send;

    async fn listen(url: &str) -> Result<Self::Ear>;

    /// Waits for a notice.
    fn hear(ear: &mut Self::Ear) -> impl Future<Output = Result<()>> + Send;
}

/// Runs each workload on a queue of its own. The rate is that of draining.
pub(super) async fn run<Q: Queue>(options: &Options) -> Result<()> {
    let (jobs, url) = (options.jobs, options.store.as_str());
    let payload = vec![b'x'; options.payload];
    let lone = jobs / LONE_PART;
    let mut report = Report::new(options);
    let mut rate = |name: &str, jobs: usize, took: Duration| {
        report = std::mem::take(&mut report).with(name, per_second(jobs, took));
    };
    rate("enqueue_1_jobs_per_s", lone, alone::<Q>(url, lone, &payload).await?);
    rate("enqueue_64_jobs_per_s", jobs, shared::<Q>(url, jobs, &payload).await?);
    rate("enqueue_1000_jobs_per_s", jobs, bulk::<Q>(url, jobs, &payload).await?);
    let kept = drain::<Q>(url, jobs, &payload, Done::Kept).await?;
    rate("drain_kept_jobs_per_s", jobs, kept);
    let removed = drain::<Q>(url, jobs, &payload, Done::Removed).await?;
    rate("drain_removed_jobs_per_s", jobs, removed);
    rate("steps_jobs_per_s", jobs, steps::<Q>(url, jobs, &payload).await?);
    let (done, took) = steady::<Q>(url, options.time(), &payload).await?;
    rate("steady_jobs_per_s", done, took);
    let (each, took) = latency::<Q>(url, options.time(), &payload).await?;
    report.latencies(each, took).rate(jobs, kept).print()
}

/// One job a statement.
async fn alone<Q: Queue>(url: &str, jobs: usize, payload: &[u8]) -> Result<Duration> {
    let mut queue = Q::create(url).await?;
    let begun = Instant::now();
    for n in 0..jobs {
        queue.enqueue(n, 1, payload).await?;
    }
    Ok(begun.elapsed())
}

/// One job a call of 64 tasks; what comes in while a statement is under way
/// goes with the next.
async fn shared<Q: Queue>(url: &str, jobs: usize, payload: &[u8]) -> Result<Duration> {
    let mut queue = Q::create(url).await?;
    let (send, mut calls) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    for _ in 0..TASKS {
        let (send, next) = (send.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < jobs {
                let (answer, answered) = oneshot::channel();
                // The other side ends early only if a statement has failed.
                if send.send(answer).is_err() || answered.await.is_err() {
                    return;
                }
            }
        });
    }
    drop(send);
    let (mut batch, mut stored) = (Vec::new(), 0);
    while calls.recv_many(&mut batch, BULK).await > 0 {
        // Those who were answered just now mostly come again at once.
        while batch.len() < TASKS {
            tokio::task::yield_now().await;
            let before = batch.len();
            while let Ok(call) = calls.try_recv() {
                batch.push(call);
            }
            if batch.len() == before {
                break;
            }
        }
        queue.enqueue(stored, batch.len(), payload).await?;
        stored += batch.len();
        for call in batch.drain(..) {
            // A task that has gone wants no answer.
            let _ = call.send(());
        }
    }
    let took = begun.elapsed();
    ensure!(stored == jobs, "{stored} of {jobs} jobs were stored");
    Ok(took)
}

/// 1,000 jobs a statement.
async fn bulk<Q: Queue>(url: &str, jobs: usize, payload: &[u8]) -> Result<Duration> {
    let mut queue = Q::create(url).await?;
    let begun = Instant::now();
    for from in (0..jobs).step_by(BULK) {
        queue.enqueue(from, BULK.min(jobs - from), payload).await?;
    }
    Ok(begun.elapsed())
}

/// Leases on one connection and acknowledges on another.
async fn drain<Q: Queue>(url: &str, jobs: usize, payload: &[u8], done: Done) -> Result<Duration> {
    bulk::<Q>(url, jobs, payload).await?;
    let mut leasing = Q::open(url).await?;
    leasing.settle().await?;
    let begun = Instant::now();
    let (send, acknowledged) = acknowledge::<Q>(url, done).await?;
    loop {
        let leased = leasing.lease(LEASE).await?;
        if leased.is_empty() {
            break;
        }
        send.send(leased).await.context("acknowledging ended early")?;
    }
    drop(send);
    let count = acknowledged.await??;
    let took = begun.elapsed();
    ensure!(count == jobs, "{count} jobs came back of {jobs}");
    Ok(took)
}

/// The same with jobs that record their steps one after the other, on a connection of its
/// own: as many jobs at once as a worker runs.
async fn steps<Q: Queue>(url: &str, jobs: usize, payload: &[u8]) -> Result<Duration> {
    bulk::<Q>(url, jobs, payload).await?;
    let mut leasing = Q::open(url).await?;
    let mut recording = Q::open(url).await?;
    leasing.settle().await?;
    let begun = Instant::now();
    let (send, acknowledged) = acknowledge::<Q>(url, Done::Kept).await?;
    let (lease, mut leased) = mpsc::channel::<Vec<i64>>(IN_HAND);
    let leases = tokio::spawn(async move {
        loop {
            let ids = leasing.lease(LEASE).await?;
            if ids.is_empty() || lease.send(ids).await.is_err() {
                return anyhow::Ok(());
            }
        }
    });
    while let Some(ids) = leased.recv().await {
        for ids in ids.chunks(AT_ONCE) {
            for step in 0..STEPS {
                recording.record(ids, step).await?;
            }
        }
        send.send(ids).await.context("acknowledging ended early")?;
    }
    drop(send);
    leases.await??;
    let count = acknowledged.await??;
    ensure!(count == jobs, "{count} jobs came back of {jobs}");
    Ok(begun.elapsed())
}

/// A task that acknowledges the batches it is sent.
async fn acknowledge<Q: Queue>(
    url: &str,
    done: Done,
) -> Result<(mpsc::Sender<Vec<i64>>, tokio::task::JoinHandle<Result<usize>>)> {
    let mut queue = Q::open(url).await?;
    let (send, mut batches) = mpsc::channel::<Vec<i64>>(IN_HAND);
    let task = tokio::spawn(async move {
        let mut count = 0;
        while let Some(batch) = batches.recv().await {
            queue.acknowledge(&batch, done).await?;
            count += batch.len();
        }
        Ok(count)
    });
    Ok((send, task))
}

/// A producer of 1,000 jobs a statement beside a worker. Answers how many jobs
/// were leased until the time was up.
async fn steady<Q: Queue>(url: &str, time: Duration, payload: &[u8]) -> Result<(usize, Duration)> {
    let mut producing = Q::create(url).await?;
    let mut leasing = Q::open(url).await?;
    let (send, acknowledged) = acknowledge::<Q>(url, Done::Kept).await?;
    let leased = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let tally = Arc::clone(&leased);
    let worker = tokio::spawn(async move {
        while begun.elapsed() < time {
            let batch = leasing.lease(LEASE).await?;
            if batch.is_empty() {
                tokio::task::yield_now().await;
                continue;
            }
            tally.fetch_add(batch.len(), Ordering::Relaxed);
            send.send(batch).await.context("acknowledging ended early")?;
        }
        anyhow::Ok(())
    });
    let mut produced = 0;
    while begun.elapsed() < time {
        if produced - leased.load(Ordering::Relaxed) > AHEAD {
            tokio::time::sleep(Duration::from_micros(200)).await;
            continue;
        }
        producing.enqueue(produced, BULK, payload).await?;
        produced += BULK;
    }
    let (done, took) = (leased.load(Ordering::Relaxed), begun.elapsed());
    worker.await??;
    acknowledged.await??;
    Ok((done, took))
}

/// One job every 20 ms, with a notice: from before its statement until it is
/// leased.
async fn latency<Q: Queue>(
    url: &str,
    time: Duration,
    payload: &[u8],
) -> Result<(Vec<Duration>, Duration)> {
    let mut producing = Q::create(url).await?;
    let mut leasing = Q::open(url).await?;
    let mut ear = Q::listen(url).await?;
    let jobs = (time.as_millis() / EVERY.as_millis()) as usize;
    let worker = tokio::spawn(async move {
        let mut starts = Vec::with_capacity(jobs);
        while starts.len() < jobs {
            Q::hear(&mut ear).await?;
            let batch = leasing.lease(LEASE).await?;
            let now = Instant::now();
            starts.extend(batch.into_iter().map(|id| (id, now)));
        }
        anyhow::Ok(starts)
    });
    let (mut begins, begun) = (Vec::with_capacity(jobs), Instant::now());
    let mut tick = tokio::time::interval(EVERY);
    for n in 0..jobs {
        tick.tick().await;
        begins.push(Instant::now());
        producing.enqueue_and_notify(n, payload).await?;
    }
    let took = begun.elapsed();
    let mut starts = worker.await??;
    starts.sort_unstable();
    let each = begins.iter().zip(starts).map(|(begin, (_, start))| start - *begin).collect();
    Ok((each, took))
}
