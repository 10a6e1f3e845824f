//! Hints that something has happened (rule Q6). Any of them may be lost.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{JobId, JobRef};
use super::name::QueueName;

/// Which notices a subscriber wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// That there may be work in a queue; coalesced, cheap.
    Work,
    /// What happens to each job; costs the store something for each.
    Jobs,
}

/// A hint. Nothing depends on one; a subscriber may miss some.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A queue may have work, or an active job of it was asked to stop.
    Queue(QueueName),
    /// Something changed somewhere; looking at every queue is the answer.
    Anything,
    /// Something happened to a job.
    Job {
        /// Which.
        job: JobRef,
        /// What.
        event: Event,
    },
}

impl Notice {
    /// The job that a notice is about.
    #[must_use]
    pub fn job_id(&self) -> Option<JobId> {
        match self {
            Self::Job { job, .. } => Some(job.id),
            _ => None,
        }
    }
}

/// What can happen to a job. Core says it with each transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// It was stored.
    Enqueued,
    /// It was leased.
    Started,
    /// It told how far it has come.
    Progress,
    /// It ended well.
    Completed,
    /// It ended with its attempts used up.
    Failed,
    /// An attempt failed and it will be tried again.
    Retried,
    /// It put itself off.
    Snoozed,
    /// It gave its lease back to wait for something (rule W2).
    Suspended,
    /// Others told it something: a message, or what a job came to that it spawned.
    Told,
    /// It was handed back without having been tried.
    Released,
    /// Its lease ran out and it went back to its place.
    Stalled,
    /// It ended by wish, or because a dependency did.
    Cancelled,
    /// An active job was asked to stop.
    CancelRequested,
    /// It ended without having started in time.
    Expired,
    /// Its moment or its payload was changed.
    Changed,
    /// What it waited for has ended.
    Unblocked,
    /// It was removed.
    Removed,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enqueued => "enqueued",
            Self::Started => "started",
            Self::Progress => "progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::Snoozed => "snoozed",
            Self::Suspended => "suspended",
            Self::Told => "told",
            Self::Released => "released",
            Self::Stalled => "stalled",
            Self::Cancelled => "cancelled",
            Self::CancelRequested => "cancel requested",
            Self::Expired => "expired",
            Self::Changed => "changed",
            Self::Unblocked => "unblocked",
            Self::Removed => "removed",
        })
    }
}
