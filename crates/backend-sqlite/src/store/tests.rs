//! What only a transaction that fails shows.

use std::time::Duration;

use rusqlite::Connection;
use windlass_core::backend::Ask;
use windlass_core::decide::control::{Wish, control};
use windlass_core::decide::{self, Attempt, JobRequest, Outcome};
use windlass_core::model::{
    Clock, Job, JobId, JobType, ManualClock, NewJob, Payload, QueueName, QueueSpec, When, WorkerId,
};

use super::enqueue::Batch;
use super::{Since, Store, connection};

fn spec() -> QueueSpec {
    QueueSpec::new(QueueName::new("q").unwrap())
}

fn job(number: u8, depends_on: &[&Job]) -> NewJob {
    let (id, job_type) = (JobId::from_bytes([number; 16]), JobType::new("t").unwrap());
    let mut request = JobRequest::new(id, job_type, Payload::from("x"));
    request.depends_on = depends_on.iter().map(|job| job.reference()).collect();
    decide::enqueue(&spec(), request).unwrap()
}

fn take_one(store: &mut Store<'_>) -> Job {
    let (queue, worker) = (spec().name, WorkerId::from_bytes([9; 16]));
    let ask = Ask { queue, worker, max: 1, lease: Duration::from_secs(30) };
    store.dequeue(&ask).unwrap().jobs.pop().unwrap()
}

/// Runs a transaction to its commit.
fn commit<T>(store: &mut Store<'_>, work: impl FnOnce(&mut Store<'_>) -> T) -> T {
    store.conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.begin(Since::Unchanged);
    let done = work(store);
    store.flush().unwrap();
    store.conn.execute_batch("COMMIT").unwrap();
    done
}

#[test]
fn what_is_known_of_a_lease_that_was_rolled_back_is_forgotten() {
    let conn = Connection::open_in_memory().unwrap();
    connection::migrate_for_tests(&conn);
    let store = &mut Store::new(&conn, Clock::Manual(ManualClock::new()));
    commit(store, |store| store.declare(&spec()).unwrap());
    commit(store, |store| store.enqueue(&[job(1, &[])]).unwrap());
    let first = commit(store, |store| {
        let queue = store.queue(&spec().name).unwrap();
        store.find(&queue, JobId::from_bytes([1; 16])).unwrap().unwrap().job
    });

    // A change and a lease that come to nothing, as where the disk is full.
    store.conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.begin(Since::Unchanged);
    let delay = control(&first, Wish::Delay(When::Now)).unwrap().unwrap();
    store.apply(&[delay]).unwrap();
    let never = take_one(store);
    store.conn.execute_batch("ROLLBACK").unwrap();
    store.forget();

    // Another change takes the job to the same version, and the same token.
    commit(store, |store| {
        let stored = store.enqueue(&[job(2, &[&first])]).unwrap();
        assert!(matches!(stored, Batch::Stored { .. }));
    });
    let leased = commit(store, take_one);
    assert_eq!((leased.version, leased.lease), (never.version, never.lease));
    let done = Outcome::Success { result: None };
    let attempt = Attempt { token: leased.lease.unwrap().token, outcome: done };
    let end = decide::finish(&leased, &spec(), &attempt).unwrap();
    let answer = commit(store, |store| store.apply(&[end]).unwrap());
    assert_eq!(answer.unblocked.len(), 1, "the one that waits for it: {answer:?}");
}
