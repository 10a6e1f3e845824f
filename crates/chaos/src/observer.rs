//! Looks at the store while processes are being harmed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use windlass::backend::{Overdue, OverdueQuery};
use windlass::model::{
    Detail, Direction, Filter, Job, JobsQuery, Payload, QueueStats, State, Timestamp,
};
use windlass::{Queue, Result};

use crate::judge::{Ending, Observed};
use crate::plan::{CONCURRENCY, Queues};

/// How often it looks at figures.
const LOOK: Duration = Duration::from_millis(40);

/// Every how many looks it looks at jobs that have ended.
const AT_JOBS: u64 = 8;

/// How many of the latest jobs of each queue it looks at.
const LATEST: u32 = 60;

/// How many jobs it remembers: those of long runs are many.
const REMEMBERED: usize = 100_000;

/// Looks until it is told that it is over.
pub(crate) async fn observe(queues: Queues, done: Arc<AtomicBool>) -> Observed {
    let mut eye = Eye { queues, seen: Observed::default(), idle_since: None, rated: None };
    while !done.load(Ordering::Relaxed) {
        if let Err(error) = eye.look().await {
            eye.seen.failures.push(format!("{error:#}"));
        }
        tokio::time::sleep(LOOK).await;
    }
    eye.seen
}

struct Eye {
    queues: Queues,
    seen: Observed,
    /// Since when jobs wait in a queue with a free slot, and how many had
    /// started by then.
    idle_since: Option<(Timestamp, u64)>,
    /// The last look at the queue with a rate: when, how many had started, and
    /// whether some waited.
    rated: Option<(Timestamp, u64, bool)>,
}

impl Eye {
    async fn look(&mut self) -> Result<()> {
        for (queue, _) in self.queues.clone().all() {
            let stats = queue.stats().await?;
            let most = self.seen.most_leases.entry(queue.name().clone()).or_default();
            *most = stats.leases.max(*most);
            if queue.spec().limits.rate.is_some() {
                let most = self.seen.most_starts.entry(queue.name().clone()).or_default();
                *most = stats.starts_in_window.max(*most);
                self.look_at_pace(&stats);
            }
            if queue.name() == self.queues.limited.name() {
                self.look_at_slots(&stats);
            }
            self.look_for_orphans(queue).await?;
            if self.seen.looks.is_multiple_of(AT_JOBS) {
                self.look_at_ended(queue).await?;
            }
        }
        self.look_for_twins().await?;
        self.seen.looks += 1;
        Ok(())
    }

    /// A slot that is free while jobs wait is not at fault for a moment; one
    /// that has leaked would be for ever (fault F13).
    fn look_at_slots(&mut self, stats: &QueueStats) {
        let idle = stats.count(State::Waiting) > 0 && stats.leases < u64::from(CONCURRENCY);
        let gone_on = gone_on(stats);
        self.idle_since = match self.idle_since {
            _ if !idle => None,
            Some((since, then)) if then == gone_on => {
                let length = stats.now.since(since);
                self.seen.longest_idle_slot = self.seen.longest_idle_slot.max(length);
                Some((since, then))
            }
            _ => Some((stats.now, gone_on)),
        };
    }

    /// How many start while some wait (fault F15).
    fn look_at_pace(&mut self, stats: &QueueStats) {
        let now = (stats.now, gone_on(stats), stats.count(State::Waiting) > 0);
        if let Some((then, started, true)) = self.rated
            && now.2
        {
            self.seen.rate_backlogged += now.0.since(then);
            self.seen.rate_started += now.1.saturating_sub(started);
        }
        self.rated = Some(now);
    }

    async fn look_for_orphans(&mut self, queue: &Queue) -> Result<()> {
        let query = OverdueQuery {
            queue: queue.name().clone(),
            what: Overdue::LostLeases,
            after: None,
            limit: 1,
        };
        let page = queue.client().backend().overdue(query).await?;
        let oldest = page.jobs.first().and_then(|job| job.lease);
        if let Some(lease) = oldest {
            let age = page.now.since(lease.until);
            self.seen.oldest_orphan = self.seen.oldest_orphan.max(age);
        }
        Ok(())
    }

    async fn look_at_ended(&mut self, queue: &Queue) -> Result<()> {
        let ended = State::ALL.into_iter().filter(|state| state.is_terminal()).collect();
        for job in latest(queue, ended, LATEST).await? {
            let (now, room) = (ending(&job), self.seen.ended.len() < REMEMBERED);
            match self.seen.ended.get_mut(&job.id) {
                None if room => {
                    self.seen.ended.insert(job.id, now);
                }
                Some(then) if !is_same(then, &now) => {
                    self.seen.changed.push(format!("job {}: {then:?}, then {now:?}", job.id));
                    *then = now;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A page is a snapshot: no key is in it twice (fault F16).
    async fn look_for_twins(&mut self) -> Result<()> {
        let live = State::ALL.into_iter().filter(|state| !state.is_terminal()).collect();
        let mut keys = HashSet::new();
        for job in latest(&self.queues.unique.clone(), live, 1000).await? {
            if let Some(dedup) = job.dedup
                && !keys.insert(dedup.key.clone())
            {
                let twin = format!("key {:?} of job {} and another live one", dedup.key, job.id);
                self.seen.twins.push(twin);
            }
        }
        self.seen.dedup_pages += 1;
        Ok(())
    }
}

/// How many jobs of a queue have started and gone on to something else.
fn gone_on(stats: &QueueStats) -> u64 {
    let ended = State::ALL.into_iter().filter(|state| state.is_terminal());
    ended.map(|state| stats.count(state)).sum::<u64>() + stats.leases
}

async fn latest(queue: &Queue, states: Vec<State>, limit: u32) -> Result<Vec<Job>> {
    let query = JobsQuery {
        filter: Filter { states, ..queue.filter() },
        direction: Direction::NewestFirst,
        after: None,
        limit,
        detail: Detail::Full,
    };
    Ok(queue.client().jobs(query).await?.jobs)
}

/// What of a job must not change once it has ended.
pub(crate) fn ending(job: &Job) -> Ending {
    Ending {
        state: job.state,
        finished_at: job.finished_at,
        started_at: job.started_at,
        result: job.result.as_ref().map(Payload::as_slice).map(<[u8]>::to_vec),
        stalls: job.course.stalls,
        failed_attempts: job.course.failed_attempts,
        version: job.version,
        has_dependents: job.has_dependents,
    }
}

/// Whether an ended job is as it was, but for a first job that has come to
/// depend on it.
pub(crate) fn is_same(then: &Ending, now: &Ending) -> bool {
    let new_dependent = now.has_dependents && !then.has_dependents;
    let then = Ending {
        version: then.version + u64::from(new_dependent),
        has_dependents: now.has_dependents || then.has_dependents,
        ..then.clone()
    };
    then == *now
}
