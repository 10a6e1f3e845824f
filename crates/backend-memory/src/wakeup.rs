//! Notices: who wants them, and how they get there (rule Q6).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use windlass_core::backend::NoticeStream;
use windlass_core::model::{Event, Interest, JobId, JobRef, Notice, QueueName};

/// Hands notices to those who watch, and makes nobody wait for them.
///
/// A call gathers what it has to tell in an [`Outbox`] while it has the store
/// for itself, and hands it over afterwards, so that watchers are woken
/// outside the store's lock. While nobody watches, gathering costs a
/// comparison.
#[derive(Debug)]
pub(crate) struct Hub {
    watchers: Mutex<Vec<Arc<Watcher>>>,
    /// How many watchers there are of each interest.
    work: AtomicUsize,
    jobs: AtomicUsize,
    buffer: usize,
}

impl Hub {
    /// A hub at which so many notices wait for a slow watcher.
    pub(crate) fn new(buffer: usize) -> Self {
        Self {
            watchers: Mutex::default(),
            work: AtomicUsize::new(0),
            jobs: AtomicUsize::new(0),
            buffer: buffer.max(1),
        }
    }

    /// What a call gathers its notices in.
    pub(crate) fn outbox(&self) -> Outbox {
        Outbox {
            wants_work: self.work.load(Ordering::Relaxed) > 0,
            wants_jobs: self.jobs.load(Ordering::Relaxed) > 0,
            queues: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Hands over what a call has gathered.
    pub(crate) fn publish(&self, outbox: Outbox) {
        if outbox.queues.is_empty() && outbox.events.is_empty() {
            return;
        }
        let mut wakers = Vec::new();
        {
            let mut watchers = lock(&self.watchers);
            watchers.retain(|watcher| {
                let stays = watcher.take(&outbox, self.buffer, &mut wakers);
                if !stays {
                    self.counter(watcher.interest).fetch_sub(1, Ordering::Relaxed);
                }
                stays
            });
        }
        for waker in wakers {
            waker.wake();
        }
    }

    pub(crate) fn watch(&self, interest: Interest) -> NoticeStream {
        let watcher = Arc::new(Watcher { interest, inbox: Mutex::default() });
        lock(&self.watchers).push(Arc::clone(&watcher));
        self.counter(interest).fetch_add(1, Ordering::Relaxed);
        Box::pin(Notices(watcher))
    }

    fn counter(&self, interest: Interest) -> &AtomicUsize {
        match interest {
            Interest::Work => &self.work,
            Interest::Jobs => &self.jobs,
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for watcher in lock(&self.watchers).drain(..) {
            let waker = {
                let mut inbox = lock(&watcher.inbox);
                inbox.closed = true;
                inbox.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// What one call has to tell.
#[derive(Debug)]
pub(crate) struct Outbox {
    wants_work: bool,
    wants_jobs: bool,
    queues: Vec<QueueName>,
    events: Vec<(JobRef, Event)>,
}

impl Outbox {
    /// There may be work in this queue. Said once, however often it is so.
    pub(crate) fn work(&mut self, queue: &QueueName) {
        if self.wants_work && self.queues.last() != Some(queue) && !self.queues.contains(queue) {
            self.queues.push(queue.clone());
        }
    }

    /// Something happened to a job.
    pub(crate) fn event(&mut self, queue: &QueueName, id: JobId, event: Event) {
        if self.wants_jobs {
            let queue = queue.clone();
            self.events.push((JobRef { queue, id }, event));
        }
    }
}

/// Somebody who wants notices.
#[derive(Debug)]
struct Watcher {
    interest: Interest,
    inbox: Mutex<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    notices: VecDeque<Notice>,
    waker: Option<Waker>,
    /// The store is gone: there will be no more.
    closed: bool,
    /// The reader is gone: nobody wants more.
    left: bool,
}

impl Watcher {
    /// Takes what it is interested in. Answers whether its reader is still
    /// there.
    fn take(&self, outbox: &Outbox, buffer: usize, wakers: &mut Vec<Waker>) -> bool {
        let mut inbox = lock(&self.inbox);
        if inbox.left {
            return false;
        }
        let mut news = false;
        match self.interest {
            Interest::Work => {
                for queue in &outbox.queues {
                    news |= inbox.note_work(queue, buffer);
                }
            }
            Interest::Jobs => {
                for (job, event) in &outbox.events {
                    if inbox.notices.len() >= buffer {
                        inbox.notices.pop_front();
                    }
                    inbox.notices.push_back(Notice::Job { job: job.clone(), event: *event });
                    news = true;
                }
            }
        }
        if news {
            wakers.extend(inbox.waker.take());
        }
        true
    }
}

impl Inbox {
    /// Notes that there may be work in a queue, unless the reader has yet to
    /// read just that.
    fn note_work(&mut self, queue: &QueueName, buffer: usize) -> bool {
        let said = self.notices.iter().any(|notice| match notice {
            Notice::Queue(name) => name == queue,
            Notice::Anything => true,
            _ => false,
        });
        if said {
            return false;
        }
        if self.notices.len() >= buffer {
            // More queues than it can hold: one notice says all of it.
            self.notices.clear();
            self.notices.push_back(Notice::Anything);
        } else {
            self.notices.push_back(Notice::Queue(queue.clone()));
        }
        true
    }
}

/// A reader's end.
struct Notices(Arc<Watcher>);

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        let mut inbox = lock(&self.0.inbox);
        if let Some(notice) = inbox.notices.pop_front() {
            return Poll::Ready(Some(notice));
        }
        if inbox.closed {
            return Poll::Ready(None);
        }
        inbox.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        // The hub lets go of the rest with the next notice.
        let mut inbox = lock(&self.0.inbox);
        inbox.left = true;
        inbox.notices = VecDeque::new();
        inbox.waker = None;
    }
}

/// A panic of another thread leaves nothing here half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    fn tell(hub: &Hub, tell: impl FnOnce(&mut Outbox)) {
        let mut outbox = hub.outbox();
        tell(&mut outbox);
        hub.publish(outbox);
    }

    /// What the stream has at once; `None` at its end.
    fn read(stream: &mut NoticeStream) -> Vec<Option<Notice>> {
        let mut found = Vec::new();
        while let Some(notice) = stream.next().now_or_never() {
            let ended = notice.is_none();
            found.push(notice);
            if ended {
                break;
            }
        }
        found
    }

    fn event(n: u8) -> (QueueName, JobId, Event) {
        (queue("a"), JobId::from_bytes([n; 16]), Event::Enqueued)
    }

    #[test]
    fn work_is_told_once_per_queue_until_it_is_read() {
        let hub = Hub::new(9);
        let mut work = hub.watch(Interest::Work);
        for _ in 0..3 {
            tell(&hub, |outbox| {
                outbox.work(&queue("a"));
                outbox.work(&queue("b"));
                outbox.work(&queue("a"));
                outbox.event(&queue("a"), JobId::from_bytes([1; 16]), Event::Enqueued);
            });
        }
        let expected = ["a", "b"].map(|name| Some(Notice::Queue(queue(name))));
        assert_eq!(read(&mut work), expected);
        tell(&hub, |outbox| outbox.work(&queue("a")));
        assert_eq!(read(&mut work), [Some(Notice::Queue(queue("a")))]);
    }

    #[test]
    fn more_queues_than_a_watcher_can_hold_become_one_notice() {
        let hub = Hub::new(2);
        let mut work = hub.watch(Interest::Work);
        for name in ["a", "b", "c", "d"] {
            tell(&hub, |outbox| outbox.work(&queue(name)));
        }
        assert_eq!(read(&mut work), [Some(Notice::Anything)]);
    }

    #[test]
    fn a_slow_reader_loses_the_oldest_events() {
        let hub = Hub::new(2);
        let mut jobs = hub.watch(Interest::Jobs);
        for n in 1..=4 {
            let (queue, id, event) = event(n);
            tell(&hub, |outbox| outbox.event(&queue, id, event));
        }
        let ids: Vec<_> =
            read(&mut jobs).into_iter().map(|notice| notice.unwrap().job_id().unwrap()).collect();
        assert_eq!(ids, [3, 4].map(|n| JobId::from_bytes([n; 16])));
    }

    #[test]
    fn nothing_is_gathered_for_nobody() {
        let hub = Hub::new(2);
        let jobs = hub.watch(Interest::Jobs);
        drop(jobs);
        // The first notice finds the reader gone.
        let (queue, id, event) = event(1);
        tell(&hub, |outbox| outbox.event(&queue, id, event));
        let mut outbox = hub.outbox();
        outbox.event(&queue, id, event);
        outbox.work(&queue);
        assert!(outbox.events.is_empty() && outbox.queues.is_empty());
    }

    #[test]
    fn a_waiting_reader_is_woken_by_news_and_by_the_end() {
        let hub = Hub::new(2);
        let mut work = hub.watch(Interest::Work);
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut poll = |work: &mut NoticeStream| work.as_mut().poll_next(&mut context);
        assert!(poll(&mut work).is_pending());
        tell(&hub, |outbox| outbox.work(&queue("a")));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(poll(&mut work), Poll::Ready(Some(Notice::Queue(queue("a")))));
        assert!(poll(&mut work).is_pending());
        drop(hub);
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert_eq!(poll(&mut work), Poll::Ready(None));
    }

    struct Woken(AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
