//! Partitions: jobs under limits of their own, and in line one behind another.

use windlass_core::backend::{Again, CleanWhich, Overdue};
use windlass_core::decide::control::Wish;
use windlass_core::decide::{InvalidJob, Outcome, enqueue};
use windlass_core::model::{
    Backoff, JobRef, Limits, OnRetry, Partitions, Rate, Retry, State, When,
};

use crate::fixture::{
    Draft, LEASE, Queue, TICK, done, failure, failure_for_good, ids, ids_of, secs,
};
use crate::harness::{Context, case_table};

case_table! {
    [P1] a_partitioned_queue_requires_a_partition_key_and_others_refuse_one,
    [P1] by_default_one_job_of_a_partition_runs_at_a_time,
    [P1] a_partition_can_run_several_at_a_time,
    [P1] a_partition_can_bound_its_starts,
    [P1] the_bounds_of_partitions_can_be_changed_while_running,
    [P2] jobs_of_a_partition_run_strictly_in_order,
    [P2] priority_counts_within_a_partition,
    [P2] a_job_that_is_to_be_retried_keeps_its_place_and_the_partition_waits,
    [P2] a_job_that_was_snoozed_keeps_its_place_and_the_partition_waits,
    [P2] a_job_that_was_taken_over_keeps_its_place,
    [P2] by_choice_a_job_that_is_put_off_yields,
    [P2] a_job_that_is_scheduled_for_later_is_not_in_line,
    [P2] the_place_is_that_of_the_moment_a_job_first_became_ready,
    [P2] a_job_that_holds_its_partition_and_is_ended_lets_it_go,
    [P2] a_job_that_holds_its_partition_can_be_promoted_in_its_place,
    [P2] an_expired_job_does_not_hold_its_partition,
    [P3] many_partitions_are_served_in_one_dequeue,
    [P3] jobs_behind_a_busy_partition_do_not_hide_those_of_others,
    [P4] partitions_take_turns_first_come_first_served_over_the_queue,
    [G1] the_bounds_of_queue_and_partition_hold_together,
    [G4] a_dequeue_stopped_by_partitions_says_when_to_look_again,
}

async fn partitioned(ctx: &Context) -> Queue {
    ctx.queue_with("q", |spec| spec.partitions = Some(Partitions::default())).await
}

async fn bounded(ctx: &Context, limits: Limits) -> Queue {
    let partitions = Partitions { limits, ..Partitions::default() };
    ctx.queue_with("q", |spec| spec.partitions = Some(partitions)).await
}

/// A job of this partition that is tried again after exactly 10 s.
fn of(queue: &Queue, partition: &str) -> Draft {
    let retry = Retry { max_attempts: 5, backoff: Backoff::Fixed(secs(10)), jitter: 0.0 };
    queue.job().partition(partition).retry(retry)
}

async fn add(queue: &Queue, partition: &str, count: usize) -> Vec<JobRef> {
    let drafts = (0..count).map(|_| of(queue, partition)).collect();
    queue.add_all(drafts).await
}

/// A partitioned queue requires a partition key on every job (an error
/// without; an error with one on other queues).
async fn a_partitioned_queue_requires_a_partition_key_and_others_refuse_one(ctx: &Context) {
    let (split, plain) = (partitioned(ctx).await, ctx.queue("plain").await);
    let without = enqueue(&split.spec, split.job().0);
    assert!(matches!(without, Err(InvalidJob::PartitionRequired(_))), "{without:?}");
    let with = enqueue(&plain.spec, plain.job().partition("p").0);
    assert!(matches!(with, Err(InvalidJob::NoPartitions(_))), "{with:?}");
    let job = split.add(split.job().partition("p")).await;
    let partition = split.see(&job).await.partition;
    assert_eq!(partition.as_ref().map(|p| p.as_str()), Some("p"));
}

/// It may bound concurrency per partition; the default is one at a time.
async fn by_default_one_job_of_a_partition_runs_at_a_time(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let a = add(&queue, "a", 3).await;
    let b = add(&queue, "b", 2).await;
    let taken = queue.take(9).await;
    assert_eq!(ids(&taken), [a[0].id, b[0].id]);
    queue.nothing().await;
    queue.complete(&taken[1]).await;
    assert_eq!(queue.take_one().await.id, b[1].id);
    queue.nothing().await;
    queue.complete(&taken[0]).await;
    assert_eq!(queue.take_one().await.id, a[1].id);
    queue.nothing().await;
}

/// It may bound concurrency per partition.
async fn a_partition_can_run_several_at_a_time(ctx: &Context) {
    let limits = Limits { concurrency: Some(2), rate: None };
    let queue = bounded(ctx, limits).await;
    let a = add(&queue, "a", 4).await;
    let b = add(&queue, "b", 1).await;
    let c = add(&queue, "c", 3).await;
    let taken = queue.take(9).await;
    let expected = [&a[..2], &b[..], &c[..2]].concat();
    assert_eq!(ids(&taken), ids_of(&expected));
    queue.nothing().await;
    // With several at a time a job that is put off is not waited for.
    queue.settled(&taken[0], failure("no")).await;
    assert_eq!(ids(&queue.take(9).await), [a[2].id]);
    ctx.advance(secs(10));
    queue.nothing().await;
    queue.complete(&taken[1]).await;
    assert_eq!(ids(&queue.take(9).await), [a[3].id], "its moment came before");
}

/// It may bound the rate per partition.
async fn a_partition_can_bound_its_starts(ctx: &Context) {
    let limits = Limits { concurrency: None, rate: Some(Rate { limit: 2, period: secs(10) }) };
    let queue = bounded(ctx, limits).await;
    let a = add(&queue, "a", 5).await;
    let begin = ctx.now();
    assert_eq!(ids(&queue.take(1).await), [a[0].id]);
    ctx.advance(secs(4));
    let b = add(&queue, "b", 3).await;
    let expected = [a[1].id, b[0].id, b[1].id];
    assert_eq!(ids(&queue.take(9).await), expected);
    let at = |wait| begin.after(secs(wait));
    for (moment, started) in
        [(10, vec![a[2].id]), (14, vec![a[3].id, b[2].id]), (20, vec![a[4].id])]
    {
        assert_eq!(queue.nothing().await, Again::At(at(moment)));
        ctx.clock().set(at(moment).before(TICK));
        queue.nothing().await;
        ctx.advance(TICK);
        assert_eq!(ids(&queue.take(9).await), started, "at {moment} s");
    }
    assert_eq!(queue.nothing().await, Again::OnNotice);
}

/// Whether there are partitions is fixed; their bounds are not.
async fn the_bounds_of_partitions_can_be_changed_while_running(ctx: &Context) {
    let mut queue = partitioned(ctx).await;
    add(&queue, "a", 9).await;
    add(&queue, "b", 1).await;
    assert_eq!(queue.take(9).await.len(), 2);
    let concurrency = async |queue: &mut Queue, concurrency| {
        let partitions =
            Partitions { limits: Limits { concurrency, rate: None }, ..Partitions::default() };
        queue.redeclare(|spec| spec.partitions = Some(partitions)).await;
    };
    concurrency(&mut queue, Some(3)).await;
    let held = queue.take(9).await;
    assert_eq!(held.len(), 2);
    concurrency(&mut queue, Some(2)).await;
    queue.complete(&held[0]).await;
    queue.nothing().await;
    concurrency(&mut queue, None).await;
    assert_eq!(queue.take(3).await.len(), 3);
    concurrency(&mut queue, Some(0)).await;
    assert_eq!(queue.nothing().await, Again::OnNotice);
}

/// With one at a time, jobs of a partition run strictly in the order of O1.
async fn jobs_of_a_partition_run_strictly_in_order(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let mut expected = Vec::new();
    for _ in 0..4 {
        expected.extend(ids_of(&add(&queue, "a", 3).await));
        add(&queue, "b", 2).await;
        ctx.advance(TICK);
    }
    let mut order = Vec::new();
    loop {
        let taken = queue.take(9).await;
        if taken.is_empty() {
            break;
        }
        let of_a: Vec<_> = ids(&taken).into_iter().filter(|id| expected.contains(id)).collect();
        assert!(of_a.len() <= 1, "{} at a time", of_a.len());
        assert!(taken.len() - of_a.len() <= 1, "of the other partition too");
        order.extend(of_a);
        for job in taken {
            queue.complete(&job).await;
        }
    }
    assert_eq!(order, expected);
}

/// In the order of O1: priority first.
async fn priority_counts_within_a_partition(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let running = queue.add(of(&queue, "a").priority(5)).await;
    let leased = queue.take_one().await;
    let mut jobs = Vec::new();
    for priority in [2, 0, 3, -1, 0] {
        jobs.push(queue.add(of(&queue, "a").priority(priority)).await.id);
    }
    queue.nothing().await;
    queue.complete(&leased).await;
    for expected in [3, 1, 4, 0, 2].map(|i: usize| jobs[i]) {
        assert_eq!(queue.work(done()).await.id, expected);
    }
    assert_eq!(queue.state(&running).await, State::Completed);
}

/// Asserts that a partition waits for the job at its head until this moment,
/// and then gives out that job first.
async fn held_until(ctx: &Context, queue: &Queue, head: &JobRef, wait: u64) {
    let moment = ctx.now().after(secs(wait));
    assert_eq!(queue.nothing().await, Again::At(moment), "the partition waits");
    ctx.clock().set(moment.before(TICK));
    assert_eq!(queue.nothing().await, Again::At(moment), "the partition waits");
    ctx.clock().set(moment);
    assert_eq!(queue.state(head).await, State::Waiting);
}

/// A job that is to be retried keeps its place and the partition waits for it.
async fn a_job_that_is_to_be_retried_keeps_its_place_and_the_partition_waits(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let jobs = add(&queue, "a", 3).await;
    ctx.advance(secs(1));
    let first = queue.work(failure("no")).await;
    let seen = queue.see(&jobs[0]).await;
    assert_eq!((seen.state, seen.place), (State::Scheduled, first.place));
    assert_eq!(seen.due, ctx.now().after(secs(10)));
    held_until(ctx, &queue, &jobs[0], 10).await;
    for _ in 0..2 {
        assert_eq!(queue.work(failure("no")).await.id, jobs[0].id);
        held_until(ctx, &queue, &jobs[0], 10).await;
    }
    for job in &jobs {
        assert_eq!(queue.work(done()).await.id, job.id);
    }
}

/// Or was snoozed.
async fn a_job_that_was_snoozed_keeps_its_place_and_the_partition_waits(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let a = add(&queue, "a", 2).await;
    let b = add(&queue, "b", 2).await;
    ctx.advance(secs(1));
    assert_eq!(queue.work(Outcome::Snooze(When::After(secs(30)))).await.id, a[0].id);
    // The other partition goes on.
    assert_eq!(queue.work(done()).await.id, b[0].id);
    assert_eq!(queue.work(done()).await.id, b[1].id);
    held_until(ctx, &queue, &a[0], 30).await;
    for job in &a {
        assert_eq!(queue.work(done()).await.id, job.id);
    }
}

/// Otherwise it returns to its old place in the order.
async fn a_job_that_was_taken_over_keeps_its_place(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let jobs = add(&queue, "a", 3).await;
    queue.take_one().await;
    ctx.advance(LEASE);
    assert!(queue.take(9).await.is_empty(), "until it is taken over");
    assert_eq!(queue.sweep(Overdue::LostLeases).await, 1);
    queue.work(Outcome::Release).await;
    for job in &jobs {
        assert_eq!(queue.work(done()).await.id, job.id);
    }
}

/// Or, by choice, yields: it leaves the line until its moment, and the others
/// go on.
async fn by_choice_a_job_that_is_put_off_yields(ctx: &Context) {
    let partitions = Partitions { on_retry: OnRetry::Yield, ..Partitions::default() };
    let queue = ctx.queue_with("q", |spec| spec.partitions = Some(partitions)).await;
    let jobs = add(&queue, "a", 4).await;
    queue.work(failure("no")).await;
    queue.work(Outcome::Snooze(When::After(secs(5)))).await;
    let third = queue.take_one().await;
    assert_eq!(third.id, jobs[2].id);
    queue.nothing().await;
    ctx.advance(secs(10));
    queue.nothing().await;
    queue.complete(&third).await;
    // The fourth was ready all the time; the others have the places of their
    // new moments.
    for i in [3, 1, 0] {
        assert_eq!(queue.work(done()).await.id, jobs[i].id);
    }
}

/// One that is scheduled for later is not in line before its moment.
async fn a_job_that_is_scheduled_for_later_is_not_in_line(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let later = queue.add(of(&queue, "a").after(secs(5)).priority(-1)).await;
    let jobs = add(&queue, "a", 2).await;
    assert_eq!(queue.work(done()).await.id, jobs[0].id);
    ctx.advance(secs(5));
    // Now it is in line, and of a better rank.
    assert_eq!(queue.work(done()).await.id, later.id);
    assert_eq!(queue.take_one().await.id, jobs[1].id);
    // So is one that an operator delays.
    let delayed = add(&queue, "b", 2).await;
    queue.control(&delayed[0], Wish::Delay(When::After(secs(5)))).await;
    assert_eq!(queue.work(done()).await.id, delayed[1].id);
    assert_eq!(queue.nothing().await, Again::At(ctx.now().after(secs(5))));
}

/// By the moment each first became ready.
async fn the_place_is_that_of_the_moment_a_job_first_became_ready(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let third = queue.add(of(&queue, "a").after(secs(3))).await;
    let first = queue.add(of(&queue, "a").after(secs(1))).await;
    ctx.advance(secs(2));
    let second = queue.add(of(&queue, "a")).await;
    ctx.advance(secs(5));
    // The retry does not change which of them became ready first.
    assert_eq!(queue.work(failure("no")).await.id, first.id);
    ctx.advance(secs(20));
    for job in [first, second, third] {
        assert_eq!(queue.work(done()).await.id, job.id);
    }
}

/// The partition waits for a job, not for one that has ended or left the line.
async fn a_job_that_holds_its_partition_and_is_ended_lets_it_go(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let wishes = [Wish::Cancel, Wish::Remove, Wish::Delay(When::After(secs(9999)))];
    for (i, wish) in wishes.into_iter().enumerate() {
        let partition = format!("p{i}");
        let jobs = add(&queue, &partition, 2).await;
        queue.work(failure("no")).await;
        queue.nothing().await;
        assert!(queue.control(&jobs[0], wish).await);
        assert_eq!(queue.work(done()).await.id, jobs[1].id, "{wish:?}");
    }
    let jobs = add(&queue, "cleaned", 2).await;
    queue.work(failure("no")).await;
    queue.nothing().await;
    let which = CleanWhich::OlderThan(secs(0));
    // The first is scheduled, and so is the one that was delayed above.
    assert_eq!(queue.clean(State::Scheduled, which, 9).await, 2);
    assert_eq!(queue.work(done()).await.id, jobs[1].id, "cleaned");
    let jobs = add(&queue, "failed", 2).await;
    queue.work(failure_for_good("no")).await;
    assert_eq!(queue.work(done()).await.id, jobs[1].id, "failed");
}

/// One that kept its place while it was put off still keeps it.
async fn a_job_that_holds_its_partition_can_be_promoted_in_its_place(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let jobs = add(&queue, "a", 2).await;
    ctx.advance(secs(1));
    queue.work(failure("no")).await;
    queue.nothing().await;
    assert!(queue.control(&jobs[0], Wish::Promote).await);
    for job in &jobs {
        assert_eq!(queue.work(done()).await.id, job.id);
    }
}

/// A job past its expiry is not eligible, and keeps no place.
async fn an_expired_job_does_not_hold_its_partition(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let expired = queue.add(of(&queue, "a").expires(When::After(secs(5)))).await;
    let jobs = add(&queue, "a", 2).await;
    ctx.advance(secs(5));
    let leased = queue.take_one().await;
    assert_eq!(leased.id, jobs[0].id);
    queue.nothing().await;
    assert_eq!(queue.sweep(Overdue::Expired).await, 1);
    assert_eq!(queue.state(&expired).await, State::Expired);
    queue.nothing().await;
    queue.complete(&leased).await;
    assert_eq!(queue.take_one().await.id, jobs[1].id);
}

/// One dequeue finds as many jobs as there are free partitions.
async fn many_partitions_are_served_in_one_dequeue(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let drafts = (0..600).map(|i| of(&queue, &format!("p{}", i % 300))).collect();
    let jobs = queue.add_all(drafts).await;
    let taken = queue.take(1000).await;
    assert_eq!(ids(&taken), ids_of(&jobs[..300]));
    queue.nothing().await;
    for i in [7, 299, 0, 150] {
        queue.complete(&taken[i]).await;
    }
    let expected = [0, 7, 150, 299].map(|i: usize| jobs[300 + i].id);
    assert_eq!(ids(&queue.take(1000).await), expected);
}

/// The cost of a dequeue does not grow with the jobs that wait behind a busy
/// partition: none of them hides a job of another one.
async fn jobs_behind_a_busy_partition_do_not_hide_those_of_others(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let drafts = (0..50).map(|i| of(&queue, &format!("busy{i}"))).collect();
    queue.add_all(drafts).await;
    let busy = queue.take(1000).await;
    assert_eq!(busy.len(), 50);
    let drafts = (0..3000).map(|i| of(&queue, &format!("busy{}", i % 50)).priority(-1)).collect();
    queue.add_all(drafts).await;
    let free = queue.add(of(&queue, "free")).await;
    let dequeued = queue.dequeue(1).await;
    assert_eq!(ids(&dequeued.jobs), [free.id]);
    assert_eq!(queue.nothing().await, Again::At(ctx.now().after(LEASE)));
}

/// First come first served over the queue.
async fn partitions_take_turns_first_come_first_served_over_the_queue(ctx: &Context) {
    let queue = partitioned(ctx).await;
    let mut jobs = Vec::new();
    for partition in ["b", "a", "b", "c", "a", "d"] {
        jobs.push(queue.add(of(&queue, partition)).await.id);
        ctx.advance(TICK);
    }
    let urgent = queue.add(of(&queue, "e").priority(-1)).await;
    let taken = ids(&queue.take(9).await);
    assert_eq!(taken, [urgent.id, jobs[0], jobs[1], jobs[3], jobs[5]]);
    let queue = ctx.queue_with("one", |spec| spec.partitions = Some(Partitions::default())).await;
    let mut jobs = Vec::new();
    for partition in ["z", "y", "z", "x"] {
        jobs.push(queue.add(of(&queue, partition)).await.id);
    }
    // One by one, with each done before the next: by age over the queue.
    for job in jobs {
        assert_eq!(queue.work(done()).await.id, job);
    }
}

/// In a partitioned queue its partition must have a free slot and start too.
async fn the_bounds_of_queue_and_partition_hold_together(ctx: &Context) {
    let mut queue = partitioned(ctx).await;
    queue.redeclare(|spec| spec.limits.concurrency = Some(3)).await;
    for partition in ["a", "b", "c", "d", "e"] {
        add(&queue, partition, 2).await;
    }
    let held = queue.take(9).await;
    assert_eq!(held.len(), 3);
    queue.complete(&held[0]).await;
    let next = queue.take(9).await;
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].partition, held[0].partition, "the oldest ready job");
    let rate = Rate { limit: 5, period: secs(10) };
    queue
        .redeclare(|spec| {
            spec.limits.concurrency = None;
            spec.limits.rate = Some(rate);
        })
        .await;
    assert!(queue.take(9).await.len() <= 5);
    ctx.advance(secs(10));
    let running = queue.stats().await.leases;
    let more = queue.take(9).await.len() as u64;
    assert!(running + more <= 5, "one at a time in each of five partitions");
}

/// The earliest moment at which the passing of time makes a further job
/// eligible.
async fn a_dequeue_stopped_by_partitions_says_when_to_look_again(ctx: &Context) {
    let queue = partitioned(ctx).await;
    add(&queue, "a", 2).await;
    add(&queue, "b", 2).await;
    let begin = ctx.now();
    let at = |wait| Again::At(begin.after(secs(wait)));
    queue.take_for(secs(50)).await;
    assert_eq!(queue.work(failure("no")).await.partition, Some(crate::fixture::partition_key("b")));
    assert_eq!(queue.nothing().await, at(10), "the retry in b");
    queue.add(of(&queue, "c").after(secs(7))).await;
    assert_eq!(queue.nothing().await, at(7), "a scheduled job");
    ctx.clock().set(begin.after(secs(7)));
    queue.take_for(secs(60)).await;
    assert_eq!(queue.nothing().await, at(10));
    ctx.clock().set(begin.after(secs(10)));
    queue.take_for(secs(60)).await;
    assert_eq!(queue.nothing().await, at(50), "the first lease that others wait behind");
}
