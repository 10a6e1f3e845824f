//! A backend that counts the calls it passes on, and times those that lease.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use windlass::backend::{
    ApplyAnswer, Ask, Backend, Capabilities, Clean, Declared, Dequeued, EnqueueAnswer, Extend,
    Extended, NoticeStream, OverduePage, OverdueQuery, PutRepeatable, RepeatablePut, Repeatables,
    RepeatablesQuery, Result, Transition,
};
use windlass::model::{
    Beat, Dependency, Interest, Job, JobRef, JobsPage, JobsQuery, NewJob, NewStep, QueueInfo,
    QueueName, QueueSpec, QueueStats, RepeatableKey, Seen, Step, StepRecorded, Timestamp,
    WorkerSeen,
};

/// A backend that counts the calls it passes on: its round trips.
#[derive(Debug)]
pub(crate) struct Counting {
    inner: Arc<dyn Backend>,
    calls: Arc<AtomicU64>,
    dequeues: Arc<Dequeues>,
}

/// How long each dequeue took.
pub(crate) type Dequeues = Mutex<Vec<Duration>>;

impl Counting {
    pub(crate) fn new(inner: Arc<dyn Backend>) -> (Self, Arc<AtomicU64>, Arc<Dequeues>) {
        let (calls, dequeues) = (Arc::new(AtomicU64::new(0)), Arc::<Dequeues>::default());
        (
            Self { inner, calls: Arc::clone(&calls), dequeues: Arc::clone(&dequeues) },
            calls,
            dequeues,
        )
    }

    fn pass(&self) -> &dyn Backend {
        self.calls.fetch_add(1, Ordering::Relaxed);
        &*self.inner
    }
}

macro_rules! passed_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Backend for Counting {
            fn capabilities(&self) -> Capabilities {
                self.inner.capabilities()
            }

            fn watch(&self, interest: Interest) -> NoticeStream {
                self.inner.watch(interest)
            }

            async fn dequeue(&self, ask: Ask) -> Result<Dequeued> {
                let asked = Instant::now();
                let answer = self.pass().dequeue(ask).await;
                let took = asked.elapsed();
                self.dequeues.lock().unwrap_or_else(PoisonError::into_inner).push(took);
                answer
            }

            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer> {
                self.pass().$name($($argument),*).await
            })*
        }
    };
}

passed_on! {
    now() -> Timestamp;
    declare(spec: &QueueSpec) -> Declared;
    pause(queue: &QueueName) -> ();
    resume(queue: &QueueName) -> ();
    queues() -> Vec<QueueInfo>;
    enqueue(jobs: Vec<NewJob>) -> EnqueueAnswer;
    extend(leases: Vec<Extend>) -> (Vec<Extended>, Timestamp);
    overdue(query: OverdueQuery) -> OverduePage;
    apply(transitions: Vec<Transition>) -> ApplyAnswer;
    repeatables(query: RepeatablesQuery) -> Repeatables;
    put_repeatable(put: PutRepeatable) -> RepeatablePut;
    remove_repeatable(queue: &QueueName, key: &RepeatableKey) -> bool;
    clean(clean: Clean) -> u64;
    stats(queue: &QueueName) -> QueueStats;
    job(job: &JobRef) -> Option<Seen>;
    jobs(query: JobsQuery) -> JobsPage;
    dependents(job: &JobRef) -> Vec<Job>;
    dependencies(job: &JobRef) -> Vec<Dependency>;
    beat(beat: Beat) -> ();
    workers() -> Vec<WorkerSeen>;
    record_steps(steps: Vec<NewStep>) -> Vec<StepRecorded>;
    steps(job: &JobRef) -> Vec<Step>;
}
