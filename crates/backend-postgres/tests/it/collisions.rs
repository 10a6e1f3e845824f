//! Batches that want the same things in opposite order (F26).

use std::sync::Arc;

use windlass_core::Backend;
use windlass_core::backend::{Applied, EnqueueAnswer, Enqueued, Extend};
use windlass_core::decide::{Dedup, JobRequest, OnDuplicate, Outcome};
use windlass_core::model::{DedupKey, Job, JobKey, NewJob, State, When};
use windlass_postgres::PostgresBackend;

use crate::fixture::*;

const HANDLES: usize = 4;
const TASKS: usize = 8;
const ROUNDS: usize = 25;
const NAMES: usize = 24;

/// A batch over the same names, forwards or backwards.
fn named(round: usize, task: usize) -> Vec<NewJob> {
    let mut batch: Vec<NewJob> = (0..NAMES)
        .map(|name| {
            let key =
                (name % 2 == 0).then(|| JobKey::new(format!("{round}-{name}")).expect("a key"));
            let dedup = (name % 3 != 0).then(|| Dedup {
                key: DedupKey::new(format!("d{name}")).expect("a key"),
                on_duplicate: OnDuplicate::ReturnExisting,
                hold: None,
            });
            new_job(JobRequest { key, dedup, ..request() })
        })
        .collect();
    if task % 2 == 1 {
        batch.reverse();
    }
    batch
}

async fn enqueue_settle_and_extend(handles: Arc<Vec<PostgresBackend>>, task: usize) -> usize {
    let backend = &handles[task % HANDLES];
    let mut stored = 0;
    for round in 0..ROUNDS {
        let answer = backend.enqueue(named(round, task)).await.expect("no error reaches a caller");
        let EnqueueAnswer::Stored { outcomes, .. } = answer else { panic!("{answer:?}") };
        stored += outcomes.iter().filter(|outcome| **outcome == Enqueued::Stored).count();
        let mut leased = backend.dequeue(ask(10)).await.expect("no error reaches a caller").jobs;
        if task % 2 == 1 {
            leased.reverse();
        }
        let ends = leased.iter().map(done).collect();
        backend.apply(ends).await.expect("no error reaches a caller");
    }
    stored
}

async fn handles(home: &Home) -> Arc<Vec<PostgresBackend>> {
    let mut handles = Vec::new();
    for _ in 0..HANDLES {
        let mut config = home.config();
        config.connections = 4;
        handles.push(PostgresBackend::connect(config).await.unwrap());
    }
    handles[0].declare(&spec()).await.unwrap();
    Arc::new(handles)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_with_the_same_keys_in_opposite_order_end_without_an_error() {
    let home = Home::new();
    let handles = handles(&home).await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| tokio::spawn(enqueue_settle_and_extend(Arc::clone(&handles), task)))
        .collect();
    let mut stored = 0;
    for task in tasks {
        stored += task.await.unwrap();
    }
    let there = home.number("SELECT count(*) FROM windlass.jobs").await;
    assert_eq!(there, i64::try_from(stored).unwrap(), "what was said to be stored is");
    let twice = "SELECT count(*) FROM (SELECT d.dedup_key FROM windlass.jobs d \
                 LEFT JOIN windlass.ended e ON e.queue = d.queue AND e.seq = d.seq \
                 WHERE d.dedup_key IS NOT NULL AND e.seq IS NULL \
                 GROUP BY d.dedup_key HAVING count(*) > 1) AS twice";
    assert_eq!(home.number(twice).await, 0, "live duplicates");
    let dangling = "SELECT count(*) FROM windlass.dedup d WHERE live AND NOT EXISTS \
                    (SELECT 1 FROM windlass.jobs j LEFT JOIN windlass.ended e \
                     ON e.queue = j.queue AND e.seq = j.seq \
                     WHERE j.id = d.job AND e.seq IS NULL)";
    assert_eq!(home.number(dangling).await, 0, "keys of nobody");
    eprintln!("{TASKS} tasks × {ROUNDS} batches: errors 0, live duplicates 0, {stored} stored");
}

/// Extends, hands back, delays and ends the same jobs, in either order.
async fn pull(handles: Arc<Vec<PostgresBackend>>, jobs: Arc<Vec<Job>>, task: usize) -> usize {
    let backend = &handles[task % HANDLES];
    let mut order: Vec<&Job> = jobs.iter().collect();
    if task % 2 == 1 {
        order.reverse();
    }
    let mut applied = 0;
    for _ in 0..ROUNDS {
        let token = |job: &Job| job.lease.expect("leased").token;
        if task < TASKS / 2 {
            let extend = order
                .iter()
                .map(|job| Extend {
                    job: job.reference(),
                    token: token(job),
                    lease: LEASE,
                    progress: None,
                })
                .collect();
            backend.extend(extend).await.expect("no error reaches a caller");
        } else {
            let outcome = match task % 3 {
                0 => Outcome::Success { result: None },
                1 => Outcome::Snooze(When::After(LEASE)),
                _ => Outcome::Release,
            };
            let transitions = order.iter().map(|job| settle(job, outcome.clone())).collect();
            let answer = backend.apply(transitions).await.expect("no error reaches a caller");
            applied += answer.outcomes.iter().filter(|o| matches!(o, Applied::Applied)).count();
        }
    }
    applied
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extensions_beside_settles_of_the_same_jobs_in_opposite_order_end_without_an_error() {
    let home = Home::new();
    let handles = handles(&home).await;
    let mut settled = 0;
    const TIMES: usize = 6;
    for _ in 0..TIMES {
        enqueue(&handles[0], jobs(60)).await;
        let mut leased = take(&handles[0], 60).await;
        while leased.len() < 60 {
            leased.extend(take(&handles[0], 60).await);
        }
        leased.truncate(60);
        let leased = Arc::new(leased);
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| tokio::spawn(pull(Arc::clone(&handles), Arc::clone(&leased), task)))
            .collect();
        let mut applied = 0;
        for task in tasks {
            applied += task.await.unwrap();
        }
        assert_eq!(applied, 60, "each lease is ended once");
        settled += applied;
    }
    let stats = handles[1].stats(&queue()).await.unwrap();
    assert_eq!(stats.count(State::Active), stats.leases);
    eprintln!("{settled} leases ended once each beside extensions: errors 0");
}
