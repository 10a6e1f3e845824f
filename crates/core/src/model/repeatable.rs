//! Jobs that come again and again (rules S1 to S6).

use serde::{Deserialize, Serialize};

use super::id::JobId;
use super::name::{JobType, PartitionKey, QueueName, RepeatableKey, Tag};
use super::options::JobOptions;
use super::payload::Payload;
use super::time::Timestamp;
use crate::schedule::Schedule;

/// A job template and when it fires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeatable {
    /// Its name within the queue. Putting it again replaces it.
    pub key: RepeatableKey,
    /// The queue that its jobs go to.
    pub queue: QueueName,
    /// What its jobs are like.
    pub template: JobTemplate,
    /// When it fires.
    pub schedule: Schedule,
    /// It does not fire before this moment.
    pub start: Option<Timestamp>,
    /// It does not fire after this moment.
    pub end: Option<Timestamp>,
    /// It fires so often at most.
    pub count: Option<u64>,
    /// What becomes of moments at which nobody was there to fire it.
    pub missed: Missed,
    /// Whether it fires while its previous job has not ended.
    pub overlap: Overlap,
}

/// What the jobs of a repeatable are like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobTemplate {
    /// By which a worker finds the handler.
    pub job_type: JobType,
    /// What the handler is given.
    pub payload: Payload,
    /// What the caller chose.
    pub options: JobOptions,
    /// Whose limits the jobs run under, in a partitioned queue.
    pub partition: Option<PartitionKey>,
    /// Labels to search by.
    pub tags: Vec<Tag>,
}

/// What becomes of fire moments that have passed unseen (rule S3).
///
/// A moment counts as missed once the next one has passed too, or when it is
/// late by more than [`MISSED_AFTER`](crate::decide::repeat::MISSED_AFTER).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// One job, for the latest of them.
    #[default]
    RunOnce,
    /// No job.
    Skip,
    /// A job for each, but for the latest so many only.
    RunAll(u32),
}

/// Whether a repeatable fires while its previous job has not ended (rule S4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It does.
    #[default]
    Allow,
    /// The moment is passed over.
    Skip,
}

/// A repeatable as the store has it. A backend keeps it as opaque JSON, beside
/// queue, key, version and [`RepeatableRecord::due`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepeatableRecord {
    /// What was put.
    pub spec: Repeatable,
    /// Grows with every change; guards compare it.
    pub version: u64,
    /// From which a period is counted.
    pub anchor: Timestamp,
    /// When it fires next. `None`: never again.
    pub next: Option<Timestamp>,
    /// How often it has fired.
    pub fired: u64,
    /// The last moment for which it fired.
    pub last_fire: Option<Timestamp>,
    /// The job of that moment.
    pub last_job: Option<JobId>,
    /// Whether it is paused.
    pub paused: bool,
}

impl RepeatableRecord {
    /// When a keeper has to look at it. `None`: not until it is changed.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        self.next.filter(|_| !self.paused)
    }
}
