//! Enqueuing: a builder that is awaited.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use windlass_core::backend::{Applied, BackendExt, Enqueued};
use windlass_core::decide::{
    Conflict, Dedup, JobRequest, OnDuplicate, check_graph, conflict, enqueue,
};
use windlass_core::model::{
    Backoff, DedupKey, FlowId, JobId, JobKey, JobRef, JobType, NewJob, OnBrokenDependency, Parent,
    PartitionKey, Tag, Timestamp, When,
};

use crate::client::Client;
use crate::context::Context;
use crate::encode::{encode, encode_value, job_type};
use crate::error::{Error, Result};
use crate::handle::JobHandle;
use crate::job::{Job, JobDefaults};
use crate::queue::Queue;

/// A job about to be enqueued. Awaiting it does so, and answers with a
/// [`JobHandle`].
#[must_use = "nothing is enqueued before the builder is awaited"]
pub struct Enqueue<J> {
    queue: Queue,
    /// What was said so far, or the first thing that was wrong: a builder has
    /// no other place to report it.
    request: Result<JobRequest>,
    marker: PhantomData<fn() -> J>,
}

/// A fresh job id: UUID version 7, so that ids rise with time and a store's
/// index grows at its end. The time in it is for people; no rule reads it.
pub(crate) fn fresh_id() -> JobId {
    Uuid::now_v7().into()
}

/// A request for a job of this type with the type's defaults.
pub(crate) fn typed_request<J: Job>(job: &J) -> Result<JobRequest> {
    let mut request = JobRequest::new(fresh_id(), job_type::<J>()?, encode("job", job)?);
    let JobDefaults { queue: _, priority, retry, timeout } = J::defaults();
    request.priority = priority;
    if retry.is_some() || timeout.is_some() {
        let options = Arc::make_mut(&mut request.options);
        options.timeout = timeout;
        options.retry = retry.unwrap_or_default();
    }
    Ok(request)
}

impl<J> Enqueue<J> {
    pub(crate) fn typed(queue: Queue, job: &J) -> Self
    where
        J: Job,
    {
        Self { queue, request: typed_request(job), marker: PhantomData }
    }

    fn with(mut self, change: impl FnOnce(&mut JobRequest) -> Result<()>) -> Self {
        if let Ok(request) = &mut self.request
            && let Err(error) = change(request)
        {
            self.request = Err(error);
        }
        self
    }

    fn set(self, change: impl FnOnce(&mut JobRequest)) -> Self {
        self.with(|request| {
            change(request);
            Ok(())
        })
    }

    /// Its priority, ± 2,147,483,647; what it means depends on the queue.
    pub fn priority(self, priority: i32) -> Self {
        self.set(|request| request.priority = Some(priority))
    }

    /// Lets it start no sooner than so long after it is enqueued.
    pub fn delay(self, delay: Duration) -> Self {
        self.set(|request| request.due = When::After(delay))
    }

    /// Lets it start no sooner than at this moment.
    pub fn at(self, moment: Timestamp) -> Self {
        self.set(|request| request.due = When::At(moment))
    }

    /// Ends it as expired if it has not started so long after it is enqueued
    /// (rule R5).
    pub fn expires_after(self, length: Duration) -> Self {
        self.set(|request| request.expires = Some(When::After(length)))
    }

    /// Ends it as expired if it has not started by this moment.
    pub fn expires_at(self, moment: Timestamp) -> Self {
        self.set(|request| request.expires = Some(When::At(moment)))
    }

    /// Names it (rule E3): if a job with this key exists in the queue, in
    /// whatever state, that one is returned and nothing changes.
    pub fn key(self, key: impl Into<String>) -> Self {
        let key = key.into();
        self.with(|request| {
            request.key = Some(JobKey::new(key)?);
            Ok(())
        })
    }

    /// Keeps it as it ends: somebody will ask for it.
    pub(crate) fn awaited(self) -> Self {
        self.set(|request| Arc::make_mut(&mut request.options).awaited = true)
    }

    /// Names it, unless it has a name.
    pub(crate) fn or_key(self, key: JobKey) -> Self {
        self.set(|request| {
            request.key.get_or_insert(key);
        })
    }

    /// Lets at most one live job have this key (rule E4). A second one is an
    /// error that carries the id of the first.
    pub fn dedup(self, key: impl Into<String>) -> Self {
        self.dedup_with(key, OnDuplicate::Reject, None)
    }

    /// Lets at most one live job have this key. Instead of a second one, the
    /// first gets the new payload and moment, if it has not started; `latest`
    /// after its enqueue it runs anyway.
    pub fn debounce(self, key: impl Into<String>, latest: Option<Duration>) -> Self {
        self.dedup_with(key, OnDuplicate::Replace { latest }, None)
    }

    /// Lets at most one job have this key within a period from its enqueue,
    /// whatever becomes of it. Instead of a second one, the first is returned.
    pub fn throttle(self, key: impl Into<String>, period: Duration) -> Self {
        self.dedup_with(key, OnDuplicate::ReturnExisting, Some(period))
    }

    /// Lets at most one live job have this key; says what follows for a
    /// second one, and for how long from the enqueue the key stays taken at
    /// least.
    pub fn dedup_with(
        self,
        key: impl Into<String>,
        on_duplicate: OnDuplicate,
        hold: Option<Duration>,
    ) -> Self {
        let key = key.into();
        self.with(|request| {
            request.dedup = Some(Dedup { key: DedupKey::new(key)?, on_duplicate, hold });
            Ok(())
        })
    }

    /// Its partition key, which a partitioned queue requires (rule P1).
    pub fn partition(self, key: impl Into<String>) -> Self {
        let key = key.into();
        self.with(|request| {
            request.partition = Some(PartitionKey::new(key)?);
            Ok(())
        })
    }

    /// A label to search by.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        let tag = tag.into();
        self.with(|request| {
            request.tags.push(Tag::new(tag)?);
            Ok(())
        })
    }

    /// Lets it wait until another job has completed (rule N1).
    pub fn after(self, job: impl Into<JobRef>) -> Self {
        let job = job.into();
        self.set(|request| request.depends_on.push(job))
    }

    /// Lets it wait until these jobs have completed.
    pub fn after_all<R: Into<JobRef>>(self, jobs: impl IntoIterator<Item = R>) -> Self {
        self.set(|request| request.depends_on.extend(jobs.into_iter().map(Into::into)))
    }

    /// Lets it wait until another job has ended, however it did (rule N2): if that one does
    /// not complete, this one runs all the same.
    pub fn after_ended(self, job: impl Into<JobRef>) -> Self {
        self.edge(job.into(), OnBrokenDependency::Run)
    }

    /// Lets it wait until another job has completed, and cancels it if that one does not,
    /// also where [`Enqueue::even_if_broken`] says otherwise for the others.
    pub fn after_completed(self, job: impl Into<JobRef>) -> Self {
        self.edge(job.into(), OnBrokenDependency::Cancel)
    }

    fn edge(self, job: JobRef, policy: OnBrokenDependency) -> Self {
        self.set(|request| {
            request.depends_on.push(job.clone());
            request.edges.push((job, policy));
        })
    }

    /// Lets it run even if a job that it waits for does not complete (rule
    /// N2). Otherwise it is cancelled then.
    pub fn even_if_broken(self) -> Self {
        self.set(|request| {
            Arc::make_mut(&mut request.options).on_broken_dependency = OnBrokenDependency::Run;
        })
    }

    /// How many further attempts it gets after the first one.
    pub fn retries(self, retries: u32) -> Self {
        self.set(|request| {
            let options = Arc::make_mut(&mut request.options);
            options.retry.max_attempts = retries.saturating_add(1);
        })
    }

    /// How long it waits between two attempts.
    pub fn backoff(self, backoff: Backoff) -> Self {
        self.set(|request| Arc::make_mut(&mut request.options).retry.backoff = backoff)
    }

    /// How long one attempt may run.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|request| Arc::make_mut(&mut request.options).timeout = Some(timeout))
    }

    /// Makes it a child of the job whose handler this is. It is refused if
    /// that job's lease has been lost (rule L2).
    pub fn child_of(self, parent: &Context) -> Self {
        let parent = Parent { job: parent.job().reference(), token: parent.token() };
        self.set(|request| request.parent = Some(parent))
    }

    /// What would be stored, for those who store it themselves: in a
    /// transaction, or as part of a flow.
    ///
    /// # Errors
    /// Whatever was wrong with what was said.
    pub fn prepare(self) -> Result<Prepared<J>> {
        let request = self.request?;
        let on_duplicate = request.dedup.as_ref().map(|d| d.on_duplicate).unwrap_or_default();
        let job = enqueue(self.queue.spec(), request)?;
        check_graph(std::slice::from_ref(&job))?;
        let client = self.queue.into_client();
        Ok(Prepared { client, job, on_duplicate, marker: PhantomData })
    }

    pub(crate) fn in_flow(self, flow: FlowId) -> Self {
        self.set(|request| request.flow = Some(flow))
    }
}

impl Enqueue<()> {
    pub(crate) fn raw(queue: Queue, job_type: String, payload: &serde_json::Value) -> Self {
        let request = JobType::new(job_type)
            .map_err(Error::from)
            .and_then(|name| Ok(JobRequest::new(fresh_id(), name, encode_value(payload)?)));
        Self { queue, request, marker: PhantomData }
    }
}

impl<J: 'static> IntoFuture for Enqueue<J> {
    type Output = Result<JobHandle<J>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let prepared = self.prepare()?;
            let (client, on_duplicate) = (prepared.client, prepared.on_duplicate);
            let job = prepared.job;
            if job.dedup.is_none() {
                // The common case, without keeping a copy.
                let of = JobRef { queue: job.queue.clone(), id: job.id };
                client.store(vec![job]).await?;
                return Ok(JobHandle::new(client, of));
            }
            let of = store_unique(&client, job, on_duplicate).await?;
            Ok(JobHandle::new(client, of))
        })
    }
}

/// A job that has passed every check and is ready to be stored.
pub struct Prepared<J> {
    client: Client,
    /// The job.
    pub job: NewJob,
    /// What is to follow when its deduplication key is taken.
    pub on_duplicate: OnDuplicate,
    marker: PhantomData<fn() -> J>,
}

impl<J> Prepared<J> {
    /// The client that it was prepared with.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where it will stand.
    #[must_use]
    pub fn reference(&self) -> JobRef {
        JobRef { queue: self.job.queue.clone(), id: self.job.id }
    }

    /// What a store's answer means for the caller, for those who stored the
    /// job themselves. A debounce that finds its key taken is answered with
    /// the existing job, unchanged: in somebody else's transaction there is no
    /// second try.
    ///
    /// # Errors
    /// [`Error::Duplicate`] if the key is taken and the caller chose to reject.
    pub fn answered(self, outcome: Enqueued) -> Result<JobHandle<J>> {
        let client = self.client.clone();
        let existing = |id| JobRef { queue: self.job.queue.clone(), id };
        let taken = match outcome {
            Enqueued::Stored | Enqueued::Existing => {
                return Ok(JobHandle::new(client, self.reference()));
            }
            Enqueued::Duplicate(job) => existing(job.id),
            Enqueued::Held { by, .. } => existing(by),
        };
        match (self.on_duplicate, self.job.dedup) {
            (OnDuplicate::Reject, Some(dedup)) => {
                Err(Error::Duplicate { key: dedup.key, existing: taken })
            }
            _ => Ok(JobHandle::new(client, taken)),
        }
    }
}

/// Stores a job with a deduplication key, and follows what the caller chose if
/// the key is taken.
pub(crate) async fn store_unique(
    client: &Client,
    job: NewJob,
    on_duplicate: OnDuplicate,
) -> Result<JobRef> {
    let at = |id| JobRef { queue: job.queue.clone(), id };
    loop {
        let stored = client.store(vec![job.clone()]).await?;
        let outcome = stored.outcomes.into_iter().next();
        match resolve(client, &job, on_duplicate, outcome, stored.now).await? {
            Resolved::Is(id) => return Ok(at(id)),
            // The job that had the key has ended meanwhile.
            Resolved::Again => {}
        }
    }
}

pub(crate) enum Resolved {
    Is(JobId),
    Again,
}

/// What a store's answer means for one job, once core has decided about a
/// taken key.
pub(crate) async fn resolve(
    client: &Client,
    job: &NewJob,
    on_duplicate: OnDuplicate,
    outcome: Option<Enqueued>,
    now: Timestamp,
) -> Result<Resolved> {
    let reject = |id| match &job.dedup {
        Some(dedup) => {
            let existing = JobRef { queue: job.queue.clone(), id };
            Err(Error::Duplicate { key: dedup.key.clone(), existing })
        }
        None => Ok(Resolved::Is(id)),
    };
    match outcome {
        Some(Enqueued::Duplicate(existing)) => match conflict(&existing, now, on_duplicate, job) {
            Conflict::Reject => reject(existing.id),
            Conflict::ReturnExisting => Ok(Resolved::Is(existing.id)),
            Conflict::Replace(transition) => {
                let outcome = client.backend().apply_through(vec![*transition]).await?.pop();
                match outcome {
                    Some(Applied::Applied) => Ok(Resolved::Is(existing.id)),
                    Some(Applied::Refused(error)) => Err(error.into()),
                    _ => Ok(Resolved::Again),
                }
            }
        },
        Some(Enqueued::Held { by, .. }) => match on_duplicate {
            OnDuplicate::Reject => reject(by),
            OnDuplicate::ReturnExisting | OnDuplicate::Replace { .. } => Ok(Resolved::Is(by)),
        },
        Some(Enqueued::Stored | Enqueued::Existing) | None => Ok(Resolved::Is(job.id)),
    }
}

/// Stores jobs in one step, and follows what each caller chose where a
/// deduplication key is taken. Answers with the job that each one is.
pub(crate) async fn store_all(
    client: &Client,
    jobs: Vec<(NewJob, OnDuplicate)>,
) -> Result<Vec<JobRef>> {
    let (jobs, choices): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
    check_graph(&jobs)?;
    let keyed: Vec<_> = jobs.iter().map(|job| job.dedup.is_some().then(|| job.clone())).collect();
    let mut of: Vec<_> =
        jobs.iter().map(|job| JobRef { queue: job.queue.clone(), id: job.id }).collect();
    let stored = client.store(jobs).await?;
    let mut failure: Option<Error> = None;
    for (i, outcome) in stored.outcomes.into_iter().enumerate() {
        let Some(job) = &keyed[i] else { continue };
        match resolve(client, job, choices[i], Some(outcome), stored.now).await {
            Ok(Resolved::Is(id)) => of[i].id = id,
            Ok(Resolved::Again) => of[i] = store_unique(client, job.clone(), choices[i]).await?,
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(of), Err)
}

/// Many jobs of one type about to be enqueued in one step. Awaiting it does
/// so, and answers with a handle for each, in order.
#[must_use = "nothing is enqueued before the builder is awaited"]
pub struct EnqueueAll<J> {
    client: Client,
    jobs: Result<Vec<NewJob>>,
    marker: PhantomData<fn() -> J>,
}

impl<J: Job> EnqueueAll<J> {
    pub(crate) fn new(queue: &Queue, jobs: impl IntoIterator<Item = J>) -> Self {
        let mut jobs = jobs.into_iter();
        let mut made = Vec::with_capacity(jobs.size_hint().0);
        // Collecting results would not use the known length.
        let jobs = jobs.try_for_each(|job| {
            made.push(enqueue(queue.spec(), typed_request(&job)?)?);
            Ok(())
        });
        Self { client: queue.client().clone(), jobs: jobs.map(|()| made), marker: PhantomData }
    }
}

impl<J: 'static> IntoFuture for EnqueueAll<J> {
    type Output = Result<Vec<JobHandle<J>>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let jobs = self.jobs?;
            let of: Vec<_> =
                jobs.iter().map(|job| JobRef { queue: job.queue.clone(), id: job.id }).collect();
            self.client.store(jobs).await?;
            Ok(of.into_iter().map(|of| JobHandle::new(self.client.clone(), of)).collect())
        })
    }
}

// By hand, because showing a builder does not take that the job's own type can
// be shown.
macro_rules! shown {
    ($($name:ident: $field:ident),*) => {$(
        impl<J> std::fmt::Debug for $name<J> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.$field).finish()
            }
        }
    )*};
}
shown!(Enqueue: request, EnqueueAll: jobs, Prepared: job);
