//! Looking at many jobs.

use super::id::{FlowId, JobRef};
use super::job::Job;
use super::name::{DedupKey, JobKey, JobType, PartitionKey, QueueName, Tag};
use super::state::State;
use super::time::Timestamp;

/// Which jobs. Every field that is given must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Jobs of this queue. `None`: of every queue.
    pub queue: Option<QueueName>,
    /// Jobs in one of these states. Empty: in any.
    pub states: Vec<State>,
    /// Jobs of this type.
    pub job_type: Option<JobType>,
    /// Jobs with this job key.
    pub key: Option<JobKey>,
    /// Jobs with this deduplication key.
    pub dedup: Option<DedupKey>,
    /// Jobs of this partition.
    pub partition: Option<PartitionKey>,
    /// Jobs with this tag.
    pub tag: Option<Tag>,
    /// Jobs of this flow.
    pub flow: Option<FlowId>,
    /// Jobs enqueued by this job's handler.
    pub parent: Option<JobRef>,
}

/// A page of jobs in the order of the enqueue sequence (rule Q5).
#[derive(Clone, Debug, PartialEq)]
pub struct JobsQuery {
    /// Which jobs.
    pub filter: Filter,
    /// Which way.
    pub direction: Direction,
    /// The page starts behind the job with this sequence number, seen in the
    /// direction of travel. `None`: at the beginning.
    pub after: Option<u64>,
    /// How many at most, 1 to 1,000; any other number is taken for the nearest
    /// of these.
    pub limit: u32,
    /// What to read of each.
    pub detail: Detail,
}

impl JobsQuery {
    /// The first 500 jobs of a filter, without payloads, the first enqueued first.
    #[must_use]
    pub fn of(filter: Filter) -> Self {
        let (direction, detail) = (Direction::OldestFirst, Detail::Summary);
        Self { filter, direction, after: None, limit: 500, detail }
    }
}

/// Which way a listing goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// The first enqueued first.
    #[default]
    OldestFirst,
    /// The last enqueued first.
    NewestFirst,
}

/// What a listing reads of each job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// All but payload and result.
    #[default]
    Summary,
    /// Everything.
    Full,
}

/// A job and the store's time when it was read. Decisions need both.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The job.
    pub job: Job,
    /// The store's time.
    pub now: Timestamp,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct JobsPage {
    /// The jobs, in the order asked for.
    pub jobs: Vec<Job>,
    /// What to give as `after` for the next page. `None`: this was the last.
    pub next: Option<u64>,
    /// The store's time.
    pub now: Timestamp,
}

/// One of the jobs that another one depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependency {
    /// Which.
    pub job: JobRef,
    /// Where it stands. `None`: it was removed after it ended.
    pub state: Option<State>,
    /// What it returned, if it completed with a result that is still kept.
    pub result: Option<super::payload::Payload>,
}
