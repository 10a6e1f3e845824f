//! Leasing jobs.

use std::sync::Arc;

use rusqlite::{ToSql, params};
use windlass_core::backend::{Again, Ask, Dequeued};
use windlass_core::model::{Event, Job, Lease, State, Timestamp, Token};

use super::connection::optional;
use super::lane::{self, Known, hook};
use super::limits::QueueRoom;
use super::query::{MANY, Query};
use super::{Leased, Queue, Store};
use crate::error::{Fail, Outcome, is_damaged};
use crate::record::{HOOKS, PARTITION, PLACE, SORT, TOKEN, signed, unsigned};

/// How many jobs one call may lease.
const MAX: u32 = 10_000;

/// How many leased jobs are known by their numbers. Those that were never
/// settled here would stay for ever.
const KEPT_LEASES: usize = 1 << 14;

/// The token of a job's next lease.
///
/// The tokens of a job begin above all those of the jobs that were stored
/// before it. One of these may have had the same id, and been removed: what
/// holds a lease of that job must open nothing of this one. A million leases
/// of one job have room before they come to those of the next one, and eight
/// million million jobs before numbers end.
fn next_token(last: u64, seq: i64) -> Token {
    Token(last.max(unsigned(seq) << 20) + 1)
}

/// Jobs that were read to be leased, and what the model does not say of them.
#[derive(Default)]
struct Candidates {
    jobs: Vec<Job>,
    stands: Vec<Standing>,
    /// How many rows were read, those that nobody can read among them.
    read: usize,
}

/// What the model does not say of a job that is to be leased.
#[derive(Clone, Copy)]
struct Standing {
    seq: i64,
    /// The token of its last lease.
    token: u64,
    /// What else knows it.
    hooks: i64,
}

/// The expiry of a job, if that can still come to pass.
fn expiring(job: &Job) -> Option<i64> {
    job.expires.filter(|_| !job.has_started()).map(|moment| moment.as_micros())
}

impl Store<'_> {
    /// Leases the first jobs of a queue that are due and inside its limits.
    pub(crate) fn dequeue(&mut self, ask: &Ask) -> Outcome<Dequeued> {
        let queue = self.queue(&ask.queue)?;
        let answer =
            |jobs, again| Dequeued { jobs, spec: Arc::clone(&queue.spec), now: self.now, again };
        if queue.paused {
            return Ok(answer(Vec::new(), Again::OnNotice));
        }
        self.release_due(&queue)?;
        let room = self.queue_room(&queue)?;
        let wanted = ask.max.min(MAX).min(room.free());
        let jobs = if queue.spec.partitions.is_some() {
            self.wake_partitions(queue.id)?;
            self.lease_from_lines(&queue, ask, wanted)?
        } else {
            self.lease_in_order(&queue, ask, wanted)?
        };
        if !jobs.is_empty() {
            let started = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
            self.counters.add(queue.id, State::Waiting, -i64::from(started));
            self.counters.add(queue.id, State::Active, i64::from(started));
            if queue.spec.limits.rate.is_some() {
                self.note_starts(queue.id, "", started)?;
            }
            self.forget_starts(&queue)?;
            for job in &jobs {
                self.news.happened(|| job.reference(), Event::Started);
            }
        }
        let again = self.again(&queue)?;
        Ok(Dequeued { jobs, spec: Arc::clone(&queue.spec), now: self.now, again })
    }

    /// Puts jobs whose moment has come in line.
    pub(crate) fn release_due(&mut self, queue: &Queue) -> Outcome<()> {
        let now = self.now.as_micros();
        let first = self.first_in_lane(queue.id, lane::SCHEDULED)?;
        if first.is_none_or(|first| first > now) {
            return Ok(());
        }
        if queue.spec.partitions.is_some() {
            self.unjudge_all(queue.id, Query::DuePartitions, params![queue.id, now])?;
            self.statements.get(Query::ReleaseDueLines)?.execute(params![queue.id, now])?;
        }
        if queue.spec.aging.is_some() {
            self.statements.get(Query::ReleaseDueAged)?.execute(params![queue.id, now])?;
        }
        if queue.spec.partitions.is_none() {
            self.statements.get(Query::ReleaseDueReady)?.execute(params![queue.id, now])?;
        }
        let come = self.statements.get(Query::ReleaseDue)?.execute(params![queue.id, now])?;
        let come = i64::try_from(come).unwrap_or(i64::MAX);
        self.counters.add(queue.id, State::Scheduled, -come);
        self.counters.add(queue.id, State::Waiting, come);
        Ok(())
    }

    fn lease_in_order(&mut self, queue: &Queue, ask: &Ask, wanted: u32) -> Outcome<Vec<Job>> {
        let mut jobs = Vec::new();
        loop {
            let missing = wanted - u32::try_from(jobs.len()).unwrap_or(wanted);
            if missing == 0 {
                return Ok(jobs);
            }
            let mut found =
                self.candidates(Query::ReadReady, params![queue.id, missing], queue.id)?;
            let last_page = found.read < missing as usize;
            self.park_expired(&mut found, queue)?;
            if let (Some(last), Some(stand)) = (found.jobs.last(), found.stands.last()) {
                // With the expired ones gone, these are the first.
                self.statements.get(Query::TakeReady)?.execute(params![
                    queue.id,
                    lane::sort(last.order, last.place),
                    last.place.as_micros(),
                    stand.seq
                ])?;
                self.lease(&mut found, queue, ask, lane::READY)?;
            }
            if jobs.is_empty() {
                jobs = found.jobs;
            } else {
                jobs.append(&mut found.jobs);
            }
            if last_page {
                return Ok(jobs);
            }
        }
    }

    /// Takes those that have expired out of what was found and out of the
    /// order.
    fn park_expired(&mut self, found: &mut Candidates, queue: &Queue) -> Outcome<()> {
        if !found.jobs.iter().any(|job| self.is_expired(expiring(job))) {
            return Ok(());
        }
        let Candidates { jobs, stands, .. } = std::mem::take(found);
        for (job, stand) in jobs.into_iter().zip(stands) {
            if self.is_expired(expiring(&job)) {
                self.park(&job, stand.seq, queue, lane::READY)?;
            } else {
                found.jobs.push(job);
                found.stands.push(stand);
            }
        }
        Ok(())
    }

    /// One by one, because each start may change what may start next.
    fn lease_from_lines(&mut self, queue: &Queue, ask: &Ask, wanted: u32) -> Outcome<Vec<Job>> {
        let mut jobs = Vec::new();
        let rate = queue.spec.partitions.as_ref().and_then(|p| p.limits.rate);
        while jobs.len() < wanted as usize {
            let Some((partition, seq)) = self.next_to_start(queue)? else {
                break;
            };
            let mut found = self.candidates(Query::ReadJob, [seq], queue.id)?;
            if found.jobs.is_empty() {
                continue;
            }
            self.statements.get(Query::LeaveLine)?.execute([seq])?;
            self.lease(&mut found, queue, ask, lane::IN_LINE)?;
            jobs.append(&mut found.jobs);
            if rate.is_some() {
                self.note_starts(queue.id, &partition, 1)?;
            }
        }
        Ok(jobs)
    }

    /// Leases what was found in this lane.
    fn lease(
        &mut self,
        found: &mut Candidates,
        queue: &Queue,
        ask: &Ask,
        lane: i64,
    ) -> Outcome<()> {
        for (job, stand) in found.jobs.iter_mut().zip(&found.stands) {
            let Standing { seq, token, hooks } = *stand;
            if hooks & hook::AT_START != 0 {
                let known = Known::of(job, seq, queue.id);
                self.leave(known, lane)?;
                self.arrive(known, lane::ACTIVE, false)?;
            }
            job.state = State::Active;
            job.version += 1;
            job.started_at = Some(self.now);
            job.lease = Some(Lease {
                token: next_token(token, seq),
                until: self.now.after(ask.lease),
                worker: ask.worker,
            });
            if hooks & hook::AT_END == 0 {
                if self.leased.len() >= KEPT_LEASES {
                    self.leased.clear();
                }
                self.leased.insert(job.id, Leased { seq, version: job.version });
            }
        }
        self.insert_leases(found, queue)
    }

    /// Enters the leases of these jobs.
    fn insert_leases(&mut self, leased: &Candidates, queue: &Queue) -> Outcome<()> {
        let now = self.now.as_micros();
        let mut rest = &leased.jobs[..];
        let mut stands = leased.stands.iter();
        while !rest.is_empty() {
            let (query, count) = match rest.len() >= MANY {
                true => (Query::InsertLeases, MANY),
                false => (Query::InsertLease, 1),
            };
            let (jobs, later) = rest.split_at(count);
            rest = later;
            let statement = self.statements.get(query)?;
            let mut column = 0;
            for (job, stand) in jobs.iter().zip(&mut stands) {
                let Some(lease) = &job.lease else { continue };
                let values: [&dyn ToSql; 7] = [
                    &stand.seq,
                    &queue.id,
                    &signed(job.version),
                    &signed(lease.token.0),
                    &lease.until.as_micros(),
                    &now,
                    lease.worker.as_bytes(),
                ];
                for value in values {
                    column += 1;
                    statement.raw_bind_parameter(column, value)?;
                }
            }
            statement.raw_execute()?;
        }
        Ok(())
    }

    /// The first job in line that has not expired, and its partition. What has
    /// expired leaves its line.
    fn next_to_start(&mut self, queue: &Queue) -> Outcome<Option<(Arc<str>, i64)>> {
        while let Some((partition, seq)) = self.next_in_line(queue.id)? {
            let expiring: Option<i64> =
                self.statements.get(Query::ReadExpiring)?.query_row([seq], |row| row.get(0))?;
            if !self.is_expired(expiring) {
                return Ok(Some((partition, seq)));
            }
            if let Some(job) = self.find_by_seq(seq)? {
                self.park(&job, seq, queue, lane::IN_LINE)?;
            }
        }
        Ok(None)
    }

    /// Reads jobs to be leased. Rows that nobody can read leave the order, so
    /// that they hold up nothing behind them.
    fn candidates(
        &mut self,
        query: Query,
        params: impl rusqlite::Params,
        queue: i64,
    ) -> Outcome<Candidates> {
        let now = self.now;
        let mut found = Candidates::default();
        let mut damaged = Vec::new();
        let mut rows = self.statements.get(query)?.query(params)?;
        while let Some(row) = rows.next()? {
            found.read += 1;
            match self.codec.whole_job(row, now) {
                Ok(job) => {
                    found.jobs.push(job);
                    found.stands.push(Standing {
                        seq: row.get(0)?,
                        token: unsigned(row.get(TOKEN)?),
                        hooks: row.get(HOOKS)?,
                    });
                }
                Err(Fail::Broken(error)) if is_damaged(&error) => {
                    let partition: Option<String> = row.get(PARTITION)?;
                    let entry: (i64, i64, i64, _) =
                        (row.get(0)?, row.get(SORT)?, row.get(PLACE)?, partition);
                    damaged.push((entry, error));
                }
                Err(fail) => return Err(fail),
            }
        }
        drop(rows);
        for ((seq, sort, place, partition), _) in &damaged {
            self.set_aside(queue, *seq, (*sort, *place), partition.as_ref())?;
        }
        if let Some((_, error)) = damaged.first() {
            self.tell_unreadable("jobs", damaged.len(), error);
        }
        Ok(found)
    }

    /// Takes a job that nobody can read out of the order, as [`Store::park`]
    /// does one that has expired.
    fn set_aside(
        &mut self,
        queue: i64,
        seq: i64,
        (sort, place): (i64, i64),
        partition: Option<&String>,
    ) -> Outcome<()> {
        self.statements.get(Query::ParkJob)?.execute([seq])?;
        if let Some(partition) = partition {
            self.statements
                .get(Query::DeleteLine)?
                .execute(params![queue, partition, sort, place, seq])?;
            self.unjudge(queue, partition);
        } else {
            self.statements.get(Query::DeleteReady)?.execute(params![queue, sort, place, seq])?;
            self.statements.get(Query::DeleteAged)?.execute(params![queue, place, seq])?;
        }
        Ok(())
    }

    fn is_expired(&self, expiring: Option<i64>) -> bool {
        expiring.is_some_and(|moment| moment <= self.now.as_micros())
    }

    /// Takes a job past its expiry out of the order, so that no later dequeue
    /// comes across it. It goes on waiting for core's decision.
    fn park(&mut self, job: &Job, seq: i64, queue: &Queue, lane: i64) -> Outcome<()> {
        self.statements.get(Query::ParkJob)?.execute([seq])?;
        let known = Known::of(job, seq, queue.id);
        self.leave(known, lane)?;
        self.arrive(known, lane::PARKED, false)
    }

    /// When to ask again, after what could be leased has been.
    fn again(&mut self, queue: &Queue) -> Outcome<Again> {
        let room = self.queue_room(queue)?;
        let more = self.has_more(queue)?;
        if more && room.free() > 0 {
            return Ok(Again::Now);
        }
        // Without more to start, the first job to become eligible does so at
        // its own moment; a limit that is used up until later puts it off.
        let eligible = if more { Some(Timestamp::EPOCH) } else { self.next_eligible(queue)? };
        let again = eligible.and_then(|moment| put_off(moment, &room));
        Ok(again.map_or(Again::OnNotice, Again::At))
    }

    /// Whether a further job could start if the limits of the queue allowed.
    fn has_more(&mut self, queue: &Queue) -> Outcome<bool> {
        if queue.spec.partitions.is_some() {
            return Ok(self.next_to_start(queue)?.is_some());
        }
        loop {
            let first: Option<(i64, Option<i64>)> = optional(
                self.statements
                    .get(Query::FirstReady)?
                    .query_row([queue.id], |row| Ok((row.get(0)?, row.get(1)?))),
            )?;
            match first {
                None => return Ok(false),
                Some((seq, expiring)) if self.is_expired(expiring) => {
                    if let Some(job) = self.find_by_seq(seq)? {
                        self.park(&job, seq, queue, lane::READY)?;
                    }
                }
                Some(_) => return Ok(true),
            }
        }
    }

    /// When the next job becomes eligible by the passing of time.
    fn next_eligible(&mut self, queue: &Queue) -> Outcome<Option<Timestamp>> {
        let due: Option<i64> =
            optional(self.statements.get(Query::NextDue)?.query_row([queue.id], |row| row.get(0)))?;
        let due = due.map(Timestamp::from_micros);
        if queue.spec.partitions.is_none() {
            return Ok(due);
        }
        let lines = self.lines_again(queue.id)?;
        Ok([due, lines].into_iter().flatten().min())
    }
}

/// The moment at which the limits of a queue let a job start that could
/// otherwise start at `moment`. `None`: not by the passing of time.
fn put_off(moment: Timestamp, room: &QueueRoom) -> Option<Timestamp> {
    let mut moment = moment;
    for room in [room.slots, room.starts].into_iter().flatten() {
        if room.free == 0 {
            moment = moment.max(room.again?);
            // A lease that runs out is reason enough to look.
            break;
        }
    }
    Some(moment)
}
