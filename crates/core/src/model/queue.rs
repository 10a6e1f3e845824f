//! What a queue is declared to be.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::name::QueueName;
use super::payload::DEFAULT_MAX_PAYLOAD;
use super::state::End;

/// What a queue is declared to be. Stored with the queue, so that every
/// process goes by the same.
///
/// The priority mode, ageing and whether the queue is partitioned are fixed by
/// its first declaration, because the places of its jobs depend on them; all
/// else takes effect at the next dequeue of every process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueSpec {
    /// Its name.
    pub name: QueueName,
    /// What a priority means here. Fixed.
    #[serde(default)]
    pub priority: PriorityMode,
    /// By how much a job waits behind one of the next better rank (rule O3).
    /// `None`: for as long as there is one. Fixed.
    #[serde(default)]
    pub aging: Option<Duration>,
    /// Whether every job has a partition key, and what bounds a partition.
    /// Whether there are partitions is fixed; their bounds are not.
    #[serde(default)]
    pub partitions: Option<Partitions>,
    /// What bounds the queue over all processes.
    #[serde(default)]
    pub limits: Limits,
    /// How long ended jobs are kept.
    #[serde(default)]
    pub retention: Retention,
    /// How often a job's lease may run out before the job fails. Default 3.
    #[serde(default = "default_max_stalls")]
    pub max_stalls: u32,
    /// The largest payload or result, in bytes. Default 1 MiB.
    #[serde(default = "default_max_payload")]
    pub max_payload: usize,
}

const fn default_max_stalls() -> u32 {
    3
}

const fn default_max_payload() -> usize {
    DEFAULT_MAX_PAYLOAD
}

impl QueueSpec {
    /// A queue with every default.
    #[must_use]
    pub fn new(name: QueueName) -> Self {
        Self {
            name,
            priority: PriorityMode::default(),
            aging: None,
            partitions: None,
            limits: Limits::default(),
            retention: Retention::default(),
            max_stalls: default_max_stalls(),
            max_payload: default_max_payload(),
        }
    }
}

/// What a priority means in a queue (rule O2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriorityMode {
    /// A smaller number goes first.
    #[default]
    LowestFirst,
    /// A larger number goes first.
    HighestFirst,
    /// Giving a priority is an error.
    Disabled,
}

/// Bounds that hold over all processes (rule G1). 0 stops all processing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// How many leases may be live at once.
    pub concurrency: Option<u32>,
    /// How many jobs may start within a period.
    pub rate: Option<Rate>,
}

/// At most `limit` starts in every window of `period`, wherever it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many starts.
    pub limit: u32,
    /// The length of the window; more than zero.
    pub period: Duration,
}

/// What bounds the jobs of one partition (rule P1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Partitions {
    /// The bounds of each partition. Default: one lease at a time.
    pub limits: Limits,
    /// What a job that is to be tried again does to its partition.
    pub on_retry: OnRetry,
}

impl Default for Partitions {
    fn default() -> Self {
        Self { limits: Limits { concurrency: Some(1), rate: None }, on_retry: OnRetry::default() }
    }
}

impl Partitions {
    /// Whether a job that is put off keeps its place, so that the jobs of a
    /// partition finish in the order in which they became ready (rule P2).
    #[must_use]
    pub fn keep_order(&self) -> bool {
        self.limits.concurrency == Some(1) && self.on_retry == OnRetry::Hold
    }
}

/// What a job of a one-at-a-time partition does to the jobs behind it while it
/// waits to be tried again, or was snoozed (rule P2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRetry {
    /// It keeps its place and the partition waits for it.
    #[default]
    Hold,
    /// It leaves the line until its moment, and the others go on.
    Yield,
}

/// How long the jobs of a queue are kept once they have ended (rule Q4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// For completed jobs. Default 24 h.
    pub completed: Keep,
    /// For failed, cancelled and expired jobs. Default 14 days.
    pub other: Keep,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self { completed: Keep::For(DAY), other: Keep::For(DAY.saturating_mul(14)) }
    }
}

impl Retention {
    /// What holds for jobs that ended so.
    #[must_use]
    pub fn of(&self, end: End) -> Keep {
        match end {
            End::Completed => self.completed,
            End::Failed | End::Cancelled | End::Expired => self.other,
        }
    }
}

/// How long an ended job is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// It is not kept: its worker removes it in the step that ends it. One
    /// that others depend on, or that ended otherwise, goes with the next
    /// cleaning.
    Remove,
    /// So long after it ended.
    For(Duration),
    /// Only so many of each state, the latest to end.
    Newest(u64),
    /// Within both bounds.
    ForNewest(Duration, u64),
    /// Until an operator cleans it.
    Forever,
}

/// A queue as the store has it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueInfo {
    /// Its declaration.
    pub spec: QueueSpec,
    /// Whether it is paused (rule Q1).
    pub paused: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_declaration_reads_back_and_tolerates_missing_fields() {
        let name = QueueName::new("q").unwrap();
        let spec = QueueSpec {
            aging: Some(Duration::from_millis(1500)),
            partitions: Some(Partitions::default()),
            retention: Retention {
                completed: Keep::ForNewest(Duration::from_secs(9), 4),
                other: Keep::Remove,
            },
            ..QueueSpec::new(name.clone())
        };
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<QueueSpec>(&json).unwrap(), spec);
        let least: QueueSpec = serde_json::from_str("{\"name\":\"q\"}").unwrap();
        assert_eq!(least, QueueSpec::new(name));
    }
}
