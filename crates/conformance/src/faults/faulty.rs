//! A backend with one thing wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use windlass_core::Backend;
use windlass_core::ErrorKind;
use windlass_core::backend::{
    Again, Applied, ApplyAnswer, Ask, Capabilities, Clean, CleanWhich, Declared, Dequeued,
    EnqueueAnswer, Expiry, Extend, Extended, Guard, LeaseGuard, NoticeStream, Overdue, OverduePage,
    OverdueQuery, Place, PutRepeatable, RepeatablePut, Repeatables, RepeatablesQuery, Result,
    Target, Transition,
};
use windlass_core::model::{
    Beat, Dependency, Detail, Direction, Filter, Interest, Job, JobId, JobRef, JobsPage, JobsQuery,
    NewJob, NewStep, OrderMode, PartitionKey, Payload, QueueInfo, QueueName, QueueSpec, QueueStats,
    Rate, RepeatableKey, Seen, Step, StepRecorded, Timestamp, Token, When, WorkerSeen,
};

use super::fault::Fault;
use crate::fixture::{TICK, dedup_key, scatter};

/// Another backend with one thing wrong.
#[derive(Debug)]
pub(super) struct Faulty {
    inner: Arc<dyn Backend>,
    fault: Fault,
    /// For what must differ each time.
    count: AtomicU64,
    /// What the last dequeue that found something answered.
    leased: Mutex<Vec<Job>>,
    /// What stats answered first.
    figures: Mutex<Option<QueueStats>>,
}

impl Faulty {
    pub(super) fn new(inner: Arc<dyn Backend>, fault: Fault) -> Self {
        Self {
            inner,
            fault,
            count: AtomicU64::new(0),
            leased: Mutex::default(),
            figures: Mutex::default(),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// A new job, as a store might misread it.
    fn misread(&self, job: &mut NewJob) {
        match self.fault {
            Fault::JobKeyIgnored if job.key.is_some() => {
                let n = u128::from(scatter(self.next()));
                job.id = JobId::from_bytes((n << 64 | 1).to_be_bytes());
            }
            Fault::DedupIgnored => job.dedup = None,
            Fault::DedupFolded => {
                if let Some(dedup) = &mut job.dedup {
                    let folded = dedup.key.as_str().to_lowercase();
                    dedup.key = dedup_key(&folded);
                }
            }
            Fault::HoldIgnored => {
                if let Some(dedup) = &mut job.dedup {
                    dedup.hold = None;
                }
            }
            Fault::PayloadAsText => {
                let text = String::from_utf8_lossy(job.payload.as_slice()).into_owned();
                job.payload = Payload::from(text);
            }
            Fault::OptionsLost => job.options = Arc::default(),
            Fault::TagsLost => job.tags.truncate(1),
            Fault::ParentUnchecked | Fault::ParentLost => job.parent = None,
            Fault::FlowLost => job.flow = None,
            Fault::DependenciesIgnored => job.depends_on.clear(),
            Fault::RankIgnored => job.order.base = 0,
            Fault::RankReversed => job.order.base = -job.order.base,
            Fault::AgeingIgnored => job.order.mode = OrderMode::Ranked,
            Fault::DueIgnored => job.due = When::Now,
            Fault::DueLate => {
                job.due = match job.due {
                    When::Now => When::Now,
                    When::After(wait) => When::After(wait.saturating_add(TICK)),
                    When::At(moment) => When::At(moment.after(TICK)),
                }
            }
            Fault::ExpiryIgnored => job.expires = None,
            Fault::PartitionPerJob => {
                job.partition = PartitionKey::new(self.next().to_string()).ok();
            }
            _ => {}
        }
    }

    /// A transition, as a store might misread it.
    async fn misapply(&self, transition: &mut Transition) -> Result<()> {
        match (self.fault, &mut transition.to) {
            (Fault::VersionUnchecked, _) => {
                if let Some(seen) = self.inner.job(&transition.job).await? {
                    transition.guard.version = seen.job.version;
                }
            }
            (Fault::ResultLost, Target::Ended { result, .. }) => *result = None,
            (Fault::CourseLost, _) => transition.course = None,
            (Fault::PlaceLost, Target::Pending { place, .. }) => *place = Place::AtDue,
            (Fault::PlaceAlwaysKept, Target::Pending { place, .. }) => *place = Place::Kept,
            (Fault::NewPayloadLost, _) => transition.payload = None,
            (Fault::ExpiryNeverDropped, _) => transition.expiry = Expiry::Unchanged,
            _ => {}
        }
        Ok(())
    }

    /// The token of a job's current lease, whoever asks.
    async fn current_token(&self, job: &JobRef) -> Result<Option<Token>> {
        let seen = self.inner.job(job).await?;
        Ok(seen.and_then(|seen| seen.job.lease).map(|lease| lease.token))
    }

    /// Cleans by the wrong moment.
    async fn clean_by_enqueue(&self, clean: &Clean, age: Duration) -> Result<u64> {
        let filter = Filter {
            queue: Some(clean.queue.clone()),
            states: vec![clean.state],
            ..Filter::default()
        };
        let query = JobsQuery {
            filter,
            direction: Direction::OldestFirst,
            after: None,
            limit: clean.limit,
            detail: Detail::Summary,
        };
        let page = self.inner.jobs(query).await?;
        let horizon = page.now.before(age);
        let old = page.jobs.iter().filter(|job| job.enqueued_at <= horizon);
        let remove = old.map(|job| {
            let guard = Guard { version: job.version, lease: LeaseGuard::Any };
            crate::fixture::forged(job, guard, Target::Removed)
        });
        let answer = self.inner.apply(remove.collect()).await?;
        Ok(answer.outcomes.len() as u64)
    }
}

fn off_by_one(limit: &mut Option<u32>) {
    *limit = limit.map(|limit| limit + 1);
}

#[async_trait]
impl Backend for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn now(&self) -> Result<Timestamp> {
        let now = self.inner.now().await?;
        Ok(if self.has(Fault::ClockFast) { now.after(TICK) } else { now })
    }

    async fn declare(&self, spec: &QueueSpec) -> Result<Declared> {
        let mut misread = spec.clone();
        let rate = misread.limits.rate.as_mut();
        match (self.fault, rate) {
            (Fault::LimitOffByOne, _) => off_by_one(&mut misread.limits.concurrency),
            (Fault::RateOffByOne, Some(Rate { limit, .. })) => *limit += 1,
            (Fault::WindowTooShort, Some(rate)) => rate.period = rate.period.saturating_sub(TICK),
            (Fault::PartitionUnbounded, _) => {
                if let Some(partitions) = &mut misread.partitions {
                    partitions.limits.concurrency = None;
                }
            }
            (Fault::LimitsFrozen, _) => {
                let queues = self.inner.queues().await?;
                if queues.iter().any(|queue| queue.spec.name == spec.name) {
                    return Ok(Declared::Updated);
                }
            }
            _ => {}
        }
        let declared = self.inner.declare(&misread).await?;
        if self.has(Fault::PauseForgotten) {
            self.inner.resume(&spec.name).await?;
        }
        Ok(declared)
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        if self.has(Fault::PauseIgnored) {
            return Ok(());
        }
        self.inner.pause(queue).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        self.inner.resume(queue).await
    }

    async fn queues(&self) -> Result<Vec<QueueInfo>> {
        let mut queues = self.inner.queues().await?;
        if self.has(Fault::QueuesUnsorted) {
            queues.reverse();
        }
        Ok(queues)
    }

    async fn enqueue(&self, mut jobs: Vec<NewJob>) -> Result<EnqueueAnswer> {
        for job in &mut jobs {
            self.misread(job);
        }
        if self.has(Fault::BatchReversed) {
            jobs.reverse();
        }
        let mut answer = self.inner.enqueue(jobs).await?;
        match &mut answer {
            EnqueueAnswer::Stored { outcomes, unblocked, .. } => match self.fault {
                Fault::BatchReversed => outcomes.reverse(),
                Fault::UnblockedForgotten => unblocked.clear(),
                _ => {}
            },
            EnqueueAnswer::Refused { index, jobs, .. } => {
                if self.has(Fault::BatchHalfStored) {
                    self.inner.enqueue(jobs[..*index].to_vec()).await?;
                }
            }
        }
        Ok(answer)
    }

    async fn dequeue(&self, mut ask: Ask) -> Result<Dequeued> {
        match self.fault {
            Fault::MaxOffByOne => ask.max += 1,
            Fault::LeaseForEver => ask.lease = Duration::MAX,
            _ => {}
        }
        let unknown = QueueSpec::new(ask.queue.clone());
        let mut answer = match self.inner.dequeue(ask).await {
            Err(error)
                if error.kind() == ErrorKind::UnknownQueue
                    && self.has(Fault::UnknownQueueTolerated) =>
            {
                let (jobs, spec) = (Vec::new(), Arc::new(unknown));
                let now = self.inner.now().await?;
                return Ok(Dequeued { jobs, spec, now, again: Again::OnNotice });
            }
            answer => answer?,
        };
        answer.again = match (self.fault, answer.again) {
            (Fault::AgainNever, _) => Again::OnNotice,
            (Fault::AgainAlwaysNow, _) => Again::Now,
            (Fault::AgainLate, Again::At(moment)) => Again::At(moment.after(TICK)),
            (_, again) => again,
        };
        match self.fault {
            Fault::AnswerReversed => answer.jobs.reverse(),
            Fault::TokenConstant => {
                for lease in answer.jobs.iter_mut().filter_map(|job| job.lease.as_mut()) {
                    lease.token = Token(1);
                }
            }
            Fault::SameJobsAgain => {
                let mut leased = self.leased.lock().unwrap_or_else(PoisonError::into_inner);
                if answer.jobs.is_empty() {
                    answer.jobs.clone_from(&leased);
                } else {
                    leased.clone_from(&answer.jobs);
                }
            }
            _ => {}
        }
        Ok(answer)
    }

    async fn extend(&self, mut leases: Vec<Extend>) -> Result<(Vec<Extended>, Timestamp)> {
        for extend in &mut leases {
            let seen = self.inner.job(&extend.job).await?;
            let held = seen.as_ref().and_then(|seen| Some((seen.job.lease?, seen.now)));
            match (self.fault, held) {
                (Fault::StaleExtends, Some((lease, _))) => extend.token = lease.token,
                (Fault::ExtensionAddsUp, Some((lease, now))) => {
                    extend.lease = extend.lease.saturating_add(lease.until.since(now));
                }
                (Fault::ProgressLost, _) => extend.progress = None,
                _ => {}
            }
        }
        let (mut outcomes, now) = self.inner.extend(leases).await?;
        if self.has(Fault::ExtendAnswersReversed) {
            outcomes.reverse();
        }
        for outcome in &mut outcomes {
            if let (Fault::CancelUntold, Extended::Held { cancel_requested, .. }) =
                (self.fault, outcome)
            {
                *cancel_requested = false;
            }
        }
        Ok((outcomes, now))
    }

    async fn overdue(&self, mut query: OverdueQuery) -> Result<OverduePage> {
        let what = query.what;
        if self.has(Fault::OverduePageRepeats) {
            query.after = None;
        }
        let mut page = self.inner.overdue(query).await?;
        match (self.fault, what) {
            (Fault::OverdueReversed, _) => page.jobs.reverse(),
            (Fault::LostLeasesMissed, Overdue::LostLeases)
            | (Fault::ExpiredMissed, Overdue::Expired)
            | (Fault::SweepBlind, Overdue::Unblocked) => page.jobs.clear(),
            _ => {}
        }
        Ok(page)
    }

    async fn apply(&self, mut transitions: Vec<Transition>) -> Result<ApplyAnswer> {
        for transition in &mut transitions {
            self.misapply(transition).await?;
        }
        if self.has(Fault::ApplyReversed) {
            transitions.reverse();
        }
        let mut answer = self.inner.apply(transitions.clone()).await?;
        match self.fault {
            Fault::ApplyReversed => answer.outcomes.reverse(),
            Fault::UnblockedForgotten => answer.unblocked.clear(),
            Fault::FirstFailureStops => {
                let applied = |outcome: &Applied| matches!(outcome, Applied::Applied);
                if let Some(first) = answer.outcomes.iter().position(|o| !applied(o)) {
                    let rest = answer.outcomes.iter_mut().skip(first);
                    rest.for_each(|outcome| *outcome = Applied::Gone);
                }
            }
            Fault::TokenUnchecked => {
                for (outcome, transition) in answer.outcomes.iter_mut().zip(transitions) {
                    if let (Applied::Stale(job), LeaseGuard::Held(_)) =
                        (&*outcome, transition.guard.lease)
                    {
                        let guard = Guard { version: job.version, lease: LeaseGuard::Any };
                        let forced = Transition { guard, ..transition };
                        let forced = self.inner.apply(vec![forced]).await?;
                        if let Some(first) = forced.outcomes.into_iter().next() {
                            *outcome = first;
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(answer)
    }

    async fn repeatables(&self, query: RepeatablesQuery) -> Result<Repeatables> {
        let mut answer = self.inner.repeatables(query).await?;
        match self.fault {
            Fault::DueUnsorted => answer.records.reverse(),
            Fault::NextDueForgotten => answer.next_due = None,
            _ => {}
        }
        Ok(answer)
    }

    async fn put_repeatable(&self, put: PutRepeatable) -> Result<RepeatablePut> {
        if self.has(Fault::JobsBeforeGuard) {
            self.inner.enqueue(put.jobs.clone()).await?;
        }
        let answer = self.inner.put_repeatable(put.clone()).await?;
        match (self.fault, &answer) {
            (Fault::FiresUnguarded, RepeatablePut::Stale(Some(stored))) => {
                let mut forced = put;
                forced.guard = Some(stored.version);
                forced.record.version = stored.version + 1;
                self.inner.put_repeatable(forced).await
            }
            _ => Ok(answer),
        }
    }

    async fn remove_repeatable(&self, queue: &QueueName, key: &RepeatableKey) -> Result<bool> {
        let removed = self.inner.remove_repeatable(queue, key).await?;
        Ok(removed || self.has(Fault::RemoveAlwaysTrue))
    }

    async fn clean(&self, mut clean: Clean) -> Result<u64> {
        match (self.fault, clean.which) {
            (Fault::CleanUnbounded, _) => clean.limit = 10_000,
            (Fault::CleanLate, CleanWhich::OlderThan(age)) => {
                clean.which = CleanWhich::OlderThan(age.saturating_add(TICK));
            }
            (Fault::CleanByEnqueue, CleanWhich::OlderThan(age)) => {
                return self.clean_by_enqueue(&clean, age).await;
            }
            _ => {}
        }
        self.inner.clean(clean).await
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats> {
        let mut stats = self.inner.stats(queue).await?;
        match self.fault {
            Fault::StatsFrozen => {
                let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
                stats = figures.get_or_insert(stats).clone();
            }
            Fault::LeasesUncounted => stats.leases = 0,
            Fault::StartsUncounted => stats.starts_in_window = 0,
            _ => {}
        }
        Ok(stats)
    }

    async fn job(&self, job: &JobRef) -> Result<Option<Seen>> {
        self.inner.job(job).await
    }

    async fn jobs(&self, mut query: JobsQuery) -> Result<JobsPage> {
        match self.fault {
            Fault::TagFilterIgnored => query.filter.tag = None,
            Fault::ParentFilterIgnored => query.filter.parent = None,
            Fault::StatesIgnored => query.filter.states.clear(),
            Fault::PageSkips => query.after = query.after.map(|after| after + 1),
            Fault::NewestFirstIgnored => query.direction = Direction::OldestFirst,
            Fault::SummaryHasPayload => query.detail = Detail::Full,
            _ => {}
        }
        self.inner.jobs(query).await
    }

    async fn dependents(&self, job: &JobRef) -> Result<Vec<Job>> {
        let mut dependents = self.inner.dependents(job).await?;
        if self.has(Fault::DependentsReversed) {
            dependents.reverse();
        }
        Ok(dependents)
    }

    async fn dependencies(&self, job: &JobRef) -> Result<Vec<Dependency>> {
        let mut dependencies = self.inner.dependencies(job).await?;
        if self.has(Fault::DependencyResultsLost) {
            dependencies.iter_mut().for_each(|dependency| dependency.result = None);
        }
        Ok(dependencies)
    }

    async fn beat(&self, beat: Beat) -> Result<()> {
        match (self.fault, beat) {
            (Fault::WorkersNeverForgotten, Beat::Alive { worker, .. }) => {
                self.inner.beat(Beat::Alive { worker, forget_after: Duration::MAX }).await
            }
            (Fault::LeavingIgnored, Beat::Leaving(_)) => Ok(()),
            (_, beat) => self.inner.beat(beat).await,
        }
    }

    async fn workers(&self) -> Result<Vec<WorkerSeen>> {
        let mut workers = self.inner.workers().await?;
        if self.has(Fault::WorkersUnsorted) {
            workers.sort_by_key(|seen| seen.worker.id);
        }
        Ok(workers)
    }

    async fn record_step(&self, mut step: NewStep) -> Result<StepRecorded> {
        if self.has(Fault::StepUnderStaleLease) {
            step.token = self.current_token(&step.job).await?.unwrap_or(step.token);
        }
        match self.inner.record_step(step).await? {
            StepRecorded::Existing(_) if self.has(Fault::StepOverwritten) => {
                Ok(StepRecorded::Recorded)
            }
            answer => Ok(answer),
        }
    }

    async fn steps(&self, job: &JobRef) -> Result<Vec<Step>> {
        let mut steps = self.inner.steps(job).await?;
        if self.has(Fault::StepsUnsorted) {
            steps.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(steps)
    }

    fn watch(&self, interest: Interest) -> NoticeStream {
        self.inner.watch(interest)
    }
}
