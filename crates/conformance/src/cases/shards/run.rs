//! Jobs of queues with shards run once, in order and within bounds.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::backend::{Again, Overdue, OverdueQuery};
use windlass_core::decide::overdue;
use windlass_core::model::{Job, JobId, Partitions, Rate, State};

use super::{MANY, SHARDS, by_partition, run_all, sorted, spread};
use crate::fixture::{LEASE, Queue, TICK, done, failure, ids, ids_of, secs, stale};
use crate::harness::{Context, case_table};

case_table! {
    [Q7] every_job_of_every_shard_runs_once,
    [Q7] workers_that_race_for_all_shards_run_every_job_once,
    [Q7 P2] jobs_of_a_partition_run_strictly_in_order_in_whichever_shard,
    [Q7 P2] a_partition_waits_for_its_job_that_is_to_be_tried_again,
    [Q7 G1] no_more_leases_are_live_in_all_shards_than_the_queue_allows,
    [Q7 G1] no_more_jobs_of_all_shards_start_than_the_rate_allows,
    [Q7 O4] the_first_moment_of_any_shard_is_when_to_look_again,
    [Q7 L3] lost_leases_of_every_shard_are_taken_over_page_by_page,
    [Q7 L2] a_lease_is_extended_and_settled_in_its_own_shard,
    [Q7 Q1] a_pause_stops_every_shard,
}

/// Every job that was enqueued is leased once, and ends.
async fn every_job_of_every_shard_runs_once(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    let mut added = ids_of(&queue.add_all(queue.jobs(MANY)).await);
    for _ in 0..MANY {
        added.push(queue.add_one().await.id);
    }
    let ran = run_all(&queue).await;
    assert_eq!(sorted(ids(&ran)), sorted(added));
    assert_eq!(queue.stats().await.count(State::Completed), 2 * MANY as u64);
    assert_eq!(queue.nothing().await, Again::OnNotice);
}

/// The same however many ask at once.
async fn workers_that_race_for_all_shards_run_every_job_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = spread(ctx, |_| {}).await;
    let added = ids_of(&queue.add_all(queue.jobs(3 * MANY)).await);
    let each = queue.clone();
    let ran = ctx.race(&handles, 9, move |i, backend| {
        let queue = each.on(&backend);
        async move {
            let mut ran = Vec::new();
            loop {
                let jobs = queue.take(1 + (i % 5) as u32).await;
                if jobs.is_empty() {
                    return ran;
                }
                for job in jobs {
                    queue.complete(&job).await;
                    ran.push(job.id);
                }
            }
        }
    });
    assert_eq!(sorted(ran.await.concat()), sorted(added));
}

/// Jobs of a partition run strictly in order, one at a time.
async fn jobs_of_a_partition_run_strictly_in_order_in_whichever_shard(ctx: &Context) {
    let queue = spread(ctx, |spec| spec.partitions = Some(Partitions::default())).await;
    let mut expected: BTreeMap<String, Vec<JobId>> = BTreeMap::new();
    for _ in 0..8 {
        for partition in 0..12 {
            let name = format!("partition-{partition}");
            let job = queue.add(queue.job().partition(&name)).await;
            expected.entry(name).or_default().push(job.id);
        }
    }
    let mut ran: Vec<Job> = Vec::new();
    loop {
        let taken = queue.take(100).await;
        if taken.is_empty() {
            break;
        }
        assert!(by_partition(&taken).values().all(|jobs| jobs.len() == 1), "one at a time");
        for job in &taken {
            queue.complete(job).await;
        }
        ran.extend(taken);
    }
    assert_eq!(by_partition(&ran), expected);
}

/// A job that is to be retried keeps its place and the partition waits for it.
async fn a_partition_waits_for_its_job_that_is_to_be_tried_again(ctx: &Context) {
    let queue = spread(ctx, |spec| spec.partitions = Some(Partitions::default())).await;
    let mut first = Vec::new();
    for partition in 0..9 {
        let name = format!("partition-{partition}");
        first.push(queue.add(queue.job().partition(&name)).await.id);
        queue.add(queue.job().partition(&name)).await;
    }
    let taken = queue.take(100).await;
    assert_eq!(sorted(ids(&taken)), sorted(first.clone()));
    for job in &taken {
        queue.settled(job, failure("no")).await;
    }
    assert!(matches!(queue.nothing().await, Again::At(_)));
    ctx.advance(secs(3600));
    assert_eq!(sorted(ids(&queue.take(100).await)), sorted(first));
}

/// A queue may bound its live leases over all processes.
async fn no_more_leases_are_live_in_all_shards_than_the_queue_allows(ctx: &Context) {
    const LIMIT: usize = 10;
    let handles = ctx.handles(3).await;
    let queue = spread(ctx, |spec| spec.limits.concurrency = Some(LIMIT as u32)).await;
    queue.add_all(queue.jobs(3 * MANY)).await;
    let (mut held, mut ran): (Vec<Job>, BTreeSet<JobId>) = (Vec::new(), BTreeSet::new());
    loop {
        let each = queue.clone();
        let taken = ctx.race(&handles, 6, move |_, backend| {
            let queue = each.on(&backend);
            async move { queue.take(5).await }
        });
        held.extend(taken.await.concat());
        assert!(held.len() <= LIMIT, "{} leases are live", held.len());
        assert_eq!(queue.stats().await.leases, held.len() as u64);
        if held.is_empty() {
            break;
        }
        for job in held.split_off(held.len() / 2) {
            queue.complete(&job).await;
            assert!(ran.insert(job.id));
        }
    }
    assert_eq!(ran.len(), 3 * MANY);
}

/// The rate holds in every sliding window.
async fn no_more_jobs_of_all_shards_start_than_the_rate_allows(ctx: &Context) {
    let (limit, period) = (6, secs(10));
    let queue = spread(ctx, |spec| spec.limits.rate = Some(Rate { limit, period })).await;
    queue.add_all(queue.jobs(MANY)).await;
    let mut starts = Vec::new();
    while starts.len() < MANY {
        let taken = queue.dequeue(100).await;
        starts.extend(taken.jobs.iter().map(|_| ctx.now()));
        let horizon = ctx.now().before(period);
        let within = starts.iter().filter(|at| **at > horizon).count();
        assert!(within <= limit as usize, "{within} starts");
        assert_eq!(queue.stats().await.starts_in_window, within as u64);
        if starts.len() < MANY {
            let Again::At(moment) = taken.again else { panic!("{:?}", taken.again) };
            assert!(moment > ctx.now() && moment <= ctx.now().after(period));
            ctx.clock().set(moment);
        }
    }
}

/// A dequeue that finds nothing says when to look again.
async fn the_first_moment_of_any_shard_is_when_to_look_again(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    let begin = ctx.now();
    let mut added = Vec::new();
    for seconds in (1..=20).rev() {
        added.push(queue.add(queue.job().after(secs(seconds))).await.id);
    }
    for seconds in 1..=20 {
        let moment = begin.after(secs(seconds));
        assert_eq!(queue.nothing().await, Again::At(moment));
        ctx.clock().set(moment.before(TICK));
        queue.nothing().await;
        ctx.clock().set(moment);
        assert_eq!(queue.take_one().await.id, added.pop().expect("one for each second"));
    }
}

/// Any live process takes over, a page at a time; a stale lease changes nothing.
async fn lost_leases_of_every_shard_are_taken_over_page_by_page(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    let added = ids_of(&queue.add_all(queue.jobs(MANY)).await);
    let mut lost: Vec<Job> = Vec::new();
    while lost.len() < MANY {
        lost.extend(queue.take(9).await);
        ctx.advance(secs(1));
    }
    ctx.advance(LEASE);
    let (mut after, mut found, mut places) = (None, Vec::new(), Vec::new());
    loop {
        let what = Overdue::LostLeases;
        let query = OverdueQuery { queue: queue.spec.name.clone(), what, after, limit: 7 };
        let page = queue.backend().overdue(query).await.expect("overdue");
        assert!(page.jobs.len() <= 7);
        for job in page.jobs {
            places.push((job.lease.expect("a lease").until, job.seq));
            let transition = overdue(&job, &queue.spec, what, page.now).expect("it is overdue");
            queue.apply(transition).await;
            found.push(job.id);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert!(places.is_sorted(), "in the order in which they ran out");
    assert_eq!(sorted(found), sorted(added.clone()));
    for job in &lost {
        let now = stale(queue.settle(job, done()).await);
        assert_eq!((now.id, now.course.stalls), (job.id, 1));
    }
    assert_eq!(sorted(ids(&run_all(&queue).await)), sorted(added));
}

/// Extending, progress and settling are accepted with the current token only.
async fn a_lease_is_extended_and_settled_in_its_own_shard(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    queue.add_all(queue.jobs(MANY)).await;
    let old = queue.take(MANY as u32).await;
    assert_eq!(old.len(), MANY);
    ctx.advance(LEASE);
    extend_all(ctx, &queue, &old).await;
    for job in &old {
        queue.settled(job, windlass_core::decide::Outcome::Release).await;
    }
    ctx.advance(secs(3600));
    let new = queue.take(MANY as u32).await;
    assert_eq!(new.len(), MANY);
    for job in &old {
        let refused = queue.extend(job, LEASE).await;
        assert_eq!(refused, windlass_core::backend::Extended::Lost);
        let now = stale(queue.settle(job, done()).await);
        let token = |job: &Job| job.lease.expect("a lease").token;
        assert!(token(&now) > token(job));
    }
    extend_all(ctx, &queue, &new).await;
    for job in &new {
        queue.complete(job).await;
    }
}

/// Extends leases in one call; each is held until just then.
async fn extend_all(ctx: &Context, queue: &Queue, jobs: &[Job]) {
    let lease = LEASE + secs(5);
    let extend = |job: &Job| windlass_core::backend::Extend {
        job: job.reference(),
        token: crate::fixture::token(job),
        lease,
        progress: None,
    };
    let (held, now) =
        queue.backend().extend(jobs.iter().map(extend).collect()).await.expect("extend");
    assert_eq!((held.len(), now), (jobs.len(), ctx.now()));
    for outcome in held {
        let windlass_core::backend::Extended::Held { until, cancel_requested } = outcome else {
            panic!("a current lease is lost");
        };
        assert_eq!((until, cancel_requested), (now.after(lease), false));
    }
    for job in jobs {
        let seen = queue.see(&job.reference()).await;
        assert_eq!(seen.lease.expect("a lease").until, now.after(lease));
    }
}

/// Pause is stored: no process dequeues until resume; what runs finishes; enqueue goes
/// on.
async fn a_pause_stops_every_shard(ctx: &Context) {
    let handles = ctx.handles(2).await;
    let queue = spread(ctx, |_| {}).await;
    queue.add_all(queue.jobs(MANY)).await;
    let running = queue.take(SHARDS).await;
    let name = &queue.spec.name;
    queue.backend().pause(name).await.expect("pause");
    queue.add_all(queue.jobs(MANY)).await;
    for handle in &handles {
        let queue = queue.on(handle);
        for _ in 0..2 * SHARDS {
            assert_eq!(queue.nothing().await, Again::OnNotice);
        }
        assert!(queue.stats().await.paused);
        let queues = handle.queues().await.expect("queues");
        assert!(queues.len() == 1 && queues[0].paused);
    }
    for job in &running {
        queue.complete(job).await;
    }
    handles[1].resume(name).await.expect("resume");
    assert!(!queue.stats().await.paused);
    assert_eq!(run_all(&queue).await.len(), 2 * MANY - running.len());
}
