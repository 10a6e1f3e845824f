//! Declarations, pausing, figures.

use std::rc::Rc;
use std::sync::Arc;

use rusqlite::params;
use windlass_core::backend::Declared;
use windlass_core::decide::limit::horizon;
use windlass_core::decide::{self, Declaration};
use windlass_core::model::{QueueInfo, QueueName, QueueSpec, QueueStats, State, Timestamp};
use windlass_core::{Error, ErrorKind};

use super::connection::optional;
use super::query::Query;
use super::{Queue, Store, lane};
use crate::error::{Fail, Outcome, unreadable};
use crate::record::{bytes, json, unsigned};

/// So many jobs that are counted as scheduled though their moment has come are
/// counted one by one; more are put in line first, so that figures cost the
/// same however many there are.
const MAX_UNSETTLED: u32 = 10_000;

impl Store<'_> {
    /// The queue of this name, if it was declared.
    pub(crate) fn find_queue(&mut self, name: &QueueName) -> Outcome<Option<Rc<Queue>>> {
        if let Some(queue) = self.queues.get(name) {
            return Ok(Some(Rc::clone(queue)));
        }
        let mut rows = self.statements.get(Query::FindQueue)?.query([name.as_str()])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let id = row.get(0)?;
        let stored = bytes(row, 1)?.unwrap_or_default();
        let paused = row.get(2)?;
        let spec = match self.specs.get(&id) {
            Some((text, spec)) if text == stored => Arc::clone(spec),
            _ => {
                let spec = Arc::new(read_spec(stored)?);
                self.specs.insert(id, (stored.to_vec(), Arc::clone(&spec)));
                spec
            }
        };
        let queue = Rc::new(Queue { id, name: name.clone(), spec, paused });
        self.queues.insert(name.clone(), Rc::clone(&queue));
        Ok(Some(queue))
    }

    /// The queue of this name, or the error that it was never declared.
    pub(crate) fn queue(&mut self, name: &QueueName) -> Outcome<Rc<Queue>> {
        self.find_queue(name)?.ok_or_else(|| Fail::Refused(Error::unknown_queue(name)))
    }

    /// Stores a declaration, as core says.
    pub(crate) fn declare(&mut self, spec: &QueueSpec) -> Outcome<Declared> {
        let stored = self.find_queue(&spec.name)?;
        let decision = decide::declare(stored.as_ref().map(|queue| &*queue.spec), spec);
        let text = json(spec, "a queue's declaration")?;
        let declared = match (decision, stored) {
            (Declaration::Unchanged, _) => return Ok(Declared::Unchanged),
            (Declaration::Conflict, Some(queue)) => {
                return Ok(Declared::Conflict(Box::new((*queue.spec).clone())));
            }
            (Declaration::Update, Some(queue)) => {
                self.statements.get(Query::UpdateQueue)?.execute(params![queue.id, text])?;
                self.judge_all_partitions_anew(queue.id)?;
                Declared::Updated
            }
            _ => {
                self.statements
                    .get(Query::InsertQueue)?
                    .execute(params![spec.name.as_str(), text])?;
                Declared::Created
            }
        };
        self.queues.remove(&spec.name);
        // A limit may have been raised.
        self.news.touch(&spec.name);
        Ok(declared)
    }

    /// Pauses a queue or lets it go on.
    pub(crate) fn set_paused(&mut self, name: &QueueName, paused: bool) -> Outcome<()> {
        let queue = self.queue(name)?;
        if queue.paused != paused {
            self.statements.get(Query::PauseQueue)?.execute(params![queue.id, paused])?;
            self.queues.remove(name);
            self.news.touch(name);
        }
        Ok(())
    }

    /// Every queue, by name.
    pub(crate) fn list_queues(&mut self) -> Outcome<Vec<QueueInfo>> {
        let mut rows = self.statements.get(Query::ListQueues)?.query([])?;
        let mut queues = Vec::new();
        while let Some(row) = rows.next()? {
            queues.push(QueueInfo {
                spec: read_spec(bytes(row, 0)?.unwrap_or_default())?,
                paused: row.get(1)?,
            });
        }
        Ok(queues)
    }

    /// Figures of a queue. `None`: so many jobs have become due since the last
    /// dequeue that they are to be put in line first.
    pub(crate) fn stats(&mut self, name: &QueueName) -> Outcome<Option<QueueStats>> {
        let queue = self.queue(name)?;
        let now = self.now;
        let mut jobs = [0; 8];
        let mut rows = self.statements.get(Query::ReadCounters)?.query([queue.id])?;
        while let Some(row) = rows.next()? {
            if let Some(count) = jobs.get_mut(usize::from(row.get::<_, u8>(0)?)) {
                *count = unsigned(row.get(1)?);
            }
        }
        drop(rows);
        // Jobs whose moment came since the last dequeue count where they were.
        let come: u64 = self
            .statements
            .get(Query::CountDue)?
            .query_row(params![queue.id, now.as_micros(), MAX_UNSETTLED], |row| {
                row.get(0).map(unsigned)
            })?;
        if come == u64::from(MAX_UNSETTLED) {
            return Ok(None);
        }
        let [scheduled, waiting] =
            [State::Scheduled, State::Waiting].map(|s| usize::from(s.code()));
        let come = come.min(jobs[scheduled]);
        jobs[scheduled] -= come;
        jobs[waiting] += come;

        let starts_in_window = match queue.spec.limits.rate {
            None => 0,
            Some(rate) => {
                let log = self.starts_since(queue.id, "", horizon(rate, now))?;
                log.iter().map(|(_, jobs)| u64::from(*jobs)).sum()
            }
        };
        let oldest_ready = self.oldest_ready(queue.id)?;
        Ok(Some(QueueStats {
            queue: name.clone(),
            jobs,
            oldest_ready,
            leases: jobs[usize::from(State::Active.code())],
            starts_in_window,
            paused: queue.paused,
            now,
        }))
    }

    /// Puts jobs in line whose moment has come, as a dequeue does first.
    pub(crate) fn settle_due(&mut self, name: &QueueName) -> Outcome<()> {
        let queue = self.queue(name)?;
        self.release_due(&queue)
    }

    /// The earliest place of a waiting job.
    fn oldest_ready(&mut self, queue: i64) -> Outcome<Option<Timestamp>> {
        let now = self.now.as_micros();
        let due = self.first_in_lane(queue, lane::SCHEDULED)?.filter(|due| *due <= now);
        let in_line = self.first_in_lane(queue, lane::IN_LINE)?;
        let parked = self.first_in_lane(queue, lane::PARKED)?;
        let aged: Option<i64> =
            optional(self.statements.get(Query::OldestAged)?.query_row([queue], |row| row.get(0)))?;
        let mut oldest = [due, in_line, parked, aged].into_iter().flatten().min();
        if aged.is_none() {
            let mut rank = i64::MIN;
            while let Some((next, place)) = optional(
                self.statements
                    .get(Query::NextReadyRank)?
                    .query_row(params![queue, rank], |row| Ok((row.get(0)?, row.get(1)?))),
            )? {
                rank = next;
                oldest = Some(oldest.map_or(place, |oldest: i64| oldest.min(place)));
            }
        }
        Ok(oldest.map(Timestamp::from_micros))
    }

    /// The smallest first key of a lane.
    pub(crate) fn first_in_lane(&mut self, queue: i64, lane: i64) -> Outcome<Option<i64>> {
        optional(
            self.statements
                .get(Query::FirstInLane)?
                .query_row(params![queue, lane], |row| row.get(0)),
        )
    }
}

fn read_spec(stored: &[u8]) -> Outcome<QueueSpec> {
    serde_json::from_slice(stored).map_err(|error| unreadable("a queue's declaration", &error))
}

/// An error about what a caller asked for.
pub(crate) fn invalid(context: impl Into<String>) -> Fail {
    Fail::Refused(Error::new(ErrorKind::Invalid, context))
}
