//! What core has decided about a job, for a store to carry out.

use crate::model::{
    Course, DedupKey, End, Event, Job, JobId, JobRef, Lease, Payload, Step, Timestamp, Token, When,
};

use super::error::Error;

/// A decided change of one job: absolute values under a guard.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Which job.
    pub job: JobRef,
    /// What must still hold.
    pub guard: Guard,
    /// Where it goes.
    pub to: Target,
    /// What it is now known to have behind it. `None`: as before.
    pub course: Option<Course>,
    /// What its handler is given from now on. `None`: as before.
    pub payload: Option<Payload>,
    /// Whether its expiry still counts.
    pub expiry: Expiry,
    /// What is recorded with it, as [`Backend::record_steps`](super::Backend::record_steps)
    /// does: the first record of a position stays. Nothing, if the job is removed.
    pub steps: Vec<Step>,
    /// What subscribers are told.
    pub event: Event,
}

/// What must hold for a transition to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The job's version.
    pub version: u64,
    /// Its lease.
    pub lease: LeaseGuard,
}

/// What must hold of a job's lease for a transition to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseGuard {
    /// Nothing: the version says enough.
    Any,
    /// The job is active under this token: only the holder may do this.
    Held(Token),
    /// The job is active under this token, and the lease has run out by the
    /// store's time: its holder may have extended it a moment ago, and that
    /// does not change the version.
    RunOut(Token),
}

impl Guard {
    /// Whether it holds for a job with this version and this lease at this
    /// moment of the store.
    #[must_use]
    pub fn holds(self, version: u64, lease: Option<Lease>, now: Timestamp) -> bool {
        let leased = match (self.lease, lease) {
            (LeaseGuard::Any, _) => true,
            (LeaseGuard::Held(token), Some(lease)) => lease.token == token,
            (LeaseGuard::RunOut(token), Some(lease)) => lease.token == token && lease.until <= now,
            (LeaseGuard::Held(_) | LeaseGuard::RunOut(_), None) => false,
        };
        leased && version == self.version
    }
}

/// Where a transition takes a job. Any lease ends with it, but for
/// [`Target::Stay`].
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// It stays in its state, at its moment, under its lease.
    Stay {
        /// Whether an active job is asked to stop.
        cancel: CancelRequest,
    },
    /// It is scheduled, or waiting if its moment has come.
    Pending {
        /// Its moment.
        due: When,
        /// Its place in the order.
        place: Place,
    },
    /// It has ended; `finished_at` becomes the store's time.
    Ended {
        /// How.
        end: End,
        /// What it returned.
        result: Option<Payload>,
    },
    /// It is removed, with everything that belongs to it.
    Removed,
}

/// Whether an active job is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelRequest {
    /// As before.
    Unchanged,
    /// It is asked to.
    Requested,
}

/// Which place a pending job takes in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// That of its moment. Until then it is not in line.
    AtDue,
    /// The one it has. In a partitioned queue it stays in line, and nothing
    /// behind it in its partition starts before it.
    Kept,
}

/// Whether a job's expiry still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// As before.
    Unchanged,
    /// It does not: the job never expires.
    Dropped,
}

/// What became of one transition.
#[derive(Debug)]
pub enum Applied {
    /// It is carried out; the job's version is the guard's plus one.
    Applied,
    /// The guard did not hold; nothing changed. Carries the job as it is now,
    /// without payload and result.
    Stale(Box<Job>),
    /// There is no such job; nothing changed.
    Gone,
    /// The job would come back to life, but its deduplication key is taken by
    /// another one; nothing changed.
    KeyTaken {
        /// The key.
        key: DedupKey,
        /// The job that has it.
        by: JobId,
    },
    /// The store refuses this one (its siblings are not affected); nothing
    /// changed.
    Refused(Error),
}

/// What became of a batch of transitions.
#[derive(Debug)]
pub struct ApplyAnswer {
    /// For each transition, in order, what became of it.
    pub outcomes: Vec<Applied>,
    /// Blocked jobs that one of them has left without an open dependency, or
    /// with a broken one, without payload; core has to decide about them. The
    /// sweep finds them too, should this answer be lost.
    pub unblocked: Vec<Job>,
    /// The store's time.
    pub now: Timestamp,
}
