//! The trait: one step of the store for each method, and nothing else.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::oneshot;
use windlass::backend::hub::Hub;
use windlass::backend::{
    ApplyAnswer, Ask, Backend, Capabilities, Clean, Declared, Dequeued, EnqueueAnswer, Error,
    ErrorKind, Extend, Extended, NoticeStream, OverduePage, OverdueQuery, PutRepeatable,
    RepeatablePut, Repeatables, RepeatablesQuery, Result, Support, Transition,
};
use windlass::model::{
    Beat, Clock, Dependency, Interest, Job, JobRef, JobsPage, JobsQuery, NewJob, NewStep,
    QueueInfo, QueueName, QueueSpec, QueueStats, RepeatableKey, Seen, Step, StepRecorded,
    Timestamp, WorkerSeen,
};

use crate::kv::Kv;
use crate::store::{Finish, Store};

/// A store of jobs in a redb file.
///
/// What a call that returned `Ok` has changed is on the disk. One process can
/// have the file open; clones share it.
///
/// The store has a thread of its own, because its calls block. Calls are
/// carried out in the order in which they were made, each in one transaction.
/// One that was handed over is carried out whole, even if nobody waits for the
/// answer any more.
#[derive(Clone, Debug)]
pub(crate) struct RedbBackend {
    tasks: mpsc::Sender<Task>,
    hub: Arc<Hub>,
    clock: Clock,
}

type Task = Box<dyn FnOnce(&Kv) + Send>;

impl RedbBackend {
    /// Opens a file, which is created if it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::start(Kv::open(path)?, Clock::Store)
    }

    /// An empty store that is gone with the last clone, for tests.
    pub(crate) fn in_memory(clock: Clock) -> Result<Self> {
        Self::start(Kv::in_memory()?, clock)
    }

    fn start(kv: Kv, clock: Clock) -> Result<Self> {
        let (tasks, inbox) = mpsc::channel::<Task>();
        let work = move || {
            // Ends when the last clone of the backend is gone.
            for task in inbox {
                task(&kv);
            }
        };
        thread::Builder::new().name("redb".to_owned()).spawn(work).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "no thread for the store").with_source(error)
        })?;
        Ok(Self { tasks, hub: Arc::new(Hub::default()), clock })
    }

    /// Runs one step on the store, in one transaction.
    async fn step<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Store<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let (clock, hub) = (self.clock.clone(), Arc::clone(&self.hub));
        let task = move |kv: &Kv| {
            // Nobody waits any more for a call that was dropped.
            let _ = reply.send(transact(kv, &clock, &hub, step));
        };
        self.tasks.send(Box::new(task)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn transact<T>(
    kv: &Kv,
    clock: &Clock,
    hub: &Hub,
    step: impl FnOnce(&mut Store<'_>) -> Result<T>,
) -> Result<T> {
    let clock = match clock {
        Clock::Store => SystemTime::now().into(),
        Clock::Manual(clock) => clock.now(),
    };
    let transaction = kv.begin()?;
    let mut store = Store::begin(transaction.pairs()?, clock, hub.news())?;
    // Whatever fails from here on undoes all of it.
    let done = step(&mut store)?;
    if let Finish::Commit(mut news) = store.finish()? {
        transaction.commit()?;
        hub.tell(&mut news);
    }
    Ok(done)
}

fn gone() -> Error {
    Error::new(ErrorKind::Unavailable, "the thread of the store is gone")
}

#[async_trait]
impl Backend for RedbBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transactions: Support::No,
            notices: Support::No,
            cross_queue_atomicity: Support::Yes,
            // The file outlives the process, but no second handle can be
            // opened on it while the first is there.
            shared: Support::No,
        }
    }

    async fn now(&self) -> Result<Timestamp> {
        self.step(|store| Ok(store.now())).await
    }

    async fn declare(&self, spec: &QueueSpec) -> Result<Declared> {
        let spec = spec.clone();
        self.step(|store| store.declare(spec)).await
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        let queue = queue.clone();
        self.step(move |store| store.pause(&queue)).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        let queue = queue.clone();
        self.step(move |store| store.resume(&queue)).await
    }

    async fn queues(&self) -> Result<Vec<QueueInfo>> {
        self.step(|store| store.queues()).await
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<EnqueueAnswer> {
        self.step(|store| store.enqueue(jobs)).await
    }

    async fn dequeue(&self, ask: Ask) -> Result<Dequeued> {
        self.step(move |store| store.dequeue(&ask)).await
    }

    async fn extend(&self, leases: Vec<Extend>) -> Result<(Vec<Extended>, Timestamp)> {
        self.step(|store| Ok((store.extend(leases)?, store.now()))).await
    }

    async fn overdue(&self, query: OverdueQuery) -> Result<OverduePage> {
        self.step(move |store| store.overdue(&query)).await
    }

    async fn apply(&self, transitions: Vec<Transition>) -> Result<ApplyAnswer> {
        self.step(|store| store.apply(transitions)).await
    }

    async fn repeatables(&self, query: RepeatablesQuery) -> Result<Repeatables> {
        self.step(move |store| store.repeatables(&query)).await
    }

    async fn put_repeatable(&self, put: PutRepeatable) -> Result<RepeatablePut> {
        self.step(|store| store.put_repeatable(put)).await
    }

    async fn remove_repeatable(&self, queue: &QueueName, key: &RepeatableKey) -> Result<bool> {
        let (queue, key) = (queue.clone(), key.clone());
        self.step(move |store| store.remove_repeatable(&queue, &key)).await
    }

    async fn clean(&self, clean: Clean) -> Result<u64> {
        self.step(move |store| store.clean(&clean)).await
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats> {
        let queue = queue.clone();
        self.step(move |store| store.stats(&queue)).await
    }

    async fn job(&self, job: &JobRef) -> Result<Option<Seen>> {
        let job = job.clone();
        self.step(move |store| store.job(&job)).await
    }

    async fn jobs(&self, query: JobsQuery) -> Result<JobsPage> {
        self.step(move |store| store.jobs(&query)).await
    }

    async fn dependents(&self, job: &JobRef) -> Result<Vec<Job>> {
        let job = job.clone();
        self.step(move |store| store.dependents(&job)).await
    }

    async fn dependencies(&self, job: &JobRef) -> Result<Vec<Dependency>> {
        let job = job.clone();
        self.step(move |store| store.dependencies(&job)).await
    }

    async fn beat(&self, beat: Beat) -> Result<()> {
        self.step(|store| store.beat(beat)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerSeen>> {
        self.step(|store| store.workers()).await
    }

    async fn record_steps(&self, steps: Vec<NewStep>) -> Result<Vec<StepRecorded>> {
        self.step(|store| store.record_steps(steps)).await
    }

    async fn steps(&self, job: &JobRef) -> Result<Vec<Step>> {
        let job = job.clone();
        self.step(move |store| store.steps(&job)).await
    }

    fn watch(&self, interest: Interest) -> NoticeStream {
        Box::pin(self.hub.watch(interest))
    }
}
