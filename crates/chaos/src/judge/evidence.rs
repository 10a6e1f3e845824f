//! What there is to judge by.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use windlass::model::{FailureKind, JobId, QueueName, State, Timestamp, Token};

use crate::fact::Noted;
use crate::plan::Terms;

/// What there is to judge by: what processes wrote down, what was observed,
/// and what is stored in the end.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) terms: Terms,
    pub(crate) processes: Vec<Process>,
    pub(crate) incidents: Incidents,
    pub(crate) disturbances: Vec<Disturbance>,
    pub(crate) observed: Observed,
    /// Every stored job.
    pub(crate) records: Vec<Record>,
    pub(crate) books: Vec<Book>,
    pub(crate) repeatables: Vec<Repeated>,
    /// Deduplication keys that are not free although everything has ended.
    pub(crate) dangling: Vec<String>,
    /// How many deduplication keys were tried in the end.
    pub(crate) keys_tried: u64,
    pub(crate) integrity: Integrity,
    pub(crate) run: RunInfo,
    pub(crate) places: Places,
}

/// Where the files of a run are.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) histories: PathBuf,
    /// Holds the histories and the store, as far as none were named.
    pub(crate) temporary: Option<TempDir>,
}

impl Places {
    /// Keeps what would go with the run, and says where everything is.
    pub(crate) fn keep(self) -> Vec<PathBuf> {
        let mut kept = vec![self.histories];
        kept.extend(self.temporary.map(TempDir::keep));
        kept.dedup();
        kept
    }
}

/// What the run was like.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunInfo {
    pub(crate) seed: u64,
    /// The scheme of the store's URL.
    pub(crate) store: String,
    pub(crate) workers: u32,
    pub(crate) producers: u32,
    /// When processes began to be killed and stopped, by this machine's clock.
    pub(crate) begin: Timestamp,
    /// For how long they were.
    pub(crate) length: Duration,
    /// How long the workers took to finish what was left. `None`: they did
    /// not, within their bound.
    pub(crate) drained: Option<Duration>,
}

/// A process, from its start to its end.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) facts: Vec<Noted>,
    pub(crate) died: Died,
    /// What it said beside its history, a line each.
    pub(crate) said: Vec<String>,
}

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Died {
    /// It was told to end, and did.
    Told,
    /// It was killed, at this moment of the store.
    Killed(Timestamp),
    /// A job made it abort, noticed at this moment of the store.
    Aborted(Timestamp),
    /// It ended by itself, or had to be killed because it did not end.
    Unexpected,
}

/// What was done to the processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incidents {
    pub(crate) workers_killed: u64,
    pub(crate) producers_killed: u64,
    /// Workers that a job made abort.
    pub(crate) aborts: u64,
    pub(crate) workers_stopped: u64,
    pub(crate) producers_stopped: u64,
}

/// Something that was done to the store. The moments are by this machine's
/// clock.
#[derive(Clone, Debug)]
pub(crate) struct Disturbance {
    /// The command that did it.
    pub(crate) command: String,
    pub(crate) begin: Timestamp,
    /// When the command had come to its end.
    pub(crate) end: Timestamp,
}

/// What an observer saw while it went on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// How often it looked.
    pub(crate) looks: u64,
    /// The most leases of each queue at once.
    pub(crate) most_leases: HashMap<QueueName, u64>,
    /// The most starts in a window of each queue with a rate.
    pub(crate) most_starts: HashMap<QueueName, u64>,
    /// Jobs as they were when they had ended.
    pub(crate) ended: HashMap<JobId, Ending>,
    /// Jobs that had ended and were seen otherwise later.
    pub(crate) changed: Vec<String>,
    /// Pages of live jobs with deduplication keys that were looked at.
    pub(crate) dedup_pages: u64,
    /// Keys that two live jobs had at once.
    pub(crate) twins: Vec<String>,
    /// By how much the oldest lease that had run out had run out.
    pub(crate) oldest_orphan: Duration,
    /// The longest that jobs waited while a slot of the queue was free.
    pub(crate) longest_idle_slot: Duration,
    /// When no write went through for more than a third of a lease.
    pub(crate) still: Vec<(Timestamp, Timestamp)>,
    /// How long the queue with a rate had jobs waiting, but for such times.
    pub(crate) rate_backlogged: Duration,
    /// How many of its jobs started meanwhile.
    pub(crate) rate_started: u64,
    /// Calls that failed.
    pub(crate) failures: Vec<Noted>,
}

/// What of a job does not change any more once it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) state: State,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) result: Option<Vec<u8>>,
    pub(crate) stalls: u32,
    pub(crate) failed_attempts: u32,
    /// It rises by one when a first job comes to depend on it.
    pub(crate) version: u64,
    pub(crate) has_dependents: bool,
}

/// A job as it is stored in the end.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: JobId,
    pub(crate) queue: QueueName,
    pub(crate) job_type: String,
    pub(crate) seq: u64,
    pub(crate) place: Timestamp,
    pub(crate) enqueued_at: Timestamp,
    pub(crate) ending: Ending,
    pub(crate) snoozes: u32,
    pub(crate) last_failure: Option<FailureKind>,
    pub(crate) key: Option<String>,
    pub(crate) dedup: Option<String>,
    pub(crate) partition: Option<String>,
    pub(crate) parent: Option<JobId>,
    /// Position and outcome of its recorded steps, where it has any.
    pub(crate) steps: Vec<(u32, String)>,
}

/// What a queue's counters say in the end.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    pub(crate) queue: QueueName,
    /// How many jobs are in each state, by its code.
    pub(crate) jobs: [u64; 8],
    pub(crate) leases: u64,
}

/// A repeatable in the end.
#[derive(Clone, Debug)]
pub(crate) struct Repeated {
    pub(crate) key: String,
    /// How often its record says that it has fired.
    pub(crate) fired: u64,
    pub(crate) next: Option<Timestamp>,
}

/// What a check of the store's own structure said.
#[cfg_attr(
    all(not(feature = "sqlite"), not(test)),
    expect(dead_code, reason = "no store that was compiled in can be checked")
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Integrity {
    /// This store has none that could be asked for from here.
    NotChecked,
    Sound,
    Broken(String),
}

/// A lease: a job under a token.
pub(crate) type LeaseId = (JobId, Token);
