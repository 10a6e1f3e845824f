//! What holds for the store as a whole.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use windlass_core::backend::{EnqueueAnswer, Support};
use windlass_core::model::{NewJob, State};

use crate::fixture::{done, secs, success};
use crate::harness::{Context, case_table};

case_table! {
    [] a_new_store_is_empty,
    [] capabilities_never_change_and_are_the_same_on_every_handle,
    [] time_is_the_stores_and_answers_carry_it,
    [E1] what_was_acknowledged_outlives_every_handle,
    [] what_one_handle_changed_is_visible_to_every_later_call_on_another,
    [E2] a_refused_batch_over_several_queues_stores_nothing_where_that_is_claimed,
    [E1] an_enqueue_whose_future_is_dropped_has_happened_whole_or_not_at_all,
    [L1] a_dequeue_whose_future_is_dropped_loses_no_job,
}

/// A name not seen before means a new, empty store; each case has its own.
async fn a_new_store_is_empty(ctx: &Context) {
    let backend = ctx.backend();
    assert_eq!(backend.queues().await.expect("queues"), []);
    assert_eq!(backend.workers().await.expect("workers"), []);
    let queue = ctx.queue("q").await;
    assert_eq!(queue.all().await, []);
    assert_eq!(queue.stats().await.jobs, [0; 8]);
}

/// What it can do beyond what all must never changes.
async fn capabilities_never_change_and_are_the_same_on_every_handle(ctx: &Context) {
    let before = ctx.backend().capabilities();
    let queue = ctx.queue("q").await;
    queue.add_one().await;
    queue.work(done()).await;
    assert_eq!(ctx.backend().capabilities(), before);
    assert_eq!(ctx.handle().await.capabilities(), before);
}

/// Time is the store's: methods take no `now`, and answers carry it.
async fn time_is_the_stores_and_answers_carry_it(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let backend = queue.backend();
    for step in [0, 1, 7_000_000] {
        let now = ctx.advance(crate::fixture::micros(step));
        assert_eq!(backend.now().await.expect("now"), now);
        match queue.enqueue(vec![queue.job()]).await {
            EnqueueAnswer::Stored { now: carried, .. } => assert_eq!(carried, now, "enqueue"),
            refused @ EnqueueAnswer::Refused { .. } => panic!("{refused:?}"),
        }
        let dequeued = queue.dequeue(1).await;
        assert_eq!(dequeued.now, now, "dequeue");
        let job = &dequeued.jobs[0];
        let seen = backend.job(&job.reference()).await.expect("job");
        assert_eq!(seen.expect("the job").now, now, "job");
        let (_, carried) = backend.extend(Vec::new()).await.expect("extend");
        assert_eq!(carried, now, "extend");
        let answer = backend.apply(vec![queue.decide(job, done())]).await;
        assert_eq!(answer.expect("apply").now, now, "apply");
        assert_eq!(queue.stats().await.now, now, "stats");
    }
}

/// An acknowledged enqueue is durable, and the job will be run, even if every
/// process stops at once.
async fn what_was_acknowledged_outlives_every_handle(ctx: &Context) {
    let kept = if ctx.is_shared() {
        // The case's first handle stays open beside these two, but these share
        // nothing with it but the store.
        let handle = ctx.handle().await;
        let queue = ctx.queue("q").await.on(&handle);
        let job = queue.add(queue.job().payload("kept").key("k").tag("t")).await;
        queue.work(success("result")).await;
        drop(queue);
        drop(handle);
        job
    } else {
        let queue = ctx.queue("q").await;
        let job = queue.add(queue.job().payload("kept").key("k").tag("t")).await;
        queue.work(success("result")).await;
        job
    };
    let queue = ctx.queue("q").await.on(&ctx.handle().await);
    let job = queue.see(&kept).await;
    assert_eq!(job.state, State::Completed);
    assert_eq!(job.payload.as_ref().map(|p| p.as_slice()), Some(&b"kept"[..]));
    assert_eq!(job.result.as_ref().map(|p| p.as_slice()), Some(&b"result"[..]));
    assert_eq!(queue.spec, ctx.queue("q").await.spec);
}

/// What a call that returned `Ok` has changed is visible to every later call
/// on every handle.
async fn what_one_handle_changed_is_visible_to_every_later_call_on_another(ctx: &Context) {
    let [a, b]: [_; 2] = ctx.handles(2).await.try_into().expect("two handles");
    let qa = ctx.queue("q").await.on(&a);
    let qb = qa.on(&b);
    for round in 0..5 {
        let job = qa.add_one().await;
        assert_eq!(qb.state(&job).await, State::Waiting, "round {round}");
        let leased = qb.take_one().await;
        assert_eq!(leased.id, job.id);
        assert_eq!(qa.stats().await.leases, 1);
        assert_eq!(qa.nothing().await, windlass_core::backend::Again::OnNotice);
        // A token is good on every handle.
        qa.complete(&leased).await;
        assert_eq!(qb.state(&job).await, State::Completed);
        assert_eq!(qb.stats().await.count(State::Completed), round + 1);
    }
}

/// A batch is all or nothing; over several queues only with the capability
/// `cross_queue_atomicity`.
async fn a_refused_batch_over_several_queues_stores_nothing_where_that_is_claimed(ctx: &Context) {
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    let elsewhere = crate::fixture::Queue::new(
        Arc::clone(ctx.backend()),
        crate::harness::spec("never-declared"),
        ctx.ids().clone(),
    );
    let batch: Vec<NewJob> = vec![
        a.new_job(a.job()),
        b.new_job(b.job()),
        elsewhere.new_job(elsewhere.job()),
        b.new_job(b.job()),
    ];
    let answer = a.backend().enqueue(batch.clone()).await.expect("enqueue");
    match answer {
        EnqueueAnswer::Refused { index, jobs, .. } => {
            assert_eq!(index, 2);
            assert_eq!(jobs, batch, "the whole batch comes back");
        }
        stored @ EnqueueAnswer::Stored { .. } => panic!("not refused: {stored:?}"),
    }
    let stored = a.all().await.len() + b.all().await.len();
    if ctx.backend().capabilities().cross_queue_atomicity == Support::Yes {
        assert_eq!(stored, 0, "a refused batch stored something");
    }
    // Nothing of it may keep the same jobs from being stored once they can be.
    elsewhere.declare().await;
    let answer = a.backend().enqueue(batch).await.expect("enqueue");
    assert!(matches!(answer, EnqueueAnswer::Stored { .. }), "{answer:?}");
    let stored = a.all().await.len() + b.all().await.len() + elsewhere.all().await.len();
    assert_eq!(stored, 4);
}

/// A call whose future is dropped has happened whole or not at all.
async fn an_enqueue_whose_future_is_dropped_has_happened_whole_or_not_at_all(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let mut expected = 0;
    for polls in 0..12 {
        let drafts = (0..5).map(|_| queue.job().tag("t").dedup("k")).collect();
        let mut batch = queue.new_jobs(drafts);
        for (i, job) in batch.iter_mut().enumerate() {
            // Each has a deduplication key of its own.
            let key = crate::fixture::dedup_key(&format!("{polls}-{i}"));
            job.dedup.as_mut().expect("a key").key = key;
        }
        abandon(queue.backend().enqueue(batch.clone()), polls).await;
        // The same batch again says which of the two it was, and leaves no
        // doubt behind.
        match queue.backend().enqueue(batch).await.expect("enqueue") {
            EnqueueAnswer::Stored { outcomes, .. } => {
                assert!(
                    outcomes.iter().all(|outcome| outcome == &outcomes[0]),
                    "half a batch after {polls} polls: {outcomes:?}"
                );
            }
            refused @ EnqueueAnswer::Refused { .. } => panic!("{refused:?}"),
        }
        expected += 5;
        assert_eq!(queue.all().await.len(), expected);
        assert_eq!(queue.stats().await.count(State::Waiting), expected as u64);
    }
}

/// A call whose future is dropped has happened whole or not at all; an answer
/// that is lost leaves leases that run out.
async fn a_dequeue_whose_future_is_dropped_loses_no_job(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.max_stalls = 1000).await;
    queue.add_all(queue.jobs(6)).await;
    for polls in 0..12 {
        abandon(queue.backend().dequeue(queue.ask(4)), polls).await;
        // Whether it happened or not, time brings every job back.
        let mut taken = queue.take(6).await.len();
        ctx.advance(crate::fixture::LEASE);
        taken += queue.sweep(windlass_core::backend::Overdue::LostLeases).await;
        assert!(taken >= 6, "after {polls} polls only {taken} jobs are seen");
        assert_eq!(queue.stats().await.leases, 0, "after {polls} polls");
        assert_eq!(queue.stats().await.count(State::Waiting), 6);
        ctx.advance(secs(1));
    }
    assert_eq!(queue.take(10).await.len(), 6);
}

/// Polls a future so many times and drops it.
async fn abandon(future: impl Future, polls: usize) {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let once = poll_fn(|context| Poll::Ready(future.as_mut().poll(context)));
        if once.await.is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}
