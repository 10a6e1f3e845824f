//! The jobs of one queue in a worker's hands, and the slots to run them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use windlass_core::model::QueueName;

use crate::context::Running;

/// The jobs of one queue in a worker's hands, and the slots to run them.
pub(crate) struct Pool {
    pub(crate) queue: QueueName,
    /// How many jobs run at once, at most.
    pub(crate) concurrency: usize,
    waiting: Mutex<VecDeque<Arc<Running>>>,
    /// How many executors there are; each runs one job at a time.
    executors: AtomicUsize,
    /// Jobs taken and not yet settled.
    in_hand: AtomicUsize,
    finished: AtomicU64,
    closed: AtomicBool,
    /// Raised when the poller should ask the store.
    pub(crate) ask: Notify,
    /// Raised when a job is settled.
    pub(crate) settled: Notify,
}

impl Pool {
    pub(crate) fn new(queue: QueueName, concurrency: usize) -> Self {
        Self {
            queue,
            concurrency,
            waiting: Mutex::default(),
            executors: AtomicUsize::new(0),
            in_hand: AtomicUsize::new(0),
            finished: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            ask: Notify::new(),
            settled: Notify::new(),
        }
    }

    /// Takes jobs in, and answers how many executors should be started.
    pub(crate) fn feed(&self, jobs: impl ExactSizeIterator<Item = Arc<Running>>) -> usize {
        let count = jobs.len();
        self.in_hand.fetch_add(count, Ordering::SeqCst);
        let mut waiting = self.lock();
        waiting.extend(jobs);
        let running = self.executors.load(Ordering::SeqCst);
        let wanted = waiting.len().min(self.concurrency.saturating_sub(running));
        // Counted under the lock, as `next` discounts them under it: so no job
        // is left without an executor.
        self.executors.fetch_add(wanted, Ordering::SeqCst);
        wanted
    }

    /// The next job for an executor. Without one, the executor must end.
    pub(crate) fn next(&self) -> Option<Arc<Running>> {
        let mut waiting = self.lock();
        let job = waiting.pop_front();
        if job.is_none() {
            self.executors.fetch_sub(1, Ordering::SeqCst);
        }
        job
    }

    /// Takes no further jobs, and gives back those that have not begun.
    pub(crate) fn close(&self) -> Vec<Arc<Running>> {
        self.closed.store(true, Ordering::SeqCst);
        self.lock().drain(..).collect()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Notes that so many jobs are settled.
    pub(crate) fn done(&self, count: usize) {
        self.in_hand.fetch_sub(count, Ordering::SeqCst);
        self.finished.fetch_add(count as u64, Ordering::SeqCst);
        self.settled.notify_one();
    }

    /// How many jobs are in hand.
    pub(crate) fn in_hand(&self) -> usize {
        self.in_hand.load(Ordering::SeqCst)
    }

    /// How many jobs wait for an executor.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// How many jobs have been settled since the start.
    pub(crate) fn finished(&self) -> u64 {
        self.finished.load(Ordering::SeqCst)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Running>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
