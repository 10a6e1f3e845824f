//! Five starts in every ten seconds, two at a time: as the interface of somebody else asks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use windlass::{Data, Job, Windlass};

const PERIOD: Duration = Duration::from_secs(10);

#[derive(Serialize, Deserialize, Job)]
#[job(name = "rate.call")]
struct Call;

type Starts = Arc<Mutex<Vec<Instant>>>;

async fn call(_: Call, starts: Data<Starts>) {
    starts.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.rate").concurrency(2).rate(5, PERIOD).declare().await?;
    let handles = queue.enqueue_all((0..7).map(|_| Call)).await?;
    let starts = Starts::default();
    let worker = windlass.worker().queue(&queue).data(Arc::clone(&starts)).handle(call);
    let worker = worker.start().await?;
    windlass.wait_all(&handles).await?;
    worker.stop().await;
    let starts = starts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // The rate holds in every window, not by the clock on the wall: the sixth starts when
    // the first one's window is over. What is measured here is when handlers run, which is a
    // little later than the store has it.
    let (first, sixth) = (starts[0], starts[5]);
    let between = sixth.duration_since(first);
    assert!(between > PERIOD - Duration::from_secs(1), "{between:?}");
    Ok(format!("7 calls; the sixth {between:.0?} after the first"))
}
