//! Leases: exclusive, and fenced by a token.

use std::time::Duration;

use windlass_core::backend::{
    Again, Applied, BackendExt, EnqueueAnswer, Enqueued, Extend, Extended, Guard, LeaseGuard,
    Overdue, Target,
};
use windlass_core::decide::Outcome;
use windlass_core::decide::control::Wish;
use windlass_core::model::{
    End, Job, JobRef, Lease, NewStep, Payload, Progress, State, StepName, Timestamp, Token,
    WorkerId,
};

use crate::fixture::{
    LEASE, Queue, TICK, done, failure, forged, ids, ids_of, secs, stale, success, token,
};
use crate::harness::{Context, case_table};

case_table! {
    [L1] a_dequeue_gives_an_exclusive_lease_with_an_end,
    [L1] every_lease_of_a_job_has_a_larger_token,
    [L1] a_leased_job_is_not_leased_again_even_when_its_lease_has_run_out,
    [L2] a_lease_of_a_removed_job_opens_nothing_of_one_stored_anew_under_its_id,
    [L2] a_batch_that_was_sent_again_lets_no_former_lease_open_anything,
    [L2] a_stale_lease_cannot_complete_the_job,
    [L2] a_stale_lease_cannot_extend_or_tell_of_progress,
    [L2] neither_token_nor_version_alone_opens_a_guard,
    [L2] a_guard_that_names_a_lease_does_not_hold_for_a_job_that_is_not_active,
    [L2] an_extension_lasts_from_now_and_leaves_the_version_alone,
    [L2] progress_is_kept_until_there_is_news,
    [L2] extensions_are_answered_one_by_one_in_order,
    [L5] the_workers_name_is_never_the_fence,
    [] the_longest_and_the_shortest_leases_fit,
}

/// An exclusive lease: a fresh token, and an end. A leased job becomes active;
/// its version rises by one; `started_at` becomes the store's time.
async fn a_dequeue_gives_an_exclusive_lease_with_an_end(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let reference = queue.add(queue.job().payload("p").after(secs(1))).await;
    let before = queue.see(&reference).await;
    let now = ctx.advance(secs(7));
    let ask = queue.ask(1);
    let dequeued = queue.backend().dequeue(ask.clone()).await.expect("dequeue");
    assert_eq!((dequeued.now, dequeued.jobs.len()), (now, 1));
    let job = &dequeued.jobs[0];
    let expected = Job {
        state: State::Active,
        version: before.version + 1,
        started_at: Some(now),
        lease: Some(Lease { token: token(job), until: now.after(LEASE), worker: ask.worker }),
        ..before
    };
    assert_eq!(job, &expected, "nothing else changes");
    assert_eq!(queue.see(&reference).await, expected);
    assert_eq!(queue.stats().await.leases, 1);
}

/// A fresh token, larger than any before on that job.
async fn every_lease_of_a_job_has_a_larger_token(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.max_stalls = 100).await;
    queue.add_one().await;
    let mut before = None;
    let mut version = 0;
    for round in 0..10 {
        let job = queue.take_one().await;
        assert!(Some(token(&job)) > before, "round {round}: {:?} after {before:?}", token(&job));
        assert!(job.version > version, "round {round}");
        (before, version) = (Some(token(&job)), job.version);
        match round % 3 {
            0 => queue.settled(&job, Outcome::Release).await,
            1 => {
                ctx.advance(LEASE);
                assert_eq!(queue.sweep(Overdue::LostLeases).await, 1);
            }
            _ => {
                queue.settled(&job, failure("again")).await;
                ctx.advance(secs(7200));
            }
        }
    }
}

/// Two live leases on one job cannot exist. A lease that has run out still
/// counts until it is taken over.
async fn a_leased_job_is_not_leased_again_even_when_its_lease_has_run_out(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let jobs = queue.add_all(queue.jobs(3)).await;
    let first = queue.take(2).await;
    let second = queue.take(2).await;
    assert_eq!(ids(&[first, second].concat()), ids_of(&jobs));
    for _ in 0..2 {
        for handle in ctx.handles(2).await {
            queue.on(&handle).nothing().await;
        }
        ctx.advance(LEASE + secs(1));
    }
    assert_eq!(queue.stats().await.leases, 3);
}

/// A job whose lease was lost and that another worker has now; answers both.
async fn lost(ctx: &Context, queue: &Queue) -> (Job, Job) {
    let job = queue.take_one().await;
    ctx.advance(LEASE);
    assert_eq!(queue.sweep(Overdue::LostLeases).await, 1);
    (job, queue.take_one().await)
}

/// A fresh token, larger than any before on that job, even if it was removed
/// since and stored anew under its id.
async fn a_lease_of_a_removed_job_opens_nothing_of_one_stored_anew_under_its_id(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let mut before: Vec<Job> = Vec::new();
    for life in 0..4 {
        let reference = queue.add(queue.job().key("k").payload(format!("life {life}"))).await;
        let leased = queue.take_one().await;
        for old in &before {
            assert_eq!(old.id, leased.id);
            assert!(token(&leased) > token(old), "life {life}");
            // The version of a job's life says little: it begins anew.
            let guard = Guard { version: leased.version, lease: LeaseGuard::Held(token(old)) };
            let to = Target::Ended { end: End::Completed, result: None };
            stale(queue.apply(forged(&leased, guard, to)).await);
            stale(queue.settle(old, success("stale")).await);
            assert_eq!(queue.extend(old, secs(9999)).await, Extended::Lost);
            assert_eq!(queue.see(&reference).await, leased, "life {life}");
        }
        queue.complete(&leased).await;
        assert!(queue.control(&reference, Wish::Remove).await);
        before.push(leased);
    }
}

/// Nobody knows a job any more that was removed, but whoever still has its lease; and what
/// was sent again has stored nothing.
async fn a_batch_that_was_sent_again_lets_no_former_lease_open_anything(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let other = queue.on(&ctx.handle().await);
    let batch = queue.new_jobs(queue.jobs(64));
    let mut before: Vec<Job> = Vec::new();
    for life in 0..3 {
        let answer = queue.backend().enqueue(batch.clone()).await.expect("enqueue");
        assert!(matches!(answer, EnqueueAnswer::Stored { .. }), "{answer:?}");
        let leased = queue.take(64).await;
        assert_eq!(leased.len(), 64);
        let last = before.iter().map(token).max();
        assert!(leased.iter().map(token).min() > last, "life {life}");
        for old in &before {
            assert_eq!(queue.extend(old, secs(9999)).await, Extended::Lost);
        }
        let again = queue.backend().enqueue(batch.clone()).await.expect("enqueue");
        let EnqueueAnswer::Stored { outcomes, .. } = again else { panic!("{again:?}") };
        assert!(outcomes.iter().all(|outcome| *outcome == Enqueued::Existing));
        for job in &leased {
            queue.complete(job).await;
            assert!(queue.control(&job.reference(), Wish::Remove).await);
        }
        // Somebody else changes something.
        other.backend().pause(&queue.spec.name).await.expect("pause");
        other.backend().resume(&queue.spec.name).await.expect("resume");
        before = leased;
    }
}

/// Completing, failing: accepted only with the current token. A stale token
/// changes nothing and says so.
async fn a_stale_lease_cannot_complete_the_job(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add(queue.job().payload("p")).await;
    let (old, new) = lost(ctx, &queue).await;
    let cancelled = Outcome::Cancelled;
    for outcome in [success("stale"), failure("stale"), Outcome::Release, cancelled] {
        let answered = stale(queue.settle(&old, outcome).await);
        let expected = Job { payload: None, ..new.clone() };
        assert_eq!(answered, expected, "the job as it is now, without payload");
        assert_eq!(queue.see(&old.reference()).await, new, "something changed");
    }
    queue.settled(&new, success("fresh")).await;
    let answered = stale(queue.settle(&old, success("stale")).await);
    assert_eq!((answered.state, answered.result), (State::Completed, None));
    let result = queue.see(&old.reference()).await.result;
    assert_eq!(result, Some(Payload::from("fresh")));
}

/// The lease is not the current one; nothing changed.
async fn a_stale_lease_cannot_extend_or_tell_of_progress(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_one().await;
    let (old, new) = lost(ctx, &queue).await;
    let lie = Extend {
        job: old.reference(),
        token: token(&old),
        lease: secs(9999),
        progress: Some(Progress { done: 1, ..Progress::default() }),
    };
    let say = async || queue.backend().extend(vec![lie.clone()]).await.expect("extend").0;
    assert_eq!(say().await, [Extended::Lost]);
    assert_eq!(queue.see(&old.reference()).await, new);
    let step = NewStep {
        job: old.reference(),
        token: token(&old),
        position: 0,
        name: StepName::new("s").expect("a name"),
        outcome: Payload::from("o"),
    };
    let recorded = queue.backend().record_step(step).await.expect("record_step");
    assert_eq!(recorded, windlass_core::model::StepRecorded::StaleLease);
    queue.complete(&new).await;
    let before = queue.see(&old.reference()).await;
    assert_eq!(say().await, [Extended::Lost], "completed");
    assert_eq!(queue.extend(&new, LEASE).await, Extended::Lost, "its own lease is over");
    assert_eq!(queue.see(&old.reference()).await, before);
}

/// A guard holds if the job's version is the guard's and, where the guard
/// names a lease, the job is active under that token.
async fn neither_token_nor_version_alone_opens_a_guard(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_one().await;
    let (old, new) = lost(ctx, &queue).await;
    let to = Target::Ended { end: End::Completed, result: None };
    let guards = [
        (new.version, Some(token(&old))),
        (old.version, Some(token(&new))),
        (new.version, Some(Token(token(&new).0 + 1))),
        (new.version + 1, Some(token(&new))),
        (new.version - 1, None),
        (new.version + 1, None),
        (0, None),
    ];
    for (version, lease) in guards {
        let lease = lease.map_or(LeaseGuard::Any, LeaseGuard::Held);
        let guard = Guard { version, lease };
        let answered = stale(queue.apply(forged(&new, guard, to.clone())).await);
        assert_eq!(answered.version, new.version, "{guard:?}");
        assert_eq!(queue.see(&new.reference()).await, new, "{guard:?}");
    }
    let guard = Guard { version: new.version, lease: LeaseGuard::Held(token(&new)) };
    assert!(matches!(queue.apply(forged(&new, guard, to)).await, Applied::Applied));
}

/// Where the guard names a lease, the job is active under that token.
async fn a_guard_that_names_a_lease_does_not_hold_for_a_job_that_is_not_active(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_one().await;
    let leased = queue.take_one().await;
    queue.settled(&leased, Outcome::Release).await;
    for ended in [false, true] {
        let now = queue.see(&leased.reference()).await;
        let guard = Guard { version: now.version, lease: LeaseGuard::Held(token(&leased)) };
        stale(queue.apply(forged(&now, guard, Target::Removed)).await);
        assert_eq!(queue.extend(&leased, LEASE).await, Extended::Lost);
        assert_eq!(queue.see(&leased.reference()).await, now);
        if !ended {
            queue.work(done()).await;
        }
    }
}

/// How long from now it is to last. The job's version does not change.
async fn an_extension_lasts_from_now_and_leaves_the_version_alone(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let leased = queue.take_one().await;
    for (later, lease) in [(10, 60), (10, 5), (0, 3600), (3000, 1)] {
        let now = ctx.advance(secs(later));
        let until = now.after(secs(lease));
        let held = Extended::Held { until, cancel_requested: false };
        assert_eq!(queue.extend(&leased, secs(lease)).await, held);
        let seen = queue.see(&job).await;
        assert_eq!(seen.lease.map(|lease| lease.until), Some(until));
        assert_eq!((seen.version, seen.started_at), (leased.version, leased.started_at));
        assert_eq!(token(&seen), token(&leased), "the token stays");
    }
    queue.complete(&leased).await;
}

/// Stores what the jobs tell of themselves; `None`: as before.
async fn progress_is_kept_until_there_is_news(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_one().await;
    let leased = queue.take_one().await;
    let mut progress = Progress { done: u64::MAX, total: Some(7), ..Progress::default() };
    progress.say("half-way; it's \"fine\" \u{1f980}");
    progress.log("line\n1");
    progress.log("");
    let news = [None, Some(progress.clone()), None, Some(Progress::default()), None];
    let expected = [
        None,
        Some(progress.clone()),
        Some(progress),
        Some(Progress::default()),
        Some(Progress::default()),
    ];
    for (progress, expected) in news.into_iter().zip(expected) {
        let extend =
            Extend { job: leased.reference(), token: token(&leased), lease: LEASE, progress };
        queue.backend().extend(vec![extend]).await.expect("extend");
        assert_eq!(queue.see(&leased.reference()).await.progress, expected);
    }
    queue.complete(&leased).await;
    let after = queue.see(&leased.reference()).await.progress;
    assert_eq!(after, Some(Progress::default()), "kept with the job");
}

/// Each one alone; outcomes in the order of the call.
async fn extensions_are_answered_one_by_one_in_order(ctx: &Context) {
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    a.add_all(a.jobs(3)).await;
    b.add_one().await;
    let mut jobs = a.take(3).await;
    jobs.push(b.take_one().await);
    a.complete(&jobs[1]).await;
    let now = ctx.advance(secs(1));
    let extend = |job: JobRef, token: Token, lease: u64| Extend {
        job,
        token,
        lease: secs(lease),
        progress: None,
    };
    let mine = |i: usize, lease| extend(jobs[i].reference(), token(&jobs[i]), lease);
    let nobody = JobRef { queue: a.spec.name.clone(), id: ctx.ids().job() };
    let misplaced = JobRef { queue: b.spec.name.clone(), id: jobs[0].id };
    let call = vec![
        mine(3, 10),
        mine(1, 20),
        mine(2, 30),
        extend(nobody, Token(1), 40),
        extend(misplaced, token(&jobs[0]), 50),
        mine(0, 60),
    ];
    let (outcomes, carried) = a.backend().extend(call).await.expect("extend");
    assert_eq!(carried, now);
    let held = |lease| Extended::Held { until: now.after(secs(lease)), cancel_requested: false };
    let lost = Extended::Lost;
    assert_eq!(outcomes, [held(10), lost, held(30), lost, lost, held(60)]);
}

/// Worker identity is random per start, and is never the fence.
async fn the_workers_name_is_never_the_fence(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_one().await;
    // A restarted process that took its predecessor's name.
    let ask = windlass_core::backend::Ask { worker: WorkerId::from_bytes([7; 16]), ..queue.ask(1) };
    let take = async || {
        let jobs = queue.backend().dequeue(ask.clone()).await.expect("dequeue").jobs;
        jobs.into_iter().next().expect("a job")
    };
    let old = take().await;
    ctx.advance(LEASE);
    queue.sweep(Overdue::LostLeases).await;
    let new = take().await;
    assert_eq!(old.lease.map(|l| l.worker), new.lease.map(|l| l.worker));
    assert_eq!(queue.extend(&old, LEASE).await, Extended::Lost);
    stale(queue.settle(&old, done()).await);
    queue.complete(&new).await;
}

/// How long the leases are; more than zero.
async fn the_longest_and_the_shortest_leases_fit(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.limits.concurrency = Some(2)).await;
    queue.add_all(queue.jobs(3)).await;
    let begin = ctx.now();
    let for_ever = queue.take_for(Duration::MAX).await;
    assert_eq!(for_ever.lease.map(|lease| lease.until), Some(Timestamp::MAX));
    let short = queue.take_for(TICK).await;
    assert_eq!(short.lease.map(|lease| lease.until), Some(begin.after(TICK)));
    assert_eq!(queue.nothing().await, Again::At(begin.after(TICK)));
    ctx.advance(secs(1_000_000_000));
    let overdue = queue.overdue(Overdue::LostLeases).await.jobs;
    assert_eq!(ids(&overdue), [short.id]);
    queue.complete(&for_ever).await;
}
