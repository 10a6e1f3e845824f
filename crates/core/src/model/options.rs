//! What a caller chose for a job, fixed at enqueue.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::retry::Retry;
use super::time::Timestamp;

/// What a caller chose for a job. Fixed at enqueue; a backend keeps it as the
/// opaque bytes of [`JobOptions::encode`] and never looks inside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobOptions {
    /// The priority as given; 0 if none was.
    pub priority: i32,
    /// How often the job is tried, and how long it waits in between.
    pub retry: Retry,
    /// How long one attempt may run. `None`: as long as it likes.
    pub timeout: Option<Duration>,
    /// What becomes of the job when a job it depends on does not complete.
    pub on_broken_dependency: OnBrokenDependency,
    /// The dependencies, by their places in `depends_on`, that the other choice holds for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_edges: Vec<u32>,
    /// Of a gate: where its parent is told what became of those that the gate depends on
    /// (rule W2). A gate is no job for a worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Whether somebody will ask for it, or may store it again: it is kept as it ends, also
    /// where its queue keeps nothing, until the next cleaning finds that nobody needs it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub awaited: bool,
}

/// Where the parent of a gate is told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The position of the step that has spawned the jobs.
    pub position: u32,
    /// When the parent was enqueued: one that was stored anew under its key since then is
    /// another job.
    pub life: Timestamp,
}

/// What becomes of a job when one of its dependencies ends in another way than
/// completed (rule N2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBrokenDependency {
    /// It is cancelled, and with it what depends on it.
    #[default]
    Cancel,
    /// It runs once all its dependencies have ended, however they ended.
    Run,
}

impl JobOptions {
    /// The defaults, shared: most jobs have no others, and one copy serves
    /// them all.
    #[must_use]
    pub fn shared_default() -> Arc<Self> {
        static DEFAULT: LazyLock<Arc<JobOptions>> = LazyLock::new(Arc::default);
        Arc::clone(&DEFAULT)
    }

    /// The stored form; `None` for the defaults, which need no storing.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        // Serialising a tree of numbers and enums into memory cannot fail.
        (*self != Self::default()).then(|| serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads the stored form back.
    ///
    /// # Errors
    /// If the bytes are not what [`JobOptions::encode`] made.
    pub fn decode(stored: Option<&[u8]>) -> Result<Self, serde_json::Error> {
        stored.map_or_else(|| Ok(Self::default()), serde_json::from_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Backoff;

    #[test]
    fn options_survive_their_stored_form() {
        assert_eq!(JobOptions::default().encode(), None);
        assert_eq!(JobOptions::decode(None).unwrap(), JobOptions::default());
        let chosen = JobOptions {
            priority: -7,
            retry: Retry {
                max_attempts: 3,
                backoff: Backoff::List(vec![Duration::from_micros(1_500_001)]),
                jitter: 0.25,
            },
            timeout: Some(Duration::from_secs(30)),
            on_broken_dependency: OnBrokenDependency::Run,
            other_edges: vec![2],
            gate: Some(Gate { position: 7, life: Timestamp::from_micros(5) }),
            awaited: true,
        };
        let stored = chosen.encode();
        assert_eq!(JobOptions::decode(stored.as_deref()).unwrap(), chosen);
        assert!(JobOptions::decode(Some(b"{")).is_err());
    }
}
