//! Storing new jobs.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use rusqlite::{ToSql, params};
use windlass_core::backend::{EnqueueAnswer, Enqueued, Refusal};
use windlass_core::model::{
    Event, Job, JobId, JobRef, NewJob, OrderMode, Parent, State, Timestamp,
};

use super::dedup::Key;
use super::lane::{self, Known, Pending, Stand, hook};
use super::query::{MANY, Query};
use super::rare::{Rare, labels_of_new};
use super::{Queue, Store};
use crate::error::Outcome;
use crate::record::json;

/// What is known of a job by its id alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) seq: i64,
    pub(crate) queue: i64,
    pub(crate) lane: i64,
    pub(crate) token: i64,
}

/// What became of the next jobs of a batch.
enum Inserted {
    /// The batch goes on; a single job that was stored has this number.
    Goes(Option<i64>),
    /// The id of the job so far ahead is taken in another queue.
    IdTaken(usize),
}

/// How the jobs that a new one waits for stand.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    open: u32,
    broken: u32,
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

    /// Stores one job, unless it exists or its deduplication key is taken.
    fn insert_one(
        &mut self,
        job: &NewJob,
        queue: &Queue,
        outcomes: &mut Vec<Enqueued>,
    ) -> Outcome<Inserted> {
        let taken = match &job.dedup {
            // A job that exists is not asked for its key.
            Some(_) if self.probe(job.id)?.is_some() => None,
            Some(dedup) => self.dedup_taken(queue.id, dedup.key.as_str())?,
            None => None,
        };
        let outcome = match taken {
            Some(Key::Held { by, until }) => Enqueued::Held { by, until },
            Some(Key::Live(by)) => match self.find_summary(by)? {
                Some(job) => Enqueued::Duplicate(Box::new(job)),
                None => Enqueued::Existing,
            },
            None => match self.insert(job, queue)? {
                Some(seq) => {
                    outcomes.push(Enqueued::Stored);
                    return Ok(Inserted::Goes(Some(seq)));
                }
                None if self.probe(job.id)?.is_some_and(|other| other.queue != queue.id) => {
                    return Ok(Inserted::IdTaken(0));
                }
                None => Enqueued::Existing,
            },
        };
        outcomes.push(outcome);
        Ok(Inserted::Goes(None))
    }

    /// Stores several plain jobs with one statement.
    fn insert_many(
        &mut self,
        jobs: &[NewJob],
        queues: &[Rc<Queue>],
        outcomes: &mut Vec<Enqueued>,
    ) -> Outcome<Inserted> {
        let now = self.now;
        let first_seq = self.next_seq()?;
        let mut states = [State::Waiting; MANY];
        let statement = self.statements.get(Query::InsertPlainJobs)?;
        let mut column = 0;
        for ((seq, job), (queue, state)) in
            (first_seq..).zip(jobs).zip(queues.iter().zip(&mut states))
        {
            let due = job.due.resolve(now);
            let stand = Stand::plain(due, now);
            *state = lane::counted_state(stand.lane).unwrap_or(State::Waiting);
            let options = self.options.encode(&job.options);
            let (lane, key1) = stand.stored();
            let values: [&dyn ToSql; 12] = [
                &seq,
                &job.id.as_bytes(),
                &queue.id,
                &lane,
                &key1,
                &job.order.base,
                &due.as_micros(),
                &due.as_micros(),
                &now.as_micros(),
                &job.job_type.as_str(),
                &options,
                &job.payload.as_slice(),
            ];
            for value in values {
                column += 1;
                statement.raw_bind_parameter(column, value)?;
            }
        }
        let stored = statement.raw_execute()?;
        self.next_seq = Some(first_seq + MANY as i64);
        for (offset, (seq, job)) in (first_seq..).zip(jobs).enumerate() {
            let queue = queues[offset].id;
            // Which ones are not stored is asked only if there are some.
            let other = match stored == jobs.len() {
                true => None,
                false => self.probe(job.id)?.filter(|found| found.seq != seq),
            };
            outcomes.push(match other {
                None => Enqueued::Stored,
                Some(other) if other.queue == queue => Enqueued::Existing,
                Some(_) => return Ok(Inserted::IdTaken(offset)),
            });
            if other.is_none() {
                self.counters.add(queue, states[offset], 1);
            }
        }
        Ok(Inserted::Goes(None))
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

    /// Stores one job. `None` if its id exists.
    fn insert(&mut self, job: &NewJob, queue: &Queue) -> Outcome<Option<i64>> {
        let now = self.now;
        let due = job.due.resolve(now);
        let pending = Pending { due, place: due, partitioned: job.partition.is_some() };
        let seq = self.next_seq()?;
        let (stand, stored) = if is_plain(job) {
            let stand = Stand::pending(pending, now);
            let (lane, key1) = stand.stored();
            let stored = self.statements.get(Query::InsertPlainJob)?.execute(params![
                seq,
                job.id.as_bytes(),
                queue.id,
                lane,
                key1,
                lane::sort(job.order, due),
                due.as_micros(),
                now.as_micros(),
                job.job_type.as_str(),
                self.options.encode(&job.options),
                job.payload.as_slice(),
            ])?;
            (stand, stored)
        } else {
            self.insert_special(job, queue, seq, pending)?
        };
        if stored == 0 {
            return Ok(None);
        }
        self.next_seq = Some(seq + 1);
        let state = lane::counted_state(stand.lane).unwrap_or(State::Waiting);
        self.counters.add(queue.id, state, 1);
        Ok(Some(seq))
    }

    /// Stores one job that has more than most.
    fn insert_special(
        &mut self,
        job: &NewJob,
        queue: &Queue,
        seq: i64,
        pending: Pending,
    ) -> Outcome<(Stand, usize)> {
        let (now, due) = (self.now, pending.due);
        let waits = self.waits(job)?;
        let stand = match job.depends_on.is_empty() {
            true => Stand::pending(pending, now),
            false => Stand::blocked(waits.open, waits.broken),
        };
        let expires = job.expires.map(|when| when.resolve(now));
        let partition = job.partition.as_ref().map(|key| key.as_str());
        let rare = Rare::of(job, now);
        let labels = labels_of_new(job);
        let text = match rare == Rare::default() {
            true => None,
            false => Some(json(&rare, "a job's keys")?),
        };
        let (lane, key1) = stand.stored();
        let hooks = hooks(job, !labels.is_empty());
        let stored = self.statements.get(Query::InsertJob)?.execute(params![
            seq,
            job.id.as_bytes(),
            queue.id,
            lane,
            key1,
            lane::sort(job.order, due),
            due.as_micros(),
            now.as_micros(),
            job.job_type.as_str(),
            self.options.encode(&job.options),
            job.payload.as_slice(),
            hooks,
            waits.open,
            waits.broken,
            expires.map(|moment| moment.as_micros()),
            partition,
            text,
        ])?;
        if stored == 0 {
            return Ok((stand, 0));
        }
        if let Some(key) = &rare.dedup {
            let held_until = rare.held_until.map(|until| until.as_micros());
            self.take_dedup(queue.id, key.as_str(), job.id, held_until)?;
        }
        for (kind, label) in labels {
            self.statements.get(Query::InsertLabel)?.execute(params![
                i64::from(kind),
                label,
                seq
            ])?;
        }
        let known = Known {
            seq,
            queue: queue.id,
            place: due,
            order: job.order,
            partition,
            expiring: expires,
        };
        if stand.lane != lane::READY || hooks & hook::AT_START != 0 {
            self.arrive(known, stand.lane, stand.in_line)?;
        }
        Ok((stand, stored))
    }

    /// How the jobs that this one waits for stand. One that is not stored yet
    /// stands behind it in its batch, and so is open.
    fn waits(&mut self, job: &NewJob) -> Outcome<Waits> {
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
fn stands_alone(job: &NewJob) -> bool {
    job.dedup.is_none()
        && job.parent.is_none()
        && job.depends_on.is_empty()
        && job.tags.is_empty()
        && job.flow.is_none()
        && job.partition.is_none()
        && job.expires.is_none()
        && job.order.mode == OrderMode::Ranked
}

/// Whether a job has nothing that most have not.
fn is_plain(job: &NewJob) -> bool {
    stands_alone(job) && job.key.is_none()
}

/// What else will know a new job.
fn hooks(job: &NewJob, has_labels: bool) -> i64 {
    [
        (job.partition.is_some(), hook::PARTITION),
        (job.dedup.is_some(), hook::DEDUP),
        (job.expires.is_some(), hook::EXPIRES),
        (job.order.mode == OrderMode::Aged, hook::AGED),
        (!job.depends_on.is_empty(), hook::DEPENDENCIES),
        (has_labels, hook::LABELS),
    ]
    .into_iter()
    .filter_map(|(has, bit)| has.then_some(bit))
    .sum()
}
