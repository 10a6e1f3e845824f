//! Dequeues at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use windlass_core::Backend;
use windlass_core::model::{Job, JobId, Partitions, Rate, State};

use crate::fixture::{Queue, ids, partition_key, secs, success};
use crate::harness::{Context, case_table};

use super::TASKS;

case_table! {
    [L1] no_job_is_leased_twice_however_many_ask_at_once,
    [L1] workers_that_race_do_every_job_exactly_once,
    [G1] concurrency_holds_however_many_ask_at_once,
    [G1] the_rate_holds_however_many_ask_at_once,
    [P1] one_at_a_time_holds_however_many_ask_at_once,
    [Q1] nothing_starts_after_a_pause_was_acknowledged,
}

/// Two calls never lease the same job.
async fn no_job_is_leased_twice_however_many_ask_at_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    queue.add_all(queue.jobs(200)).await;
    let each = queue.clone();
    let taken = ctx
        .race(&handles, TASKS, move |i, backend| {
            let queue = each.on(&backend);
            async move {
                let mut taken = Vec::new();
                loop {
                    let jobs = queue.take(1 + (i % 5) as u32).await;
                    if jobs.is_empty() {
                        return taken;
                    }
                    taken.extend(ids(&jobs));
                }
            }
        })
        .await;
    let all: Vec<JobId> = taken.concat();
    let distinct: BTreeSet<JobId> = all.iter().copied().collect();
    assert_eq!((all.len(), distinct.len()), (200, 200));
    assert_eq!(queue.stats().await.leases, 200);
}

/// Each job is run by whoever leased it, and by nobody else, while others
/// enqueue, fail and hand back.
async fn workers_that_race_do_every_job_exactly_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    let each = queue.clone();
    let done = ctx
        .race(&handles, TASKS, move |i, backend| {
            let queue = each.on(&backend);
            async move {
                let mut done = Vec::new();
                if i % 2 == 0 {
                    queue.add_all(queue.jobs(20)).await;
                }
                for round in 0_usize.. {
                    let jobs = queue.take(3).await;
                    if jobs.is_empty() && round > 20 {
                        return done;
                    }
                    for job in jobs {
                        if (round + i) % 7 == 0 {
                            let release = windlass_core::decide::Outcome::Release;
                            queue.settled(&job, release).await;
                        } else {
                            queue.settled(&job, success("r")).await;
                            done.push(job.id);
                        }
                    }
                    tokio::task::yield_now().await;
                }
                done
            }
        })
        .await
        .concat();
    let mut seen: BTreeSet<JobId> = BTreeSet::new();
    assert!(done.iter().all(|id| seen.insert(*id)), "a job was completed twice");
    // What the last ones handed back is still there; nothing is lost.
    let left = queue.take(1000).await;
    assert_eq!(done.len() + left.len(), TASKS / 2 * 20);
    assert!(left.iter().all(|job| !seen.contains(&job.id)));
    assert_eq!(queue.stats().await.count(State::Completed), done.len() as u64);
}

/// Everything that so many tasks lease at once with one dequeue each.
async fn rush(ctx: &Context, handles: &[Arc<dyn Backend>], queue: &Queue, max: u32) -> Vec<Job> {
    let each = queue.clone();
    let taken = ctx.race(handles, TASKS, move |_, backend| {
        let queue = each.on(&backend);
        async move { queue.take(max).await }
    });
    taken.await.concat()
}

/// Limits hold however many call at once.
async fn concurrency_holds_however_many_ask_at_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue_with("q", |spec| spec.limits.concurrency = Some(7)).await;
    queue.add_all(queue.jobs(60)).await;
    let mut held = rush(ctx, &handles, &queue, 2).await;
    assert_eq!(held.len(), 7);
    while !held.is_empty() {
        // Some settle while others ask: what is freed is taken, and no more.
        let freed = held.split_off(held.len() / 2);
        let (each, settle) = (queue.clone(), freed.clone());
        let taken = ctx
            .race(&handles, TASKS, move |i, backend| {
                let queue = each.on(&backend);
                let job = settle.get(i).cloned();
                async move {
                    if let Some(job) = job {
                        queue.complete(&job).await;
                    }
                    let taken = queue.take(2).await;
                    let leases = queue.stats().await.leases;
                    assert!(leases <= 7, "{leases} leases of 7");
                    taken
                }
            })
            .await
            .concat();
        held.extend(taken);
        assert!(held.len() <= 7, "{} leases of 7", held.len());
        assert_eq!(queue.stats().await.leases, held.len() as u64);
        if queue.stats().await.count(State::Waiting) == 0 {
            for job in held.drain(..) {
                queue.complete(&job).await;
            }
        }
    }
    assert_eq!(queue.stats().await.count(State::Completed), 60);
}

/// Limits hold however many call at once.
async fn the_rate_holds_however_many_ask_at_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let rate = Rate { limit: 5, period: secs(10) };
    let queue = ctx.queue_with("q", |spec| spec.limits.rate = Some(rate)).await;
    queue.add_all(queue.jobs(60)).await;
    for _ in 0..4 {
        assert_eq!(rush(ctx, &handles, &queue, 2).await.len(), 5);
        ctx.advance(secs(9));
        assert_eq!(rush(ctx, &handles, &queue, 2).await.len(), 0);
        ctx.advance(secs(1));
    }
}

/// The default is one at a time.
async fn one_at_a_time_holds_however_many_ask_at_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue_with("q", |spec| spec.partitions = Some(Partitions::default())).await;
    let names = ["a", "b", "c", "d", "e"];
    let drafts = (0..60).map(|i| queue.job().partition(names[i % 5]));
    queue.add_all(drafts.collect()).await;
    let mut order: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for _ in 0..12 {
        let taken = rush(ctx, &handles, &queue, 3).await;
        let partitions: BTreeSet<_> = taken.iter().map(|job| job.partition.clone()).collect();
        assert_eq!((taken.len(), partitions.len()), (5, 5), "one of each");
        for job in &taken {
            let partition = job.partition.as_ref().expect("a partition").as_str().to_owned();
            order.entry(partition).or_default().push(job.seq);
            queue.complete(job).await;
        }
    }
    assert!(order.values().all(|line| line.is_sorted()), "out of order: {order:?}");
    let last = queue.add(queue.job().partition("a")).await;
    let partition = queue.see(&last).await.partition;
    assert_eq!(partition, Some(partition_key("a")));
}

/// A dequeue that was under way has ended before the answer to a pause, or takes
/// nothing: neither what waited nor what comes afterwards.
async fn nothing_starts_after_a_pause_was_acknowledged(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    let (each, ended) = (queue.clone(), Arc::new(AtomicBool::new(false)));
    ctx.race(&handles, 6, move |i, backend| {
        let (queue, ended) = (each.on(&backend), Arc::clone(&ended));
        async move {
            if i > 0 {
                while !ended.load(Ordering::Relaxed) {
                    queue.take(1).await;
                    tokio::task::yield_now().await;
                }
                return;
            }
            for _ in 0..15 {
                pause_and_look(&queue).await;
            }
            ended.store(true, Ordering::Relaxed);
        }
    })
    .await;
}

/// Pauses a queue in which jobs wait, looks whether any of them starts, and lets it go on.
async fn pause_and_look(queue: &Queue) {
    let name = &queue.spec.name;
    queue.add_all(queue.jobs(5)).await;
    queue.backend().pause(name).await.expect("pause");
    let leases = queue.stats().await.leases;
    let late = queue.add_one().await;
    queue.nothing().await;
    for _ in 0..5 {
        assert_eq!(queue.see(&late).await.state, State::Waiting);
        assert_eq!(queue.stats().await.leases, leases);
    }
    queue.backend().resume(name).await.expect("resume");
}
