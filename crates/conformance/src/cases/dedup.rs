//! Deduplication keys: at most one live job for each.

use windlass_core::BackendExt;
use windlass_core::backend::{Applied, CleanWhich, ControlError, Enqueued, Overdue};
use windlass_core::decide::control::Wish;
use windlass_core::decide::{Conflict, OnDuplicate, conflict};
use windlass_core::model::{Job, Payload, State, Timestamp, When};

use crate::fixture::{
    AWKWARD, Draft, Queue, TICK, dedup_key, done, failure, failure_for_good, ids, secs,
};
use crate::harness::{Context, case_table};

case_table! {
    [E4] a_key_is_taken_while_its_job_is_live,
    [E4] a_key_is_free_once_its_job_has_ended_however_it_ended,
    [E4] a_key_holds_among_the_jobs_of_one_batch,
    [E4] keys_of_two_queues_have_nothing_to_do_with_each_other,
    [E4] awkward_keys_are_told_apart,
    [E4] rejecting_and_returning_leave_the_existing_job_as_it_is,
    [E4] debounce_replaces_payload_and_moment_of_a_job_that_has_not_started,
    [E4] debounce_leaves_a_job_that_has_started_alone,
    [E4] debounce_puts_off_to_its_latest_moment_and_no_further,
    [E4] a_debounce_after_the_latest_moment_keeps_the_place,
    [E4] debounce_of_a_blocked_job_replaces_its_payload_alone,
    [E4] throttle_holds_the_key_for_its_period_and_to_the_moment,
    [E4] throttle_holds_the_key_even_if_its_job_is_removed,
    [E4] a_live_job_has_its_key_longer_than_its_period,
    [E4] the_hold_of_an_earlier_job_is_replaced_by_that_of_the_next,
    [E4] an_earlier_job_that_goes_leaves_the_key_to_the_one_that_has_it,
    [C2] a_job_that_comes_back_to_life_takes_its_key_again,
    [C2] a_job_that_comes_back_to_life_has_its_key_longer_than_its_first_hold,
    [C2] a_job_whose_key_another_one_has_cannot_come_back_to_life,
    [C2] a_job_whose_key_another_one_holds_cannot_come_back_to_life,
}

/// Offers a job whose key must be taken by a live job, and answers that job.
async fn duplicate(queue: &Queue, draft: Draft) -> Job {
    match queue.offer_one(draft).await {
        Enqueued::Duplicate(job) => *job,
        other => panic!("expected Duplicate, not {other:?}"),
    }
}

/// At most one non-terminal job per queue and key; a duplicate carries the
/// live job, without payload.
async fn a_key_is_taken_while_its_job_is_live(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let blocker = queue.add(queue.job().after(secs(3600))).await;
    let live = [
        ("waiting", queue.job()),
        ("scheduled", queue.job().after(secs(60))),
        ("blocked", queue.job().depends_on([&blocker])),
    ];
    for (key, draft) in live {
        let job = queue.add(draft.dedup(key)).await;
        let found = duplicate(&queue, queue.job().dedup(key)).await;
        assert_eq!(found.id, job.id, "{key}");
        assert_eq!(found.state.name(), key);
        assert_eq!((found.payload, found.result), (None, None), "{key}");
    }
    let leased = queue.take_one().await;
    let active = duplicate(&queue, queue.job().dedup("waiting")).await;
    assert_eq!((active.id, active.state), (leased.id, State::Active));
    assert_eq!(active.version, leased.version, "decisions need it as it is");
    queue.settled(&leased, failure("again")).await;
    let retried = duplicate(&queue, queue.job().dedup("waiting")).await;
    assert_eq!((retried.id, retried.state), (leased.id, State::Scheduled));
    assert_eq!(queue.all().await.len(), 4, "a duplicate was stored");
}

/// A job that ends frees its deduplication key.
async fn a_key_is_free_once_its_job_has_ended_however_it_ended(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let draft = || queue.job().dedup("k");
    let cancelled = windlass_core::decide::Outcome::Cancelled;
    for outcome in [done(), failure_for_good("no"), cancelled] {
        queue.add(draft()).await;
        queue.work(outcome).await;
    }
    let job = queue.add(draft()).await;
    queue.control(&job, Wish::Cancel).await;
    let job = queue.add(draft()).await;
    queue.control(&job, Wish::Remove).await;
    queue.add(draft().expires(When::Now)).await;
    assert_eq!(queue.sweep(Overdue::Expired).await, 1);
    queue.add(draft()).await;
    assert_eq!(queue.clean(State::Waiting, CleanWhich::OlderThan(secs(0)), 9).await, 1);
    queue.add(draft()).await;
    duplicate(&queue, draft()).await;
}

/// Both hold among the jobs of the batch too.
async fn a_key_holds_among_the_jobs_of_one_batch(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let drafts = vec![
        queue.job().dedup("k"),
        queue.job().dedup("other"),
        queue.job().dedup("k"),
        queue.job().dedup("k"),
    ];
    let (first, other) = (drafts[0].0.id, drafts[1].0.id);
    let outcomes = queue.offer(drafts).await;
    assert_eq!(outcomes[..2], [Enqueued::Stored, Enqueued::Stored]);
    for outcome in &outcomes[2..] {
        match outcome {
            Enqueued::Duplicate(job) => assert_eq!(job.id, first),
            other => panic!("expected Duplicate, not {other:?}"),
        }
    }
    assert_eq!(ids(&queue.all().await), [first, other]);
}

/// At most one per (queue, key).
async fn keys_of_two_queues_have_nothing_to_do_with_each_other(ctx: &Context) {
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    let of_a = a.add(a.job().dedup("k")).await;
    let of_b = b.add(b.job().dedup("k")).await;
    assert_eq!(duplicate(&a, a.job().dedup("k")).await.id, of_a.id);
    a.work(done()).await;
    assert_eq!(duplicate(&b, b.job().dedup("k")).await.id, of_b.id);
    a.add(a.job().dedup("k")).await;
}

/// Keys are compared to the byte.
async fn awkward_keys_are_told_apart(ctx: &Context) {
    let queue = ctx.queue("q").await;
    for key in AWKWARD {
        queue.add(queue.job().dedup(key)).await;
    }
    let jobs = queue.all().await;
    for (key, job) in AWKWARD.into_iter().zip(jobs) {
        assert_eq!(duplicate(&queue, queue.job().dedup(key)).await.id, job.id, "{key:?}");
    }
}

/// Reject with an error that carries the existing id (default), or return the
/// existing job.
async fn rejecting_and_returning_leave_the_existing_job_as_it_is(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add(queue.job().dedup("k").payload("first")).await;
    let before = queue.see(&job).await;
    ctx.advance(secs(1));
    let payload = Payload::from("second");
    for (choice, follows) in [
        (OnDuplicate::Reject, Conflict::Reject),
        (OnDuplicate::ReturnExisting, Conflict::ReturnExisting),
    ] {
        let draft = queue.job().dedup_with("k", choice, None).payload(payload.clone());
        let new = queue.new_job(draft.clone());
        let existing = duplicate(&queue, draft).await;
        assert_eq!(existing.id, job.id);
        assert_eq!(conflict(&existing, ctx.now(), choice, &new), follows);
    }
    assert_eq!(queue.see(&job).await, before);
}

const DEBOUNCE: OnDuplicate = OnDuplicate::Replace { latest: None };

/// Does what a client does when a debounced job meets its predecessor.
async fn debounce(queue: &Queue, choice: OnDuplicate, payload: &str, due: When) -> Applied {
    let draft = queue.job().dedup_with("k", choice, None).payload(payload.to_owned()).due(due);
    let new = queue.new_job(draft.clone());
    let existing = duplicate(queue, draft).await;
    let now = queue.stats().await.now;
    match conflict(&existing, now, choice, &new) {
        Conflict::Replace(transition) => queue.apply(*transition).await,
        other => panic!("expected Replace, not {other:?}"),
    }
}

/// Replace payload and moment of the existing one if it has not started.
async fn debounce_replaces_payload_and_moment_of_a_job_that_has_not_started(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let draft = queue.job().dedup_with("k", DEBOUNCE, None).payload("1").after(secs(10));
    let job = queue.add(draft.tag("t")).await;
    for (payload, wait) in [("2", 10), ("3", 2), ("4", 20)] {
        ctx.advance(secs(1));
        let due = When::After(secs(wait));
        assert!(matches!(debounce(&queue, DEBOUNCE, payload, due).await, Applied::Applied));
        let now = queue.see(&job).await;
        assert_eq!(now.due, ctx.now().after(secs(wait)));
        assert_eq!(now.payload, Some(Payload::from(payload)));
        assert_eq!(now.tags.len(), 1, "nothing else changes");
    }
    ctx.advance(secs(19));
    queue.nothing().await;
    ctx.advance(secs(1));
    let leased = queue.take_one().await;
    assert_eq!((leased.id, leased.payload), (job.id, Some(Payload::from("4"))));
    queue.nothing().await;
}

/// If it has started, it is returned as it is.
async fn debounce_leaves_a_job_that_has_started_alone(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add(queue.job().dedup_with("k", DEBOUNCE, None)).await;
    let new = queue.new_job(queue.job().dedup_with("k", DEBOUNCE, None).payload("new"));
    let leased = queue.take_one().await;
    let active = duplicate(&queue, queue.job().dedup("k")).await;
    let decided = |job: &Job| conflict(job, ctx.now(), DEBOUNCE, &new);
    assert_eq!(decided(&active), Conflict::ReturnExisting);
    queue.settled(&leased, failure("again")).await;
    let retried = duplicate(&queue, queue.job().dedup("k")).await;
    assert!(retried.has_started(), "a retried job has started");
    assert_eq!(decided(&retried), Conflict::ReturnExisting);
    // A start between the look and the replacement makes this stale.
    ctx.advance(secs(3600));
    queue.complete(&queue.take_one().await).await;
    queue.add(queue.job().dedup_with("k", DEBOUNCE, None)).await;
    let seen = duplicate(&queue, queue.job().dedup("k")).await;
    let Conflict::Replace(late) = decided(&seen) else { panic!("not replaced") };
    let leased = queue.take_one().await;
    assert!(
        matches!(queue.apply(*late).await, Applied::Stale(job) if job.version == leased.version)
    );
}

/// An optional latest moment after which it runs anyway.
async fn debounce_puts_off_to_its_latest_moment_and_no_further(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let choice = OnDuplicate::Replace { latest: Some(secs(25)) };
    let begin = ctx.now();
    let due = When::After(secs(10));
    let job = queue.add(queue.job().dedup_with("k", choice, None).due(due)).await;
    for (after, expected) in [(9, 19), (18, 25), (24, 25)] {
        ctx.clock().set(begin.after(secs(after)));
        debounce(&queue, choice, "later", due).await;
        assert_eq!(queue.see(&job).await.due, begin.after(secs(expected)), "at {after} s");
    }
    ctx.clock().set(begin.after(secs(25)));
    assert_eq!(queue.take_one().await.id, job.id);
}

/// It stays in its state, at its moment: `Target::Stay` is for jobs without a
/// lease, too.
async fn debounce_of_a_blocked_job_replaces_its_payload_alone(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let first = queue.add_one().await;
    let draft = queue.job().dedup_with("k", DEBOUNCE, None).payload("1");
    let job = queue.add(draft.depends_on([&first]).after(secs(5))).await;
    let before = queue.see(&job).await;
    ctx.advance(secs(1));
    let applied = debounce(&queue, DEBOUNCE, "2", When::After(secs(60))).await;
    assert!(matches!(applied, Applied::Applied), "{applied:?}");
    let expected = Job { payload: Some(Payload::from("2")), version: before.version + 1, ..before };
    assert_eq!(queue.see(&job).await, expected);
    queue.work(done()).await;
    ctx.advance(secs(4));
    let leased = queue.take_one().await;
    assert_eq!((leased.id, leased.payload), (job.id, expected.payload));
}

/// Once its latest moment has passed, a debounced job keeps its place in line:
/// it is changed, and still runs in its turn.
async fn a_debounce_after_the_latest_moment_keeps_the_place(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let choice = OnDuplicate::Replace { latest: Some(secs(25)) };
    let due = When::After(secs(10));
    let job = queue.add(queue.job().dedup_with("k", choice, None).due(due)).await;
    ctx.advance(secs(10));
    debounce(&queue, choice, "to the latest", When::After(secs(60))).await;
    ctx.advance(secs(15));
    let later = queue.add_one().await;
    ctx.advance(secs(5));
    assert!(matches!(debounce(&queue, choice, "changed", due).await, Applied::Applied));
    let leased = queue.take(2).await;
    assert_eq!(ids(&leased), [job.id, later.id]);
    assert_eq!(leased[0].payload, Some(Payload::from("changed")));
}

/// Asserts until when a key is held, and by which job.
async fn held(queue: &Queue, key: &str) -> (windlass_core::model::JobId, Timestamp) {
    match queue.offer_one(queue.job().dedup(key)).await {
        Enqueued::Held { by, until } => (by, until),
        other => panic!("expected Held, not {other:?}"),
    }
}

/// Throttle: the key stays taken for a period from the enqueue, whatever
/// becomes of the job.
async fn throttle_holds_the_key_for_its_period_and_to_the_moment(ctx: &Context) {
    let queue = ctx.queue("q").await;
    for outcome in [done(), failure_for_good("no")] {
        let job = queue.add(queue.job().throttle("k", secs(60))).await;
        let until = ctx.now().after(secs(60));
        ctx.advance(secs(20));
        assert_eq!(duplicate(&queue, queue.job().dedup("k")).await.id, job.id);
        queue.work(outcome).await;
        assert_eq!(held(&queue, "k").await, (job.id, until));
        ctx.clock().set(until.before(TICK));
        assert_eq!(held(&queue, "k").await, (job.id, until));
        ctx.clock().set(until);
    }
    let next = queue.add(queue.job().dedup("k")).await;
    assert_eq!(duplicate(&queue, queue.job().dedup("k")).await.id, next.id);
}

/// It may have been removed; a deduplication key that is held stays held.
async fn throttle_holds_the_key_even_if_its_job_is_removed(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let until = ctx.now().after(secs(60));
    let cleaned = queue.add(queue.job().throttle("cleaned", secs(60))).await;
    let removed = queue.add(queue.job().throttle("removed", secs(60))).await;
    queue.work(done()).await;
    assert_eq!(queue.clean(State::Completed, CleanWhich::OlderThan(secs(0)), 9).await, 1);
    queue.control(&removed, Wish::Remove).await;
    assert_eq!(queue.all().await, []);
    assert_eq!(held(&queue, "cleaned").await, (cleaned.id, until));
    assert_eq!(held(&queue, "removed").await, (removed.id, until));
    ctx.clock().set(until);
    queue.add(queue.job().dedup("cleaned")).await;
    queue.add(queue.job().dedup("removed")).await;
}

/// A key is taken while the job that has it is not terminal, and until that
/// job's `held_until`.
async fn a_live_job_has_its_key_longer_than_its_period(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add(queue.job().throttle("k", secs(1))).await;
    ctx.advance(secs(60));
    assert_eq!(duplicate(&queue, queue.job().dedup("k")).await.id, job.id);
    queue.work(done()).await;
    queue.add(queue.job().dedup("k")).await;
}

/// The period counts from the enqueue of the job that has the key now.
async fn the_hold_of_an_earlier_job_is_replaced_by_that_of_the_next(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add(queue.job().throttle("k", secs(10))).await;
    queue.work(done()).await;
    ctx.advance(secs(10));
    queue.add(queue.job().throttle("k", secs(30))).await;
    let until = ctx.now().after(secs(30));
    let second = queue.work(done()).await;
    assert_eq!(held(&queue, "k").await, (second.id, until));
    ctx.clock().set(until);
    queue.add(queue.job().dedup("k")).await;
    queue.work(done()).await;
    queue.add(queue.job().dedup("k")).await;
}

/// Freeing a key is for the job that has it.
async fn an_earlier_job_that_goes_leaves_the_key_to_the_one_that_has_it(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let mut ended = Vec::new();
    for _ in 0..3 {
        ended.push(queue.add(queue.job().dedup("k")).await);
        queue.work(done()).await;
        ctx.advance(secs(1));
    }
    let live = queue.add(queue.job().dedup("k")).await;
    assert!(queue.control(&ended[1], Wish::Remove).await);
    assert_eq!(duplicate(&queue, queue.job().dedup("k")).await.id, live.id);
    assert_eq!(queue.clean(State::Completed, CleanWhich::BeyondNewest(0), 9).await, 2);
    assert_eq!(duplicate(&queue, queue.job().dedup("k")).await.id, live.id);
    // Nor does the end of one throttle the other.
    queue.work(done()).await;
    let held = queue.add(queue.job().throttle("k", secs(60))).await;
    queue.work(done()).await;
    assert!(queue.control(&live, Wish::Remove).await);
    assert_eq!(self::held(&queue, "k").await.0, held.id);
}

/// A job that leaves a terminal state takes its deduplication key again.
async fn a_job_that_comes_back_to_life_takes_its_key_again(ctx: &Context) {
    let queue = ctx.queue("q").await;
    for draft in [queue.job().dedup("k"), queue.job().throttle("held", secs(60))] {
        let job = queue.add(draft).await;
        queue.work(failure_for_good("no")).await;
        // Its own hold does not stand in its way.
        assert!(queue.control(&job, Wish::Retry).await);
        let key = queue.see(&job).await.dedup.expect("a key").key;
        assert_eq!(duplicate(&queue, queue.job().dedup(key.as_str())).await.id, job.id);
        queue.work(done()).await;
    }
    queue.add(queue.job().dedup("k")).await;
}

/// A key is taken while the job that has it is not terminal, and until its
/// `held_until`, whichever is later.
async fn a_job_that_comes_back_to_life_has_its_key_longer_than_its_first_hold(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add(queue.job().throttle("k", secs(10))).await;
    queue.work(failure_for_good("no")).await;
    assert!(queue.control(&job, Wish::Retry).await);
    ctx.advance(secs(60));
    // Other keys come and go meanwhile.
    queue.add(queue.job().throttle("other", secs(1))).await;
    assert_eq!(duplicate(&queue, queue.job().dedup("k")).await.id, job.id);
    queue.work(done()).await;
    queue.add(queue.job().dedup("k")).await;
}

async fn key_taken(ctx: &Context, queue: &Queue, job: &Job, by: &Job) {
    let before = queue.see(&job.reference()).await;
    let error = ctx.backend().control(&job.reference(), Wish::Retry).await;
    match error {
        Err(ControlError::KeyTaken { id, key, by: taker }) => {
            assert_eq!((id, taker), (job.id, by.id));
            assert_eq!(key, dedup_key("k"));
        }
        other => panic!("expected KeyTaken, not {other:?}"),
    }
    assert_eq!(queue.see(&job.reference()).await, before, "something changed");
}

/// The job would come back to life, but its deduplication key is taken by
/// another one; nothing changed.
async fn a_job_whose_key_another_one_has_cannot_come_back_to_life(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add(queue.job().dedup("k")).await;
    let first = queue.work(failure_for_good("no")).await;
    queue.add(queue.job().dedup("k")).await;
    let second = queue.take_one().await;
    key_taken(ctx, &queue, &first, &second).await;
    queue.complete(&second).await;
    assert!(queue.control(&first.reference(), Wish::Retry).await);
    assert_eq!(duplicate(&queue, queue.job().dedup("k")).await.id, first.id);
}

/// A key is taken until the `held_until` of the job that has it.
async fn a_job_whose_key_another_one_holds_cannot_come_back_to_life(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add(queue.job().dedup("k")).await;
    let first = queue.work(failure_for_good("no")).await;
    queue.add(queue.job().throttle("k", secs(60))).await;
    let second = queue.work(done()).await;
    key_taken(ctx, &queue, &first, &second).await;
    ctx.advance(secs(60));
    assert!(queue.control(&first.reference(), Wish::Retry).await);
}
