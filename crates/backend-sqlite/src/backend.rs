//! The contract, carried out by the threads in `store/`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_channel::oneshot;
use windlass_core::Backend;
use windlass_core::backend::hub::Hub;
use windlass_core::backend::{
    ApplyAnswer, Ask, Capabilities, Clean, Declared, Dequeued, EnqueueAnswer, Extend, Extended,
    NoticeStream, OverduePage, OverdueQuery, PutRepeatable, RepeatablePut, Repeatables,
    RepeatablesQuery, Result, Support, Transition,
};
use windlass_core::model::{
    Beat, Clock, Dependency, Interest, Job, JobRef, JobsPage, JobsQuery, NewJob, NewStep,
    QueueInfo, QueueName, QueueSpec, QueueStats, RepeatableKey, Seen, Step, StepRecorded,
    Timestamp, WorkerSeen,
};

use crate::config::SqliteConfig;
use crate::store;
use crate::store::reader::Readers;
use crate::store::writer::{Weight, Writer, closed};

/// Jobs in a SQLite file. Clones share one store.
///
/// When the last clone is dropped, what was asked for is still carried out, and
/// the file is closed shortly after; [`SqliteBackend::close`] waits for that.
#[derive(Clone)]
pub struct SqliteBackend {
    inner: Arc<Inner>,
}

struct Inner {
    config: SqliteConfig,
    store: Vec<u8>,
    writer: Writer,
    readers: Readers,
    hub: Arc<Hub>,
    done: oneshot::Receiver<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.writer.close();
        self.readers.close();
        self.hub.close();
    }
}

impl fmt::Debug for SqliteBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBackend")
            .field("path", &self.inner.config.path)
            .finish_non_exhaustive()
    }
}

impl SqliteBackend {
    /// Opens the store, and creates it if the file does not exist. Several
    /// processes, and several handles of one process, may open one file.
    ///
    /// # Errors
    /// [`Incompatible`](windlass_core::ErrorKind::Incompatible) if the file is
    /// not a SQLite database, is somebody else's, has a newer schema, or if the
    /// SQLite library is older than 3.51.3;
    /// [`Invalid`](windlass_core::ErrorKind::Invalid) if the configuration
    /// makes no sense; and what SQLite itself reports.
    pub async fn open(config: SqliteConfig) -> Result<Self> {
        config.check()?;
        let hub = Arc::new(Hub::default());
        let (tell_done, done) = oneshot::channel();
        let tell_done = Arc::new(tell_done);
        let (writer, opened) =
            Writer::start(config.clone(), Arc::clone(&hub), Arc::clone(&tell_done))?;
        let store = opened.await.unwrap_or_else(|_| Err(closed()))?;
        let readers = match Readers::start(&config, &tell_done) {
            Ok(readers) => readers,
            Err(error) => {
                writer.close();
                return Err(error);
            }
        };
        let inner = Arc::new(Inner { config, store, writer, readers, hub, done });
        Ok(Self { inner })
    }

    /// Drops this handle and, if it was the last one, waits until everything
    /// that was asked for is done and the file is closed.
    pub async fn close(self) {
        if let Ok(mut inner) = Arc::try_unwrap(self.inner) {
            let (_, never) = oneshot::channel();
            let done = std::mem::replace(&mut inner.done, never);
            drop(inner);
            // The threads never send: the end of their sender is the news.
            let _ = done.await;
        }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.inner.config.clock.clone()
    }

    pub(crate) fn store_id(&self) -> &[u8] {
        &self.inner.store
    }

    fn writer(&self) -> &Writer {
        &self.inner.writer
    }

    fn readers(&self) -> &Readers {
        &self.inner.readers
    }
}

#[async_trait]
impl Backend for SqliteBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transactions: Support::Yes,
            notices: Support::Yes,
            cross_queue_atomicity: Support::Yes,
            shared: Support::Yes,
        }
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(store::now(&self.inner.config.clock))
    }

    async fn declare(&self, spec: &QueueSpec) -> Result<Declared> {
        let spec = spec.clone();
        self.writer().call(Weight::Durable, move |store| store.declare(&spec)).await
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        let queue = queue.clone();
        self.writer().call(Weight::Durable, move |store| store.set_paused(&queue, true)).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        let queue = queue.clone();
        self.writer().call(Weight::Durable, move |store| store.set_paused(&queue, false)).await
    }

    async fn queues(&self) -> Result<Vec<QueueInfo>> {
        self.readers().call(|store| store.list_queues()).await
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<EnqueueAnswer> {
        let jobs = Arc::new(jobs);
        let shared = Arc::clone(&jobs);
        let batch =
            self.writer().call(Weight::Durable, move |store| store.enqueue(&shared)).await?;
        Ok(batch.answer(|| Arc::try_unwrap(jobs).unwrap_or_else(|jobs| jobs.to_vec())))
    }

    async fn dequeue(&self, ask: Ask) -> Result<Dequeued> {
        self.writer().call(Weight::Light, move |store| store.dequeue(&ask)).await
    }

    async fn extend(&self, leases: Vec<Extend>) -> Result<(Vec<Extended>, Timestamp)> {
        self.writer().call(Weight::Light, move |store| store.extend(&leases)).await
    }

    async fn overdue(&self, query: OverdueQuery) -> Result<OverduePage> {
        self.readers().call(move |store| store.overdue(&query)).await
    }

    async fn apply(&self, transitions: Vec<Transition>) -> Result<ApplyAnswer> {
        self.writer().call(Weight::Durable, move |store| store.apply(&transitions)).await
    }

    async fn repeatables(&self, query: RepeatablesQuery) -> Result<Repeatables> {
        self.readers().call(move |store| store.repeatables(&query)).await
    }

    async fn put_repeatable(&self, put: PutRepeatable) -> Result<RepeatablePut> {
        self.writer().call(Weight::Durable, move |store| store.put_repeatable(&put)).await
    }

    async fn remove_repeatable(&self, queue: &QueueName, key: &RepeatableKey) -> Result<bool> {
        let (queue, key) = (queue.clone(), key.clone());
        self.writer()
            .call(Weight::Durable, move |store| store.remove_repeatable(&queue, &key))
            .await
    }

    async fn clean(&self, clean: Clean) -> Result<u64> {
        self.writer().call(Weight::Durable, move |store| store.clean(&clean)).await
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats> {
        let queue = queue.clone();
        loop {
            let of = queue.clone();
            if let Some(stats) = self.readers().call(move |store| store.stats(&of)).await? {
                return Ok(stats);
            }
            let of = queue.clone();
            self.writer().call(Weight::Light, move |store| store.settle_due(&of)).await?;
        }
    }

    async fn job(&self, job: &JobRef) -> Result<Option<Seen>> {
        let job = job.clone();
        self.readers().call(move |store| store.job(&job)).await
    }

    async fn jobs(&self, query: JobsQuery) -> Result<JobsPage> {
        self.readers().call(move |store| store.jobs(&query)).await
    }

    async fn dependents(&self, job: &JobRef) -> Result<Vec<Job>> {
        let job = job.clone();
        self.readers().call(move |store| store.dependents(&job)).await
    }

    async fn dependencies(&self, job: &JobRef) -> Result<Vec<Dependency>> {
        let job = job.clone();
        self.readers().call(move |store| store.dependencies(&job)).await
    }

    async fn beat(&self, beat: Beat) -> Result<()> {
        self.writer().call(Weight::Light, move |store| store.beat(&beat)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerSeen>> {
        self.readers().call(|store| store.workers()).await
    }

    async fn record_steps(&self, steps: Vec<NewStep>) -> Result<Vec<StepRecorded>> {
        self.writer().call(Weight::Durable, move |store| store.record_steps(&steps)).await
    }

    async fn steps(&self, job: &JobRef) -> Result<Vec<Step>> {
        let job = job.clone();
        self.readers().call(move |store| store.steps(&job)).await
    }

    fn watch(&self, interest: Interest) -> NoticeStream {
        let notices = self.inner.hub.watch(interest);
        self.writer().nudge();
        Box::pin(notices)
    }
}
