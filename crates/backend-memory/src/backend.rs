//! The trait, one line a method.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use windlass_core::backend::hub::{Hub, News};
use windlass_core::backend::{
    ApplyAnswer, Ask, Backend, Capabilities, Clean, Declared, Dequeued, EnqueueAnswer, Extend,
    Extended, NoticeStream, OverduePage, OverdueQuery, PutRepeatable, RepeatablePut, Repeatables,
    RepeatablesQuery, Result, Support, Transition,
};
use windlass_core::model::{
    Beat, Clock, Dependency, Interest, Job, JobRef, JobsPage, JobsQuery, NewJob, NewStep,
    QueueInfo, QueueName, QueueSpec, QueueStats, RepeatableKey, Seen, Step, StepRecorded,
    Timestamp, WorkerSeen,
};

use crate::config::MemoryConfig;
use crate::store::Store;

/// A store of jobs in memory.
///
/// Clones share one store, which is gone with the last of them. What a call
/// has stored is as durable as the process. No call waits for anything but
/// other calls. Memory that a peak of jobs took is kept for the next one.
#[derive(Clone)]
pub struct MemoryBackend {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    state: Mutex<State>,
    hub: Hub,
}

struct State {
    store: Store,
    /// The machine's clock may be set back; the store's time is not.
    last: Timestamp,
}

impl MemoryBackend {
    /// An empty store that goes by the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with(MemoryConfig::default())
    }

    /// An empty store.
    #[must_use]
    pub fn with(config: MemoryConfig) -> Self {
        Self {
            inner: Arc::new(Inner {
                clock: config.clock,
                state: Mutex::new(State { store: Store::default(), last: Timestamp::EPOCH }),
                hub: Hub::keeping(config.notice_buffer),
            }),
        }
    }

    /// Runs one step on the store, at one moment, with the store for itself.
    fn step<T>(&self, step: impl FnOnce(&mut Store, Timestamp, &mut News) -> T) -> T {
        let mut news = self.inner.hub.news();
        let done = {
            // Steps do not panic half-way; if one did, the others would rather
            // go on than fail for ever.
            let guard = self.inner.state.lock();
            let mut state = guard.unwrap_or_else(PoisonError::into_inner);
            let now = self.inner.clock_now(&mut state);
            step(&mut state.store, now, &mut news)
        };
        // Watchers are woken outside the lock.
        self.inner.hub.tell(&mut news);
        done
    }
}

impl Inner {
    fn clock_now(&self, state: &mut State) -> Timestamp {
        match &self.clock {
            Clock::Manual(clock) => clock.now(),
            Clock::Store => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                let now = Timestamp::EPOCH.after(since.unwrap_or_default());
                state.last = state.last.max(now);
                state.last
            }
        }
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").field("clock", &self.inner.clock).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transactions: Support::No,
            notices: Support::No,
            cross_queue_atomicity: Support::Yes,
            shared: Support::No,
        }
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(self.step(|_, now, _| now))
    }

    async fn declare(&self, spec: &QueueSpec) -> Result<Declared> {
        Ok(self.step(|store, now, news| store.declare(spec, now, news)))
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        self.step(|store, _, _| store.pause(queue))
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        self.step(|store, _, news| store.resume(queue, news))
    }

    async fn queues(&self) -> Result<Vec<QueueInfo>> {
        Ok(self.step(|store, _, _| store.queues()))
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<EnqueueAnswer> {
        Ok(self.step(|store, now, news| store.enqueue(jobs, now, news)))
    }

    async fn dequeue(&self, ask: Ask) -> Result<Dequeued> {
        self.step(|store, now, news| store.dequeue(&ask, now, news))
    }

    async fn extend(&self, leases: Vec<Extend>) -> Result<(Vec<Extended>, Timestamp)> {
        Ok(self.step(|store, now, news| (store.extend(leases, now, news), now)))
    }

    async fn overdue(&self, query: OverdueQuery) -> Result<OverduePage> {
        self.step(|store, now, _| store.overdue(&query, now))
    }

    async fn apply(&self, transitions: Vec<Transition>) -> Result<ApplyAnswer> {
        Ok(self.step(|store, now, news| store.apply(transitions, now, news)))
    }

    async fn repeatables(&self, query: RepeatablesQuery) -> Result<Repeatables> {
        Ok(self.step(|store, now, _| store.repeatables(&query, now)))
    }

    async fn put_repeatable(&self, put: PutRepeatable) -> Result<RepeatablePut> {
        self.step(|store, now, news| store.put_repeatable(put, now, news))
    }

    async fn remove_repeatable(&self, queue: &QueueName, key: &RepeatableKey) -> Result<bool> {
        Ok(self.step(|store, _, _| store.remove_repeatable(queue, key)))
    }

    async fn clean(&self, clean: Clean) -> Result<u64> {
        self.step(|store, now, news| store.clean(&clean, now, news))
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats> {
        self.step(|store, now, _| store.stats(queue, now))
    }

    async fn job(&self, job: &JobRef) -> Result<Option<Seen>> {
        Ok(self.step(|store, now, _| store.job(job, now)))
    }

    async fn jobs(&self, query: JobsQuery) -> Result<JobsPage> {
        Ok(self.step(|store, now, _| store.jobs(&query, now)))
    }

    async fn dependents(&self, job: &JobRef) -> Result<Vec<Job>> {
        Ok(self.step(|store, now, _| store.dependents(job, now)))
    }

    async fn dependencies(&self, job: &JobRef) -> Result<Vec<Dependency>> {
        Ok(self.step(|store, now, _| store.dependencies(job, now)))
    }

    async fn beat(&self, beat: Beat) -> Result<()> {
        self.step(|store, now, _| store.beat(beat, now));
        Ok(())
    }

    async fn workers(&self) -> Result<Vec<WorkerSeen>> {
        Ok(self.step(|store, _, _| store.workers()))
    }

    async fn record_steps(&self, steps: Vec<NewStep>) -> Result<Vec<StepRecorded>> {
        Ok(self.step(|store, _, _| store.record_steps(steps)))
    }

    async fn steps(&self, job: &JobRef) -> Result<Vec<Step>> {
        Ok(self.step(|store, _, _| store.steps(job)))
    }

    fn watch(&self, interest: Interest) -> NoticeStream {
        Box::pin(self.inner.hub.watch(interest))
    }
}
