//! Servers of a test's own whose memory is full, or that make room by forgetting (F35).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use windlass_core::backend::{Clean, CleanWhich, EnqueueAnswer, Extend, Overdue, OverdueQuery};
use windlass_core::decide::{JobRequest, Outcome, Retryable};
use windlass_core::model::{
    Beat, FailureKind, Job, JobId, ManualClock, NewJob, Payload, State, WorkerId,
};
use windlass_core::{Backend, Error, ErrorKind};
use windlass_redis::{RedisBackend, redis};

use crate::fixture::*;
use crate::own::Own;
use crate::server::Node;

async fn set(node: &mut Node, what: &str, value: impl ToString) {
    let mut command = redis::cmd("CONFIG");
    command.arg("SET").arg(what).arg(value.to_string());
    let _: () = node.run(&mut command).await;
}

/// How many bytes a server has in use.
async fn used(node: &mut Node) -> u64 {
    let info: String = node.run(redis::cmd("INFO").arg("memory")).await;
    let line = info.lines().find_map(|line| line.trim().strip_prefix("used_memory:"));
    line.expect("a server knows it").parse().expect("a number")
}

fn is_full(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
    assert!(error.to_string().contains("maxmemory"), "{error:#}");
}

fn large() -> NewJob {
    new_job(JobRequest { payload: Payload::from("x".repeat(2000)), ..request() })
}

/// Enqueues until the server is full; answers what was acknowledged.
async fn fill(backend: &RedisBackend) -> Vec<JobId> {
    let mut acknowledged = Vec::new();
    loop {
        let batch: Vec<NewJob> = (0..20).map(|_| large()).collect();
        let ids: Vec<JobId> = batch.iter().map(|job| job.id).collect();
        match backend.enqueue(batch).await {
            Ok(EnqueueAnswer::Stored { .. }) => acknowledged.extend(ids),
            Ok(refused) => panic!("{refused:?}"),
            Err(error) => {
                is_full(&error);
                return acknowledged;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_refuses_new_jobs_in_clear_words_and_lets_work_come_to_its_end() {
    let own = Own::start("itfull", "redis");
    let home = Home::on(own.server.clone());
    let clock = ManualClock::new();
    let backend = home.open_by(&clock).await;
    backend.declare(&spec()).await.unwrap();
    let first: Vec<NewJob> = (0..100).map(|_| large()).collect();
    let mut all: HashSet<JobId> = first.iter().map(|job| job.id).collect();
    enqueue(&backend, first).await;
    let leased = take(&backend, 20).await;

    let mut node = own.server.masters().await.remove(0);
    let enough = used(&mut node).await + (2 << 20);
    set(&mut node, "maxmemory", enough).await;
    all.extend(fill(&backend).await);
    // Well below what is in use: no moment's luck helps.
    let low = used(&mut node).await - (1 << 20);
    set(&mut node, "maxmemory", low).await;
    let mut refused = Vec::new();
    for _ in 0..20 {
        let batch = vec![large(), large()];
        refused.extend(batch.iter().map(reference));
        is_full(&backend.enqueue(batch).await.unwrap_err());
    }
    for job in &refused {
        assert!(backend.job(job).await.unwrap().is_none(), "a refused batch leaves nothing");
    }

    // What is leased is settled, in each way, and what waits is run: else it would be
    // full for ever.
    let failure = Outcome::Failure {
        kind: FailureKind::Error,
        message: "no".into(),
        retry: Retryable::After(Duration::from_secs(1)),
    };
    let with_result = Outcome::Success { result: Some(Payload::from("r")) };
    let extend = |job: &Job| Extend {
        job: job.reference(),
        token: job.lease.expect("it is leased").token,
        lease: LEASE * 2,
        progress: None,
    };
    backend.extend(leased.iter().map(extend).collect()).await.unwrap();
    apply(&backend, vec![settle(&leased[0], Outcome::Success { result: None })]).await;
    apply(&backend, vec![settle(&leased[1], with_result)]).await;
    apply(&backend, vec![settle(&leased[2], failure)]).await;
    apply(&backend, vec![settle(&leased[3], Outcome::Release)]).await;
    apply(&backend, leased[4..].iter().map(done).collect()).await;
    let ended = leased.iter().filter(|job| ![leased[2].id, leased[3].id].contains(&job.id));
    let mut ran: HashMap<JobId, usize> = ended.map(|job| (job.id, 1)).collect();
    let taken = take(&backend, 50).await;
    assert_eq!(taken.len(), 50);
    for job in &taken {
        *ran.entry(job.id).or_default() += 1;
    }
    apply(&backend, taken.iter().map(done).collect()).await;
    let query = OverdueQuery { queue: queue(), what: Overdue::LostLeases, after: None, limit: 10 };
    assert_eq!(backend.overdue(query).await.unwrap().jobs, []);
    // Who looks, or holds it up, is not turned away.
    backend.pause(&queue()).await.unwrap();
    assert_eq!(take(&backend, 10).await, []);
    assert_eq!(count(&backend, &queue(), State::Completed).await, 18 + 50);
    backend.resume(&queue()).await.unwrap();
    backend.beat(Beat::Leaving(WorkerId::from_bytes([7; 16]))).await.unwrap();
    // Room is made, by who is allowed to decide what can go.
    let which = CleanWhich::OlderThan(Duration::ZERO);
    let clean = Clean { queue: queue(), state: State::Completed, which, limit: 1000 };
    assert_eq!(backend.clean(clean).await.unwrap(), 18 + 50);
    is_full(&backend.enqueue(vec![large()]).await.unwrap_err());

    // With more memory all goes on, with the same handle.
    set(&mut node, "maxmemory", enough * 2).await;
    let more: Vec<NewJob> = (0..10).map(|_| large()).collect();
    all.extend(more.iter().map(|job| job.id));
    enqueue(&backend, more).await;
    clock.advance(Duration::from_secs(1));
    loop {
        let taken = take(&backend, 1000).await;
        if taken.is_empty() {
            break;
        }
        for job in &taken {
            *ran.entry(job.id).or_default() += 1;
        }
        apply(&backend, taken.iter().map(done).collect()).await;
    }
    let lost = all.iter().filter(|id| !ran.contains_key(id)).count();
    let twice = ran.values().filter(|times| **times > 1).count();
    assert_eq!((lost, twice, ran.len()), (0, 0, all.len()));
    eprintln!(
        "full at {low} bytes: {} jobs acknowledged, 21 batches refused whole, 70 jobs settled \
         while full, lost {lost}, run twice {twice}",
        all.len()
    );
}

/// Whether connecting is refused because of what the server does when it is full.
async fn is_refused(home: &Home) -> bool {
    match RedisBackend::connect(home.config()).await {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
            let words = "CONFIG SET maxmemory-policy noeviction";
            assert!(error.to_string().contains(words), "{error:#}");
            true
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_makes_room_by_forgetting_is_refused_with_what_to_set() {
    let own = Own::start("itpolicy", "redis");
    let home = Home::on(own.server.clone());
    let mut node = own.server.masters().await.remove(0);
    for policy in ["allkeys-lru", "allkeys-random", "volatile-lru", "volatile-ttl"] {
        set(&mut node, "maxmemory-policy", policy).await;
        assert!(is_refused(&home).await, "{policy}");
    }
    // As the message says.
    set(&mut node, "maxmemory-policy", "noeviction").await;
    assert!(!is_refused(&home).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_which_one_master_forgets_is_refused() {
    let own = Own::start("itpolicies", "redis_cluster");
    let home = Home::on(own.server.clone());
    for mut master in own.server.masters().await {
        assert!(!is_refused(&home).await);
        set(&mut master, "maxmemory-policy", "allkeys-lru").await;
        assert!(is_refused(&home).await);
        set(&mut master, "maxmemory-policy", "noeviction").await;
    }
}
