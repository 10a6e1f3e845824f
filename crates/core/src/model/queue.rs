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
///
/// # Shards
/// A queue that is hotter than one machine of its store can be declared to be
/// spread over up to [`MAX_SHARDS`] shards. A store that is one machine
/// ignores it and keeps all of its promises; what follows is what a store
/// promises that does spread it.
///
/// A job goes to the shard of its partition key, or if it has none to that of
/// its deduplication key, or else to that of its id
/// ([`decide::shards`](crate::decide::shards)). All shards are one queue to
/// whoever uses it: its name, its jobs, its figures, its pause and its workers
/// are one.
///
/// Promised as in any queue: no job is lost, and no two leases on one are live;
/// jobs of one partition run in order and within its bounds; the queue's bounds
/// are never exceeded, since each shard has a part of them.
///
/// Relaxed across shards:
/// - **Order.** Jobs start in order within each shard. One of another shard may
///   start before a job that is ahead of it. Sequence numbers rise within a
///   shard only, and a listing goes by them.
/// - **Bounds.** A shard cannot use what another one leaves of its part of a
///   bound, so that a queue with few partitions may reach less than its bound.
/// - **Batches.** A batch is stored shard by shard, and whole in each.
/// - **Keys.** In a partitioned queue, job keys and deduplication keys are told
///   apart by shard: that one is taken is sure to be seen only by a job of the
///   same partition. Without partitions the same holds of the job key of a job
///   that has a deduplication key too.
/// - **Repeatables.** The jobs that they fire stand in the first shard. They
///   have no common order, and no common bounds, with jobs of their partition
///   that were enqueued otherwise.
/// - **Cleaning by count** keeps the newest of each shard, as evenly as can be,
///   and by age takes one shard after the other.
///
/// The number of shards can be changed at any time; no job is lost, and keys
/// that are taken stay so. Few go to another shard: where one is added to *n*,
/// one key in *n* + 1. Jobs that are stored stay where they are, and former
/// shards are looked after for good. Until the jobs from before have ended,
/// those of a partition that went elsewhere share no order and no bounds with
/// those that come; what runs when the bounds are divided anew goes on beside
/// what the new parts allow; and a former shard runs one job at a time besides.
/// A process that only enqueues may take some seconds to hear of it, and goes by
/// the number before until then.
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
    /// Over how many shards a store that can spreads it: 1 to [`MAX_SHARDS`],
    /// and not more than any bound of the queue (but 0) leaves one for each.
    /// Default 1.
    #[serde(default = "one_shard", skip_serializing_if = "is_one_shard")]
    pub shards: u32,
}

/// Over how many shards a queue can be spread.
pub const MAX_SHARDS: u32 = 64;

const fn one_shard() -> u32 {
    1
}

/// What is not said is stored as it was before there were shards.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
const fn is_one_shard(shards: &u32) -> bool {
    *shards == 1
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
            shards: one_shard(),
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
            shards: 8,
            ..QueueSpec::new(name.clone())
        };
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<QueueSpec>(&json).unwrap(), spec);
        let least: QueueSpec = serde_json::from_str("{\"name\":\"q\"}").unwrap();
        assert_eq!(least, QueueSpec::new(name));
        let json = serde_json::to_string(&least).unwrap();
        assert!(!json.contains("shards"), "as it was before there were any: {json}");
    }
}
