//! Leases that ran out, and what any process does about them.

use windlass_core::backend::{
    Applied, CancelRequest, Extended, Guard, LeaseGuard, Overdue, OverdueQuery, Target,
};
use windlass_core::decide::Outcome;
use windlass_core::model::{Course, FailureKind, Job, JobRef, State};

use crate::fixture::{LEASE, Queue, TICK, failure, forged, ids, ids_of, secs, stale, success};
use crate::harness::{Context, case_table};

case_table! {
    [L3] a_lease_that_ran_out_is_its_holders_until_it_is_taken_over,
    [L3] a_lease_is_lost_at_exactly_its_end,
    [L3] a_take_over_counts_a_stall_and_returns_the_job_to_its_old_place,
    [L3] too_many_stalls_end_the_job_as_failed_with_the_reason,
    [L3] stalls_and_failures_are_counted_apart,
    [L3] an_extended_lease_is_not_overdue,
    [L3] a_lease_that_was_extended_meanwhile_is_not_taken_over,
    [L3] a_job_that_was_settled_meanwhile_is_not_taken_over,
    [L4] lost_leases_are_listed_in_the_order_in_which_they_ran_out,
    [L4] pages_of_what_is_overdue_go_on_where_the_last_one_ended,
    [L4] looking_for_what_is_overdue_changes_nothing,
}

/// Until it is taken over, its holder may still settle; and it can still be
/// extended while it is the current one.
async fn a_lease_that_ran_out_is_its_holders_until_it_is_taken_over(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_all(queue.jobs(2)).await;
    let jobs = queue.take(2).await;
    let now = ctx.advance(LEASE * 10);
    assert_eq!(queue.overdue(Overdue::LostLeases).await.jobs.len(), 2);
    queue.complete(&jobs[0]).await;
    let held = Extended::Held { until: now.after(LEASE), cancel_requested: false };
    assert_eq!(queue.extend(&jobs[1], LEASE).await, held);
    assert_eq!(queue.sweep(Overdue::LostLeases).await, 0);
    queue.complete(&jobs[1]).await;
    let stalls: Vec<_> = queue.all().await.iter().map(|job| job.course.stalls).collect();
    assert_eq!(stalls, [0, 0]);
}

/// Active jobs whose lease has run out: from its end on, and not before.
async fn a_lease_is_lost_at_exactly_its_end(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_one().await;
    let job = queue.take_for(secs(7)).await;
    ctx.advance(secs(7).saturating_sub(TICK));
    assert_eq!(queue.overdue(Overdue::LostLeases).await.jobs, []);
    let now = ctx.advance(TICK);
    let page = queue.overdue(Overdue::LostLeases).await;
    let expected = Job { payload: None, ..job };
    assert_eq!(page.jobs, [expected], "without payload");
    assert_eq!((page.next, page.now), (None, now));
}

/// A take-over counts a stall and returns the job to its old place in the
/// order. No handler need be registered for that.
async fn a_take_over_counts_a_stall_and_returns_the_job_to_its_old_place(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let mut jobs = vec![queue.add_one().await];
    ctx.advance(secs(1));
    let leased = queue.take_one().await;
    jobs.extend(queue.add_all(queue.jobs(2)).await);
    ctx.advance(LEASE);
    assert_eq!(queue.sweep(Overdue::LostLeases).await, 1);
    let back = queue.see(&jobs[0]).await;
    assert_eq!((back.state, back.lease), (State::Waiting, None));
    assert_eq!(back.place, leased.place);
    assert_eq!(back.version, leased.version + 1);
    assert_eq!(back.course, Course { stalls: 1, ..Course::default() });
    assert_eq!(back.attempt(), 1, "a stall is not a failed attempt");
    assert_eq!(ids(&queue.take(9).await), ids_of(&jobs));
    assert_eq!(queue.sweep(Overdue::LostLeases).await, 0);
}

/// More than `max_stalls` ends the job as `failed` with the reason.
async fn too_many_stalls_end_the_job_as_failed_with_the_reason(ctx: &Context) {
    for (name, max_stalls) in [("none", 0), ("one", 1), ("default", 3)] {
        let queue = ctx.queue_with(name, |spec| spec.max_stalls = max_stalls).await;
        let job = queue.add_one().await;
        for stall in 0..=max_stalls {
            assert_eq!(queue.state(&job).await, State::Waiting, "{name}: stall {stall}");
            queue.take_one().await;
            ctx.advance(LEASE);
            assert_eq!(queue.sweep(Overdue::LostLeases).await, 1);
        }
        let job = queue.see(&job).await;
        assert_eq!((job.state, job.finished_at), (State::Failed, Some(ctx.now())));
        assert_eq!((job.course.stalls, job.course.failed_attempts), (max_stalls + 1, 0));
        assert_eq!(job.course.errors[0].kind, FailureKind::Stalled);
        assert_eq!(queue.stats().await.leases, 0);
    }
}

/// Stalls and failures are counted apart.
async fn stalls_and_failures_are_counted_apart(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.max_stalls = 2).await;
    let retry = windlass_core::model::Retry::attempts(3);
    let job = queue.add(queue.job().retry(retry)).await;
    for (failed, stalls) in [(1, 0), (1, 1), (2, 1), (2, 2)] {
        let before = queue.see(&job).await.course;
        if failed > before.failed_attempts {
            queue.work(failure("no")).await;
        } else {
            queue.take_one().await;
            ctx.advance(LEASE);
            queue.sweep(Overdue::LostLeases).await;
        }
        ctx.advance(secs(3600));
        let now = queue.see(&job).await;
        assert_eq!((now.course.failed_attempts, now.course.stalls), (failed, stalls));
        assert_eq!(now.state, State::Waiting);
    }
    queue.work(failure("no")).await;
    assert_eq!(queue.state(&job).await, State::Failed);
}

/// Extending a lease moves its end.
async fn an_extended_lease_is_not_overdue(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let jobs = queue.add_all(queue.jobs(2)).await;
    let leased = queue.take(2).await;
    ctx.advance(secs(30));
    queue.extend(&leased[0], LEASE).await;
    ctx.advance(secs(30));
    let overdue = ids(&queue.overdue(Overdue::LostLeases).await.jobs);
    assert_eq!(overdue, [jobs[1].id]);
    ctx.advance(secs(30));
    // By the end of the lease, which is not the order of the jobs any more.
    let overdue = ids(&queue.overdue(Overdue::LostLeases).await.jobs);
    assert_eq!(overdue, [jobs[1].id, jobs[0].id]);
    // A shorter lease than before counts as well.
    queue.extend(&leased[1], secs(1)).await;
    queue.extend(&leased[0], secs(3600)).await;
    ctx.advance(secs(1));
    let overdue = ids(&queue.overdue(Overdue::LostLeases).await.jobs);
    assert_eq!(overdue, [jobs[1].id]);
}

/// One compare-and-set on token and version: a rescuer never overwrites a job
/// that finished meanwhile.
async fn a_job_that_was_settled_meanwhile_is_not_taken_over(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_all(queue.jobs(3)).await;
    let jobs = queue.take(3).await;
    ctx.advance(LEASE);
    let page = queue.overdue(Overdue::LostLeases).await;
    let rescue: Vec<_> = page
        .jobs
        .iter()
        .map(|job| queue.decide_overdue(job, Overdue::LostLeases, page.now))
        .collect();
    queue.settled(&jobs[0], success("just in time")).await;
    queue.settled(&jobs[1], Outcome::Release).await;
    let cancel = Target::Stay { cancel: CancelRequest::Requested };
    let guard = Guard { version: jobs[2].version, lease: LeaseGuard::Any };
    assert!(matches!(queue.apply(forged(&jobs[2], guard, cancel)).await, Applied::Applied));
    let before = queue.all().await;
    for transition in rescue {
        stale(queue.apply(transition).await);
    }
    assert_eq!(queue.all().await, before, "a rescuer overwrote something");
}

/// Leases five jobs that run out in an order that is neither that of the jobs
/// nor its reverse; answers them as they run out.
async fn run_out(ctx: &Context, queue: &Queue) -> Vec<JobRef> {
    let jobs = queue.add_all(queue.jobs(5)).await;
    for lease in [3, 5, 1, 3, 2] {
        queue.take_for(secs(lease)).await;
    }
    ctx.advance(secs(5));
    [2, 4, 0, 3, 1].map(|i: usize| jobs[i].clone()).to_vec()
}

/// By the moment at which it became overdue, then by the enqueue sequence.
async fn lost_leases_are_listed_in_the_order_in_which_they_ran_out(ctx: &Context) {
    let (queue, other) = (ctx.queue("q").await, ctx.queue("other").await);
    other.add_one().await;
    other.take_for(secs(1)).await;
    let expected = run_out(ctx, &queue).await;
    let page = queue.overdue(Overdue::LostLeases).await;
    assert_eq!(ids(&page.jobs), ids_of(&expected));
    assert_eq!(page.next, None);
    assert_eq!(other.overdue(Overdue::LostLeases).await.jobs.len(), 1);
}

/// A page starts behind `after`, so that jobs nobody can help hold nothing up.
async fn pages_of_what_is_overdue_go_on_where_the_last_one_ended(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let expected = run_out(ctx, &queue).await;
    for limit in [1, 2, 4, 5] {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let query = OverdueQuery {
                queue: queue.spec.name.clone(),
                what: Overdue::LostLeases,
                after,
                limit,
            };
            let page = queue.backend().overdue(query).await.expect("overdue");
            assert!(page.jobs.len() <= limit as usize);
            assert!(page.next.is_none() || page.next > after, "the walk goes on");
            found.extend(ids(&page.jobs));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, ids_of(&expected), "{limit} at a time");
    }
}

/// A guard for a lease that has run out does not hold once it was extended.
async fn a_lease_that_was_extended_meanwhile_is_not_taken_over(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_one().await;
    let leased = queue.take_one().await;
    ctx.advance(LEASE);
    let page = queue.overdue(Overdue::LostLeases).await;
    let decided = queue.decide_overdue(&page.jobs[0], Overdue::LostLeases, page.now);
    assert!(matches!(queue.extend(&leased, LEASE).await, Extended::Held { .. }));
    let now = stale(queue.apply(decided.clone()).await);
    assert_eq!((now.state, now.course.stalls), (State::Active, 0));
    // Once it has run out again, it does.
    ctx.advance(LEASE);
    assert!(matches!(queue.apply(decided).await, Applied::Applied));
}

/// Changes nothing.
async fn looking_for_what_is_overdue_changes_nothing(ctx: &Context) {
    let queue = ctx.queue("q").await;
    run_out(ctx, &queue).await;
    let expired = queue.job().expires(windlass_core::model::When::Now);
    queue.add(expired).await;
    let before = queue.all().await;
    for what in Overdue::ALL {
        let page = queue.overdue(what).await;
        assert_eq!(queue.overdue(what).await, page);
    }
    assert_eq!(queue.all().await, before);
    assert_eq!(queue.stats().await.leases, 5);
}
