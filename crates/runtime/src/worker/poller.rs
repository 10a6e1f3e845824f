//! Asks the store for jobs.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use windlass_core::backend::{Again, Ask, Dequeued};

use super::builder::Parts;
use super::executor::execute;
use super::pool::Pool;
use super::settler::Settler;
use super::store_backoff;
use crate::context::{Running, StopReason};

/// How much work a poller keeps in hand beyond what runs: what finishes within
/// this time, as far as it has seen, so that executors do not run dry while it
/// asks. Slow jobs are thus hardly leased ahead of time, and fast ones in
/// batches.
const AHEAD: Duration = Duration::from_millis(50);

/// The most it keeps in hand beyond what runs.
const MAX_AHEAD: usize = 4000;

/// Into how many parts it divides what it keeps in hand: while one is asked for,
/// others run and are settled, and the store has something to do all the time.
const PARTS: usize = 3;

/// The most jobs that one call may ask for.
const MAX_ASK: usize = 10_000;

/// How long a poller waits if the moment it was given has passed.
const NOT_AT_ONCE: Duration = Duration::from_millis(50);

/// Asks the store for the jobs of one queue until the pool is closed.
pub(super) async fn poll(parts: Arc<Parts>, pool: Arc<Pool>, settler: Arc<Settler>) {
    let mut failures = 0;
    let mut pace = Pace::new();
    while !pool.is_closed() {
        pace.look(pool.finished());
        let wanted = pool.concurrency + pace.ahead();
        let room = wanted.saturating_sub(pool.in_hand());
        let part = wanted / PARTS;
        // Less than a part is not worth a round trip while there is something to run.
        if room == 0 || (room < part && pool.waiting() > 0) {
            pool.settled.notified().await;
            continue;
        }
        // What can run at once comes at once.
        let most = room.min(part.max(pool.concurrency)).min(MAX_ASK);
        let ask = Ask {
            queue: pool.queue.clone(),
            worker: parts.shared.worker,
            max: u32::try_from(most).unwrap_or(u32::MAX),
            lease: parts.timing.lease,
        };
        let asked = Instant::now();
        match parts.shared.client.backend().dequeue(ask).await {
            Ok(answer) => {
                failures = 0;
                let again = (answer.again, answer.now);
                let none = answer.jobs.is_empty();
                take(&parts, &pool, &settler, answer, asked);
                match again {
                    (Again::Now, _) if !none => {}
                    (Again::At(moment), now) => {
                        // A limit may have stopped it, and what this worker
                        // settles may make room.
                        let wait = match moment.since(now) {
                            // It should have found more already; asking at once
                            // would ask without end.
                            Duration::ZERO => NOT_AT_ONCE,
                            wait => wait,
                        };
                        let wait = wait.min(parts.timing.poll);
                        tokio::select! {
                            () = idle(&pool, wait) => {}
                            () = pool.settled.notified() => {}
                        }
                    }
                    (Again::Now | Again::OnNotice, _) => idle(&pool, parts.timing.poll).await,
                }
            }
            Err(error) => {
                failures += 1;
                let wait = store_backoff(failures);
                tracing::warn!(error = format!("{error:#}"), queue = %pool.queue, ?wait, "the store gives no jobs; asking again");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// Waits for a reason to ask again.
async fn idle(pool: &Pool, at_most: Duration) {
    tokio::select! {
        () = pool.ask.notified() => {}
        () = tokio::time::sleep(at_most) => {}
    }
}

/// Hands leased jobs to executors.
fn take(
    parts: &Arc<Parts>,
    pool: &Arc<Pool>,
    settler: &Arc<Settler>,
    answer: Dequeued,
    asked: Instant,
) {
    if answer.jobs.is_empty() {
        return;
    }
    let spec = answer.spec;
    let jobs: Vec<_> = answer
        .jobs
        .into_iter()
        .filter_map(|job| {
            let lease = job.lease?;
            let (spec, shared) = (Arc::clone(&spec), Arc::clone(&parts.shared));
            Some(Arc::new(Running::new(job, lease, spec, shared, asked)))
        })
        .collect();
    let mut held = parts.held.lock().unwrap_or_else(PoisonError::into_inner);
    for running in &jobs {
        // A job that comes back while an old lease of it is still in hand: that
        // one was taken over, and heartbeats would not find it any more.
        if let Some(old) = held.insert(running.job.id, Arc::clone(running)) {
            old.stop(StopReason::LeaseLost);
        }
    }
    drop(held);
    for _ in 0..pool.feed(jobs.into_iter()) {
        let (pool, settler) = (Arc::clone(pool), Arc::clone(settler));
        let execution = parts.execution.clone();
        tokio::spawn(execute(pool, execution, settler, parts.timing.cancel_grace));
    }
}

/// How fast the jobs of a queue finish.
struct Pace {
    since: Instant,
    finished: u64,
    per_second: f64,
}

impl Pace {
    fn new() -> Self {
        Self { since: Instant::now(), finished: 0, per_second: 0.0 }
    }

    fn look(&mut self, finished: u64) {
        let elapsed = self.since.elapsed().as_secs_f64();
        // Too short a time tells too little.
        if elapsed < 0.002 {
            return;
        }
        let now = (finished - self.finished) as f64 / elapsed;
        // A pause forgets half of what was seen, a burst is believed at once.
        self.per_second = now.max((self.per_second + now) / 2.0);
        self.since = Instant::now();
        self.finished = finished;
    }

    fn ahead(&self) -> usize {
        ((self.per_second * AHEAD.as_secs_f64()) as usize).min(MAX_AHEAD)
    }
}
