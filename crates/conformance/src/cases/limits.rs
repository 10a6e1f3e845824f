//! How many leases may be live at once.

use windlass_core::backend::{Again, CancelRequest, Extended, Guard, LeaseGuard, Overdue, Target};
use windlass_core::decide::Outcome;
use windlass_core::decide::control::Wish;
use windlass_core::model::{Job, State, When};

use crate::fixture::{
    LEASE, Queue, TICK, done, failure, failure_for_good, forged, ids, is_applied, secs, stale,
    token,
};
use crate::harness::{Context, case_table};

case_table! {
    [G1] no_more_leases_are_live_than_the_queue_allows,
    [G1] a_limit_of_zero_stops_all_processing,
    [G1] the_limit_of_one_queue_is_not_anothers,
    [G2] a_slot_is_free_again_exactly_once_however_its_lease_ends,
    [G2] a_settle_with_a_stale_lease_gives_no_slot_back,
    [G2] extending_telling_and_asking_to_stop_take_and_give_no_slot,
    [G2] a_lease_that_ran_out_keeps_its_slot_until_it_is_taken_over,
    [G3] a_raised_limit_takes_effect_at_the_next_dequeue_of_every_process,
    [G3] a_limit_lowered_below_what_is_held_lets_nothing_start_until_it_fits,
    [G3] a_limit_can_be_taken_away_and_put_back,
    [G4] a_dequeue_stopped_by_a_limit_says_when_the_first_lease_runs_out,
    [G5] recovered_retried_and_promoted_jobs_pass_the_same_gate,
}

async fn limited(ctx: &Context, name: &str, concurrency: u32) -> Queue {
    ctx.queue_with(name, |spec| spec.limits.concurrency = Some(concurrency)).await
}

/// A queue may bound its live leases over all processes.
async fn no_more_leases_are_live_than_the_queue_allows(ctx: &Context) {
    let handles = ctx.handles(3).await;
    for limit in [1, 2, 5] {
        let queue = limited(ctx, &format!("q{limit}"), limit).await;
        queue.add_all(queue.jobs(12)).await;
        let mut held = Vec::new();
        let mut done = 0;
        for round in 0_usize.. {
            let queue = queue.on(&handles[round % 3]);
            let taken = queue.take([1, 9, 2][round % 3]).await;
            held.extend(taken);
            assert!(held.len() <= limit as usize, "{} leases of {limit}", held.len());
            assert_eq!(queue.stats().await.leases, held.len() as u64);
            let Some(job) = held.pop() else { break };
            queue.complete(&job).await;
            done += 1;
        }
        assert_eq!(done, 12);
    }
}

/// Limit 0 stops all processing.
async fn a_limit_of_zero_stops_all_processing(ctx: &Context) {
    let mut queue = limited(ctx, "q", 0).await;
    let job = queue.add_one().await;
    queue.add(queue.job().after(secs(5))).await;
    // Not by the passing of time.
    assert_eq!(queue.nothing().await, Again::OnNotice);
    ctx.advance(secs(3600));
    assert_eq!(queue.nothing().await, Again::OnNotice);
    assert_eq!(queue.state(&job).await, State::Waiting);
    queue.redeclare(|spec| spec.limits.concurrency = Some(1)).await;
    assert_eq!(queue.take_one().await.id, job.id);
    queue.redeclare(|spec| spec.limits.concurrency = Some(0)).await;
    assert_eq!(queue.nothing().await, Again::OnNotice);
}

/// A queue bounds its own live leases.
async fn the_limit_of_one_queue_is_not_anothers(ctx: &Context) {
    let (a, b) = (limited(ctx, "a", 1).await, limited(ctx, "b", 2).await);
    let free = ctx.queue("free").await;
    for queue in [&a, &b, &free] {
        queue.add_all(queue.jobs(5)).await;
    }
    assert_eq!(free.take(9).await.len(), 5);
    assert_eq!(b.take(9).await.len(), 2);
    assert_eq!(a.take(9).await.len(), 1);
}

/// A slot is the lease: it can be neither leaked nor given back twice.
async fn a_slot_is_free_again_exactly_once_however_its_lease_ends(ctx: &Context) {
    let queue = limited(ctx, "q", 2).await;
    queue.add_all(queue.jobs(60)).await;
    let outcomes = [
        done(),
        failure("no"),
        failure_for_good("no"),
        Outcome::Snooze(When::After(secs(9))),
        Outcome::Release,
        Outcome::UnknownType,
        Outcome::Cancelled,
    ];
    let mut held = queue.take(9).await;
    assert_eq!(held.len(), 2);
    for outcome in outcomes {
        let job = held.remove(0);
        let decided = queue.decide(&job, outcome.clone());
        assert!(is_applied(&queue.apply(decided.clone()).await));
        // Nothing that is said again gives a second slot.
        stale(queue.apply(decided).await);
        assert_eq!(queue.extend(&job, LEASE).await, Extended::Lost);
        held.extend(queue.take(9).await);
        assert_eq!(held.len(), 2, "after {outcome:?}");
        assert_eq!(queue.stats().await.leases, 2, "after {outcome:?}");
    }
    let removed = held.remove(0);
    let guard = Guard { version: removed.version, lease: LeaseGuard::Held(token(&removed)) };
    let remove = forged(&removed, guard, Target::Removed);
    assert!(is_applied(&queue.apply(remove).await));
    held.extend(queue.take(9).await);
    assert_eq!(held.len(), 2, "after removal");
    ctx.advance(LEASE);
    assert_eq!(queue.sweep(Overdue::LostLeases).await, 2);
    assert_eq!(queue.sweep(Overdue::LostLeases).await, 0);
    assert_eq!(queue.stats().await.leases, 0);
    assert_eq!(queue.take(9).await.len(), 2, "after a take-over");
}

/// A stale token changes nothing.
async fn a_settle_with_a_stale_lease_gives_no_slot_back(ctx: &Context) {
    let queue = limited(ctx, "q", 1).await;
    queue.add_all(queue.jobs(2)).await;
    let old = queue.take_one().await;
    ctx.advance(LEASE);
    queue.sweep(Overdue::LostLeases).await;
    let new = queue.take_one().await;
    assert_eq!(new.id, old.id);
    for outcome in [done(), failure("no"), Outcome::Release] {
        stale(queue.settle(&old, outcome).await);
        queue.nothing().await;
    }
    queue.complete(&new).await;
    assert_eq!(queue.take(9).await.len(), 1);
}

/// A lease that is extended, or asked to stop, is the same lease.
async fn extending_telling_and_asking_to_stop_take_and_give_no_slot(ctx: &Context) {
    let queue = limited(ctx, "q", 2).await;
    queue.add_all(queue.jobs(4)).await;
    let held = queue.take(9).await;
    for _ in 0..3 {
        for job in &held {
            queue.extend(job, LEASE).await;
        }
        assert_eq!(queue.stats().await.leases, 2);
        queue.nothing().await;
    }
    let stay = Target::Stay { cancel: CancelRequest::Requested };
    let guard = Guard { version: held[0].version, lease: LeaseGuard::Any };
    assert!(is_applied(&queue.apply(forged(&held[0], guard, stay)).await));
    assert_eq!(queue.stats().await.leases, 2);
    queue.nothing().await;
    let told: Job = queue.see(&held[0].reference()).await;
    queue.settled(&told, Outcome::Cancelled).await;
    assert_eq!(queue.take(9).await.len(), 1);
}

/// Leases that have run out still count until they are taken over.
async fn a_lease_that_ran_out_keeps_its_slot_until_it_is_taken_over(ctx: &Context) {
    let queue = limited(ctx, "q", 2).await;
    queue.add_all(queue.jobs(4)).await;
    let held = queue.take(9).await;
    ctx.advance(LEASE * 100);
    assert!(queue.take(9).await.is_empty());
    assert_eq!(queue.stats().await.leases, 2);
    queue.complete(&held[1]).await;
    assert_eq!(queue.take(9).await.len(), 1);
    assert_eq!(queue.sweep(Overdue::LostLeases).await, 1);
    let next = queue.take(9).await;
    assert_eq!(ids(&next), [held[0].id], "back in its old place");
}

/// Limits are stored with the queue, take effect at the next dequeue on every
/// process, and can be changed while running.
async fn a_raised_limit_takes_effect_at_the_next_dequeue_of_every_process(ctx: &Context) {
    let [a, b]: [_; 2] = ctx.handles(2).await.try_into().expect("two handles");
    let mut queue = limited(ctx, "q", 1).await.on(&a);
    queue.add_all(queue.jobs(9)).await;
    assert_eq!(queue.on(&b).take(9).await.len(), 1);
    queue.redeclare(|spec| spec.limits.concurrency = Some(3)).await;
    let dequeued = queue.on(&b).dequeue(9).await;
    assert_eq!(dequeued.jobs.len(), 2);
    assert_eq!(*dequeued.spec, queue.spec, "the declaration as it is now");
    queue.nothing().await;
}

/// A limit that was lowered below what is held.
async fn a_limit_lowered_below_what_is_held_lets_nothing_start_until_it_fits(ctx: &Context) {
    let mut queue = limited(ctx, "q", 4).await;
    queue.add_all(queue.jobs(9)).await;
    let held = queue.take(9).await;
    queue.redeclare(|spec| spec.limits.concurrency = Some(2)).await;
    for (i, job) in held.iter().enumerate() {
        assert_eq!(queue.state(&job.reference()).await, State::Active, "nothing is ended");
        queue.complete(job).await;
        let started = queue.take(9).await.len();
        // With 3 and with 2 held there is still no slot.
        let expected = usize::from(i >= 2);
        assert_eq!(started, expected, "after {} of 4 ended", i + 1);
    }
}

/// `None`: no bound.
async fn a_limit_can_be_taken_away_and_put_back(ctx: &Context) {
    let mut queue = limited(ctx, "q", 1).await;
    queue.add_all(queue.jobs(9)).await;
    assert_eq!(queue.take(9).await.len(), 1);
    queue.redeclare(|spec| spec.limits.concurrency = None).await;
    let held = queue.take(5).await;
    assert_eq!(held.len(), 5);
    queue.redeclare(|spec| spec.limits.concurrency = Some(6)).await;
    queue.nothing().await;
    queue.complete(&held[0]).await;
    assert_eq!(queue.take(9).await.len(), 1);
}

/// When a limit stops a dequeue, the answer says when to look again: the
/// earliest moment at which a held lease runs out.
async fn a_dequeue_stopped_by_a_limit_says_when_the_first_lease_runs_out(ctx: &Context) {
    let queue = limited(ctx, "q", 3).await;
    queue.add_all(queue.jobs(9)).await;
    let begin = ctx.now();
    let first = queue.take_for(secs(30)).await;
    queue.take_for(secs(50)).await;
    let dequeued = queue.dequeue(9).await;
    assert_eq!(dequeued.jobs.len(), 1);
    let at = |wait| Again::At(begin.after(secs(wait)));
    assert_eq!(dequeued.again, at(30), "the one that leased the last slot");
    assert_eq!(queue.nothing().await, at(30));
    queue.extend(&first, secs(55)).await;
    assert_eq!(queue.nothing().await, at(50));
    ctx.clock().set(begin.after(secs(50)).before(TICK));
    assert_eq!(queue.sweep(Overdue::LostLeases).await, 0);
    ctx.advance(TICK);
    assert_eq!(queue.sweep(Overdue::LostLeases).await, 1);
    assert_eq!(queue.take(9).await.len(), 1);
}

/// Recovered, retried and promoted jobs pass the same gates.
async fn recovered_retried_and_promoted_jobs_pass_the_same_gate(ctx: &Context) {
    let queue = limited(ctx, "q", 1).await;
    let jobs = queue.add_all(queue.jobs(4)).await;
    queue.work(failure_for_good("no")).await;
    queue.work(failure("no")).await;
    queue.take_one().await;
    ctx.advance(LEASE);
    queue.sweep(Overdue::LostLeases).await;
    let gate = queue.take_one().await;
    queue.control(&jobs[0], Wish::Retry).await;
    let delayed = queue.add(queue.job().after(secs(99))).await;
    queue.control(&delayed, Wish::Promote).await;
    // Recovered, retried by policy, retried by an operator, promoted, new: all
    // are ready, none gets past the one that runs.
    assert_eq!(queue.stats().await.count(State::Waiting), 4);
    ctx.advance(secs(1));
    queue.nothing().await;
    queue.complete(&gate).await;
    for left in (0..4).rev() {
        let job = queue.take_one().await;
        queue.nothing().await;
        queue.complete(&job).await;
        assert_eq!(queue.stats().await.count(State::Waiting), left);
    }
}
