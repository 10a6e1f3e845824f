//! Hints to whoever watches: bounded, coalesced, never waited for.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use windlass_core::model::{Event, Interest, JobRef, Notice, QueueName};

/// How many notices a slow reader keeps; beyond that it loses the oldest.
const KEPT: usize = 1024;

/// What a transaction has to tell, once it has committed.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Queues that may have work.
    queues: Vec<QueueName>,
    /// What happened to jobs; gathered only while somebody wants it.
    events: Vec<(JobRef, Event)>,
    /// Whether somebody wants to know what happens to each job.
    pub(crate) wants_events: bool,
}

impl News {
    pub(crate) fn clear(&mut self) {
        self.queues.clear();
        self.events.clear();
    }

    /// A queue may have work.
    pub(crate) fn touch(&mut self, queue: &QueueName) {
        // Calls of one transaction mostly concern one queue.
        if self.queues.last() != Some(queue) && !self.queues.contains(queue) {
            self.queues.push(queue.clone());
        }
    }

    /// Something happened to a job.
    pub(crate) fn happened(&mut self, job: impl FnOnce() -> JobRef, event: Event) {
        if self.wants_events {
            self.events.push((job(), event));
        }
    }
}

/// Everybody who watches one backend.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    watchers: Mutex<Vec<Arc<Watcher>>>,
    /// How many there are, so that writers need no lock to see that there is
    /// none.
    all: AtomicUsize,
    /// How many of them want to know about each job.
    of_jobs: AtomicUsize,
}

impl Hub {
    /// Whether anybody watches.
    pub(crate) fn is_watched(&self) -> bool {
        self.all.load(Ordering::Relaxed) > 0
    }

    /// Whether anybody wants to know about each job.
    pub(crate) fn wants_events(&self) -> bool {
        self.of_jobs.load(Ordering::Relaxed) > 0
    }

    /// A stream of what is told from now on.
    pub(crate) fn watch(self: &Arc<Self>, interest: Interest) -> Notices {
        let watcher = Arc::new(Watcher { interest, inner: Mutex::default() });
        lock(&self.watchers).push(Arc::clone(&watcher));
        self.all.fetch_add(1, Ordering::Relaxed);
        if interest == Interest::Jobs {
            self.of_jobs.fetch_add(1, Ordering::Relaxed);
        }
        Notices { hub: Arc::clone(self), watcher }
    }

    /// Tells everybody what a transaction brought.
    pub(crate) fn tell(&self, news: &mut News) {
        if self.is_watched() && !(news.queues.is_empty() && news.events.is_empty()) {
            for watcher in lock(&self.watchers).iter() {
                watcher.push(|kept| {
                    if watcher.interest == Interest::Jobs {
                        for (job, event) in &news.events {
                            keep(kept, Notice::Job { job: job.clone(), event: *event });
                        }
                    } else {
                        for queue in &news.queues {
                            // Work is a state, not an occurrence: once is enough.
                            let notice = Notice::Queue(queue.clone());
                            if !kept.contains(&notice) && !kept.contains(&Notice::Anything) {
                                keep(kept, notice);
                            }
                        }
                    }
                });
            }
        }
        news.clear();
    }

    /// Tells everybody that somebody else has changed the file.
    pub(crate) fn tell_anything(&self) {
        if self.is_watched() {
            for watcher in lock(&self.watchers).iter() {
                watcher.push(|kept| {
                    if !kept.contains(&Notice::Anything) {
                        keep(kept, Notice::Anything);
                    }
                });
            }
        }
    }

    /// Ends every stream.
    pub(crate) fn close(&self) {
        for watcher in lock(&self.watchers).iter() {
            let waker = {
                let mut inner = lock(&watcher.inner);
                inner.closed = true;
                inner.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

fn keep(kept: &mut VecDeque<Notice>, notice: Notice) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(notice);
}

/// Nothing under these locks can panic half-way, so that what a panic elsewhere
/// has left behind is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Watcher {
    interest: Interest,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: VecDeque<Notice>,
    waker: Option<Waker>,
    closed: bool,
}

impl Watcher {
    fn push(&self, fill: impl FnOnce(&mut VecDeque<Notice>)) {
        let waker = {
            let mut inner = lock(&self.inner);
            fill(&mut inner.kept);
            if inner.kept.is_empty() { None } else { inner.waker.take() }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A stream of notices, until the backend is dropped.
#[derive(Debug)]
pub(crate) struct Notices {
    hub: Arc<Hub>,
    watcher: Arc<Watcher>,
}

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        let mut inner = lock(&self.watcher.inner);
        if let Some(notice) = inner.kept.pop_front() {
            return Poll::Ready(Some(notice));
        }
        if inner.closed {
            return Poll::Ready(None);
        }
        inner.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        lock(&self.hub.watchers).retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
        self.hub.all.fetch_sub(1, Ordering::Relaxed);
        if self.watcher.interest == Interest::Jobs {
            self.hub.of_jobs.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
