//! Replies and calls that are lost at random under load: nothing is lost with them,
//! nothing happens twice, and every call is answered (F31).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::time::Instant;
use windlass_core::Backend;
use windlass_core::backend::{EnqueueAnswer, Enqueued};
use windlass_core::model::{JobId, State};
use windlass_redis::RedisBackend;

use crate::fixture::*;
use crate::own::Own;
use crate::proxy::Proxy;

const JOBS: usize = 2000;
/// Of them, so many come one by one.
const SINGLE: usize = 1000;
const BATCH: usize = 25;
const TASKS: usize = 8;
const PER_CENT: u64 = 5;

/// What callers were told.
#[derive(Default)]
struct Told {
    calls: AtomicU64,
    /// Jobs that the caller was told were there before.
    taken_for_others: AtomicUsize,
    stored: AtomicUsize,
    applied: AtomicUsize,
    stale: AtomicUsize,
}

async fn produce(backend: RedisBackend, told: Arc<Told>, batches: Vec<usize>) {
    for size in batches {
        let answer = backend.enqueue(jobs(size)).await.expect("every call is answered");
        told.calls.fetch_add(1, Ordering::Relaxed);
        let EnqueueAnswer::Stored { outcomes, .. } = answer else { panic!("{answer:?}") };
        let stored = outcomes.iter().filter(|outcome| **outcome == Enqueued::Stored).count();
        told.stored.fetch_add(stored, Ordering::Relaxed);
        told.taken_for_others.fetch_add(size - stored, Ordering::Relaxed);
    }
}

/// Leases and ends jobs until all have ended; answers how often each was leased.
async fn consume(backend: RedisBackend, told: Arc<Told>) -> HashMap<JobId, usize> {
    let mut leased: HashMap<JobId, usize> = HashMap::new();
    let end = Instant::now() + PATIENCE;
    while told.applied.load(Ordering::SeqCst) < JOBS {
        let found = backend.dequeue(ask(10)).await.expect("every call is answered").jobs;
        told.calls.fetch_add(1, Ordering::Relaxed);
        if found.is_empty() {
            assert!(Instant::now() < end, "some jobs never end");
            tokio::task::yield_now().await;
            continue;
        }
        for job in &found {
            *leased.entry(job.id).or_default() += 1;
        }
        let answer = backend.apply(found.iter().map(done).collect()).await;
        told.calls.fetch_add(1, Ordering::Relaxed);
        let outcomes = answer.expect("every call is answered").outcomes;
        let applied = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, windlass_core::backend::Applied::Applied))
            .count();
        told.applied.fetch_add(applied, Ordering::SeqCst);
        told.stale.fetch_add(outcomes.len() - applied, Ordering::Relaxed);
    }
    leased
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_which_every_twentieth_reply_is_lost_are_stored_once_and_run_once() {
    let home = Home::single();
    let proxy = Proxy::before(&home.server).await;
    every_twentieth_is_lost(proxy, home).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_in_a_cluster_of_which_every_twentieth_reply_is_lost_are_stored_once_and_run_once() {
    let own = Own::start("itunanswered", "redis_cluster");
    let proxy = Proxy::before_cluster(&own).await;
    every_twentieth_is_lost(proxy, Home::on(own.server.clone())).await;
}

/// The proxy outlives the keys, whose removal goes through it.
async fn every_twentieth_is_lost(proxy: Proxy, home: Home) {
    let plain = home.open().await;
    plain.declare(&spec()).await.unwrap();
    let mut handles = Vec::new();
    for _ in 0..2 {
        handles.push(connect(proxy.lead(&home.server, home.config())).await);
    }
    proxy.swallow_by_chance(1, PER_CENT);
    let told = Arc::new(Told::default());
    let (singles, batches) = (SINGLE / TASKS, (JOBS - SINGLE) / BATCH / TASKS);
    let producers: Vec<_> = (0..TASKS)
        .map(|task| {
            let mut sizes = vec![1; singles];
            sizes.extend(vec![BATCH; batches]);
            let handle = handles[task % handles.len()].clone();
            tokio::spawn(produce(handle, Arc::clone(&told), sizes))
        })
        .collect();
    let consumers: Vec<_> = (0..TASKS)
        .map(|task| tokio::spawn(consume(handles[task % handles.len()].clone(), Arc::clone(&told))))
        .collect();
    for task in producers {
        task.await.unwrap();
    }
    let mut leased: HashMap<JobId, usize> = HashMap::new();
    for task in consumers {
        for (id, times) in task.await.unwrap() {
            *leased.entry(id).or_default() += times;
        }
    }
    proxy.relent();
    let twice = leased.values().filter(|times| **times != 1).count();
    let stats = plain.stats(&queue()).await.unwrap();
    let (calls, lost) = (told.calls.load(Ordering::SeqCst), proxy.swallowed());
    assert!(lost > calls / 100, "only {lost} replies were lost");
    let (before, stale) = (&told.taken_for_others, &told.stale);
    assert_eq!((before.load(Ordering::SeqCst), stale.load(Ordering::SeqCst)), (0, 0));
    assert_eq!(told.stored.load(Ordering::SeqCst), JOBS);
    assert_eq!((twice, leased.len()), (0, JOBS));
    assert_eq!(stats.count(State::Completed), JOBS as u64, "{stats:?}");
    assert_eq!(stats.jobs.iter().sum::<u64>(), JOBS as u64, "{stats:?}");
    eprintln!(
        "{calls} calls, sent {} times, of which {lost} replies were lost: duplicates {twice}, lost 0 of {JOBS} \
         jobs, unknown ends resolved {lost} of {lost} (100 %)",
        proxy.calls()
    );
}
