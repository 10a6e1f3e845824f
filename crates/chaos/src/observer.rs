//! Looks at the store while processes are being harmed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use windlass::backend::{Overdue, OverdueQuery};
use windlass::model::{Beat, Detail, Direction, Filter, Job, JobsQuery, Payload, State, WorkerId};
use windlass::{Queue, Result};

use crate::fact::{Noted, failed};
use crate::gauge::{IdleSlots, Pace};
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

/// A worker that is not there.
const NOBODY: [u8; 16] = [0; 16];

/// Looks until it is told that it is over.
pub(crate) async fn observe(queues: Queues, lease: Duration, done: Arc<AtomicBool>) -> Observed {
    let mut eye = Eye {
        queues,
        seen: Observed::default(),
        slots: IdleSlots::default(),
        pace: Pace::default(),
    };
    while !done.load(Ordering::Relaxed) {
        if let Err(error) = eye.look(lease).await {
            eye.seen.failures.push(Noted::now(failed("look", &error)));
        }
        tokio::time::sleep(LOOK).await;
    }
    eye.seen.longest_idle_slot = eye.slots.longest;
    eye.seen.rate_backlogged = eye.pace.backlogged;
    eye.seen.rate_started = eye.pace.started;
    eye.seen
}

struct Eye {
    queues: Queues,
    seen: Observed,
    slots: IdleSlots,
    pace: Pace,
}

impl Eye {
    async fn look(&mut self, lease: Duration) -> Result<()> {
        self.look_at_writes(lease).await?;
        for (queue, _) in self.queues.clone().all() {
            let stats = queue.stats().await?;
            let most = self.seen.most_leases.entry(queue.name().clone()).or_default();
            *most = stats.leases.max(*most);
            if queue.spec().limits.rate.is_some() {
                let most = self.seen.most_starts.entry(queue.name().clone()).or_default();
                *most = stats.starts_in_window.max(*most);
                self.pace.look(&stats);
            }
            if queue.name() == self.queues.limited.name() {
                self.slots.look(&stats, CONCURRENCY);
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

    /// A write that changes nothing. One that takes long says that nobody gets
    /// a write through: a process that was stopped may hold the store's lock.
    async fn look_at_writes(&mut self, lease: Duration) -> Result<()> {
        let backend = Arc::clone(self.queues.bulk.client().backend());
        let begin = backend.now().await?;
        backend.beat(Beat::Leaving(WorkerId::from_bytes(NOBODY))).await?;
        let end = backend.now().await?;
        if end.since(begin) > lease / 3 {
            self.seen.still.push((begin, end));
            self.pace.pause();
        }
        Ok(())
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
