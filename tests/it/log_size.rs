//! A write-ahead log that somebody keeps from being cut back is told of.

use windlass::decide::{self, JobRequest};
use windlass::model::{JobId, JobType, NewJob, Payload, QueueSpec};
use windlass::{Queue, Windlass};

use crate::captured::{capture, logged};

/// A job of so many bytes.
fn job(queue: &Queue, number: u64, bytes: usize) -> NewJob {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let job_type = JobType::new("bulky").unwrap();
    let payload = Payload::from(vec![b'x'; bytes]);
    let spec: &QueueSpec = queue.spec();
    decide::enqueue(spec, JobRequest::new(JobId::from_bytes(id), job_type, payload)).unwrap()
}

#[tokio::test]
async fn a_log_that_an_open_reader_pins_is_told_of_before_the_disk_is_full() {
    const SAID: &str = "the write-ahead log grows and is not cut back";
    capture();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.db");
    let url = format!("sqlite:{}?synchronous=normal", file.display());
    let windlass = Windlass::connect(&url).await.unwrap();
    let queue = windlass.queue("q").max_payload(1 << 26).declare().await.unwrap();
    let reader = rusqlite::Connection::open(&file).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM windlass_jobs").unwrap();
    for n in 0..5 {
        windlass.backend().enqueue(vec![job(&queue, n, 1 << 26)]).await.unwrap();
    }
    // The size is looked at once a second at most, after a write.
    for n in 5.. {
        if n % 100 == 0 && logged().contains(SAID) {
            break;
        }
        assert!(n < 1_000_000, "it was never told");
        windlass.backend().enqueue(vec![job(&queue, n, 1)]).await.unwrap();
    }
    let log = logged();
    let line = log.lines().find(|line| line.contains(SAID)).unwrap_or_default();
    assert!(line.contains("jobs.db-wal") && line.contains("mib="), "{line}");
    assert!(line.contains("perhaps in another process, or a backup") && line.contains("end it"));
}
