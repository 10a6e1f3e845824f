//! What makes a type a job.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use windlass_core::model::Retry;

/// A type whose values can be enqueued, and handled by a worker.
///
/// Usually derived: `#[derive(Serialize, Deserialize, Job)]`. Its values
/// travel as JSON, so that any tool can read them.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The name by which a worker finds the handler: 1 to 128 of
    /// `A-Z a-z 0-9 _ . : -`. Stored with each job, so it outlives renaming
    /// the type.
    const NAME: &'static str;

    /// What holds for each job of this type unless the enqueue says otherwise.
    fn defaults() -> JobDefaults;
}

/// What holds for each job of a type unless the enqueue says otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobDefaults {
    /// The queue it is meant for; see
    /// [`Client::queue_of`](crate::Client::queue_of).
    pub queue: Option<&'static str>,
    /// Its priority.
    pub priority: Option<i32>,
    /// How often it is tried, and how long it waits in between. `None`: 20
    /// attempts, exponential from 1 s.
    pub retry: Option<Retry>,
    /// How long one attempt may run. `None`: as long as it likes.
    pub timeout: Option<Duration>,
}
