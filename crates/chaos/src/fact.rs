//! What processes write down, and how it is read.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use windlass::model::{JobId, PartitionKey, QueueName, Timestamp, Token, WorkerId};

use crate::Failure;

/// A fact, and when it was noted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Noted {
    /// By this machine's clock: the store may be away, and is not asked.
    pub(crate) noted: Timestamp,
    #[serde(flatten)]
    pub(crate) fact: Fact,
}

impl Noted {
    /// A fact that is noted now.
    pub(crate) fn now(fact: Fact) -> Self {
        Self { noted: machine_time(), fact }
    }
}

/// The time by this machine's clock.
pub(crate) fn machine_time() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// One thing that a process knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub(crate) enum Fact {
    /// A worker has started under this identity.
    Began { worker: WorkerId },
    /// The store has acknowledged a job.
    Acknowledged(Acknowledged),
    /// A deduplication key was taken.
    Duplicate { key: String, existing: JobId },
    /// A handler has begun.
    Started(Start),
    /// A handler is about to return: its job is settled later than this.
    Finished { job: JobId, token: Token, at: Timestamp },
    /// A handler was dropped before its end, or could not learn when that was.
    Dropped { job: JobId, token: Token },
    /// A handler has recorded a step, or found it recorded.
    Step { job: JobId, token: Token, position: u32, answer: StepAnswer, outcome: String },
    /// A write was tried under a lease that was known to be lost.
    Probed { job: JobId, token: Token, write: LeasedWrite, occasion: Occasion, accepted: Accepted },
    /// A process that had been away found that it still had this lease.
    StillHeld { job: JobId, token: Token },
    /// The process was away, or the store slow, for so long.
    Away { ms: u64 },
    /// A call failed with an error that its caller has to deal with.
    Failed { call: String, error: String, nature: Nature },
}

/// Whether an error is over some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Nature {
    /// The store is away, or busy, for now.
    Passing,
    /// Trying again is of no use.
    Lasting,
}

/// An error of a call.
pub(crate) trait CallError: std::fmt::Display {
    /// Whether it is over some time.
    fn nature(&self) -> Nature;
}

impl CallError for windlass::Error {
    fn nature(&self) -> Nature {
        if self.is_transient() { Nature::Passing } else { Nature::Lasting }
    }
}

impl CallError for windlass::backend::Error {
    fn nature(&self) -> Nature {
        if self.kind().is_transient() { Nature::Passing } else { Nature::Lasting }
    }
}

/// The fact that a call failed.
pub(crate) fn failed(call: &str, error: &impl CallError) -> Fact {
    Fact::Failed { call: call.to_owned(), error: format!("{error:#}"), nature: error.nature() }
}

/// An enqueue that the store has acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Acknowledged {
    pub(crate) job: JobId,
    pub(crate) queue: QueueName,
    /// Its job key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// Its delay in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay: Option<u64>,
    /// What it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) after: Vec<JobId>,
    /// What becomes of it if one of them does not complete.
    #[serde(default)]
    pub(crate) broken: IfBroken,
}

impl Acknowledged {
    /// An enqueue into this queue, of a job whose id is yet to be filled in.
    pub(crate) fn new_in(queue: &windlass::Queue) -> Self {
        Self::new(JobId::from_bytes([0; 16]), queue.name())
    }

    /// An enqueue with nothing special about it.
    pub(crate) fn new(job: JobId, queue: &QueueName) -> Self {
        Self {
            job,
            queue: queue.clone(),
            key: None,
            delay: None,
            after: Vec::new(),
            broken: IfBroken::default(),
        }
    }
}

/// What becomes of a job if one that it depends on does not complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IfBroken {
    /// It is cancelled.
    #[default]
    Cancel,
    /// It runs.
    Run,
}

/// A handler that has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) job: JobId,
    pub(crate) queue: QueueName,
    /// The lease under which it runs.
    pub(crate) token: Token,
    /// When the lease began, by the store's clock.
    pub(crate) at: Timestamp,
    /// When the lease ends unless it is extended, by the store's clock.
    pub(crate) until: Timestamp,
    pub(crate) attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) partition: Option<PartitionKey>,
    pub(crate) worker: WorkerId,
}

/// What became of recording a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepAnswer {
    /// It is recorded.
    Recorded,
    /// It was recorded before, with the outcome that is told.
    Existing,
    /// The lease is lost.
    Stale,
}

/// A kind of write that takes a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LeasedWrite {
    Extend,
    Complete,
    TakeOver,
    RecordStep,
    EnqueueChild,
}

/// Why a lease was known to be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Occasion {
    /// The process had been away for longer than a lease.
    Away,
    /// The handler had come to its end before.
    Ended,
}

/// Whether the store has accepted a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Accepted {
    Yes,
    No,
}

/// The history of one process: a file to which lines are added.
#[derive(Debug)]
pub(crate) struct History(File);

impl History {
    /// A new history. Each process begins one of its own, so that only the
    /// last line of one can be cut off by a kill.
    pub(crate) fn begin(path: &Path) -> Result<Self, Failure> {
        Ok(Self(OpenOptions::new().append(true).create_new(true).open(path)?))
    }

    /// Adds a fact: one write to the operating system, which a kill does not
    /// take back.
    pub(crate) fn note(&self, fact: Fact) {
        let written =
            serde_json::to_vec(&Noted::now(fact)).map_err(Failure::from).and_then(|mut line| {
                line.push(b'\n');
                Ok((&self.0).write_all(&line)?)
            });
        if let Err(error) = written {
            // A history with gaps proves nothing.
            eprintln!("ERROR the history cannot be written: {error}");
            std::process::exit(i32::from(crate::NOT_RUN));
        }
    }

    /// Adds the failure of a call.
    pub(crate) fn note_failure(&self, call: &str, error: &impl CallError) {
        self.note(failed(call, error));
    }
}

/// Reads a history. What stands behind the last line break was cut off by a
/// kill, and is not a fact.
pub(crate) fn read(path: &Path) -> Result<Vec<Noted>, Failure> {
    let text = std::fs::read(path)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            serde_json::from_slice(line).map_err(|error| {
                format!("{}: {error}: {}", path.display(), String::from_utf8_lossy(line)).into()
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_reads_back_without_the_line_that_a_kill_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h");
        let history = History::begin(&path).unwrap();
        let worker = WorkerId::from_bytes([1; 16]);
        let token = Token(u64::MAX);
        let job = JobId::from_bytes([255; 16]);
        let facts = [Fact::Began { worker }, Fact::Away { ms: 7 }, Fact::StillHeld { job, token }];
        let before = machine_time();
        facts.iter().for_each(|fact| history.note(fact.clone()));
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"fact\":\"aw").unwrap();
        let read = read(&path).unwrap();
        assert!(read.iter().all(|noted| before <= noted.noted && noted.noted <= machine_time()));
        assert_eq!(read.into_iter().map(|noted| noted.fact).collect::<Vec<_>>(), facts);
        assert!(History::begin(&path).is_err(), "two processes share a history");
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h");
        std::fs::write(&path, "{\"fact\":\"aw\n{\"fact\":\"away\",\"ms\":1}\n").unwrap();
        assert!(read(&path).is_err());
    }
}
