//! Inserting the rows of new jobs.

use std::rc::Rc;

use rusqlite::{ToSql, params};
use windlass_core::backend::Enqueued;
use windlass_core::model::{NewJob, OrderMode, State};

use super::dedup::Key;
use super::enqueue::stands_alone;
use super::lane::{self, Known, Pending, Stand, hook};
use super::query::{MANY, Query};
use super::rare::{Rare, labels_of_new};
use super::{Queue, Store};
use crate::error::Outcome;
use crate::record::json;

/// What became of the next jobs of a batch.
pub(super) enum Inserted {
    /// The batch goes on; a single job that was stored has this number.
    Goes(Option<i64>),
    /// The id of the job so far ahead is taken in another queue.
    IdTaken(usize),
}

impl Store<'_> {
    /// Stores one job, unless it exists or its deduplication key is taken.
    pub(super) fn insert_one(
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
    pub(super) fn insert_many(
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
                // The number behind the last job that is there, and no later one: the next
                // number is kept only when that one goes.
                self.next_seq = Some(seq + 1);
                self.counters.add(queue, states[offset], 1);
            }
        }
        Ok(Inserted::Goes(None))
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
}

/// Whether a job has nothing that most have not.
pub(super) fn is_plain(job: &NewJob) -> bool {
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
