//! Where a job stands: in which lane, and in which of the tables that know only
//! few jobs.

use rusqlite::params;
use windlass_core::model::{Job, OrderMode, OrderRule, State, Timestamp};

use super::Store;
use super::query::Query;
use crate::error::Outcome;

/// Waits for other jobs.
pub(crate) const BLOCKED: i64 = 0;
/// Waits for its moment.
pub(crate) const SCHEDULED: i64 = 1;
/// May start.
pub(crate) const READY: i64 = 2;
/// Is leased.
pub(crate) const ACTIVE: i64 = 3;
/// Its moment has come, and it stands in the line of its partition.
pub(crate) const IN_LINE: i64 = 8;
/// Its moment has come, and so has its expiry.
pub(crate) const PARKED: i64 = 9;

/// Bits of a job's hooks: what else may know it.
pub(crate) mod hook {
    /// A line, or the leases of a partition.
    pub(crate) const PARTITION: i64 = 1;
    /// A deduplication key.
    pub(crate) const DEDUP: i64 = 2;
    /// An expiry.
    pub(crate) const EXPIRES: i64 = 4;
    /// The table of places in queues with ageing.
    pub(crate) const AGED: i64 = 8;
    /// Jobs that depend on it.
    pub(crate) const DEPENDENTS: i64 = 16;
    /// Recorded steps.
    pub(crate) const STEPS: i64 = 32;
    /// Jobs on which it depends.
    pub(crate) const DEPENDENCIES: i64 = 64;
    /// Labels.
    pub(crate) const LABELS: i64 = 128;

    /// Those that the beginning of a lease concerns.
    pub(crate) const AT_START: i64 = PARTITION | EXPIRES | AGED;
    /// Those that the end of a job concerns. An expiry is settled by the first
    /// start, and the table of places by every start.
    pub(crate) const AT_END: i64 = PARTITION | DEDUP | DEPENDENTS;
}

/// The lanes in which a job of this state can stand, as its state was when it
/// was last touched.
pub(crate) const fn of_state(state: State) -> [i64; 3] {
    match state {
        State::Waiting => [READY, IN_LINE, PARKED],
        _ => [state.code() as i64; 3],
    }
}

/// The state of a job in this lane, as it is counted.
pub(crate) fn counted_state(lane: i64) -> Option<State> {
    match lane {
        IN_LINE | PARKED => Some(State::Waiting),
        _ => u8::try_from(lane).ok().and_then(State::from_code),
    }
}

/// The state of a job in this lane at `now`: its moment comes by itself.
pub(crate) fn state(lane: i64, due: Timestamp, now: Timestamp) -> Option<State> {
    match counted_state(lane)? {
        State::Scheduled | State::Waiting if due > now => Some(State::Scheduled),
        State::Scheduled | State::Waiting => Some(State::Waiting),
        state => Some(state),
    }
}

/// The first part of a job's order key.
pub(crate) fn sort(order: OrderRule, place: Timestamp) -> i64 {
    order.key(place, 0).primary
}

/// Where a job that is blocked or pending stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stand {
    /// Which order it stands in.
    pub(crate) lane: i64,
    /// Its place in that order, but for ready jobs: their table has its own.
    key1: Option<i64>,
    /// Whether it stands in its partition's line.
    pub(crate) in_line: bool,
}

impl Stand {
    /// A stand outside the order of a queue.
    pub(crate) const fn in_lane(lane: i64, key1: i64) -> Self {
        Self { lane, key1: Some(key1), in_line: false }
    }

    /// Lane and key as the job's row says them: a ready job's says none.
    pub(crate) fn stored(self) -> (Option<i64>, Option<i64>) {
        (self.key1.map(|_| self.lane), self.key1)
    }

    /// A blocked job; those that core has to decide about come first.
    pub(crate) fn blocked(open: u32, broken: u32) -> Self {
        Self::in_lane(BLOCKED, i64::from(open > 0 && broken == 0))
    }

    /// A new job without a partition.
    pub(crate) fn plain(due: Timestamp, now: Timestamp) -> Self {
        Self::pending(Pending { due, place: due, partitioned: false }, now)
    }

    /// A job that is scheduled or waiting.
    ///
    /// One whose place has come before its moment was put off and keeps its
    /// place: in a partition it stays in line.
    pub(crate) fn pending(at: Pending, now: Timestamp) -> Self {
        let place = at.place.as_micros();
        match (at.due <= now, at.partitioned) {
            (true, true) => Self { in_line: true, ..Self::in_lane(IN_LINE, place) },
            (true, false) => Self { lane: READY, key1: None, in_line: false },
            (false, partitioned) => Self {
                in_line: partitioned && at.place <= now,
                ..Self::in_lane(SCHEDULED, at.due.as_micros())
            },
        }
    }
}

/// What the stand of a scheduled or waiting job follows from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// Its moment.
    pub(crate) due: Timestamp,
    /// The moment that gives it its place.
    pub(crate) place: Timestamp,
    /// Whether it has a partition.
    pub(crate) partitioned: bool,
}

/// A job, as far as the tables beside its own know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'j> {
    pub(crate) seq: i64,
    pub(crate) queue: i64,
    pub(crate) place: Timestamp,
    pub(crate) order: OrderRule,
    pub(crate) partition: Option<&'j str>,
    /// Its expiry, if that can still come to pass.
    pub(crate) expiring: Option<Timestamp>,
}

impl<'j> Known<'j> {
    /// What they know of a stored job.
    pub(crate) fn of(job: &'j Job, seq: i64, queue: i64) -> Self {
        Self {
            seq,
            queue,
            place: job.place,
            order: job.order,
            partition: job.partition.as_ref().map(|key| key.as_str()),
            expiring: job.expires.filter(|_| !job.has_started()),
        }
    }
}

impl Store<'_> {
    /// Enters a job where its stand says. `in_line` is whether it stands in its
    /// partition's line.
    pub(crate) fn arrive(&mut self, job: Known<'_>, lane: i64, in_line: bool) -> Outcome<()> {
        self.note(job, lane, in_line, Entry::Arrives)
    }

    /// Strikes a job out where its lane says. Leaving twice does no harm.
    pub(crate) fn leave(&mut self, job: Known<'_>, lane: i64) -> Outcome<()> {
        self.note(job, lane, matches!(lane, SCHEDULED | IN_LINE), Entry::Leaves)
    }

    fn note(&mut self, job: Known<'_>, lane: i64, in_line: bool, entry: Entry) -> Outcome<()> {
        let place = job.place.as_micros();
        if let Some(partition) = job.partition {
            if in_line {
                let sort = sort(job.order, job.place);
                self.statements
                    .get(entry.of(Query::InsertLine, Query::DeleteLine))?
                    .execute(params![job.queue, partition, sort, place, job.seq])?;
            }
            if lane == ACTIVE {
                self.statements
                    .get(entry.of(Query::InsertHolder, Query::DeleteHolder))?
                    .execute(params![job.queue, partition, job.seq])?;
            }
            self.unjudge(job.queue, partition);
        }
        if lane == READY {
            let sort = sort(job.order, job.place);
            self.statements
                .get(entry.of(Query::InsertReady, Query::DeleteReady))?
                .execute(params![job.queue, sort, place, job.seq])?;
            if job.order.mode == OrderMode::Aged {
                self.statements
                    .get(entry.of(Query::InsertAged, Query::DeleteAged))?
                    .execute(params![job.queue, place, job.seq])?;
            }
        }
        if matches!(lane, BLOCKED | SCHEDULED | READY | IN_LINE | PARKED)
            && let Some(expiring) = job.expiring
        {
            self.statements
                .get(entry.of(Query::InsertExpiring, Query::DeleteExpiring))?
                .execute(params![job.queue, expiring.as_micros(), job.seq])?;
        }
        Ok(())
    }
}

/// Whether a job is entered or struck out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Arrives,
    Leaves,
}

impl Entry {
    const fn of(self, arrives: Query, leaves: Query) -> Query {
        match self {
            Self::Arrives => arrives,
            Self::Leaves => leaves,
        }
    }
}
