//! What becomes of attempts, and how transitions are carried out.

use windlass_core::backend::{Applied, Expiry, Guard, LeaseGuard, Overdue, Place, Target};
use windlass_core::decide::control::Wish;
use windlass_core::decide::{MAX_UNKNOWN_TYPE_DELAY, Outcome, Retryable};
use windlass_core::model::course::{MAX_ERROR_BYTES, MAX_ERRORS};
use windlass_core::model::{
    Backoff, FailureKind, Filter, Job, Payload, Retry, State, Timestamp, When,
};

use crate::fixture::{
    TICK, done, failure, failure_for_good, forged, is_applied, secs, stale, success, tag,
};
use crate::harness::{Context, case_table};

case_table! {
    [R1] success_completes_with_its_result,
    [R1] failure_retries_after_the_backoff_until_attempts_are_used_up,
    [R1] an_error_that_says_so_fails_the_job_at_once,
    [R1] the_last_errors_are_kept_cut_and_without_nul,
    [R2] the_wait_is_exactly_what_the_policy_says_and_repeatable,
    [R3] snooze_puts_a_job_off_without_using_an_attempt,
    [R3] a_job_of_a_type_nobody_knows_is_put_off_longer_each_time,
    [R4] each_kind_of_failure_is_kept_and_harms_nothing_else,
    [R7] a_settle_that_fails_for_one_job_does_not_fail_its_siblings,
    [] the_version_rises_by_one_with_every_transition,
    [] two_transitions_of_one_job_in_one_call_see_each_other,
    [] the_same_transition_again_is_stale,
    [] a_job_that_is_not_there_is_gone,
    [] a_removed_job_leaves_nothing_behind,
    [] a_transition_can_replace_the_payload_and_drop_the_expiry,
    [] a_moment_in_a_transition_is_resolved_when_it_is_applied,
}

/// Success completes with a result, kept by the retention rule.
async fn success_completes_with_its_result(ctx: &Context) {
    let queue = ctx.queue("q").await;
    for (outcome, result) in [(success("42"), Some(Payload::from("42"))), (done(), None)] {
        queue.add(queue.job().payload("p").tag("t")).await;
        let leased = queue.take_one().await;
        let now = ctx.advance(secs(3));
        queue.settled(&leased, outcome).await;
        let expected = Job {
            state: State::Completed,
            version: leased.version + 1,
            lease: None,
            finished_at: Some(now),
            result,
            ..leased.clone()
        };
        assert_eq!(queue.see(&leased.reference()).await, expected);
    }
    assert_eq!(queue.stats().await.leases, 0);
}

/// Failure retries after the backoff or, once attempts are used up, fails.
async fn failure_retries_after_the_backoff_until_attempts_are_used_up(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let retry =
        Retry { max_attempts: 3, backoff: Backoff::List(vec![secs(5), secs(2)]), jitter: 0.0 };
    let job = queue.add(queue.job().retry(retry)).await;
    for (attempt, wait) in [(1, 5), (2, 2)] {
        let leased = queue.take_one().await;
        assert_eq!(leased.attempt(), attempt);
        let now = ctx.advance(secs(1));
        queue.settled(&leased, failure("no")).await;
        let seen = queue.see(&job).await;
        assert_eq!((seen.state, seen.lease), (State::Scheduled, None));
        assert_eq!(seen.due, now.after(secs(wait)));
        assert_eq!(seen.finished_at, None);
        ctx.clock().set(seen.due.before(TICK));
        queue.nothing().await;
        ctx.clock().set(seen.due);
    }
    queue.work(failure("no")).await;
    let seen = queue.see(&job).await;
    assert_eq!((seen.state, seen.finished_at), (State::Failed, Some(ctx.now())));
    assert_eq!((seen.course.failed_attempts, seen.course.errors.len()), (3, 3));
    queue.nothing().await;
}

/// Or the error says so.
async fn an_error_that_says_so_fails_the_job_at_once(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    queue.work(failure_for_good("broken")).await;
    let seen = queue.see(&job).await;
    assert_eq!((seen.state, seen.course.errors.len()), (State::Failed, 1));
    assert_eq!(seen.course.errors[0].message, "broken");
}

/// The error history of the last 10 attempts is kept, each cut to 8 KiB,
/// NUL-free.
async fn the_last_errors_are_kept_cut_and_without_nul(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add(queue.job().retry(Retry::attempts(50))).await;
    let huge = "\u{1f980}\0'\"".repeat(100_000);
    for attempt in 1..=13_u32 {
        let message = match attempt {
            12 => huge.clone(),
            n => format!("error {n}"),
        };
        queue.work(failure(&message)).await;
        ctx.advance(secs(7200));
    }
    let errors = queue.see(&job).await.course.errors;
    assert_eq!(errors.len(), MAX_ERRORS);
    let attempts: Vec<_> = errors.iter().map(|error| error.attempt).collect();
    assert_eq!(attempts, (4..=13).collect::<Vec<_>>());
    assert_eq!(errors[0].message, "error 4");
    let cut = &errors[8].message;
    assert!(cut.len() <= MAX_ERROR_BYTES && cut.len() > MAX_ERROR_BYTES - 8);
    assert!(!cut.contains('\0'));
    assert!(errors.windows(2).all(|pair| pair[0].started_at < pair[1].started_at));
}

/// Jitter is drawn from (job id, attempt), so that it is repeatable.
async fn the_wait_is_exactly_what_the_policy_says_and_repeatable(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let policies = [
        Retry::default(),
        Retry { backoff: Backoff::Fixed(secs(7)), jitter: 0.5, ..Retry::default() },
        Retry {
            backoff: Backoff::Linear { first: secs(1), step: secs(3), cap: secs(6) },
            jitter: 0.0,
            ..Retry::default()
        },
    ];
    for policy in policies {
        let job = queue.add(queue.job().retry(policy.clone())).await;
        for attempt in 1..=5 {
            let leased = queue.take_one().await;
            let decided = queue.decide(&leased, failure("no"));
            assert_eq!(decided, queue.decide(&leased, failure("no")));
            assert!(is_applied(&queue.apply(decided).await));
            let due = queue.see(&job).await.due;
            assert_eq!(due, ctx.now().after(policy.wait(job.id, attempt)), "{policy:?}");
            ctx.clock().set(due);
        }
        queue.work(done()).await;
    }
}

/// Snooze puts a job off without using an attempt.
async fn snooze_puts_a_job_off_without_using_an_attempt(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add(queue.job().retry(Retry::attempts(1))).await;
    for round in 1..=5 {
        let due = ctx.now().after(secs(30));
        queue.work(Outcome::Snooze(When::After(secs(30)))).await;
        let seen = queue.see(&job).await;
        assert_eq!((seen.state, seen.due), (State::Scheduled, due));
        assert_eq!((seen.course.failed_attempts, seen.course.snoozes), (0, round));
        ctx.clock().set(due.before(TICK));
        queue.nothing().await;
        ctx.clock().set(due);
    }
    // At an instant, too; one that has passed means now.
    queue.work(Outcome::Snooze(When::At(Timestamp::EPOCH))).await;
    queue.work(done()).await;
    assert_eq!(queue.state(&job).await, State::Completed);
}

/// A job of a type that its worker does not know is offered again, to others
/// too, and uses no attempt.
async fn a_job_of_a_type_nobody_knows_is_put_off_longer_each_time(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let mut before = secs(0);
    for _ in 0..9 {
        queue.work(Outcome::UnknownType).await;
        let seen = queue.see(&job).await;
        assert_eq!(seen.course.failed_attempts, 0);
        let wait = seen.due.since(ctx.now());
        assert!(wait > before || wait == MAX_UNKNOWN_TYPE_DELAY, "{wait:?} after {before:?}");
        before = wait;
        ctx.clock().set(seen.due);
    }
    queue.work(done()).await;
}

/// A time-out counts as a failure with its own error kind. A panic counts as a
/// failure and harms nothing else.
async fn each_kind_of_failure_is_kept_and_harms_nothing_else(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let kinds = [
        FailureKind::Error,
        FailureKind::Panic,
        FailureKind::Timeout,
        FailureKind::Decode,
        FailureKind::Result,
    ];
    for kind in kinds {
        let job = queue.add_one().await;
        let sibling = queue.add_one().await;
        let taken = queue.take(2).await;
        let outcome = Outcome::Failure { kind, message: kind.to_string(), retry: Retryable::No };
        queue.settled(&taken[0], outcome).await;
        let errors = queue.see(&job).await.course.errors;
        assert_eq!((errors[0].kind, errors[0].attempt), (kind, 1));
        assert_eq!(errors[0].started_at, Some(ctx.now()));
        assert_eq!(queue.see(&sibling).await, taken[1]);
        queue.complete(&taken[1]).await;
        ctx.advance(secs(1));
    }
}

/// A settle that fails for one job of a batch does not fail its siblings;
/// outcomes come in the order of the call.
async fn a_settle_that_fails_for_one_job_does_not_fail_its_siblings(ctx: &Context) {
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    a.add_all(a.jobs(4)).await;
    b.add_one().await;
    let jobs = a.take(4).await;
    let elsewhere = b.take_one().await;
    a.complete(&jobs[1]).await;
    a.complete(&jobs[2]).await;
    a.control(&jobs[2].reference(), Wish::Remove).await;
    let call = vec![
        a.decide(&jobs[0], done()),
        a.decide(&jobs[1], done()),
        b.decide(&elsewhere, done()),
        a.decide(&jobs[2], done()),
        a.decide(&jobs[3], failure("no")),
    ];
    let outcomes = a.backend().apply(call).await.expect("apply").outcomes;
    assert!(
        matches!(
            outcomes[..],
            [
                Applied::Applied,
                Applied::Stale(_),
                Applied::Applied,
                Applied::Gone,
                Applied::Applied,
            ]
        ),
        "{outcomes:?}"
    );
    assert_eq!(a.state(&jobs[0].reference()).await, State::Completed);
    assert_eq!(b.state(&elsewhere.reference()).await, State::Completed);
    assert_eq!(a.state(&jobs[3].reference()).await, State::Scheduled);
}

/// The version then rises by one and the lease, if any, ends, except by
/// `Target::Stay`.
async fn the_version_rises_by_one_with_every_transition(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let mut before = queue.see(&job).await;
    for wish in [Wish::Delay(When::After(secs(9))), Wish::Promote, Wish::Cancel, Wish::Retry] {
        assert!(queue.control(&job, wish).await);
        let now = queue.see(&job).await;
        assert_eq!(now.version, before.version + 1, "{wish:?}");
        before = now;
    }
    let leased = queue.take_one().await;
    assert_eq!(leased.version, before.version + 1, "leased");
    queue.control(&job, Wish::Cancel).await;
    let told = queue.see(&job).await;
    assert_eq!(told.version, leased.version + 1, "asked to stop");
    assert_eq!((told.state, told.lease), (State::Active, leased.lease));
    // Whoever decided before that decides again.
    let answered = stale(queue.settle(&leased, failure("no")).await);
    assert!(answered.cancel_requested);
    queue.settled(&answered, failure("no")).await;
    let ended = queue.see(&job).await;
    assert_eq!((ended.version, ended.lease), (told.version + 1, None));
}

/// In the order of the call; two transitions of one job see each other.
async fn two_transitions_of_one_job_in_one_call_see_each_other(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let before = queue.see(&job).await;
    let pending = |by: u64, wait: u64| {
        let guard = Guard { version: before.version + by, lease: LeaseGuard::Any };
        let to = Target::Pending { due: When::After(secs(wait)), place: Place::AtDue };
        forged(&before, guard, to)
    };
    let call = vec![pending(0, 10), pending(0, 20), pending(1, 30), pending(3, 40)];
    let outcomes = queue.backend().apply(call).await.expect("apply").outcomes;
    assert!(matches!(outcomes[0], Applied::Applied), "{outcomes:?}");
    assert!(matches!(&outcomes[1], Applied::Stale(job) if job.version == before.version + 1));
    assert!(matches!(outcomes[2], Applied::Applied), "{outcomes:?}");
    assert!(matches!(&outcomes[3], Applied::Stale(job) if job.version == before.version + 2));
    let after = queue.see(&job).await;
    assert_eq!(after.due, ctx.now().after(secs(30)));
    assert_eq!(after.version, before.version + 2);
}

/// By guard: the same one again answers `Stale`.
async fn the_same_transition_again_is_stale(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_one().await;
    let leased = queue.take_one().await;
    let complete = queue.decide(&leased, success("once"));
    assert!(is_applied(&queue.apply(complete.clone()).await));
    ctx.advance(secs(1));
    let before = queue.see(&leased.reference()).await;
    stale(queue.apply(complete).await);
    assert_eq!(queue.see(&leased.reference()).await, before);
    assert_eq!(queue.stats().await.count(State::Completed), 1);
}

/// There is no such job; nothing changed.
async fn a_job_that_is_not_there_is_gone(ctx: &Context) {
    let (queue, other) = (ctx.queue("q").await, ctx.queue("other").await);
    let job = queue.add_one().await;
    let seen = queue.see(&job).await;
    let guard = Guard { version: seen.version, lease: LeaseGuard::Any };
    let nobody = Job { id: ctx.ids().job(), ..seen.clone() };
    let misplaced = Job { queue: other.spec.name.clone(), ..seen.clone() };
    for job in [nobody, misplaced] {
        let outcome = queue.apply(forged(&job, guard, Target::Removed)).await;
        assert!(matches!(outcome, Applied::Gone), "{outcome:?}");
    }
    assert_eq!(queue.see(&job).await, seen);
    queue.control(&job, Wish::Remove).await;
    let outcome = queue.apply(forged(&seen, guard, Target::Removed)).await;
    assert!(matches!(outcome, Applied::Gone), "{outcome:?}");
}

/// It is removed, with everything that belongs to it.
async fn a_removed_job_leaves_nothing_behind(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let draft = queue.job().key("k").dedup("d").tag("t").expires(When::After(secs(9)));
    let job = queue.add(draft.clone()).await;
    queue.control(&job, Wish::Remove).await;
    assert_eq!(queue.find(&job).await, None);
    let tagged = Filter { tag: Some(tag("t")), ..Filter::default() };
    assert_eq!(queue.list(tagged).await, []);
    assert_eq!(queue.stats().await.jobs, [0; 8]);
    assert_eq!(queue.nothing().await, windlass_core::backend::Again::OnNotice);
    ctx.advance(secs(9));
    assert_eq!(queue.overdue(Overdue::Expired).await.jobs, []);
    // Also a leased one, and its keys are free.
    let job = queue.add(draft).await;
    ctx.advance(secs(1));
    let leased = queue.take_one().await;
    let guard =
        Guard { version: leased.version, lease: LeaseGuard::Held(crate::fixture::token(&leased)) };
    assert!(is_applied(&queue.apply(forged(&leased, guard, Target::Removed)).await));
    assert_eq!(queue.find(&job).await, None);
    assert_eq!((queue.stats().await.jobs, queue.stats().await.leases), ([0; 8], 0));
    ctx.advance(secs(3600));
    assert_eq!(queue.overdue(Overdue::LostLeases).await.jobs, []);
}

/// What its handler is given from now on, and whether its expiry still counts.
async fn a_transition_can_replace_the_payload_and_drop_the_expiry(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let expires = When::After(secs(60));
    let job = queue.add(queue.job().payload("old").expires(expires)).await;
    let seen = queue.see(&job).await;
    // What a transition does not mention stays.
    let change = |job: &Job| {
        let guard = Guard { version: job.version, lease: LeaseGuard::Any };
        let to = Target::Pending { due: When::Now, place: Place::AtDue };
        forged(job, guard, to)
    };
    assert!(is_applied(&queue.apply(change(&seen)).await));
    let unchanged = queue.see(&job).await;
    assert_eq!((&unchanged.payload, unchanged.expires), (&seen.payload, seen.expires));
    let mut transition = change(&unchanged);
    transition.payload = Some(Payload::from(vec![0, 255]));
    transition.expiry = Expiry::Dropped;
    assert!(is_applied(&queue.apply(transition).await));
    let changed = queue.see(&job).await;
    assert_eq!(changed.payload, Some(Payload::from(vec![0, 255])));
    assert_eq!(changed.expires, None);
    ctx.advance(secs(60));
    assert_eq!(queue.overdue(Overdue::Expired).await.jobs, []);
    assert_eq!(queue.take_one().await.payload, changed.payload);
}

/// The store resolves it, with its own clock.
async fn a_moment_in_a_transition_is_resolved_when_it_is_applied(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let table = [
        (Outcome::Snooze(When::Now), 100),
        (Outcome::Snooze(When::After(secs(9))), 109),
        (Outcome::Snooze(When::At(ctx.now().after(secs(50)))), 100),
        (Outcome::Snooze(When::At(ctx.now().after(secs(150)))), 150),
    ];
    let begin = ctx.now();
    let jobs = queue.add_all(queue.jobs(table.len())).await;
    let leased = queue.take(9).await;
    let decided: Vec<_> = leased
        .iter()
        .zip(&table)
        .map(|(job, (outcome, _))| queue.decide(job, outcome.clone()))
        .collect();
    ctx.advance(secs(100));
    queue.backend().apply(decided).await.expect("apply");
    for (job, (outcome, due)) in jobs.iter().zip(&table) {
        let due = begin.after(secs(*due));
        let seen = queue.see(job).await;
        assert_eq!((seen.due, seen.place), (due, due), "{outcome:?}");
    }
}
