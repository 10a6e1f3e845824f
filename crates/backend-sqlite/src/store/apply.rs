//! Carrying out what core has decided.

use std::collections::BTreeSet;
use std::rc::Rc;

use rusqlite::{ToSql, params};
use windlass_core::backend::{
    Applied, ApplyAnswer, CancelRequest, Expiry, LeaseGuard, Place, Target, Transition,
};
use windlass_core::model::{End, Event, Job, JobId, Limits, Payload, State, Timestamp, When};
use windlass_core::{Error, ErrorKind};

use super::dedup::Key;
use super::lane::{self, Known, Pending, Stand, hook};
use super::query::{MANY, Query};
use super::{Leased, Queue, Store};
use crate::error::{Fail, Outcome};
use crate::record::signed;

/// The largest payload, result or course that is tried: SQLite's own limit is
/// 1,000,000,000 bytes for a whole row.
pub(crate) const MAX_BYTES: usize = 400_000_000;

/// A stored job, and the lane by which it is counted.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) job: Job,
    pub(crate) seq: i64,
    pub(crate) lane: i64,
    /// The token of its last lease.
    pub(crate) token: i64,
    /// What else knows it.
    pub(crate) hooks: i64,
}

impl Found {
    /// The state in which it is counted.
    pub(crate) fn counted(&self) -> State {
        lane::counted_state(self.lane).unwrap_or(self.job.state)
    }
}

impl Store<'_> {
    /// Carries out transitions whose guards hold, each alone.
    pub(crate) fn apply(&mut self, transitions: &[Transition]) -> Outcome<ApplyAnswer> {
        let mut outcomes = Vec::with_capacity(transitions.len());
        let mut dependents = BTreeSet::new();
        while let Some((transition, rest)) = transitions[outcomes.len()..].split_first() {
            let ended =
                if rest.is_empty() { 0 } else { self.end_several(&transitions[outcomes.len()..])? };
            if ended > 0 {
                outcomes.extend((0..ended).map(|_| Applied::Applied));
                continue;
            }
            let outcome = self.apply_one(transition, &mut dependents)?;
            if matches!(outcome, Applied::Applied) {
                self.news.happened(|| transition.job.clone(), transition.event);
            }
            outcomes.push(outcome);
        }
        Ok(ApplyAnswer {
            outcomes,
            unblocked: self.undecided(dependents.into_iter().collect())?,
            now: self.now,
        })
    }

    fn apply_one(
        &mut self,
        transition: &Transition,
        dependents: &mut BTreeSet<i64>,
    ) -> Outcome<Applied> {
        if self.end_plain(transition)? {
            return Ok(Applied::Applied);
        }
        let Some(queue) = self.find_queue(&transition.job.queue)? else {
            return Ok(Applied::Gone);
        };
        let course = transition.course.as_ref().map(|course| course.encode());
        if let Some(refused) = too_large(transition, course.as_ref()) {
            return Ok(Applied::Refused(refused));
        }
        let found = match self.find(&queue, transition.job.id) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Applied::Gone),
            // A row that cannot be read concerns this transition alone.
            Err(Fail::Broken(error)) if error.kind() == ErrorKind::Incompatible => {
                return Ok(Applied::Refused(error));
            }
            Err(fail) => return Err(fail),
        };
        if !transition.guard.holds(found.job.version, found.job.lease, self.now) {
            return Ok(Applied::Stale(Box::new(found.job)));
        }
        let change = Change { queue: &queue, transition, found: &found, course: &course };
        let applied = match &transition.to {
            Target::Stay { cancel } => self.stay(change, *cancel)?,
            Target::Pending { due, place } => self.put_in_line(change, *due, *place)?,
            Target::Ended { end, result } => self.end(change, *end, result.as_ref(), dependents)?,
            Target::Removed => self.remove(change, dependents)?,
        };
        if matches!(applied, Applied::Applied) {
            if transition.to != Target::Removed {
                self.record_with(found.seq, found.hooks, &transition.steps)?;
            }
            self.spread(change);
        }
        Ok(applied)
    }

    /// Ends as many of the first of these as are plain, together. Answers how
    /// many it has ended: none if the first is not plain or one of their guards
    /// does not hold.
    fn end_several(&mut self, transitions: &[Transition]) -> Outcome<usize> {
        let mut run: Vec<PlainEnd<'_>> = Vec::with_capacity(MANY);
        for transition in transitions.iter().take(MANY) {
            // What is known of a lease is taken: a second transition of the
            // same job must see what the first one did.
            let Some(end) = self.plain_end(transition)? else { break };
            run.push(end);
        }
        if run.len() < 2 {
            self.leased.extend(run.iter().map(PlainEnd::leased));
            return Ok(0);
        }
        let now = self.now.as_micros();
        let statement = self.statements.get(Query::EndLeases)?;
        let mut column = 0;
        for index in 0..MANY {
            let end = run.get(index);
            let result = end.and_then(|end| end.result).map(Payload::as_slice);
            let values: [&dyn ToSql; 6] = [
                &end.map(|end| end.seq),
                &end.map(|end| end.queue.id),
                &end.map(|end| signed(end.transition.guard.version)),
                &end.map(|end| signed(end.token)),
                &end.map(|end| end.state.code()),
                &result,
            ];
            for value in values {
                column += 1;
                statement.raw_bind_parameter(column, value)?;
            }
        }
        statement.raw_bind_parameter(column + 1, now)?;
        let all_hold = statement.raw_execute()? == run.len();
        let after = if all_hold { Query::DeleteLeases } else { Query::TakeBackEnds };
        let statement = self.statements.get(after)?;
        for index in 0..MANY {
            statement.raw_bind_parameter(index + 1, run.get(index).map(|end| end.seq))?;
        }
        statement.raw_execute()?;
        if !all_hold {
            self.leased.extend(run.iter().map(PlainEnd::leased));
            return Ok(0);
        }
        for end in &run {
            self.ended_plainly(end);
            self.news.happened(|| end.transition.job.clone(), end.transition.event);
        }
        Ok(run.len())
    }

    /// Ends a job on which nothing else hangs, as most jobs end: without
    /// reading it. Answers whether it did.
    fn end_plain(&mut self, transition: &Transition) -> Outcome<bool> {
        let Some(end) = self.plain_end(transition)? else {
            return Ok(false);
        };
        let ended = self.statements.get(Query::EndLease)?.execute(params![
            end.seq,
            end.queue.id,
            signed(transition.guard.version),
            signed(end.token),
            end.state.code(),
            self.now.as_micros(),
            end.result.map(Payload::as_slice),
        ])?;
        if ended > 0 {
            self.statements.get(Query::DeleteLease)?.execute([end.seq])?;
            self.ended_plainly(&end);
        }
        Ok(ended > 0)
    }

    /// What is known of the end of a job that was leased through this
    /// connection and on which nothing else hangs. Takes what is known of its
    /// lease.
    fn plain_end<'t>(&mut self, transition: &'t Transition) -> Outcome<Option<PlainEnd<'t>>> {
        let (Target::Ended { end, result }, LeaseGuard::Held(token)) =
            (&transition.to, transition.guard.lease)
        else {
            return Ok(None);
        };
        let untouched = transition.course.is_none()
            && transition.payload.is_none()
            && transition.expiry == Expiry::Unchanged
            && transition.steps.is_empty()
            && result.as_ref().is_none_or(|result| result.len() <= MAX_BYTES);
        if !untouched {
            return Ok(None);
        }
        let Some(queue) = self.find_queue(&transition.job.queue)? else {
            return Ok(None);
        };
        let leased = self.leased.remove(&transition.job.id);
        let Some(Leased { seq, .. }) =
            leased.filter(|leased| leased.version == transition.guard.version)
        else {
            return Ok(None);
        };
        let (state, result, token) = (State::from(*end), result.as_ref(), token.0);
        Ok(Some(PlainEnd { transition, queue, seq, token, state, result }))
    }

    fn ended_plainly(&mut self, end: &PlainEnd<'_>) {
        self.count_move(end.queue.id, State::Active, end.state);
        if end.queue.spec.limits != Limits::default() {
            self.news.touch(&end.queue.name);
        }
    }

    fn stay(&mut self, change: Change<'_>, cancel: CancelRequest) -> Outcome<Applied> {
        let Found { job, seq, lane, .. } = change.found;
        let asked = cancel == CancelRequest::Requested && job.state == State::Active;
        let expires = change.expires();
        if expires != job.expires {
            let known = Known::of(job, *seq, change.queue.id);
            let in_line = known.partition.is_some() && stays_in_line(*lane, job, self.now);
            self.leave(known, *lane)?;
            self.arrive(Known { expiring: None, ..known }, *lane, in_line)?;
        }
        self.touch(change, job.cancel_requested || asked)?;
        self.raise(*seq, *lane)?;
        Ok(Applied::Applied)
    }

    fn put_in_line(&mut self, change: Change<'_>, due: When, place: Place) -> Outcome<Applied> {
        let Found { job, seq, lane, .. } = change.found;
        let queue = change.queue;
        let revived = job.state.is_terminal();
        if let Some(dedup) = job.dedup.as_ref().filter(|_| revived) {
            let key = dedup.key.as_str();
            match self.dedup_taken(queue.id, key)? {
                Some(Key::Live(by) | Key::Held { by, .. }) if by != job.id => {
                    return Ok(Applied::KeyTaken { key: dedup.key.clone(), by });
                }
                _ => {
                    let held_until = dedup.held_until.map(|until| until.as_micros());
                    self.take_dedup(queue.id, key, job.id, held_until)?;
                }
            }
        }
        let due = due.resolve(self.now);
        let place = match place {
            Place::AtDue => due,
            Place::Kept => job.place.min(due),
        };
        let pending = Pending { due, place, partitioned: job.partition.is_some() };
        let stand = Stand::pending(pending, self.now);
        let cancel_requested = job.cancel_requested && !revived;
        let (lane_now, key1) = stand.stored();
        self.statements.get(Query::MoveJob)?.execute(params![
            seq,
            lane_now,
            key1,
            lane::sort(job.order, place),
            place.as_micros(),
            due.as_micros(),
            signed(job.version + 1),
            change.found.token,
            job.started_at.map_or(i64::MIN, Timestamp::as_micros),
        ])?;
        self.touch(change, cancel_requested)?;
        self.leave_beside(*seq, *lane)?;
        self.count_in(change, stand.lane);
        let known = Known::of(job, *seq, queue.id);
        self.leave(known, *lane)?;
        let expiring = change.expires().filter(|_| !job.has_started());
        self.arrive(Known { place, expiring, ..known }, stand.lane, stand.in_line)?;
        Ok(Applied::Applied)
    }

    fn end(
        &mut self,
        change: Change<'_>,
        end: End,
        result: Option<&Payload>,
        dependents: &mut BTreeSet<i64>,
    ) -> Outcome<Applied> {
        let Found { job, seq, lane, token, hooks } = change.found;
        let state = State::from(end);
        // What has ended may end again in another way only by core's decision;
        // what it was before goes.
        self.leave_beside(*seq, *lane)?;
        self.statements.get(Query::InsertEnd)?.execute(params![
            seq,
            change.queue.id,
            state.code(),
            self.now.as_micros(),
            signed(job.version + 1),
            token,
            job.started_at.map_or(i64::MIN, Timestamp::as_micros),
            result.map(Payload::as_slice),
        ])?;
        self.statements.get(Query::LeaveLine)?.execute([seq])?;
        if change.touches() {
            self.touch(change, job.cancel_requested)?;
        }
        self.count_in(change, i64::from(state.code()));
        self.leave(Known::of(job, *seq, change.queue.id), *lane)?;
        if let Some(dedup) = job.dedup.as_ref().filter(|_| !job.state.is_terminal()) {
            let key = dedup.key.as_str();
            self.give_up_dedup(change.queue.id, key, job.id, dedup.held_until)?;
        }
        if hooks & hook::DEPENDENTS != 0 {
            self.tell_dependents(*seq, state, dependents)?;
        }
        Ok(Applied::Applied)
    }

    /// Writes what a change says of a job wherever it stands.
    fn touch(&mut self, change: Change<'_>, cancel_requested: bool) -> Outcome<()> {
        self.statements.get(Query::TouchJob)?.execute(params![
            change.found.seq,
            change.expires().map(|moment| moment.as_micros()),
            cancel_requested,
            change.course.is_some(),
            change.course.as_ref().and_then(Option::as_ref),
            change.payload(),
        ])?;
        Ok(())
    }

    /// Raises the version of a job, which stands in this lane.
    pub(crate) fn raise(&mut self, seq: i64, lane: i64) -> Outcome<()> {
        let query = match beside(lane) {
            Some(Beside::Leases) => Query::RaiseLease,
            Some(Beside::Ended) => Query::RaiseEnd,
            None => Query::RaiseJob,
        };
        self.statements.get(query)?.execute([seq])?;
        Ok(())
    }

    /// Takes a job, which stands in this lane, out of the active or the ended
    /// ones.
    pub(crate) fn leave_beside(&mut self, seq: i64, lane: i64) -> Outcome<()> {
        let query = match beside(lane) {
            Some(Beside::Leases) => Query::DeleteLease,
            Some(Beside::Ended) => Query::DeleteEnd,
            None => return Ok(()),
        };
        self.statements.get(query)?.execute([seq])?;
        Ok(())
    }

    /// Counts a job where it goes.
    fn count_in(&mut self, change: Change<'_>, lane: i64) {
        let counted = change.found.counted();
        self.count_move(change.queue.id, counted, lane::counted_state(lane).unwrap_or(counted));
    }

    fn remove(&mut self, change: Change<'_>, dependents: &mut BTreeSet<i64>) -> Outcome<Applied> {
        let Found { job, seq, hooks, .. } = change.found;
        if hooks & hook::DEPENDENTS != 0 {
            // Core does not remove what others wait for; should one have come
            // in the meantime, it must not wait for ever.
            let state = if job.state.is_terminal() { job.state } else { State::Cancelled };
            self.tell_dependents(*seq, state, dependents)?;
        }
        self.delete(change.queue, change.found)?;
        Ok(Applied::Applied)
    }

    /// What a change means for others: its partition, and those who watch.
    fn spread(&mut self, change: Change<'_>) {
        let Change { queue, transition, found, .. } = change;
        let may_start = matches!(transition.to, Target::Pending { .. });
        let freed = found.job.state == State::Active
            && (queue.spec.limits != Limits::default() || queue.spec.partitions.is_some());
        let told = transition.event == Event::CancelRequested;
        let line_moves = found.job.partition.is_some();
        if may_start || freed || told || line_moves {
            self.news.touch(&queue.name);
        }
    }
}

/// The end of a job on which nothing else hangs.
struct PlainEnd<'t> {
    transition: &'t Transition,
    queue: Rc<Queue>,
    seq: i64,
    token: u64,
    state: State,
    result: Option<&'t Payload>,
}

impl PlainEnd<'_> {
    /// What was known of its lease.
    fn leased(&self) -> (JobId, Leased) {
        let version = self.transition.guard.version;
        (self.transition.job.id, Leased { seq: self.seq, version })
    }
}

/// The tables that say where a job stands when its own row does not.
enum Beside {
    Leases,
    Ended,
}

fn beside(lane: i64) -> Option<Beside> {
    match lane {
        lane::ACTIVE => Some(Beside::Leases),
        _ if lane::counted_state(lane).is_some_and(State::is_terminal) => Some(Beside::Ended),
        _ => None,
    }
}

/// A transition whose guard holds, and what it is about.
#[derive(Clone, Copy)]
struct Change<'t> {
    queue: &'t Queue,
    transition: &'t Transition,
    found: &'t Found,
    /// The stored form of the new course: a course without a past has none.
    course: &'t Option<Option<Vec<u8>>>,
}

impl<'t> Change<'t> {
    /// Whether the job's own row says something else from now on.
    fn touches(&self) -> bool {
        self.course.is_some()
            || self.transition.payload.is_some()
            || self.expires() != self.found.job.expires
    }

    fn expires(&self) -> Option<Timestamp> {
        match self.transition.expiry {
            Expiry::Unchanged => self.found.job.expires,
            Expiry::Dropped => None,
        }
    }

    fn payload(&self) -> Option<&'t [u8]> {
        self.transition.payload.as_ref().map(Payload::as_slice)
    }
}

/// Whether a job in this lane stands in the line of its partition.
fn stays_in_line(lane: i64, job: &Job, now: Timestamp) -> bool {
    lane == lane::IN_LINE || (lane == lane::SCHEDULED && job.place <= now)
}

fn too_large(transition: &Transition, course: Option<&Option<Vec<u8>>>) -> Option<Error> {
    let result = match &transition.to {
        Target::Ended { result, .. } => result.as_ref(),
        _ => None,
    };
    let size = result.map_or(0, Payload::len)
        + transition.payload.as_ref().map_or(0, Payload::len)
        + transition.steps.iter().map(|step| step.outcome.len()).max().unwrap_or(0)
        + course.and_then(Option::as_ref).map_or(0, Vec::len);
    (size > MAX_BYTES).then(|| {
        let context = format!("{size} bytes are more than a SQLite row holds beside the rest");
        Error::new(ErrorKind::Invalid, context)
    })
}
