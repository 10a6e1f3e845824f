//! Carrying out what core has decided.

use std::collections::BTreeSet;

use rusqlite::params;
use windlass_core::backend::{
    Applied, ApplyAnswer, CancelRequest, Expiry, LeaseGuard, Place, Target, Transition,
};
use windlass_core::model::{End, Event, Job, Limits, Payload, State, Timestamp, When};
use windlass_core::{Error, ErrorKind};

use super::dedup::Key;
use super::lane::{self, Known, Pending, Stand, hook};
use super::query::Query;
use super::{Queue, Store};
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
        for transition in transitions {
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
        let Some(queue) = self.find_queue(&transition.job.queue)? else {
            return Ok(Applied::Gone);
        };
        let course = transition.course.as_ref().map(|course| course.encode());
        if let Some(refused) = too_large(transition, course.as_ref()) {
            return Ok(Applied::Refused(refused));
        }
        if self.end_plain(&queue, transition)? {
            return Ok(Applied::Applied);
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
            self.spread(change);
        }
        Ok(applied)
    }

    /// Ends a job on which nothing else hangs: one statement, for the way most
    /// jobs go. Answers whether it did.
    fn end_plain(&mut self, queue: &Queue, transition: &Transition) -> Outcome<bool> {
        let (Target::Ended { end, result }, LeaseGuard::Held(token)) =
            (&transition.to, transition.guard.lease)
        else {
            return Ok(false);
        };
        let untouched = transition.course.is_none()
            && transition.payload.is_none()
            && transition.expiry == Expiry::Unchanged;
        if !untouched {
            return Ok(false);
        }
        let state = State::from(*end);
        let known = self.leased.remove(&transition.job.id);
        let query = match known {
            Some(_) => Query::CompleteLeasedJob,
            None => Query::CompletePlainJob,
        };
        let statement = self.statements.get(query)?;
        statement.raw_bind_parameter(1, transition.job.id.as_bytes())?;
        statement.raw_bind_parameter(2, queue.id)?;
        statement.raw_bind_parameter(3, signed(transition.guard.version))?;
        statement.raw_bind_parameter(4, signed(token.0))?;
        statement.raw_bind_parameter(5, state.code())?;
        statement.raw_bind_parameter(6, self.now.as_micros())?;
        statement.raw_bind_parameter(7, result.as_ref().map(Payload::as_slice))?;
        statement.raw_bind_parameter(8, hook::AT_END)?;
        if let Some(seq) = known {
            statement.raw_bind_parameter(9, seq)?;
        }
        if statement.raw_execute()? == 0 {
            return Ok(false);
        }
        self.count_move(queue.id, State::Active, state);
        if queue.spec.limits != Limits::default() {
            self.news.touch(&queue.name);
        }
        Ok(true)
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
        self.statements.get(Query::TouchJob)?.execute(params![
            seq,
            expires.map(|moment| moment.as_micros()),
            job.cancel_requested || asked,
            change.course.is_some(),
            change.course.as_ref().and_then(Option::as_ref),
            change.payload(),
        ])?;
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
        let pending =
            Pending { due, place, order: job.order, partitioned: job.partition.is_some() };
        let stand = Stand::pending(pending, self.now);
        let cancel_requested = job.cancel_requested && !revived;
        self.move_to(change, stand, (place, due), cancel_requested, None)?;
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
        let Found { job, seq, lane, hooks } = change.found;
        let state = State::from(end);
        let stand = Stand::in_lane(i64::from(state.code()), self.now.as_micros());
        self.move_to(change, stand, (job.place, job.due), job.cancel_requested, result)?;
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

    /// Writes a job's new stand; place and moment go with it.
    fn move_to(
        &mut self,
        change: Change<'_>,
        stand: Stand,
        (place, due): (Timestamp, Timestamp),
        cancel_requested: bool,
        result: Option<&Payload>,
    ) -> Outcome<()> {
        self.statements.get(Query::MoveJob)?.execute(params![
            change.found.seq,
            stand.lane,
            stand.key1,
            stand.key2,
            lane::sort(change.found.job.order, place),
            place.as_micros(),
            due.as_micros(),
            change.expires().map(|moment| moment.as_micros()),
            cancel_requested,
            change.course.is_some(),
            change.course.as_ref().and_then(Option::as_ref),
            change.payload(),
            result.map(Payload::as_slice),
        ])?;
        let counted = change.found.counted();
        self.count_move(
            change.queue.id,
            counted,
            lane::counted_state(stand.lane).unwrap_or(counted),
        );
        Ok(())
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
        + course.and_then(Option::as_ref).map_or(0, Vec::len);
    (size > MAX_BYTES).then(|| {
        let context = format!("{size} bytes are more than a SQLite row holds beside the rest");
        Error::new(ErrorKind::Invalid, context)
    })
}
