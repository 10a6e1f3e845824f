//! The contract, carried out by `store/`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use windlass_core::Backend;
use windlass_core::backend::hub::{Hub, News};
use windlass_core::backend::{
    Applied, ApplyAnswer, Ask, Capabilities, Clean, Declared, Dequeued, EnqueueAnswer, Enqueued,
    Extend, Extended, NoticeStream, OverduePage, OverdueQuery, PutRepeatable, RepeatablePut,
    Repeatables, RepeatablesQuery, Result, Support, Target, Transition,
};
use windlass_core::model::{
    Beat, Dependency, Event, Interest, Job, JobRef, JobsPage, JobsQuery, NewJob, NewStep,
    QueueInfo, QueueName, QueueSpec, QueueStats, RepeatableKey, Seen, Step, StepRecorded,
    Timestamp, WorkerSeen,
};

use crate::config::{Listen, PostgresConfig};
use crate::store::Store;
use crate::wakeup::{Ear, Herald};

/// Jobs in a Postgres database. Clones share their connections.
#[derive(Clone)]
pub struct PostgresBackend {
    inner: Arc<Inner>,
}

struct Inner {
    config: PostgresConfig,
    store: Store,
    hub: Arc<Hub>,
    /// Absent where notices are switched off.
    across: Option<Across>,
}

/// What reaches other processes, and what comes from them.
struct Across {
    herald: Herald,
    ear: Ear,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.hub.close();
    }
}

impl fmt::Debug for PostgresBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBackend")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

impl PostgresBackend {
    /// Connects to the store, and creates its schema if it is missing. Has to be
    /// called within a tokio runtime, in which the backend then works.
    ///
    /// # Errors
    /// [`Incompatible`](windlass_core::ErrorKind::Incompatible) if the schema was
    /// written by a newer version, the server is older than Postgres 13, or the
    /// database is not encoded in UTF-8;
    /// [`Invalid`](windlass_core::ErrorKind::Invalid) if the configuration makes
    /// no sense; and what the server itself reports. None of them quotes the
    /// password.
    pub async fn connect(config: PostgresConfig) -> Result<Self> {
        let store = Store::connect(&config).await?;
        let hub = Arc::new(Hub::default());
        let listen_at = match &config.listen {
            Listen::Here => Some(config.server.clone()),
            Listen::At(server) => Some((**server).clone()),
            Listen::Off => None,
        };
        let across = listen_at.map(|server| Across {
            herald: Herald::start(store.clone(), config.schema.clone()),
            ear: Ear::new(server, config.schema.clone(), Arc::clone(&hub)),
        });
        Ok(Self { inner: Arc::new(Inner { config, store, hub, across }) })
    }

    /// Closes the connections, once what is under way on them has come to its
    /// end. Calls that come later fail.
    pub async fn close(&self) {
        self.inner.store.close().await;
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    fn know(&self, queue: &QueueName) {
        if let Some(across) = &self.inner.across {
            across.ear.know(queue);
        }
    }

    fn news(&self) -> News {
        let mut news = News::default();
        news.wants_events = self.inner.hub.wants_events();
        news
    }

    /// Tells whoever watches, here and then elsewhere: who is here need not wait
    /// for the server to be busy with those who are not.
    fn tell(&self, mut news: News) {
        let queues = self.inner.across.as_ref().map(|_| news.queues().to_vec());
        self.inner.hub.tell(&mut news);
        if let (Some(across), Some(queues)) = (&self.inner.across, queues) {
            queues.iter().for_each(|queue| across.herald.tell(queue));
        }
    }

    /// Tells that one queue may have work.
    fn touched(&self, queue: &QueueName) {
        let mut news = self.news();
        news.touch(queue);
        self.tell(news);
    }
}

#[async_trait]
impl Backend for PostgresBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transactions: Support::Yes,
            notices: match self.inner.across {
                Some(_) => Support::Yes,
                None => Support::No,
            },
            cross_queue_atomicity: Support::Yes,
            shared: Support::Yes,
        }
    }

    async fn now(&self) -> Result<Timestamp> {
        self.store().now().await
    }

    async fn declare(&self, spec: &QueueSpec) -> Result<Declared> {
        let declared = self.store().declare(spec).await?;
        self.know(&spec.name);
        if matches!(declared, Declared::Created | Declared::Updated) {
            // A limit may have been raised.
            self.touched(&spec.name);
        }
        Ok(declared)
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        self.store().set_paused(queue, true).await?;
        self.touched(queue);
        Ok(())
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        self.store().set_paused(queue, false).await?;
        self.touched(queue);
        Ok(())
    }

    async fn queues(&self) -> Result<Vec<QueueInfo>> {
        self.store().queues().await
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<EnqueueAnswer> {
        let mut news = self.news();
        for job in &jobs {
            news.touch(&job.queue);
        }
        let about: Vec<JobRef> = match news.wants_events {
            true => {
                jobs.iter().map(|job| JobRef { queue: job.queue.clone(), id: job.id }).collect()
            }
            false => Vec::new(),
        };
        let answer = self.store().enqueue(jobs).await?;
        if let EnqueueAnswer::Stored { outcomes, .. } = &answer {
            for (job, outcome) in about.into_iter().zip(outcomes) {
                if *outcome == Enqueued::Stored {
                    news.happened(|| job, Event::Enqueued);
                }
            }
            self.tell(news);
        }
        Ok(answer)
    }

    async fn dequeue(&self, ask: Ask) -> Result<Dequeued> {
        self.know(&ask.queue);
        let leased = self.store().dequeue(&ask).await?;
        let mut news = self.news();
        if news.wants_events {
            for job in &leased.jobs {
                news.happened(|| job.reference(), Event::Started);
            }
            self.inner.hub.tell(&mut news);
        }
        Ok(leased)
    }

    async fn extend(&self, leases: Vec<Extend>) -> Result<(Vec<Extended>, Timestamp)> {
        let answer = self.store().extend(&leases).await?;
        let mut news = self.news();
        for (lease, outcome) in leases.iter().zip(&answer.0) {
            if lease.progress.is_some() && *outcome != Extended::Lost {
                news.happened(|| lease.job.clone(), Event::Progress);
            }
        }
        self.inner.hub.tell(&mut news);
        Ok(answer)
    }

    async fn overdue(&self, query: OverdueQuery) -> Result<OverduePage> {
        self.store().overdue(&query).await
    }

    async fn apply(&self, transitions: Vec<Transition>) -> Result<ApplyAnswer> {
        let answer = self.store().apply(&transitions).await?;
        let mut news = self.news();
        for (transition, outcome) in transitions.iter().zip(&answer.outcomes) {
            if matches!(outcome, Applied::Applied) {
                let told = transition.event == Event::CancelRequested;
                let may_start = matches!(transition.to, Target::Pending { .. });
                if told || may_start || self.store().is_bounded(&transition.job.queue) {
                    news.touch(&transition.job.queue);
                }
                news.happened(|| transition.job.clone(), transition.event);
            }
        }
        self.tell(news);
        Ok(answer)
    }

    async fn repeatables(&self, query: RepeatablesQuery) -> Result<Repeatables> {
        self.store().repeatables(&query).await
    }

    async fn put_repeatable(&self, put: PutRepeatable) -> Result<RepeatablePut> {
        let mut news = self.news();
        for job in &put.jobs {
            news.touch(&job.queue);
            news.happened(|| JobRef { queue: job.queue.clone(), id: job.id }, Event::Enqueued);
        }
        let answer = self.store().put_repeatable(put).await?;
        if matches!(answer, RepeatablePut::Stored) {
            self.tell(news);
        }
        Ok(answer)
    }

    async fn remove_repeatable(&self, queue: &QueueName, key: &RepeatableKey) -> Result<bool> {
        self.store().remove_repeatable(queue, key).await
    }

    async fn clean(&self, clean: Clean) -> Result<u64> {
        let removed = self.store().clean(&clean).await?;
        let mut news = self.news();
        for id in &removed {
            news.happened(|| JobRef { queue: clean.queue.clone(), id: *id }, Event::Removed);
        }
        self.inner.hub.tell(&mut news);
        Ok(removed.len() as u64)
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats> {
        self.store().stats(queue).await
    }

    async fn job(&self, job: &JobRef) -> Result<Option<Seen>> {
        self.store().job(job).await
    }

    async fn jobs(&self, query: JobsQuery) -> Result<JobsPage> {
        self.store().jobs(&query).await
    }

    async fn dependents(&self, job: &JobRef) -> Result<Vec<Job>> {
        self.store().dependents(job).await
    }

    async fn dependencies(&self, job: &JobRef) -> Result<Vec<Dependency>> {
        self.store().dependencies(job).await
    }

    async fn beat(&self, beat: Beat) -> Result<()> {
        self.store().beat(&beat).await
    }

    async fn workers(&self) -> Result<Vec<WorkerSeen>> {
        self.store().workers().await
    }

    async fn record_steps(&self, steps: Vec<NewStep>) -> Result<Vec<StepRecorded>> {
        self.store().record_steps(&steps).await
    }

    async fn steps(&self, job: &JobRef) -> Result<Vec<Step>> {
        self.store().steps(job).await
    }

    fn watch(&self, interest: Interest) -> NoticeStream {
        if let Some(across) = &self.inner.across {
            across.ear.open();
        }
        Box::pin(self.inner.hub.watch(interest))
    }
}
