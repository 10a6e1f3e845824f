//! Workers, as the store knows them. For people to look at: no rule reads it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::WorkerId;
use super::name::QueueName;
use super::time::Timestamp;

/// What a worker says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Drawn anew at each start (rule L5).
    pub id: WorkerId,
    /// The name of its machine.
    pub host: String,
    /// The number of its process.
    pub pid: u32,
    /// The queues it works.
    pub queues: Vec<QueueName>,
    /// How many jobs it runs at once, at most.
    pub concurrency: u32,
    /// How many it runs now.
    pub running: u32,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The worker is there. Workers that have not been heard of for so long
    /// are forgotten.
    Alive {
        /// What it says of itself.
        worker: WorkerInfo,
        /// After how much silence another worker is forgotten.
        forget_after: Duration,
    },
    /// The worker has stopped and is forgotten.
    Leaving(WorkerId),
}

/// A worker and when it was heard of, by the store's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSeen {
    /// What it said of itself.
    pub worker: WorkerInfo,
    /// When it was first heard of.
    pub since: Timestamp,
    /// When it was last heard of.
    pub beat_at: Timestamp,
}
