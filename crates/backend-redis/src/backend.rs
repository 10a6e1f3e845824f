//! The contract, carried out by `store/`.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

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

use crate::config::{Listen, RedisConfig};
use crate::spread::Spread;
use crate::store::Store;
use crate::wakeup::{Ear, Herald, channel};

/// Jobs in Redis. Clones share their connection.
#[derive(Clone)]
pub struct RedisBackend {
    inner: Arc<Inner>,
}

struct Inner {
    config: RedisConfig,
    spread: Spread,
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

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl RedisBackend {
    /// Connects to the store. Has to be called within a tokio runtime, in which the
    /// backend then works.
    ///
    /// # Errors
    /// [`Incompatible`](windlass_core::ErrorKind::Incompatible) if the server is older than
    /// Redis 7, or the store is kept in a form that this version does not know;
    /// [`Invalid`](windlass_core::ErrorKind::Invalid) if the configuration makes no
    /// sense, or the server is one that removes keys when it is full (a
    /// `maxmemory-policy` other than `noeviction`: jobs would be lost without a word);
    /// and what the server itself reports. None of them quotes the password.
    ///
    /// Of a cluster, each master is asked that can be reached at this moment; one that
    /// cannot, and a replica that becomes a master later, are not: set
    /// `maxmemory-policy noeviction` on every node.
    pub async fn connect(config: RedisConfig) -> Result<Self> {
        let store = Store::connect(&config).await?;
        let hub = Arc::new(Hub::default());
        let across = (config.listen == Listen::Here).then(|| {
            let channel = channel(&config.prefix);
            Across {
                herald: Herald::start(store.clone(), channel.clone()),
                ear: Ear::new(store.clone(), channel, Arc::clone(&hub)),
            }
        });
        let spread = Spread::new(store);
        Ok(Self { inner: Arc::new(Inner { config, spread, hub, across }) })
    }

    /// What concerns no queue, or the first shard of one only.
    fn store(&self) -> &Store {
        self.inner.spread.store()
    }

    fn spread(&self) -> &Spread {
        &self.inner.spread
    }

    fn news(&self) -> News {
        let mut news = News::default();
        news.wants_events = self.inner.hub.wants_events();
        news
    }

    /// Tells whoever watches, here and then elsewhere: who is here need not wait for
    /// the server to be busy with those who are not.
    fn tell(&self, mut news: News) {
        if let Some(across) = &self.inner.across {
            let queues = news.queues().to_vec();
            self.inner.hub.tell(&mut news);
            queues.iter().for_each(|queue| across.herald.tell(queue));
        } else {
            self.inner.hub.tell(&mut news);
        }
    }

    /// Tells whoever watches here that there will be work in a moment.
    fn hint(&self, queues: &[QueueName]) {
        let mut news = News::default();
        queues.iter().for_each(|queue| news.touch(queue));
        self.inner.hub.tell(&mut news);
    }

    /// Tells that one queue may have work.
    fn touched(&self, queue: &QueueName) {
        let mut news = self.news();
        news.touch(queue);
        self.tell(news);
    }
}

#[async_trait]
impl Backend for RedisBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transactions: Support::No,
            notices: match self.inner.across {
                Some(_) => Support::Yes,
                None => Support::No,
            },
            cross_queue_atomicity: Support::No,
            shared: Support::Yes,
        }
    }

    async fn now(&self) -> Result<Timestamp> {
        self.store().now().await
    }

    async fn declare(&self, spec: &QueueSpec) -> Result<Declared> {
        let declared = self.spread().declare(spec).await?;
        if matches!(declared, Declared::Created | Declared::Updated) {
            // A limit may have been raised.
            self.touched(&spec.name);
        }
        Ok(declared)
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        self.spread().set_paused(queue, true).await?;
        self.touched(queue);
        Ok(())
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        self.spread().set_paused(queue, false).await?;
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
        let mut stored = pin!(self.spread().enqueue(jobs));
        let answer = match poll_fn(|context| Poll::Ready(stored.as_mut().poll(context))).await {
            Poll::Ready(answer) => answer?,
            Poll::Pending => {
                // What is sent from now on comes to the server behind it: who waits for
                // work here asks at once, and saves waiting for one answer before the
                // other. Should it overtake, it is told again below.
                self.hint(news.queues());
                stored.await?
            }
        };
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
        let leased = self.spread().dequeue(ask).await?;
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
        let answer = self.spread().extend(&leases).await?;
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
        self.spread().overdue(&query).await
    }

    async fn apply(&self, transitions: Vec<Transition>) -> Result<ApplyAnswer> {
        let answer = self.spread().apply(&transitions).await?;
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
        // Even without a job: its next moment may come before any that keepers know of.
        news.touch(&put.record.spec.queue);
        for job in &put.jobs {
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
        let removed = self.spread().clean(&clean).await?;
        let mut news = self.news();
        for id in &removed {
            news.happened(|| JobRef { queue: clean.queue.clone(), id: *id }, Event::Removed);
        }
        if !removed.is_empty() && !clean.state.is_terminal() {
            // One that stood in line may have held up others.
            news.touch(&clean.queue);
        }
        self.tell(news);
        Ok(removed.len() as u64)
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats> {
        self.spread().stats(queue).await
    }

    async fn job(&self, job: &JobRef) -> Result<Option<Seen>> {
        self.spread().job(job).await
    }

    async fn jobs(&self, query: JobsQuery) -> Result<JobsPage> {
        self.spread().jobs(&query).await
    }

    async fn dependents(&self, job: &JobRef) -> Result<Vec<Job>> {
        self.spread().dependents(job).await
    }

    async fn dependencies(&self, job: &JobRef) -> Result<Vec<Dependency>> {
        self.spread().dependencies(job).await
    }

    async fn beat(&self, beat: Beat) -> Result<()> {
        self.store().beat(&beat).await
    }

    async fn workers(&self) -> Result<Vec<WorkerSeen>> {
        self.store().workers().await
    }

    async fn record_steps(&self, steps: Vec<NewStep>) -> Result<Vec<StepRecorded>> {
        self.spread().record_steps(steps).await
    }

    async fn steps(&self, job: &JobRef) -> Result<Vec<Step>> {
        self.spread().steps(job).await
    }

    fn watch(&self, interest: Interest) -> NoticeStream {
        if let Some(across) = &self.inner.across {
            across.ear.open();
        }
        Box::pin(self.inner.hub.watch(interest))
    }
}
