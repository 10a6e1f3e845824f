//! Storing new jobs.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use rusqlite::params;
use windlass_core::backend::{EnqueueAnswer, Enqueued, Refusal};
use windlass_core::model::{
    Event, Job, JobId, JobRef, NewJob, OrderMode, Parent, State, Timestamp,
};

use super::insert::{Inserted, is_plain};
use super::lane::{self, hook};
use super::query::{MANY, Query};
use super::{Queue, Store};
use crate::error::Outcome;

/// What is known of a job by its id alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) seq: i64,
    pub(crate) queue: i64,
    pub(crate) lane: i64,
    pub(crate) token: i64,
}

/// How the jobs that a new one waits for stand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waits {
    pub(super) open: u32,
    pub(super) broken: u32,
}

/// What became of a batch of new jobs; a refused one is still the caller's.
pub(crate) enum Batch {
    /// It is stored.
    Stored {
        /// For each job, in order, what became of it.
        outcomes: Vec<Enqueued>,
        /// Those about which core has to decide.
        unblocked: Vec<Job>,
        /// The store's time.
        now: Timestamp,
    },
    /// Nothing has changed.
    Refused {
        /// Because of which job.
        index: usize,
        /// Why.
        why: Refusal,
    },
}

impl Batch {
    /// The answer to the caller, who gets a refused batch back.
    pub(crate) fn answer(self, jobs: impl FnOnce() -> Vec<NewJob>) -> EnqueueAnswer {
        match self {
            Self::Stored { outcomes, unblocked, now } => {
                EnqueueAnswer::Stored { outcomes, unblocked, now }
            }
            Self::Refused { index, why } => EnqueueAnswer::Refused { index, why, jobs: jobs() },
        }
    }
}

impl Store<'_> {
    /// Stores new jobs, all or none.
    pub(crate) fn enqueue(&mut self, jobs: &[NewJob]) -> Outcome<Batch> {
        let mut outcomes = Vec::with_capacity(jobs.len());
        Ok(match self.enqueue_all(jobs, &mut outcomes)? {
            Ok(dependents) => {
                Batch::Stored { outcomes, unblocked: self.undecided(dependents)?, now: self.now }
            }
            Err((index, why)) => Batch::Refused { index, why },
        })
    }

    /// Stores jobs and answers which of them wait for others.
    fn enqueue_all(
        &mut self,
        jobs: &[NewJob],
        outcomes: &mut Vec<Enqueued>,
    ) -> Outcome<Result<Vec<i64>, (usize, Refusal)>> {
        let mut queues: Vec<Rc<Queue>> = Vec::with_capacity(jobs.len());
        for (index, job) in jobs.iter().enumerate() {
            match queues.last().filter(|queue| queue.name == job.queue) {
                Some(queue) => queues.push(Rc::clone(queue)),
                None => match self.find_queue(&job.queue)? {
                    Some(queue) => queues.push(queue),
                    None => return Ok(Err((index, Refusal::UnknownQueue(job.queue.clone())))),
                },
            }
        }
        if !jobs.iter().all(stands_alone)
            && let Some(refused) = self.check(jobs, &queues)?
        {
            return Ok(Err(refused));
        }

        let first_seq = self.next_seq()?;
        let mut waiting: Vec<(usize, i64)> = Vec::new();
        let mut index = 0;
        while index < jobs.len() {
            let rest = &jobs[index..];
            let stored = match rest.get(..MANY) {
                Some(many) if many.iter().all(is_plain) => {
                    self.insert_many(many, &queues[index..], outcomes)?
                }
                _ => self.insert_one(&rest[0], &queues[index], outcomes)?,
            };
            match stored {
                Inserted::Goes(seq) => {
                    if !rest[0].depends_on.is_empty() {
                        waiting.extend(seq.map(|seq| (index, seq)));
                    }
                    index = outcomes.len();
                }
                Inserted::IdTaken(offset) => {
                    // Only jobs that stand alone get here: all else was checked
                    // before anything was written.
                    self.take_back(&queues, jobs, outcomes, first_seq)?;
                    let index = index + offset;
                    return Ok(Err((index, Refusal::IdTaken(jobs[index].id))));
                }
            }
        }
        self.statements.get(Query::AdmitNewJobs)?.execute([first_seq])?;
        let mut dependents = Vec::with_capacity(waiting.len());
        for (index, seq) in waiting {
            self.connect(&jobs[index], seq)?;
            dependents.push(seq);
        }
        for ((job, queue), outcome) in jobs.iter().zip(&queues).zip(outcomes.iter()) {
            self.news.touch(&queue.name);
            if *outcome == Enqueued::Stored {
                let reference = || JobRef { queue: job.queue.clone(), id: job.id };
                self.news.happened(reference, Event::Enqueued);
            }
        }
        Ok(Ok(dependents))
    }

    /// Finds out, before anything is written, whether one of the jobs keeps the
    /// batch from being stored. Only jobs that would be stored can.
    fn check(
        &mut self,
        jobs: &[NewJob],
        queues: &[Rc<Queue>],
    ) -> Outcome<Option<(usize, Refusal)>> {
        let mut new: HashMap<JobId, i64> = HashMap::with_capacity(jobs.len());
        let mut keys: HashSet<(i64, &str)> = HashSet::new();
        let mut to_store = Vec::new();
        for (index, (job, queue)) in jobs.iter().zip(queues).enumerate() {
            let other = match new.get(&job.id) {
                Some(other) => Some(*other),
                None => self.probe(job.id)?.map(|job| job.queue),
            };
            if let Some(other) = other {
                if other != queue.id {
                    return Ok(Some((index, Refusal::IdTaken(job.id))));
                }
                continue;
            }
            if let Some(dedup) = &job.dedup {
                let key = dedup.key.as_str();
                if keys.contains(&(queue.id, key)) || self.dedup_taken(queue.id, key)?.is_some() {
                    continue;
                }
                keys.insert((queue.id, key));
            }
            new.insert(job.id, queue.id);
            to_store.push(index);
        }
        let mut current: Option<&Parent> = None;
        for index in to_store {
            let job = &jobs[index];
            for dependency in &job.depends_on {
                let Some(queue) = self.find_queue(&dependency.queue)? else {
                    return Ok(Some((index, Refusal::UnknownDependency(dependency.clone()))));
                };
                let found = match new.get(&dependency.id) {
                    Some(of) => Some(*of),
                    None => self.probe(dependency.id)?.map(|job| job.queue),
                };
                if found != Some(queue.id) {
                    return Ok(Some((index, Refusal::UnknownDependency(dependency.clone()))));
                }
            }
            if let Some(parent) = &job.parent
                && current != Some(parent)
            {
                if !self.is_current(&parent.job, parent.token.0)? {
                    return Ok(Some((index, Refusal::StaleParent(parent.job.clone()))));
                }
                current = Some(parent);
            }
        }
        Ok(None)
    }

    /// Whether a job is active under this token.
    pub(crate) fn is_current(&mut self, job: &JobRef, token: u64) -> Outcome<bool> {
        let Some(queue) = self.find_queue(&job.queue)? else {
            return Ok(false);
        };
        Ok(self.probe(job.id)?.is_some_and(|found| {
            found.queue == queue.id
                && found.lane == lane::ACTIVE
                && u64::try_from(found.token) == Ok(token)
        }))
    }

    /// What is known of a job by its id alone.
    pub(crate) fn probe(&mut self, id: JobId) -> Outcome<Option<Probe>> {
        let mut rows = self.statements.get(Query::ProbeJob)?.query([id.as_bytes()])?;
        match rows.next()? {
            None => Ok(None),
            Some(row) => Ok(Some(Probe {
                seq: row.get(0)?,
                queue: row.get(1)?,
                lane: row.get(2)?,
                token: row.get(3)?,
            })),
        }
    }

    /// How the jobs that this one waits for stand. One that is not stored yet
    /// stands behind it in its batch, and so is open.
    pub(super) fn waits(&mut self, job: &NewJob) -> Outcome<Waits> {
        let mut waits = Waits::default();
        for dependency in &job.depends_on {
            let found = self.probe(dependency.id)?;
            match found.and_then(|found| lane::counted_state(found.lane)) {
                Some(State::Completed) => {}
                Some(state) if state.is_terminal() => waits.broken += 1,
                _ => waits.open += 1,
            }
        }
        Ok(waits)
    }

    /// Notes what a stored job waits for, on both sides.
    fn connect(&mut self, job: &NewJob, seq: i64) -> Outcome<()> {
        for (position, dependency) in (0_i64..).zip(&job.depends_on) {
            // Checked before the first write of the batch.
            let Some(found) = self.probe(dependency.id)? else {
                continue;
            };
            let open = lane::counted_state(found.lane).is_some_and(|state| !state.is_terminal());
            self.statements.get(Query::InsertDependency)?.execute(params![
                seq,
                position,
                found.seq,
                found.queue,
                dependency.id.as_bytes(),
                open,
            ])?;
            let marked =
                self.statements.get(Query::AddHook)?.execute([found.seq, hook::DEPENDENTS])?;
            if marked > 0 {
                // A decision that was made before somebody depended on the job
                // must turn out stale.
                self.raise(found.seq, found.lane)?;
            }
        }
        Ok(())
    }

    /// Takes back the jobs of a batch that is refused after all.
    fn take_back(
        &mut self,
        queues: &[Rc<Queue>],
        jobs: &[NewJob],
        outcomes: &[Enqueued],
        first_seq: i64,
    ) -> Outcome<()> {
        self.statements.get(Query::DeleteNewJobs)?.execute([first_seq])?;
        self.next_seq = Some(first_seq);
        for ((job, queue), outcome) in jobs.iter().zip(queues).zip(outcomes) {
            if *outcome == Enqueued::Stored {
                let due = job.due.resolve(self.now);
                let state = if due > self.now { State::Scheduled } else { State::Waiting };
                self.counters.add(queue.id, state, -1);
            }
        }
        Ok(())
    }

    /// Those of the given jobs that are blocked and about which core has to
    /// decide.
    pub(crate) fn undecided(&mut self, jobs: Vec<i64>) -> Outcome<Vec<Job>> {
        let mut undecided = Vec::new();
        for seq in jobs {
            let job = self.find_by_seq(seq)?;
            undecided.extend(job.filter(|job| {
                job.state == State::Blocked
                    && (job.dependencies.open == 0 || job.dependencies.broken > 0)
            }));
        }
        Ok(undecided)
    }

    /// Notes that a partition has to be judged before the next dequeue.
    pub(crate) fn unjudge(&mut self, queue: i64, partition: &str) {
        self.unjudged.insert((queue, Arc::from(partition)));
    }
}

/// Whether a job can be stored without asking about any other one, and taken
/// back without a trace.
pub(super) fn stands_alone(job: &NewJob) -> bool {
    job.dedup.is_none()
        && job.parent.is_none()
        && job.depends_on.is_empty()
        && job.tags.is_empty()
        && job.flow.is_none()
        && job.partition.is_none()
        && job.expires.is_none()
        && job.order.mode == OrderMode::Ranked
}
