//! Notices for those who watch a store (rule Q6): what
//! [`Backend::watch`](super::Backend::watch) can be made of.
//!
//! A store keeps one [`Hub`]. While it carries out a call it gathers in a
//! [`News`] what the call has changed, and hands that over with [`Hub::tell`]
//! once it is committed. Nobody is waited for, and a reader that does not read
//! costs a bounded amount of memory.
//!
//! ```
//! use windlass_core::backend::NoticeStream;
//! use windlass_core::backend::hub::Hub;
//! use windlass_core::model::{Interest, QueueName};
//!
//! # fn main() -> Result<(), windlass_core::model::InvalidName> {
//! let hub = Hub::default();
//! let stream: NoticeStream = Box::pin(hub.watch(Interest::Work));
//!
//! let mut news = hub.news();
//! news.touch(&QueueName::new("emails")?);
//! // Here the call is committed; what is told then is true.
//! hub.tell(&mut news);
//! # drop(stream);
//! # Ok(()) }
//! ```

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use crate::model::{Event, Interest, JobRef, Notice, QueueName};

/// How many notices are kept for a reader, unless the hub is told otherwise.
const KEPT: usize = 1024;

/// What a call has to tell, once it is committed. May be used again and again,
/// so that gathering seldom allocates.
#[derive(Debug, Default)]
pub struct News {
    /// Whether somebody wants to know what happens to each job. While nobody
    /// does, events are not gathered. [`Hub::news`] sets it; where one is used
    /// for call after call, ask [`Hub::wants_events`] at the beginning of each.
    pub wants_events: bool,
    queues: Vec<QueueName>,
    events: Vec<(JobRef, Event)>,
}

impl News {
    /// Forgets what was gathered: the call is undone.
    pub fn clear(&mut self) {
        self.queues.clear();
        self.events.clear();
    }

    /// The queues that may have work.
    #[must_use]
    pub fn queues(&self) -> &[QueueName] {
        &self.queues
    }

    /// There may be work in a queue, or an active job of it was asked to stop.
    /// Said once, however often it is so.
    pub fn touch(&mut self, queue: &QueueName) {
        // Calls mostly concern one queue.
        if self.queues.last() != Some(queue) && !self.queues.contains(queue) {
            self.queues.push(queue.clone());
        }
    }

    /// Something happened to a job. The reference is made only if somebody
    /// wants to know.
    pub fn happened(&mut self, job: impl FnOnce() -> JobRef, event: Event) {
        if self.wants_events {
            self.events.push((job(), event));
        }
    }
}

/// Everybody who watches one store.
///
/// A hub that is dropped ends its streams, after what they have not read yet.
#[derive(Debug)]
pub struct Hub {
    audience: Arc<Audience>,
    kept: usize,
}

#[derive(Debug, Default)]
struct Audience {
    watchers: Mutex<Watchers>,
    /// How many watchers there are, so that writers need no lock to see that
    /// there is none.
    all: AtomicUsize,
    /// How many of them want to know about each job.
    of_jobs: AtomicUsize,
}

#[derive(Debug, Default)]
struct Watchers {
    list: Vec<Arc<Watcher>>,
    /// There will be no more news, for those who come later neither.
    closed: bool,
}

impl Default for Hub {
    /// A hub that keeps 1,024 notices for each reader.
    fn default() -> Self {
        Self::keeping(KEPT)
    }
}

impl Hub {
    /// A hub that keeps so many notices for each reader, at least 1. One that
    /// reads too slowly loses the oldest events; queues that do not fit become
    /// one [`Notice::Anything`].
    #[must_use]
    pub fn keeping(notices: usize) -> Self {
        Self { audience: Arc::default(), kept: notices.max(1) }
    }

    /// Whether anybody watches. Takes no lock.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.audience.all.load(Ordering::Relaxed) > 0
    }

    /// Whether anybody wants to know what happens to each job. Takes no lock.
    #[must_use]
    pub fn wants_events(&self) -> bool {
        self.audience.of_jobs.load(Ordering::Relaxed) > 0
    }

    /// What a call that begins now gathers its news in.
    #[must_use]
    pub fn news(&self) -> News {
        News { wants_events: self.wants_events(), ..News::default() }
    }

    /// A stream of what is told from now on.
    #[must_use]
    pub fn watch(&self, interest: Interest) -> Notices {
        let mut watchers = lock(&self.audience.watchers);
        let inbox = Inbox { closed: watchers.closed, ..Inbox::default() };
        let watcher = Arc::new(Watcher { interest, inbox: Mutex::new(inbox) });
        watchers.list.push(Arc::clone(&watcher));
        self.audience.all.fetch_add(1, Ordering::Relaxed);
        if interest == Interest::Jobs {
            self.audience.of_jobs.fetch_add(1, Ordering::Relaxed);
        }
        drop(watchers);
        Notices { audience: Arc::clone(&self.audience), watcher }
    }

    /// Tells everybody what a call brought, and empties the news. Queues are
    /// told to those who want work, events to those who want jobs.
    pub fn tell(&self, news: &mut News) {
        if self.is_watched() && !(news.queues.is_empty() && news.events.is_empty()) {
            self.each(|interest, inbox| match interest {
                Interest::Work => {
                    for queue in &news.queues {
                        inbox.note_work(Notice::Queue(queue.clone()), self.kept);
                    }
                }
                Interest::Jobs => {
                    for (job, event) in &news.events {
                        inbox.keep(Notice::Job { job: job.clone(), event: *event }, self.kept);
                    }
                }
            });
        }
        news.clear();
    }

    /// Tells everybody that something changed somewhere, for instance by
    /// another process.
    pub fn tell_anything(&self) {
        if self.is_watched() {
            self.each(|_, inbox| inbox.note_work(Notice::Anything, self.kept));
        }
    }

    /// Ends every stream, after what it has not been read yet. A hub that is
    /// dropped does so by itself; this is for one that several share.
    pub fn close(&self) {
        lock(&self.audience.watchers).closed = true;
        self.each(|_, inbox| inbox.closed = true);
    }

    /// Fills every inbox, and wakes its reader if there is something for it.
    /// Waking runs foreign code, so that no lock is held meanwhile.
    fn each(&self, mut fill: impl FnMut(Interest, &mut Inbox)) {
        let mut wakers = Vec::new();
        for watcher in &lock(&self.audience.watchers).list {
            let mut inbox = lock(&watcher.inbox);
            fill(watcher.interest, &mut inbox);
            if inbox.closed || !inbox.notices.is_empty() {
                wakers.extend(inbox.waker.take());
            }
        }
        for waker in wakers {
            waker.wake();
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.close();
    }
}

/// Nothing under these locks can panic half-way, so that what a panic elsewhere
/// has left behind is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Watcher {
    interest: Interest,
    inbox: Mutex<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    notices: VecDeque<Notice>,
    waker: Option<Waker>,
    closed: bool,
}

impl Inbox {
    /// Notes that there may be work, unless the reader has yet to read just
    /// that: work is a state and not an occurrence, so that once is enough.
    fn note_work(&mut self, notice: Notice, kept: usize) {
        if self.notices.contains(&notice) || self.notices.contains(&Notice::Anything) {
            return;
        }
        if self.notices.len() >= kept && self.notices.iter().all(is_of_queue) {
            // More queues than it can hold: one notice says all of it.
            self.notices.clear();
            self.notices.push_back(Notice::Anything);
        } else {
            self.keep(notice, kept);
        }
    }

    fn keep(&mut self, notice: Notice, kept: usize) {
        if self.notices.len() >= kept {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }
}

fn is_of_queue(notice: &Notice) -> bool {
    matches!(notice, Notice::Queue(_))
}

/// A stream of notices, until its hub is closed.
#[derive(Debug)]
pub struct Notices {
    audience: Arc<Audience>,
    watcher: Arc<Watcher>,
}

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        let mut inbox = lock(&self.watcher.inbox);
        if let Some(notice) = inbox.notices.pop_front() {
            return Poll::Ready(Some(notice));
        }
        if inbox.closed {
            return Poll::Ready(None);
        }
        let before = inbox.waker.replace(context.waker().clone());
        drop(inbox);
        // Dropping a waker may run foreign code too.
        drop(before);
        Poll::Pending
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        let mut watchers = lock(&self.audience.watchers);
        watchers.list.retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
        self.audience.all.fetch_sub(1, Ordering::Relaxed);
        if self.watcher.interest == Interest::Jobs {
            self.audience.of_jobs.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;
    use crate::model::JobId;

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    /// What a call has to tell, gathered as a store does.
    fn tell(hub: &Hub, gather: impl FnOnce(&mut News)) {
        let mut news = hub.news();
        gather(&mut news);
        hub.tell(&mut news);
    }

    fn happen(news: &mut News, n: u8) {
        let job = || JobRef { queue: queue("a"), id: JobId::from_bytes([n; 16]) };
        news.happened(job, Event::Enqueued);
    }

    fn poll(stream: &mut Notices, waker: &Waker) -> Poll<Option<Notice>> {
        Pin::new(stream).poll_next(&mut Context::from_waker(waker))
    }

    /// What the stream has at once; `None` at its end.
    fn read(stream: &mut Notices) -> Vec<Option<Notice>> {
        let mut found = Vec::new();
        while let Poll::Ready(notice) = poll(stream, Waker::noop()) {
            let ended = notice.is_none();
            found.push(notice);
            if ended {
                break;
            }
        }
        found
    }

    fn of_queue(name: &str) -> Option<Notice> {
        Some(Notice::Queue(queue(name)))
    }

    #[test]
    fn work_is_told_once_per_queue_until_it_is_read() {
        let hub = Hub::default();
        let mut work = hub.watch(Interest::Work);
        for _ in 0..3 {
            tell(&hub, |news| {
                news.touch(&queue("a"));
                news.touch(&queue("b"));
                news.touch(&queue("a"));
                happen(news, 1);
            });
        }
        assert_eq!(read(&mut work), ["a", "b"].map(of_queue));
        tell(&hub, |news| news.touch(&queue("a")));
        assert_eq!(read(&mut work), [of_queue("a")]);
    }

    #[test]
    fn more_queues_than_a_reader_can_hold_become_one_notice() {
        let hub = Hub::keeping(2);
        let mut work = hub.watch(Interest::Work);
        for name in ["a", "b", "c", "d"] {
            tell(&hub, |news| news.touch(&queue(name)));
        }
        assert_eq!(read(&mut work), [Some(Notice::Anything)]);
    }

    #[test]
    fn that_anything_may_have_changed_is_told_to_everybody_and_once() {
        let hub = Hub::keeping(2);
        let (mut work, mut jobs) = (hub.watch(Interest::Work), hub.watch(Interest::Jobs));
        hub.tell_anything();
        tell(&hub, |news| news.touch(&queue("a")));
        hub.tell_anything();
        assert_eq!(read(&mut work), [Some(Notice::Anything)]);
        assert_eq!(read(&mut jobs), [Some(Notice::Anything)]);
    }

    #[test]
    fn a_slow_reader_loses_the_oldest_events() {
        let hub = Hub::keeping(2);
        let mut jobs = hub.watch(Interest::Jobs);
        for n in 1..=4 {
            tell(&hub, |news| happen(news, n));
        }
        let ids: Vec<_> =
            read(&mut jobs).into_iter().map(|notice| notice.unwrap().job_id().unwrap()).collect();
        assert_eq!(ids, [3, 4].map(|n| JobId::from_bytes([n; 16])));
        // Not even the notice that stands for all of them holds more.
        for n in 1..=2 {
            tell(&hub, |news| happen(news, n));
        }
        hub.tell_anything();
        assert_eq!(read(&mut jobs).len(), 2);
    }

    #[test]
    fn events_are_gathered_only_while_somebody_wants_them() {
        let hub = Hub::default();
        let work = hub.watch(Interest::Work);
        assert!(hub.is_watched() && !hub.wants_events());
        let mut news = hub.news();
        news.happened(|| panic!("nobody wants to know"), Event::Enqueued);
        let jobs = hub.watch(Interest::Jobs);
        assert!(hub.wants_events());
        drop((work, jobs));
        assert!(!hub.is_watched() && !hub.wants_events());
        assert!(lock(&hub.audience.watchers).list.is_empty());
    }

    #[test]
    fn what_was_cleared_is_not_told_and_what_was_told_is_not_told_again() {
        let hub = Hub::default();
        let mut work = hub.watch(Interest::Work);
        let mut news = News::default();
        news.touch(&queue("a"));
        news.clear();
        hub.tell(&mut news);
        assert_eq!(read(&mut work), []);
        news.touch(&queue("b"));
        hub.tell(&mut news);
        assert_eq!(read(&mut work), [of_queue("b")]);
        hub.tell(&mut news);
        assert_eq!(read(&mut work), []);
    }

    #[test]
    fn a_waiting_reader_is_woken_by_news_and_by_the_end() {
        let hub = Hub::keeping(2);
        let mut work = hub.watch(Interest::Work);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(poll(&mut work, &waker).is_pending());
        tell(&hub, |news| happen(news, 1));
        assert_eq!(woken.times(), 0, "it does not want to know about jobs");
        tell(&hub, |news| news.touch(&queue("a")));
        assert_eq!(woken.times(), 1);
        assert_eq!(poll(&mut work, &waker), Poll::Ready(of_queue("a")));
        assert!(poll(&mut work, &waker).is_pending());
        drop(hub);
        assert_eq!(woken.times(), 2);
        assert_eq!(poll(&mut work, &waker), Poll::Ready(None));
    }

    #[test]
    fn a_closed_hub_ends_its_streams_after_what_was_told() {
        let hub = Hub::default();
        let mut work = hub.watch(Interest::Work);
        tell(&hub, |news| news.touch(&queue("a")));
        hub.close();
        assert_eq!(read(&mut work), [of_queue("a"), None]);
        assert_eq!(read(&mut hub.watch(Interest::Jobs)), [None]);
    }

    #[test]
    fn a_reader_may_be_dropped_by_its_own_waker() {
        let hub = Hub::default();
        let mut work = hub.watch(Interest::Work);
        let holder = Arc::new(Holder::default());
        assert!(poll(&mut work, &Waker::from(Arc::clone(&holder))).is_pending());
        *lock(&holder.0) = Some(work);
        hub.tell_anything();
        assert!(lock(&holder.0).is_none() && !hub.is_watched());
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Woken {
        fn times(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Drops a stream as soon as it is woken.
    #[derive(Default)]
    struct Holder(Mutex<Option<Notices>>);

    impl Wake for Holder {
        fn wake(self: Arc<Self>) {
            lock(&self.0).take();
        }
    }
}
