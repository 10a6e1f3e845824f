//! A file, backends on it, jobs for it.

use std::path::PathBuf;
use std::time::Duration;

use windlass_core::Backend;
use windlass_core::backend::{Ask, Dequeued, EnqueueAnswer, Transition};
use windlass_core::decide::{self, Attempt, JobRequest, Outcome};
use windlass_core::model::{
    Clock, Job, JobId, JobType, ManualClock, NewJob, Payload, QueueName, QueueSpec, State, WorkerId,
};
use windlass_sqlite::{SqliteBackend, SqliteConfig};

/// A folder with one file for jobs in it.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    pub(crate) clock: ManualClock,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: ManualClock::new() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("jobs.db")
    }

    pub(crate) fn config(&self) -> SqliteConfig {
        let mut config = SqliteConfig::new(self.path());
        config.clock = Clock::Manual(self.clock.clone());
        config
    }

    pub(crate) async fn open(&self) -> SqliteBackend {
        SqliteBackend::open(self.config()).await.unwrap()
    }

    /// A connection such as an application has.
    pub(crate) fn connection(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

pub(crate) fn queue() -> QueueName {
    QueueName::new("q").unwrap()
}

pub(crate) async fn declare(backend: &SqliteBackend) -> QueueSpec {
    let spec = QueueSpec::new(queue());
    backend.declare(&spec).await.unwrap();
    spec
}

pub(crate) fn job(number: u8) -> NewJob {
    let request = JobRequest::new(
        JobId::from_bytes([number; 16]),
        JobType::new("t").unwrap(),
        Payload::from(vec![number; 3]),
    );
    decide::enqueue(&QueueSpec::new(queue()), request).unwrap()
}

/// A small job, of which there can be many.
pub(crate) fn numbered(number: u32) -> NewJob {
    with_payload(number, number.to_be_bytes().to_vec())
}

/// A job of 16 KiB.
pub(crate) fn big_job(number: u32) -> NewJob {
    with_payload(number, vec![b'x'; 16 << 10])
}

pub(crate) fn with_payload(number: u32, payload: Vec<u8>) -> NewJob {
    let mut id = [0xff; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    let job_type = JobType::new("t").unwrap();
    let request = JobRequest::new(JobId::from_bytes(id), job_type, Payload::from(payload));
    decide::enqueue(&QueueSpec::new(queue()), request).unwrap()
}

pub(crate) async fn enqueue(backend: &SqliteBackend, numbers: impl IntoIterator<Item = u8>) {
    let jobs = numbers.into_iter().map(job).collect();
    let answer = backend.enqueue(jobs).await.unwrap();
    assert!(matches!(answer, EnqueueAnswer::Stored { .. }), "{answer:?}");
}

pub(crate) async fn dequeue(backend: &SqliteBackend, max: u32) -> Dequeued {
    let worker = WorkerId::from_bytes([9; 16]);
    let ask = Ask { queue: queue(), worker, max, lease: Duration::from_secs(30) };
    backend.dequeue(ask).await.unwrap()
}

pub(crate) fn success(job: &Job) -> Transition {
    let attempt = Attempt {
        token: job.lease.unwrap().token,
        outcome: Outcome::Success { result: Some(Payload::from("done")) },
    };
    decide::finish(job, &QueueSpec::new(queue()), &attempt).unwrap()
}

pub(crate) async fn count(backend: &SqliteBackend, state: State) -> u64 {
    backend.stats(&queue()).await.unwrap().count(state)
}
