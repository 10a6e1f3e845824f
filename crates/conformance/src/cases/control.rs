//! What an operator can do with a job, and with many.

use windlass_core::BackendExt;
use windlass_core::backend::{ControlError, Extended, Overdue};
use windlass_core::decide::Outcome;
use windlass_core::decide::control::Wish;
use windlass_core::model::{Course, Filter, JobRef, State, Timestamp, When};

use crate::fixture::{
    LEASE, TICK, done, failure, failure_for_good, ids, secs, stale, success, tag,
};
use crate::harness::{Context, case_table};

case_table! {
    [D1] a_scheduled_or_waiting_job_can_be_delayed,
    [D1] a_scheduled_job_can_be_promoted_and_a_waiting_one_is_already,
    [D1] a_job_that_is_active_or_has_ended_cannot_be_moved,
    [C1] a_job_that_is_not_active_is_cancelled_at_once,
    [C1] an_active_job_is_told_by_its_next_heartbeat,
    [C1] a_handler_that_succeeds_in_the_meantime_completes,
    [C1] a_cancelled_job_never_retries,
    [C1] a_cancelled_job_whose_worker_died_is_cancelled_by_the_take_over,
    [C1] cancelling_twice_changes_nothing_and_an_ended_job_cannot_be_cancelled,
    [C2] a_retried_job_starts_afresh_and_keeps_its_history,
    [C2] an_old_expiry_does_not_count_after_a_retry,
    [C2] a_job_that_has_not_ended_cannot_be_retried,
    [C3] bulk_forms_change_what_the_filter_says_and_report_how_many,
    [C3] a_bulk_form_goes_through_more_than_one_page,
    [] a_wish_about_a_job_that_is_not_there_says_so,
}

/// Asserts that a wish is refused because of the job's state.
async fn not_possible(ctx: &Context, job: &JobRef, wish: Wish, state: State) {
    match ctx.backend().control(job, wish).await {
        Err(ControlError::NotPossible(why)) => assert_eq!(why.state(), state, "{wish:?}"),
        other => panic!("{wish:?} of a job that is {state}: {other:?}"),
    }
}

/// Delayed to another moment.
async fn a_scheduled_or_waiting_job_can_be_delayed(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let waiting = queue.add_one().await;
    let scheduled = queue.add(queue.job().after(secs(100))).await;
    let begin = ctx.now();
    for (job, due) in [
        (&waiting, When::After(secs(50))),
        (&scheduled, When::After(secs(20))),
        (&scheduled, When::At(begin.after(secs(30)))),
    ] {
        assert!(queue.control(job, Wish::Delay(due)).await);
        let seen = queue.see(job).await;
        assert_eq!((seen.state, seen.due), (State::Scheduled, due.resolve(begin)));
    }
    for (wait, job) in [(30, &scheduled), (50, &waiting)] {
        ctx.clock().set(begin.after(secs(wait)).before(TICK));
        queue.nothing().await;
        ctx.advance(TICK);
        assert_eq!(queue.take_one().await.id, job.id);
    }
    // To a moment that has passed means now.
    let job = queue.add(queue.job().after(secs(100))).await;
    queue.control(&job, Wish::Delay(When::At(Timestamp::EPOCH))).await;
    assert_eq!(queue.take_one().await.id, job.id);
}

/// Or promoted to now.
async fn a_scheduled_job_can_be_promoted_and_a_waiting_one_is_already(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add(queue.job().after(secs(100))).await;
    let now = ctx.advance(secs(3));
    assert!(queue.control(&job, Wish::Promote).await);
    let seen = queue.see(&job).await;
    assert_eq!((seen.state, seen.due, seen.place), (State::Waiting, now, now));
    assert!(!queue.control(&job, Wish::Promote).await);
    assert_eq!(queue.see(&job).await, seen);
    assert_eq!(queue.work(failure("no")).await.id, job.id);
    assert!(queue.control(&job, Wish::Promote).await, "one that waits for a retry");
    assert_eq!(queue.work(done()).await.id, job.id);
}

/// A scheduled or waiting job: no other.
async fn a_job_that_is_active_or_has_ended_cannot_be_moved(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let delay = Wish::Delay(When::After(secs(1)));
    let leased = queue.take_one().await;
    for wish in [delay, Wish::Promote, Wish::Remove] {
        not_possible(ctx, &job, wish, State::Active).await;
    }
    assert_eq!(queue.see(&job).await, leased);
    queue.complete(&leased).await;
    for wish in [delay, Wish::Promote] {
        not_possible(ctx, &job, wish, State::Completed).await;
    }
}

/// A job that is not active is cancelled at once.
async fn a_job_that_is_not_active_is_cancelled_at_once(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let scheduled = queue.add(queue.job().after(secs(60))).await;
    let jobs =
        [queue.add_one().await, queue.add(queue.job().depends_on([&scheduled])).await, scheduled];
    let now = ctx.advance(secs(1));
    for job in &jobs {
        assert!(queue.control(job, Wish::Cancel).await);
        let seen = queue.see(job).await;
        assert_eq!((seen.state, seen.finished_at), (State::Cancelled, Some(now)));
    }
    ctx.advance(secs(3600));
    queue.nothing().await;
    assert_eq!(queue.stats().await.count(State::Cancelled), 3);
}

/// An active one is told, by its next heartbeat at the latest; only its worker
/// ends it.
async fn an_active_job_is_told_by_its_next_heartbeat(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_all(queue.jobs(2)).await;
    let leased = queue.take(2).await;
    assert!(queue.control(&leased[0].reference(), Wish::Cancel).await);
    let seen = queue.see(&leased[0].reference()).await;
    assert_eq!((seen.state, seen.cancel_requested), (State::Active, true));
    assert_eq!(seen.lease, leased[0].lease, "the lease goes on");
    for (job, requested) in [(&leased[0], true), (&leased[1], false), (&leased[0], true)] {
        match queue.extend(job, LEASE).await {
            Extended::Held { cancel_requested, .. } => assert_eq!(cancel_requested, requested),
            Extended::Lost => panic!("lost by a wish to cancel"),
        }
    }
    // The grace period is over and the handler dropped.
    queue.settled(&seen, Outcome::Cancelled).await;
    let ended = queue.see(&seen.reference()).await;
    assert_eq!((ended.state, ended.lease), (State::Cancelled, None));
}

/// A handler that succeeds in the meantime completes.
async fn a_handler_that_succeeds_in_the_meantime_completes(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let leased = queue.take_one().await;
    queue.control(&job, Wish::Cancel).await;
    // The first try is stale, because the job has changed; the second is not.
    let now = stale(queue.settle(&leased, success("done")).await);
    queue.settled(&now, success("done")).await;
    let ended = queue.see(&job).await;
    assert_eq!(ended.state, State::Completed);
    assert!(ended.result.is_some());
}

/// A cancelled job never retries.
async fn a_cancelled_job_never_retries(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let outcomes =
        [failure("no"), Outcome::Release, Outcome::Snooze(When::Now), Outcome::UnknownType];
    for outcome in outcomes {
        let job = queue.add(queue.job().dedup("k")).await;
        queue.take_one().await;
        queue.control(&job, Wish::Cancel).await;
        let seen = queue.see(&job).await;
        queue.settled(&seen, outcome).await;
        assert_eq!(queue.state(&job).await, State::Cancelled);
    }
    queue.nothing().await;
}

/// Nor by a take-over.
async fn a_cancelled_job_whose_worker_died_is_cancelled_by_the_take_over(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    queue.take_one().await;
    queue.control(&job, Wish::Cancel).await;
    ctx.advance(LEASE);
    assert_eq!(queue.sweep(Overdue::LostLeases).await, 1);
    assert_eq!(queue.state(&job).await, State::Cancelled);
}

/// Granted already is no error; one that has ended otherwise is.
async fn cancelling_twice_changes_nothing_and_an_ended_job_cannot_be_cancelled(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let active = queue.add_one().await;
    queue.take_one().await;
    let waiting = queue.add_one().await;
    for job in [&active, &waiting] {
        assert!(queue.control(job, Wish::Cancel).await);
        let before = queue.see(job).await;
        ctx.advance(secs(1));
        assert!(!queue.control(job, Wish::Cancel).await);
        assert_eq!(queue.see(job).await, before);
    }
    for (outcome, state) in [(done(), State::Completed), (failure_for_good("no"), State::Failed)] {
        let job = queue.add_one().await;
        queue.work(outcome).await;
        not_possible(ctx, &job, Wish::Cancel, state).await;
    }
}

/// An operator can retry a terminal job: attempts start afresh, history stays.
/// `finished_at`, result and `cancel_requested` are cleared.
async fn a_retried_job_starts_afresh_and_keeps_its_history(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let draft = || queue.job().payload("p").tag("t");
    let mut ended = Vec::new();
    for outcome in [success("r"), failure_for_good("no"), Outcome::Cancelled] {
        ended.push(queue.add(draft()).await);
        queue.work(outcome).await;
    }
    ended.push(queue.add(draft()).await);
    queue.take_one().await;
    queue.control(&ended[3], Wish::Cancel).await;
    let told = queue.see(&ended[3]).await;
    queue.settled(&told, failure("no")).await;
    ended.push(queue.add(draft().expires(When::Now)).await);
    queue.sweep(Overdue::Expired).await;
    for job in &ended {
        let before = queue.see(job).await;
        assert!(before.state.is_terminal());
        let now = ctx.advance(secs(10));
        assert!(queue.control(job, Wish::Retry).await);
        let seen = queue.see(job).await;
        assert_eq!((seen.state, seen.due, seen.place), (State::Waiting, now, now));
        assert_eq!((&seen.result, seen.finished_at), (&None, None));
        assert!(!seen.cancel_requested);
        let course = Course { errors: before.course.errors.clone(), ..Course::default() };
        assert_eq!(seen.course, course);
        assert_eq!((&seen.payload, &seen.tags), (&before.payload, &before.tags));
        assert_eq!((seen.seq, seen.enqueued_at), (before.seq, before.enqueued_at));
        let leased = queue.take_one().await;
        assert_eq!(leased.id, job.id);
        queue.complete(&leased).await;
    }
    assert_eq!(queue.stats().await.count(State::Completed), 5);
}

/// The old expiry does not count again: it would end the job at once.
async fn an_old_expiry_does_not_count_after_a_retry(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add(queue.job().expires(When::After(secs(1)))).await;
    ctx.advance(secs(5));
    queue.sweep(Overdue::Expired).await;
    queue.control(&job, Wish::Retry).await;
    assert_eq!(queue.overdue(Overdue::Expired).await.jobs, []);
    assert_eq!(queue.take_one().await.id, job.id);
}

/// A terminal job: no other.
async fn a_job_that_has_not_ended_cannot_be_retried(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    not_possible(ctx, &job, Wish::Retry, State::Waiting).await;
    queue.take_one().await;
    not_possible(ctx, &job, Wish::Retry, State::Active).await;
}

/// Bulk forms by filter exist for cancel, retry, remove, and report how many.
async fn bulk_forms_change_what_the_filter_says_and_report_how_many(ctx: &Context) {
    let (queue, other) = (ctx.queue("q").await, ctx.queue("other").await);
    let marked: Vec<_> = (0..4).map(|_| queue.job().tag("t")).collect();
    let marked = queue.add_all(marked).await;
    let plain = queue.add_all(queue.jobs(2)).await;
    other.add(other.job().tag("t")).await;
    let filter = |states: &[State]| Filter {
        queue: Some(queue.spec.name.clone()),
        states: states.to_vec(),
        tag: Some(tag("t")),
        ..Filter::default()
    };
    let all = async |filter: Filter, wish| {
        let changed = ctx.backend().control_all(filter, wish).await;
        changed.expect("control_all")
    };
    // One of them has ended and one runs.
    queue.work(done()).await;
    queue.take_one().await;
    assert_eq!(all(filter(&[]), Wish::Cancel).await, 3);
    assert_eq!(all(filter(&[]), Wish::Cancel).await, 0, "nothing is left to do");
    assert_eq!(all(filter(&[State::Cancelled]), Wish::Retry).await, 2);
    assert_eq!(all(filter(&[State::Completed]), Wish::Retry).await, 1);
    assert_eq!(all(filter(&[State::Waiting]), Wish::Remove).await, 3);
    assert_eq!(ids(&queue.list(filter(&[])).await), [marked[1].id]);
    let rest = Filter::default();
    assert_eq!(queue.list(rest).await.len(), 1 + plain.len());
    assert_eq!(other.stats().await.count(State::Waiting), 1, "another queue's job");
    let everywhere = Filter { tag: Some(tag("t")), ..Filter::default() };
    assert_eq!(all(everywhere, Wish::Remove).await, 1, "all but the active one");
}

/// Every job of a filter, however many.
async fn a_bulk_form_goes_through_more_than_one_page(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let jobs = queue.add_all(queue.jobs(1100)).await;
    queue.add_all((0..30).map(|_| queue.job().job_type("other")).collect()).await;
    let filter = Filter {
        queue: Some(queue.spec.name.clone()),
        job_type: Some(windlass_core::model::JobType::new("test").expect("a name")),
        ..Filter::default()
    };
    for (wish, state, count) in [
        (Wish::Cancel, State::Cancelled, 1100),
        (Wish::Retry, State::Waiting, 1130),
        (Wish::Remove, State::Waiting, 30),
    ] {
        let changed = ctx.backend().control_all(filter.clone(), wish).await;
        assert_eq!(changed.expect("control_all"), 1100, "{wish:?}");
        assert_eq!(queue.stats().await.count(state), count, "{wish:?}");
    }
    assert_eq!(queue.find(&jobs[0]).await, None);
}

/// There is no such job.
async fn a_wish_about_a_job_that_is_not_there_says_so(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let nobody = JobRef { queue: queue.spec.name.clone(), id: ctx.ids().job() };
    for wish in [Wish::Cancel, Wish::Promote, Wish::Retry, Wish::Remove] {
        let error = ctx.backend().control(&nobody, wish).await;
        assert!(matches!(error, Err(ControlError::NotFound(id)) if id == nobody.id));
    }
}
