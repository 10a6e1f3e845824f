//! A backend with one thing wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use windlass_core::Backend;
use windlass_core::ErrorKind;
use windlass_core::backend::{
    Again, Applied, ApplyAnswer, Ask, CancelRequest, Capabilities, Clean, CleanWhich, Declared,
    Dequeued, EnqueueAnswer, Extend, Extended, Guard, LeaseGuard, NoticeStream, Overdue,
    OverduePage, OverdueQuery, PutRepeatable, RepeatablePut, Repeatables, RepeatablesQuery, Result,
    Target, Transition,
};
use windlass_core::decide::shards::of_keys;
use windlass_core::model::{
    Beat, Dependency, Detail, Direction, Interest, Job, JobId, JobRef, JobsPage, JobsQuery,
    MAX_SHARDS, NewJob, NewStep, QueueInfo, QueueName, QueueSpec, QueueStats, Rate, RepeatableKey,
    Seen, Step, StepRecorded, Timestamp, Token, WorkerSeen,
};

use super::fault::Fault;
use super::ledger::Ledger;
use crate::fixture::{TICK, forged};

/// Another backend with one thing wrong.
#[derive(Debug)]
pub(super) struct Faulty {
    pub(super) inner: Arc<dyn Backend>,
    pub(super) fault: Fault,
    /// For what must differ each time.
    count: AtomicU64,
    /// What the last dequeue that found something answered.
    leased: Mutex<Vec<Job>>,
    /// What stats answered first.
    figures: Mutex<Option<QueueStats>>,
    /// What came with transitions.
    pub(super) told: Mutex<BTreeMap<(JobId, u32), Step>>,
    pub(super) ledger: Ledger,
}

impl Faulty {
    pub(super) fn new(inner: Arc<dyn Backend>, fault: Fault) -> Self {
        Self {
            inner,
            fault,
            count: AtomicU64::new(0),
            leased: Mutex::default(),
            figures: Mutex::default(),
            told: Mutex::default(),
            ledger: Ledger::default(),
        }
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    pub(super) fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }
}

impl Faulty {
    /// Asks for work, with the books of the ledger if they are wrong.
    async fn ask(&self, ask: Ask) -> Result<Dequeued> {
        match self.fault {
            Fault::SlotKept | Fault::SlotFreedTwice | Fault::RateByBucket | Fault::NoticeNeeded => {
                self.ledger.dequeue(self.fault, &*self.inner, ask).await
            }
            _ => self.inner.dequeue(ask).await,
        }
    }

    /// Changes nothing of a job, but its version.
    async fn touch(&self, job: &JobRef) -> Result<()> {
        if let Some(seen) = self.inner.job(job).await? {
            let guard = Guard { version: seen.job.version, lease: LeaseGuard::Any };
            let stay = Target::Stay { cancel: CancelRequest::Unchanged };
            self.inner.apply(vec![forged(&seen.job, guard, stay)]).await?;
        }
        Ok(())
    }
}

/// In which of so many shards a job would be.
fn shard_of(job: &Job, shards: u32) -> u32 {
    let dedup = job.dedup.as_ref().map(|dedup| &dedup.key);
    of_keys(job.partition.as_ref(), dedup, job.id, shards)
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
            (Fault::ShardBoundsWhole, _) => {
                misread.limits.concurrency =
                    misread.limits.concurrency.map(|whole| whole * misread.shards);
            }
            (Fault::RateOffByOne, Some(Rate { limit, .. })) => *limit += 1,
            (Fault::WindowTooShort, Some(rate)) => rate.period = rate.period.saturating_sub(TICK),
            (Fault::PartitionOffByOne, _) => {
                if let Some(partitions) = &mut misread.partitions {
                    off_by_one(&mut partitions.limits.concurrency);
                }
            }
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
        let misread = self.ledger.declared(self.fault, &misread);
        let declared = self.inner.declare(&misread).await?;
        if let (Fault::ConflictIgnored, Declared::Conflict(_)) = (self.fault, &declared) {
            return Ok(Declared::Updated);
        }
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
        self.ledger.notice(queue);
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
        // The order in which the jobs of the batch are stored.
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        match self.fault {
            Fault::BatchReversed => order.reverse(),
            Fault::TiesById => order.sort_by_key(|at| jobs[*at].id),
            _ => {}
        }
        jobs.iter().for_each(|job| self.ledger.notice(&job.queue));
        let stored = order.iter().map(|at| jobs[*at].clone()).collect();
        let mut answer = self.inner.enqueue(stored).await?;
        match &mut answer {
            EnqueueAnswer::Stored { outcomes, unblocked, .. } => {
                if self.has(Fault::VersionBeginsElsewhere) {
                    for job in &jobs {
                        self.touch(&JobRef { queue: job.queue.clone(), id: job.id }).await?;
                    }
                }
                let mut found: Vec<_> = order.iter().zip(std::mem::take(outcomes)).collect();
                found.sort_by_key(|(at, _)| **at);
                *outcomes = found.into_iter().map(|(_, outcome)| outcome).collect();
                if self.has(Fault::UnblockedForgotten) {
                    unblocked.clear();
                }
            }
            EnqueueAnswer::Refused { index, jobs: back, .. } => {
                if self.has(Fault::BatchHalfStored) {
                    self.inner.enqueue(back[..*index].to_vec()).await?;
                }
                *index = order[*index];
                *back = jobs;
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
        if self.has(Fault::ShardUnpaused) && self.next().is_multiple_of(4) {
            self.inner.resume(&ask.queue).await?;
        }
        let mut answer = match self.ask(ask).await {
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
        let shards = answer.spec.shards;
        match self.fault {
            Fault::ShardStranded if shards > 1 => {
                answer.jobs.retain(|job| shard_of(job, shards) + 1 < shards);
            }
            // As if there had been the most that there can be.
            Fault::FormerShardStranded => {
                answer.jobs.retain(|job| shard_of(job, MAX_SHARDS) < shards);
            }
            Fault::AnswerReversed => answer.jobs.reverse(),
            Fault::TiesReversed => answer.jobs.sort_by_key(|job| {
                let key = job.order_key();
                (key.primary, key.place, std::cmp::Reverse(key.seq))
            }),
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
        let (mut outcomes, now) = self.inner.extend(leases.clone()).await?;
        if self.has(Fault::ExtensionRaisesVersion) {
            for extend in &leases {
                self.touch(&extend.job).await?;
            }
        }
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
        self.tell_wrongly(&transitions, &answer.outcomes).await?;
        let (inner, outcomes) = (&*self.inner, &answer.outcomes);
        self.ledger.settled(self.fault, inner, &transitions, outcomes).await?;
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
        self.ledger.notice(&put.record.spec.queue);
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
            (Fault::CleanTakesNeeded, CleanWhich::OlderThan(age)) => {
                return Ok(self.clean_needed(&clean, age).await? + self.inner.clean(clean).await?);
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
            Fault::ShardUncounted => stats.jobs.iter_mut().for_each(|count| *count -= *count / 4),
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
        let mut page = self.inner.jobs(query).await?;
        if self.has(Fault::ShardUnlisted) {
            page.jobs.retain(|job| shard_of(job, 4) < 3);
        }
        Ok(page)
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

    async fn record_steps(&self, steps: Vec<NewStep>) -> Result<Vec<StepRecorded>> {
        self.record_wrongly(steps).await
    }

    async fn steps(&self, job: &JobRef) -> Result<Vec<Step>> {
        self.read_wrongly(job).await
    }

    fn watch(&self, interest: Interest) -> NoticeStream {
        self.inner.watch(interest)
    }
}
