//! In which order jobs start, and when to look again.

use windlass_core::backend::{Again, Guard, LeaseGuard, Place, Target};
use windlass_core::decide::control::Wish;
use windlass_core::decide::{Outcome, Retryable, order_rule};
use windlass_core::model::{FailureKind, Job, JobId, OrderKey, PriorityMode, State, When};

use crate::fixture::{
    Dice, Queue, TICK, done, failure, forged, ids, ids_of, is_applied, micros, secs,
};
use crate::harness::{Context, case_table};

case_table! {
    [O1] a_better_rank_goes_first_however_late_it_came,
    [O1] among_equal_ranks_the_earlier_moment_goes_first_however_late_it_was_enqueued,
    [O1] among_equal_moments_the_first_enqueued_goes_first,
    [O1] any_mixture_comes_out_in_order_one_by_one_and_all_at_once,
    [O1] queues_that_interleave_keep_their_own_order,
    [O1] a_job_that_is_put_off_takes_the_place_of_its_new_moment,
    [O1] a_job_that_is_handed_back_keeps_its_place,
    [O1] a_job_that_is_put_off_and_keeps_its_place_waits_for_its_moment_all_the_same,
    [O2] each_priority_mode_says_which_end_goes_first,
    [O2] extreme_priorities_are_told_apart,
    [O3] with_ageing_a_worse_rank_waits_for_a_bounded_time,
    [O3] with_ageing_a_flood_of_better_ranks_starves_nobody,
    [O3] the_order_key_is_fixed_at_enqueue,
    [O4] a_delayed_job_is_leasable_at_exactly_its_moment,
    [O4] a_dequeue_that_finds_nothing_says_when_to_look_again,
    [O4] looking_again_at_the_stated_moment_finds_work_and_before_it_none,
    [] look_again_is_now_only_where_max_stopped_the_dequeue,
    [] no_more_than_max_jobs_are_leased,
}

/// Leases everything that is ready, one job at a time.
async fn one_by_one(queue: &Queue) -> Vec<JobId> {
    let mut taken = Vec::new();
    while let Some(job) = queue.take(1).await.pop() {
        taken.push(job.id);
    }
    taken
}

/// In the order of priority first.
async fn a_better_rank_goes_first_however_late_it_came(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let late = queue.add(queue.job().priority(1)).await;
    ctx.advance(secs(1));
    let middle = queue.add(queue.job()).await;
    ctx.advance(secs(1));
    let first = queue.add(queue.job().priority(-1)).await;
    assert_eq!(one_by_one(&queue).await, ids_of(&[first, middle, late]));
}

/// Then in the order of the ready moment, which is not that of the enqueue.
async fn among_equal_ranks_the_earlier_moment_goes_first_however_late_it_was_enqueued(
    ctx: &Context,
) {
    let queue = ctx.queue("q").await;
    let third = queue.add(queue.job().after(secs(3))).await;
    let first = queue.add(queue.job().after(secs(1))).await;
    let second = queue.add(queue.job().after(secs(2))).await;
    ctx.advance(micros(2_500_000));
    let fourth_but_for_the_third = queue.add_one().await;
    ctx.advance(secs(1));
    let expected = [first, second, fourth_but_for_the_third, third];
    assert_eq!(one_by_one(&queue).await, ids_of(&expected));
}

/// Then in the order of the enqueue sequence.
async fn among_equal_moments_the_first_enqueued_goes_first(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let mut expected = queue.add_all(queue.jobs(3)).await;
    expected.extend(queue.add_all(queue.jobs(20)).await);
    // Delayed ones reach the same moment along another way.
    let moment = ctx.now().after(secs(5));
    let at = |draft: crate::fixture::Draft| draft.due(When::At(moment));
    let delayed = vec![at(queue.job()), at(queue.job())];
    expected.extend(queue.add_all(delayed).await);
    ctx.clock().set(moment);
    expected.extend(queue.add_all(queue.jobs(2)).await);
    assert_eq!(one_by_one(&queue).await, ids_of(&expected));
}

/// Enqueues jobs whose priority, moment and sequence have nothing to do with
/// each other; answers (key, id) of each.
async fn mixture(ctx: &Context, queue: &Queue, seed: u64) -> Vec<(OrderKey, JobId)> {
    let mut dice = Dice::new(seed);
    let mut jobs = Vec::new();
    for size in [1, 13, 4, 22] {
        let drafts = (0..size).map(|_| {
            let draft = queue.job().after(secs(dice.below(4)));
            match queue.spec.priority {
                PriorityMode::Disabled => draft,
                _ => draft.priority(dice.pick(&[-2, -1, 0, 0, 1, 2])),
            }
        });
        jobs.extend(queue.add_all(drafts.collect()).await);
        ctx.advance(micros(dice.below(1_500_000)));
    }
    let mut keys = Vec::new();
    for job in jobs {
        let job = queue.see(&job).await;
        // From the model, not from what the store says of the key.
        let rule = order_rule(&queue.spec, job.options.priority);
        keys.push((rule.key(job.due, job.seq), job.id));
    }
    keys
}

/// Ready jobs of a queue start in the order of (priority, ready moment,
/// enqueue sequence); jobs come back in that order.
async fn any_mixture_comes_out_in_order_one_by_one_and_all_at_once(ctx: &Context) {
    for (seed, max) in [(1, 1), (2, 3), (3, 1000)] {
        let queue = ctx.queue(&format!("q{seed}")).await;
        let mut keys = mixture(ctx, &queue, seed).await;
        ctx.advance(secs(10));
        keys.sort_unstable();
        let expected: Vec<JobId> = keys.into_iter().map(|(_, id)| id).collect();
        let mut taken = Vec::new();
        loop {
            let jobs = queue.take(max).await;
            if jobs.is_empty() {
                break;
            }
            taken.extend(ids(&jobs));
        }
        assert_eq!(taken, expected, "{max} at a time");
    }
}

/// Leases the first jobs of a queue, and of no other.
async fn queues_that_interleave_keep_their_own_order(ctx: &Context) {
    let queues = [ctx.queue("a").await, ctx.queue("b").await, ctx.queue("c").await];
    let mut expected = [vec![], vec![], vec![]];
    for i in 0..30_usize {
        let which = [0, 1, 2, 1, 0][i % 5];
        // Priorities of one queue would overtake those of another.
        let priority = [5, -5, 0][which];
        let job = queues[which].job().priority(priority);
        expected[which].push(queues[which].add(job).await.id);
        ctx.advance(micros(i as u64 % 2));
    }
    let mut taken = [vec![], vec![], vec![]];
    for i in [0, 2, 1, 1, 0, 2].into_iter().cycle().take(60) {
        taken[i].extend(ids(&queues[i].take(2).await));
    }
    assert_eq!(taken, expected);
}

/// A job that is put off has the place of its moment.
async fn a_job_that_is_put_off_takes_the_place_of_its_new_moment(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let retried = queue.add_one().await;
    let snoozed = queue.add_one().await;
    let retry = Retryable::After(secs(4));
    let outcome = Outcome::Failure { kind: FailureKind::Error, message: "no".to_owned(), retry };
    queue.work(outcome).await;
    queue.work(Outcome::Snooze(When::After(secs(2)))).await;
    let delayed = queue.add_one().await;
    queue.control(&delayed, Wish::Delay(When::After(secs(3)))).await;
    ctx.advance(secs(1));
    let at_one = queue.add_one().await;
    ctx.advance(secs(9));
    let at_ten = queue.add_one().await;
    let expected = [at_one, snoozed, delayed, retried, at_ten];
    assert_eq!(one_by_one(&queue).await, ids_of(&expected));
}

/// The worker hands the job back without having tried it: it goes to the place
/// it has.
async fn a_job_that_is_handed_back_keeps_its_place(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let jobs = queue.add_all(queue.jobs(4)).await;
    let taken = queue.take(2).await;
    ctx.advance(secs(5));
    for job in taken.iter().rev() {
        queue.settled(job, Outcome::Release).await;
    }
    let back = queue.see(&jobs[0]).await;
    assert_eq!(back.course.failed_attempts, 0);
    assert_eq!(one_by_one(&queue).await, ids_of(&jobs));
}

/// A kept place says where a job stands once its moment has come, and nothing
/// about the moment; in a queue without partitions the others go on.
async fn a_job_that_is_put_off_and_keeps_its_place_waits_for_its_moment_all_the_same(
    ctx: &Context,
) {
    let queue = ctx.queue("q").await;
    let jobs = queue.add_all(queue.jobs(3)).await;
    let seen = queue.see(&jobs[0]).await;
    let guard = Guard { version: seen.version, lease: LeaseGuard::Any };
    let to = Target::Pending { due: When::After(secs(10)), place: Place::Kept };
    ctx.advance(secs(1));
    assert!(is_applied(&queue.apply(forged(&seen, guard, to)).await));
    let put_off = queue.see(&jobs[0]).await;
    assert_eq!((put_off.state, put_off.place), (State::Scheduled, seen.place));
    assert_eq!(put_off.due, ctx.now().after(secs(10)));
    assert_eq!(queue.take_one().await.id, jobs[1].id);
    ctx.advance(secs(10));
    assert_eq!(one_by_one(&queue).await, [jobs[0].id, jobs[2].id]);
}

/// `LowestFirst`, `HighestFirst` or `Disabled`.
async fn each_priority_mode_says_which_end_goes_first(ctx: &Context) {
    let modes = [
        ("lowest", PriorityMode::LowestFirst),
        ("highest", PriorityMode::HighestFirst),
        ("disabled", PriorityMode::Disabled),
    ];
    for (name, mode) in modes {
        let queue = ctx.queue_with(name, |spec| spec.priority = mode).await;
        let drafts = [Some(3), None, Some(-3), Some(0), Some(3)];
        let mut jobs = Vec::new();
        for priority in drafts {
            let draft = match priority.filter(|_| mode != PriorityMode::Disabled) {
                Some(priority) => queue.job().priority(priority),
                None => queue.job(),
            };
            jobs.push(queue.add(draft).await.id);
        }
        let order = match mode {
            PriorityMode::LowestFirst => [2, 1, 3, 0, 4],
            PriorityMode::HighestFirst => [0, 4, 1, 3, 2],
            PriorityMode::Disabled => [0, 1, 2, 3, 4],
        };
        assert_eq!(one_by_one(&queue).await, order.map(|i: usize| jobs[i]), "{name}");
    }
}

/// The range is ±2,147,483,647.
async fn extreme_priorities_are_told_apart(ctx: &Context) {
    for (name, mode) in [("low", PriorityMode::LowestFirst), ("high", PriorityMode::HighestFirst)] {
        let queue = ctx.queue_with(name, |spec| spec.priority = mode).await;
        let mut jobs = Vec::new();
        for priority in [i32::MAX, 0, -i32::MAX, i32::MAX - 1, 1 - i32::MAX] {
            jobs.push(queue.add(queue.job().priority(priority)).await.id);
        }
        let mut order = [2, 4, 1, 3, 0];
        if mode == PriorityMode::HighestFirst {
            order.reverse();
        }
        assert_eq!(one_by_one(&queue).await, order.map(|i: usize| jobs[i]), "{name}");
    }
}

/// A job's order key is *ready moment + rank × step*, so a job waits behind a
/// better rank for a bounded time.
async fn with_ageing_a_worse_rank_waits_for_a_bounded_time(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.aging = Some(secs(10))).await;
    let worse = queue.add(queue.job().priority(2)).await;
    ctx.advance(secs(20).saturating_sub(TICK));
    let passes = queue.add(queue.job()).await;
    ctx.advance(TICK);
    // Now the worse rank is worth as much: the place decides.
    let equal = queue.add(queue.job()).await;
    ctx.advance(TICK);
    let too_late = queue.add(queue.job()).await;
    let expected = [passes, worse, equal, too_late];
    assert_eq!(one_by_one(&queue).await, ids_of(&expected));
    let queue = ctx.queue_with("mixture", |spec| spec.aging = Some(micros(700_000))).await;
    let mut keys = mixture(ctx, &queue, 9).await;
    ctx.advance(secs(10));
    keys.sort_unstable();
    let expected: Vec<JobId> = keys.into_iter().map(|(_, id)| id).collect();
    assert_eq!(one_by_one(&queue).await, expected);
}

/// However many jobs of better ranks keep coming, a job waits behind those only
/// that became ready less than rank × step later.
async fn with_ageing_a_flood_of_better_ranks_starves_nobody(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.aging = Some(secs(10))).await;
    let mut waiting = Vec::new();
    for priority in [1, 3, 6] {
        waiting.push((priority, queue.add(queue.job().priority(priority)).await.id));
    }
    let begin = ctx.now();
    // As many come as go: without ageing, none of the three would ever start.
    for second in 0..200 {
        queue.add_one().await;
        let started = queue.work(done()).await.id;
        waiting.retain(|(priority, id)| {
            let waited = ctx.now().since(begin);
            if started == *id {
                // Jobs of these ranks that were in front make way one by one.
                let bound = secs(10 * priority.unsigned_abs() as u64 + 3);
                assert!(waited <= bound, "priority {priority} waited {waited:?} of {bound:?}");
            }
            started != *id
        });
        if waiting.is_empty() {
            assert!(second >= 60, "the flood was no flood: all had started after {second} s");
            return;
        }
        ctx.advance(secs(1));
    }
    panic!("these never started: {waiting:?}");
}

/// The key is fixed at enqueue.
async fn the_order_key_is_fixed_at_enqueue(ctx: &Context) {
    let mut queue = ctx.queue_with("q", |spec| spec.aging = Some(secs(10))).await;
    let key = |job: Job| (job.order, job.place, job.order_key());
    let first = queue.add(queue.job().priority(4)).await;
    let second = queue.add(queue.job().priority(-4).after(secs(9))).await;
    let before = [key(queue.see(&first).await), key(queue.see(&second).await)];
    ctx.advance(secs(3600));
    queue.redeclare(|spec| spec.limits.concurrency = Some(9)).await;
    let after = [key(queue.see(&first).await), key(queue.see(&second).await)];
    assert_eq!(before, after);
    let taken = queue.take(2).await;
    assert_eq!(ids(&taken), ids_of(&[second, first]));
}

/// A delayed job is never leased before its moment, and is leasable at exactly
/// that moment with no help from any scanner.
async fn a_delayed_job_is_leasable_at_exactly_its_moment(ctx: &Context) {
    let queue = ctx.queue("q").await;
    for wait in [TICK, micros(2), micros(999_999), secs(1), secs(86_400)] {
        for given in ["a duration", "an instant"] {
            let moment = ctx.now().after(wait);
            let due = match given {
                "a duration" => When::After(wait),
                _ => When::At(moment),
            };
            let job = queue.add(queue.job().due(due)).await;
            queue.nothing().await;
            ctx.clock().set(moment.before(TICK));
            assert_eq!(queue.state(&job).await.name(), "scheduled");
            queue.nothing().await;
            ctx.clock().set(moment);
            assert_eq!(queue.state(&job).await.name(), "waiting");
            assert_eq!(queue.work(done()).await.id, job.id, "{given}: {wait:?}");
        }
    }
}

/// A dequeue that finds nothing says when to look again: the earliest moment
/// at which the passing of time makes a further job eligible, and on notice if
/// there is no such moment.
async fn a_dequeue_that_finds_nothing_says_when_to_look_again(ctx: &Context) {
    let (queue, other) = (ctx.queue("q").await, ctx.queue("other").await);
    assert_eq!(queue.nothing().await, Again::OnNotice, "an empty queue");
    other.add(other.job().after(secs(1))).await;
    assert_eq!(queue.nothing().await, Again::OnNotice, "another queue's job");
    let begin = ctx.now();
    for (wait, again) in [(50, 50), (20, 20), (30, 20), (10, 10)] {
        queue.add(queue.job().after(secs(wait))).await;
        let again = Again::At(begin.after(secs(again)));
        assert_eq!(queue.nothing().await, again, "with a job in {wait} s");
    }
    // Also when it did find something, if less than was asked for.
    queue.add_one().await;
    let dequeued = queue.dequeue(9).await;
    assert_eq!(dequeued.jobs.len(), 1);
    assert_eq!(dequeued.again, Again::At(begin.after(secs(10))));
    // A lease that runs out brings nothing where nothing limits them.
    let all = queue.all().await;
    for job in all.iter().filter(|job| job.lease.is_none()) {
        queue.control(&job.reference(), Wish::Remove).await;
    }
    assert_eq!(queue.nothing().await, Again::OnNotice, "only a lease");
}

/// Advance to that moment, and something is leasable; one microsecond before,
/// nothing is.
async fn looking_again_at_the_stated_moment_finds_work_and_before_it_none(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let mut dice = Dice::new(4);
    for _ in 0..25 {
        let wait = micros(1 + dice.below(3_000_000));
        queue.add(queue.job().after(wait).priority(dice.pick(&[-1, 0, 1]))).await;
    }
    let mut seen = 0;
    while let Again::At(moment) = queue.nothing().await {
        ctx.clock().set(moment.before(TICK));
        assert_eq!(queue.nothing().await, Again::At(moment));
        ctx.clock().set(moment);
        let found = queue.take(100).await;
        assert!(!found.is_empty(), "nothing at the stated moment");
        seen += found.len();
        if let Some(job) = found.first().filter(|_| dice.below(3) == 0) {
            // What comes back later counts too.
            queue.settled(job, failure("again")).await;
            seen -= 1;
        }
    }
    assert_eq!(seen, 25);
}

/// `Again::Now` if the call was stopped by `max` alone.
async fn look_again_is_now_only_where_max_stopped_the_dequeue(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_all(queue.jobs(5)).await;
    assert_eq!(queue.dequeue(2).await.again, Again::Now);
    assert_eq!(queue.dequeue(2).await.again, Again::Now);
    let last = queue.dequeue(2).await;
    assert_eq!((last.jobs.len(), last.again), (1, Again::OnNotice));
}

/// How many jobs at most.
async fn no_more_than_max_jobs_are_leased(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_all((0..700).map(|_| queue.job()).collect()).await;
    for max in [1, 2, 250] {
        assert_eq!(queue.take(max).await.len(), max as usize);
    }
    assert_eq!(queue.take(10_000).await.len(), 447);
}
