//! Repeatables: jobs that come again and again.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use windlass_core::backend::{PutRepeatable, RepeatablePut, RepeatablesQuery};
use windlass_core::decide::repeat::{self, Pause};
use windlass_core::model::{
    Backoff, JobTemplate, Missed, Overlap, PartitionKey, Repeatable, RepeatableKey,
    RepeatableRecord, Tag, Timestamp,
};
use windlass_core::schedule::Schedule;

use crate::enqueue::{fresh_id, typed_request};
use crate::error::{Error, Result};
use crate::handle::JobHandle;
use crate::job::Job;
use crate::queue::Queue;

/// A repeatable about to be stored. Awaiting it does so; one with the same key
/// is replaced, and nothing happens if it is the same already (rule S1).
#[derive(Debug)]
#[must_use = "nothing is stored before the builder is awaited"]
pub struct Repeat {
    queue: Queue,
    spec: Result<Draft>,
}

#[derive(Debug)]
struct Draft {
    key: RepeatableKey,
    template: JobTemplate,
    schedule: Option<Schedule>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    count: Option<u64>,
    missed: Missed,
    overlap: Overlap,
}

impl Repeat {
    pub(crate) fn new<J: Job>(queue: Queue, key: String, job: &J) -> Self {
        let spec = RepeatableKey::new(key).map_err(Error::from).and_then(|key| {
            let mut request = typed_request(job)?;
            let options = std::sync::Arc::make_mut(&mut request.options);
            options.priority = request.priority.unwrap_or(0);
            let template = JobTemplate {
                job_type: request.job_type,
                payload: request.payload,
                options: options.clone(),
                partition: None,
                tags: Vec::new(),
            };
            Ok(Draft {
                key,
                template,
                schedule: None,
                start: None,
                end: None,
                count: None,
                missed: Missed::default(),
                overlap: Overlap::default(),
            })
        });
        Self { queue, spec }
    }

    fn with(mut self, change: impl FnOnce(&mut Draft) -> Result<()>) -> Self {
        if let Ok(draft) = &mut self.spec
            && let Err(error) = change(draft)
        {
            self.spec = Err(error);
        }
        self
    }

    fn set(self, change: impl FnOnce(&mut Draft)) -> Self {
        self.with(|draft| {
            change(draft);
            Ok(())
        })
    }

    /// Fires after every period, counted from its start.
    pub fn every(self, period: Duration) -> Self {
        self.with(|draft| {
            draft.schedule = Some(Schedule::every(period)?);
            Ok(())
        })
    }

    /// Fires as a cron expression of five or six fields says, in an IANA time
    /// zone.
    pub fn cron(self, expression: &str, zone: &str) -> Self {
        self.with(|draft| {
            draft.schedule = Some(Schedule::cron(expression, zone)?);
            Ok(())
        })
    }

    /// Does not fire before this moment.
    pub fn start(self, moment: Timestamp) -> Self {
        self.set(|draft| draft.start = Some(moment))
    }

    /// Does not fire after this moment.
    pub fn end(self, moment: Timestamp) -> Self {
        self.set(|draft| draft.end = Some(moment))
    }

    /// Fires so often at most.
    pub fn count(self, count: u64) -> Self {
        self.set(|draft| draft.count = Some(count))
    }

    /// What becomes of moments that nobody was there to fire (rule S3).
    pub fn missed(self, missed: Missed) -> Self {
        self.set(|draft| draft.missed = missed)
    }

    /// Whether it fires while its previous job has not ended (rule S4).
    pub fn overlap(self, overlap: Overlap) -> Self {
        self.set(|draft| draft.overlap = overlap)
    }

    /// The priority of its jobs.
    pub fn priority(self, priority: i32) -> Self {
        self.set(|draft| draft.template.options.priority = priority)
    }

    /// How many further attempts each of its jobs gets after the first one.
    pub fn retries(self, retries: u32) -> Self {
        self.set(|draft| draft.template.options.retry.max_attempts = retries.saturating_add(1))
    }

    /// How long each of its jobs waits between two attempts.
    pub fn backoff(self, backoff: Backoff) -> Self {
        self.set(|draft| draft.template.options.retry.backoff = backoff)
    }

    /// How long one attempt of each of its jobs may run.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|draft| draft.template.options.timeout = Some(timeout))
    }

    /// The partition key of its jobs, which a partitioned queue requires.
    pub fn partition(self, key: impl Into<String>) -> Self {
        let key = key.into();
        self.with(|draft| {
            draft.template.partition = Some(PartitionKey::new(key)?);
            Ok(())
        })
    }

    /// A label to search its jobs by.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        let tag = tag.into();
        self.with(|draft| {
            draft.template.tags.push(Tag::new(tag)?);
            Ok(())
        })
    }
}

impl IntoFuture for Repeat {
    type Output = Result<RepeatHandle>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let draft = self.spec?;
            let Some(schedule) = draft.schedule else {
                return Err(Error::NoSchedule(draft.key));
            };
            let handle = RepeatHandle::new(self.queue, draft.key.clone());
            let spec = Repeatable {
                key: draft.key,
                queue: handle.queue.name().clone(),
                template: draft.template,
                schedule,
                start: draft.start,
                end: draft.end,
                count: draft.count,
                missed: draft.missed,
                overlap: draft.overlap,
            };
            // What no fire could enqueue is refused now, not at the first one.
            handle
                .change(|stored, now| {
                    let record = repeat::put(stored, spec.clone(), now);
                    if let Some(record) = &record {
                        repeat::run_now(record, handle.queue.spec(), fresh_id())?;
                        if record.next.is_none() && record.fired == 0 {
                            return Err(Error::NeverFires(record.spec.key.clone()));
                        }
                    }
                    Ok(record)
                })
                .await?;
            Ok(handle)
        })
    }
}

/// A repeatable that may be stored (rule S6).
#[derive(Clone, Debug)]
pub struct RepeatHandle {
    queue: Queue,
    key: RepeatableKey,
}

impl RepeatHandle {
    pub(crate) fn new(queue: Queue, key: RepeatableKey) -> Self {
        Self { queue, key }
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &RepeatableKey {
        &self.key
    }

    /// It as it is stored, or `None`.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn record(&self) -> Result<Option<RepeatableRecord>> {
        Ok(self.look().await?.0)
    }

    /// The next moments at which it fires, so many at most; none if it is not
    /// stored.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn upcoming(&self, count: usize) -> Result<Vec<Timestamp>> {
        let record = self.record().await?;
        Ok(record.map(|record| repeat::upcoming(&record, count)).unwrap_or_default())
    }

    /// Stops it from firing. Answers whether that changed anything.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn pause(&self) -> Result<bool> {
        self.pause_or_resume(Pause::Pause).await
    }

    /// Lets it fire again. Moments that passed meanwhile are not made up for.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn resume(&self) -> Result<bool> {
        self.pause_or_resume(Pause::Resume).await
    }

    async fn pause_or_resume(&self, pause: Pause) -> Result<bool> {
        self.change(|stored, now| Ok(stored.and_then(|record| repeat::pause(record, pause, now))))
            .await
    }

    /// Enqueues a job as it would, now, whatever its schedule says. `None` if
    /// it is not stored.
    ///
    /// # Errors
    /// [`Error::Job`] if the queue does not take its jobs, [`Error::Store`].
    pub async fn run_now(&self) -> Result<Option<JobHandle>> {
        let Some(record) = self.record().await? else { return Ok(None) };
        let job = repeat::run_now(&record, self.queue.spec(), fresh_id())?;
        let of = windlass_core::model::JobRef { queue: job.queue.clone(), id: job.id };
        self.queue.client().store(vec![job]).await?;
        Ok(Some(self.queue.client().handle(of)))
    }

    /// Removes it; its jobs stay. Answers whether there was one.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn remove(&self) -> Result<bool> {
        Ok(self.queue.client().backend().remove_repeatable(self.queue.name(), &self.key).await?)
    }

    async fn look(&self) -> Result<(Option<RepeatableRecord>, Timestamp)> {
        let query = RepeatablesQuery::One(self.queue.name().clone(), self.key.clone());
        let found = self.queue.client().backend().repeatables(query).await?;
        Ok((found.records.into_iter().next(), found.now))
    }

    /// Load, decide, store, and again if somebody was faster. Answers whether
    /// anything changed.
    async fn change(
        &self,
        decide: impl Fn(Option<&RepeatableRecord>, Timestamp) -> Result<Option<RepeatableRecord>>,
    ) -> Result<bool> {
        let (mut stored, now) = self.look().await?;
        loop {
            let Some(record) = decide(stored.as_ref(), now)? else { return Ok(false) };
            let guard = stored.as_ref().map(|record| record.version);
            let put = PutRepeatable { record, guard, jobs: Vec::new() };
            match self.queue.client().backend().put_repeatable(put).await? {
                RepeatablePut::Stored => return Ok(true),
                RepeatablePut::Stale(now) => stored = now.map(|record| *record),
            }
        }
    }
}
