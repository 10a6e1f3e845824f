//! The nouns: what a store holds and what goes to and fro.

pub mod course;
pub mod filter;
pub mod id;
pub mod job;
pub mod json;
pub mod name;
pub mod notice;
pub mod options;
pub mod payload;
pub mod progress;
pub mod queue;
pub mod repeatable;
pub mod retry;
pub mod state;
pub mod stats;
pub mod step;
pub mod time;
pub mod worker;

pub use course::{AttemptError, Awaits, Course, FailureKind};
pub use filter::{Dependency, Detail, Direction, Filter, JobsPage, JobsQuery, Seen};
pub use id::{FlowId, JobId, JobRef, Token, WorkerId};
pub use job::{
    DedupRecord, Dependencies, Job, Lease, NewDedup, NewJob, OrderKey, OrderMode, OrderRule, Parent,
};
pub use name::{
    DedupKey, InvalidName, JobKey, JobType, PartitionKey, QueueName, RepeatableKey, StepName, Tag,
};
pub use notice::{Event, Interest, Notice};
pub use options::{Gate, JobOptions, OnBrokenDependency};
pub use payload::{DEFAULT_MAX_PAYLOAD, Payload};
pub use progress::Progress;
pub use queue::{
    Keep, Limits, MAX_SHARDS, OnRetry, Partitions, PriorityMode, QueueInfo, QueueSpec, Rate,
    Retention,
};
pub use repeatable::{JobTemplate, Missed, Overlap, Repeatable, RepeatableRecord};
pub use retry::{Backoff, Retry};
pub use state::{End, State};
pub use stats::QueueStats;
pub use step::{FIRST_MESSAGE, FIRST_RESULT, NewStep, Step, StepRecorded};
pub use time::{Clock, InvalidTimestamp, ManualClock, Timestamp, When, micros};
pub use worker::{Beat, WorkerInfo, WorkerSeen};
