//! Removing what is old, and only that.

use windlass_core::ErrorKind;
use windlass_core::backend::{BackendExt, Clean, CleanWhich, Overdue};
use windlass_core::decide::cleaning;
use windlass_core::decide::control::Wish;
use windlass_core::model::{
    Dependencies, Filter, Job, JobRef, Keep, NewStep, Payload, Retention, State, StepName, When,
};

use crate::fixture::{
    Queue, TICK, done, failure, failure_for_good, ids, ids_of, secs, success, tag, token,
};
use crate::harness::{Context, case_table};

case_table! {
    [Q3] age_is_judged_by_the_moment_of_the_end_and_by_nothing_else,
    [Q3] jobs_that_have_not_ended_are_judged_by_the_moment_of_their_enqueue,
    [Q3] exactly_as_old_as_asked_for_is_old_enough,
    [Q3] only_the_state_that_is_named_is_cleaned,
    [Q3] another_queues_jobs_are_left_alone,
    [Q3] no_more_than_the_bound_are_removed_and_the_first_to_end_go_first,
    [Q3] all_but_the_newest_are_removed,
    [Q3] the_newest_that_have_not_ended_are_the_last_enqueued,
    [Q3] active_and_blocked_jobs_cannot_be_cleaned,
    [Q3] a_cleaned_job_leaves_nothing_behind,
    [Q3] a_job_that_is_cleaned_before_it_ended_counts_as_ended,
    [Q3] cleaning_twice_removes_nothing_twice,
    [Q4] by_default_completed_jobs_are_kept_a_day_and_others_a_fortnight,
    [Q4] jobs_are_kept_by_age_and_by_count,
    [Q4] a_queue_that_keeps_nothing_removes_its_jobs_as_they_end,
}

/// Jobs whose enqueue, start and end come in orders that have nothing to do
/// with each other: `[n]` was enqueued as the n-th. They start in the order
/// 2 3 0 1 and end, 10 s apart, in the order 1 3 0 2.
async fn entangled(ctx: &Context, queue: &Queue) -> Vec<JobRef> {
    let mut jobs = Vec::new();
    for priority in [2, 3, 0, 1] {
        jobs.push(queue.add(queue.job().priority(priority)).await);
        ctx.advance(secs(10));
    }
    let mut leased: Vec<Option<Job>> = vec![None; 4];
    for expected in [2, 3, 0, 1_usize] {
        let job = queue.take_for(secs(9999)).await;
        assert_eq!(job.id, jobs[expected].id);
        leased[expected] = Some(job);
        ctx.advance(secs(10));
    }
    for i in [1, 3, 0, 2_usize] {
        queue.complete(leased[i].as_ref().expect("leased")).await;
        ctx.advance(secs(10));
    }
    jobs
}

const fn older(length: std::time::Duration) -> CleanWhich {
    CleanWhich::OlderThan(length)
}

/// Those that ended so long ago or longer.
async fn age_is_judged_by_the_moment_of_the_end_and_by_nothing_else(ctx: &Context) {
    for (cut, removed) in
        [(40, vec![1]), (30, vec![1, 3]), (20, vec![0, 1, 3]), (10, vec![0, 1, 2, 3])]
    {
        let queue = ctx.queue(&format!("q{cut}")).await;
        let jobs = entangled(ctx, &queue).await;
        // They ended 40, 30, 20 and 10 seconds ago.
        let count = queue.clean(State::Completed, older(secs(cut)), 99).await;
        assert_eq!(count, removed.len() as u64, "{cut} s");
        for (i, job) in jobs.iter().enumerate() {
            let gone = queue.find(job).await.is_none();
            assert_eq!(gone, removed.contains(&i), "job {i} after {cut} s");
        }
    }
}

/// Or, if they have not ended, were enqueued.
async fn jobs_that_have_not_ended_are_judged_by_the_moment_of_their_enqueue(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let mut jobs = Vec::new();
    // The first to be enqueued has the last moment.
    for wait in [900, 800, 700] {
        jobs.push(queue.add(queue.job().after(secs(wait))).await);
        ctx.advance(secs(10));
    }
    let waiting = queue.add_one().await;
    ctx.advance(secs(10));
    // Its moment is new, its enqueue is not.
    queue.control(&jobs[1], Wish::Delay(When::After(secs(5000)))).await;
    assert_eq!(queue.clean(State::Scheduled, older(secs(30)), 99).await, 2);
    assert_eq!(ids(&queue.all().await), [jobs[2].id, waiting.id]);
    assert_eq!(queue.clean(State::Waiting, older(secs(10)), 99).await, 1);
    // A retried job is as old as its enqueue.
    ctx.advance(secs(700));
    queue.work(failure("no")).await;
    assert_eq!(queue.clean(State::Scheduled, older(secs(700)), 99).await, 1);
    assert_eq!(queue.all().await, []);
    queue.nothing().await;
}

/// So long ago or longer.
async fn exactly_as_old_as_asked_for_is_old_enough(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_one().await;
    queue.work(done()).await;
    ctx.advance(secs(10).saturating_sub(TICK));
    assert_eq!(queue.clean(State::Completed, older(secs(10)), 9).await, 0);
    ctx.advance(TICK);
    assert_eq!(queue.clean(State::Completed, older(secs(10)), 9).await, 1);
    queue.add_one().await;
    queue.work(done()).await;
    assert_eq!(queue.clean(State::Completed, older(std::time::Duration::MAX), 9).await, 0);
    assert_eq!(queue.clean(State::Completed, older(secs(0)), 9).await, 1);
}

/// One job in each state that can be cleaned, and two more.
async fn one_of_each(ctx: &Context, queue: &Queue) -> Vec<JobRef> {
    let mut jobs = Vec::new();
    jobs.push(queue.add(queue.job().expires(When::Now)).await);
    queue.sweep(Overdue::Expired).await;
    for outcome in [done(), failure_for_good("no"), windlass_core::decide::Outcome::Cancelled] {
        jobs.push(queue.add_one().await);
        queue.work(outcome).await;
    }
    jobs.push(queue.add_one().await);
    queue.take_one().await;
    let soon = queue.add(queue.job().after(secs(5))).await;
    let scheduled = queue.add(queue.job().after(secs(9999))).await;
    jobs.push(queue.add(queue.job().depends_on([&scheduled])).await);
    jobs.push(scheduled);
    ctx.advance(secs(5));
    jobs.push(soon);
    jobs
}

/// Jobs of one state, as the store's clock has it.
async fn only_the_state_that_is_named_is_cleaned(ctx: &Context) {
    let states = [
        (State::Expired, 1),
        (State::Completed, 1),
        (State::Failed, 1),
        (State::Cancelled, 1),
        (State::Waiting, 1),
        // A blocked job depends on it.
        (State::Scheduled, 0),
    ];
    for (state, expected) in states {
        let queue = ctx.queue(state.name()).await;
        let jobs = one_of_each(ctx, &queue).await;
        assert_eq!(queue.clean(state, older(secs(0)), 99).await, expected, "{state}");
        let left = queue.all().await;
        assert_eq!(left.len() as u64, jobs.len() as u64 - expected, "{state}");
        assert!(expected == 0 || left.iter().all(|job| job.state != state), "{state}");
    }
}

/// Of one queue.
async fn another_queues_jobs_are_left_alone(ctx: &Context) {
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    for queue in [&a, &b] {
        queue.add_all(queue.jobs(3)).await;
        for _ in 0..3 {
            queue.work(done()).await;
        }
    }
    assert_eq!(a.clean(State::Completed, CleanWhich::BeyondNewest(1), 99).await, 2);
    assert_eq!(a.clean(State::Completed, older(secs(0)), 99).await, 1);
    assert_eq!(b.stats().await.count(State::Completed), 3);
}

/// Up to a bound; the first to end goes first.
async fn no_more_than_the_bound_are_removed_and_the_first_to_end_go_first(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let jobs = entangled(ctx, &queue).await;
    let mut left = vec![0, 1, 2, 3_usize];
    for gone in [1, 3, 0, 2] {
        assert_eq!(queue.clean(State::Completed, older(secs(0)), 1).await, 1);
        left.retain(|i| *i != gone);
        let expected: Vec<_> = left.iter().map(|i| jobs[*i].id).collect();
        assert_eq!(ids(&queue.all().await), expected);
    }
    let jobs = queue.add_all(queue.jobs(5)).await;
    // Of those that have not ended, the first to be enqueued.
    assert_eq!(queue.clean(State::Waiting, older(secs(0)), 2).await, 2);
    assert_eq!(ids(&queue.all().await), ids_of(&jobs[2..]));
}

/// All but so many, the latest to end.
async fn all_but_the_newest_are_removed(ctx: &Context) {
    for (keep, removed) in
        [(4, vec![]), (9, vec![]), (2, vec![1, 3]), (1, vec![0, 1, 3]), (0, vec![0, 1, 2, 3])]
    {
        let queue = ctx.queue(&format!("q{keep}")).await;
        let jobs = entangled(ctx, &queue).await;
        let count = queue.clean(State::Completed, CleanWhich::BeyondNewest(keep), 99).await;
        assert_eq!(count, removed.len() as u64, "all but {keep}");
        for (i, job) in jobs.iter().enumerate() {
            let gone = queue.find(job).await.is_none();
            assert_eq!(gone, removed.contains(&i), "job {i}, all but {keep}");
        }
    }
    // With a bound, the first to end go first here too.
    let queue = ctx.queue("bound").await;
    let jobs = entangled(ctx, &queue).await;
    assert_eq!(queue.clean(State::Completed, CleanWhich::BeyondNewest(1), 2).await, 2);
    assert_eq!(ids(&queue.all().await), [jobs[0].id, jobs[2].id]);
}

/// All but so many of those that have not ended: the last enqueued stay.
async fn the_newest_that_have_not_ended_are_the_last_enqueued(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let mut jobs = Vec::new();
    for (priority, wait) in [(5, 900), (-5, 300), (0, 600)] {
        jobs.push(queue.add(queue.job().priority(priority).after(secs(wait))).await);
        ctx.advance(secs(1));
    }
    assert_eq!(queue.clean(State::Scheduled, CleanWhich::BeyondNewest(1), 9).await, 2);
    assert_eq!(ids(&queue.all().await), [jobs[2].id]);
}

/// Never active ones: `Invalid` for blocked and active jobs.
async fn active_and_blocked_jobs_cannot_be_cleaned(ctx: &Context) {
    let queue = ctx.queue("q").await;
    one_of_each(ctx, &queue).await;
    let before = queue.all().await;
    for state in [State::Active, State::Blocked] {
        for which in [older(secs(0)), CleanWhich::BeyondNewest(0)] {
            let clean = Clean { queue: queue.spec.name.clone(), state, which, limit: 9 };
            let error = queue.backend().clean(clean).await.expect_err("not cleanable");
            assert_eq!(error.kind(), ErrorKind::Invalid, "{state}");
        }
    }
    assert_eq!(queue.all().await, before);
}

/// Removes jobs for good, with their results, steps and tags.
async fn a_cleaned_job_leaves_nothing_behind(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let draft = queue.job().key("k").dedup("d").tag("t").flow(ctx.ids().flow());
    let job = queue.add(draft.clone()).await;
    let leased = queue.take_one().await;
    let step = NewStep {
        job: job.clone(),
        token: token(&leased),
        position: 0,
        name: StepName::new("s").expect("a name"),
        outcome: Payload::from("o"),
    };
    queue.backend().record_step(step).await.expect("record_step");
    queue.settled(&leased, success("r")).await;
    let flow = draft.0.flow;
    assert_eq!(queue.clean(State::Completed, older(secs(0)), 9).await, 1);
    assert_eq!(queue.find(&job).await, None);
    for filter in [
        Filter::default(),
        Filter { tag: Some(tag("t")), ..Filter::default() },
        Filter { flow, ..Filter::default() },
    ] {
        assert_eq!(queue.list(filter).await, []);
    }
    assert_eq!(queue.stats().await.jobs, [0; 8]);
    // The same job again is a new one in every respect.
    assert_eq!(queue.add(draft).await, job);
    let seen = queue.see(&job).await;
    assert_eq!((seen.result, seen.progress, seen.started_at), (None, None, None));
    assert_eq!(seen.tags.len(), 1);
    assert_eq!(queue.backend().steps(&job).await.expect("steps"), []);
}

/// One that had not ended itself counts as ended, and not as completed, with
/// each job that depends on it.
async fn a_job_that_is_cleaned_before_it_ended_counts_as_ended(ctx: &Context) {
    let queue = ctx.queue("q").await;
    for state in [State::Scheduled, State::Waiting] {
        let due = if state == State::Scheduled { secs(100) } else { secs(0) };
        let first = queue.add(queue.job().after(due)).await;
        // The dependent has ended before what it waited for.
        let last = queue.add(queue.job().depends_on([&first])).await;
        assert!(queue.control(&last, Wish::Cancel).await);
        let open = Dependencies { open: 1, broken: 0 };
        assert_eq!(queue.see(&last).await.dependencies, open);
        assert_eq!(queue.clean(state, CleanWhich::OlderThan(secs(0)), 10).await, 1);
        let broken = Dependencies { open: 0, broken: 1 };
        assert_eq!(queue.see(&last).await.dependencies, broken, "{state}");
    }
}

/// Idempotent.
async fn cleaning_twice_removes_nothing_twice(ctx: &Context) {
    let queue = ctx.queue("q").await;
    entangled(ctx, &queue).await;
    for expected in [2, 0, 0] {
        assert_eq!(queue.clean(State::Completed, older(secs(30)), 99).await, expected);
    }
    assert_eq!(queue.stats().await.count(State::Completed), 2);
}

/// Does what a keeper does; answers how many jobs that removed.
async fn keep_house(queue: &Queue) -> u64 {
    let mut removed = 0;
    for clean in cleaning(&queue.spec, 100) {
        removed += queue.backend().clean(clean).await.expect("clean");
    }
    removed
}

/// Completed jobs 24 h, other terminal ones 14 days.
async fn by_default_completed_jobs_are_kept_a_day_and_others_a_fortnight(ctx: &Context) {
    const DAY: u64 = 24 * 3600;
    let queue = ctx.queue("q").await;
    let jobs = one_of_each(ctx, &queue).await;
    // Only the waiting and the active one would go on; they stay.
    for (days, removed) in [(1, 1), (13, 3)] {
        ctx.advance(secs(days * DAY - 10));
        assert_eq!(keep_house(&queue).await, 0, "before {days} days");
        ctx.advance(secs(10));
        assert_eq!(keep_house(&queue).await, removed, "after {days} days");
    }
    assert_eq!(queue.all().await.len(), jobs.len() - 4);
}

/// Both per queue, by age and by count.
async fn jobs_are_kept_by_age_and_by_count(ctx: &Context) {
    let retention = Retention { completed: Keep::ForNewest(secs(35), 2), other: Keep::Forever };
    let queue = ctx.queue_with("q", |spec| spec.retention = retention).await;
    let jobs = entangled(ctx, &queue).await;
    queue.add_one().await;
    queue.work(failure_for_good("no")).await;
    // They ended 40, 30, 20 and 10 seconds ago, in the order 1 3 0 2.
    assert_eq!(keep_house(&queue).await, 2);
    let left = queue.all().await;
    assert_eq!(ids(&left[..2]), [jobs[0].id, jobs[2].id]);
    ctx.advance(secs(20));
    assert_eq!(keep_house(&queue).await, 1, "one of the two is too old now");
    assert_eq!(queue.stats().await.count(State::Failed), 1, "for ever");
}

/// `Remove` keeps nothing.
async fn a_queue_that_keeps_nothing_removes_its_jobs_as_they_end(ctx: &Context) {
    let retention = Retention { completed: Keep::Remove, other: Keep::Remove };
    let queue = ctx
        .queue_with("q", |spec| {
            spec.retention = retention;
            spec.limits.concurrency = Some(1);
        })
        .await;
    for outcome in [success("r"), failure_for_good("no"), windlass_core::decide::Outcome::Cancelled]
    {
        let job = queue.add(queue.job().key("k").dedup("d")).await;
        queue.work(outcome).await;
        assert_eq!(queue.find(&job).await, None);
        assert_eq!((queue.stats().await.jobs, queue.stats().await.leases), ([0; 8], 0));
    }
    // What was not removed by its end is by the keeper.
    let job = queue.add_one().await;
    queue.control(&job, Wish::Cancel).await;
    assert_eq!(queue.state(&job).await, State::Cancelled);
    assert_eq!(keep_house(&queue).await, 1);
}
