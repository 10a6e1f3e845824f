//! Ten tasks, three at a time over all processes; and a bound for each process besides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::{Data, Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "limit.task")]
struct Task;

/// How many run now, and how many did at most.
#[derive(Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

async fn task(_: Task, gauge: Data<Arc<Gauge>>) {
    let now = gauge.now.fetch_add(1, Ordering::SeqCst) + 1;
    gauge.most.fetch_max(now, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(20)).await;
    gauge.now.fetch_sub(1, Ordering::SeqCst);
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.limit").concurrency(3).declare().await?;
    let handles = queue.enqueue_all((0..10).map(|_| Task)).await?;
    let gauge = Arc::new(Gauge::default());
    let mut workers = Vec::new();
    for _ in 0..2 {
        // Each of these would run up to 8 by itself.
        let worker = windlass.worker().queue(&queue).concurrency(8);
        workers.push(worker.data(Arc::clone(&gauge)).handle(task).start().await?);
    }
    windlass.wait_all(&handles).await?;
    for worker in workers {
        worker.stop().await;
    }
    let most = gauge.most.load(Ordering::SeqCst);
    assert!((1..=3).contains(&most), "{most} at once");
    Ok(format!("10 tasks in two workers, {most} at once at most"))
}
