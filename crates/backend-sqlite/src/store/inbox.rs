//! Where calls wait for a thread.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a thread that has just answered stays awake for the next call. Who
/// was answered mostly comes again within this time, and waking a thread takes
/// about as long.
const LINGER: Duration = Duration::from_micros(100);

/// Calls that wait for one of the threads of a backend.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    inner: Mutex<Inner<T>>,
    changed: Condvar,
    /// Whether there is something to look at, for a thread that lingers.
    stirred: AtomicBool,
}

#[derive(Debug)]
struct Inner<T> {
    calls: VecDeque<T>,
    /// How many threads sleep. Waking nobody would still be a system call.
    sleeping: usize,
    nudged: bool,
    closed: bool,
}

/// What a thread finds when it looks into its inbox.
#[derive(Debug)]
pub(crate) enum Found<T> {
    /// Calls, in the order in which they came.
    Calls(VecDeque<T>),
    /// None, and it was to wait no longer.
    Nothing,
    /// None, and none will come.
    Closed,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                calls: VecDeque::new(),
                sleeping: 0,
                nudged: false,
                closed: false,
            }),
            changed: Condvar::new(),
            stirred: AtomicBool::new(false),
        }
    }

    /// Adds a call. Once the inbox is closed, the call is dropped, and whoever
    /// waits for its answer learns of that.
    pub(crate) fn put(&self, call: T) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        inner.calls.push_back(call);
        self.stirred.store(true, Ordering::Release);
        let wake = inner.sleeping > 0;
        drop(inner);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Lets a thread that waits without a bound look again at what it should
    /// wait for.
    pub(crate) fn nudge(&self) {
        self.lock().nudged = true;
        self.stirred.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Stays awake for a moment, unless a call comes in before. For the only
    /// thread of an inbox, between answering and [`Inbox::take`]. Others have
    /// the processor meanwhile, if they want it.
    pub(crate) fn linger(&self) {
        let begun = Instant::now();
        while !self.stirred.load(Ordering::Acquire) && begun.elapsed() < LINGER {
            std::thread::yield_now();
        }
    }

    /// Takes the calls that are there, up to `max`; waits for one if there is
    /// none, no longer than `patience`.
    pub(crate) fn take(&self, max: usize, patience: Option<Duration>) -> Found<T> {
        let mut inner = self.lock();
        while inner.calls.is_empty() {
            if inner.closed {
                return Found::Closed;
            }
            if std::mem::take(&mut inner.nudged) {
                return Found::Nothing;
            }
            inner.sleeping += 1;
            let timed_out;
            (inner, timed_out) = match patience {
                None => {
                    let inner = self.changed.wait(inner);
                    (inner.unwrap_or_else(PoisonError::into_inner), false)
                }
                Some(patience) => {
                    let (inner, result) = self
                        .changed
                        .wait_timeout(inner, patience)
                        .unwrap_or_else(PoisonError::into_inner);
                    (inner, result.timed_out())
                }
            };
            inner.sleeping -= 1;
            if timed_out && inner.calls.is_empty() && !inner.closed {
                return Found::Nothing;
            }
        }
        self.stirred.store(inner.calls.len() > max, Ordering::Release);
        if inner.calls.len() <= max {
            return Found::Calls(std::mem::take(&mut inner.calls));
        }
        let later = inner.calls.split_off(max);
        Found::Calls(std::mem::replace(&mut inner.calls, later))
    }

    /// Takes no further calls; those that are there are still carried out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.stirred.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Takes no further calls and drops those that are there: nobody is left to
    /// carry them out.
    pub(crate) fn abandon(&self) {
        let calls = {
            let mut inner = self.lock();
            inner.closed = true;
            std::mem::take(&mut inner.calls)
        };
        drop(calls);
    }

    /// Nothing under this lock can panic half-way.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
