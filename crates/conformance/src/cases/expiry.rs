//! Jobs that have not started in time.

use windlass_core::backend::Overdue;
use windlass_core::decide::control::Wish;
use windlass_core::model::{State, Timestamp, When};

use crate::fixture::{TICK, done, failure, ids, secs};
use crate::harness::{Context, case_table};

case_table! {
    [R5] a_job_that_has_not_started_by_its_expiry_is_never_leased,
    [R5] an_expired_job_ends_as_expired_in_whatever_state_it_waited,
    [R5] a_job_that_has_started_once_does_not_expire,
    [R5] a_job_that_has_ended_does_not_expire,
    [R5] expired_jobs_are_listed_in_the_order_in_which_they_expired,
}

/// A job that has not started by its `expires` moment is never leased.
async fn a_job_that_has_not_started_by_its_expiry_is_never_leased(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let expires = |wait| When::After(secs(wait));
    let in_time = queue.add(queue.job().expires(expires(5))).await;
    let late = queue.add(queue.job().expires(expires(5))).await;
    let delayed = queue.add(queue.job().after(secs(7)).expires(expires(6))).await;
    let at_once = queue.add(queue.job().expires(When::At(Timestamp::EPOCH))).await;
    let healthy = queue.add_one().await;
    ctx.advance(secs(5).saturating_sub(TICK));
    assert_eq!(queue.take_one().await.id, in_time.id);
    ctx.advance(TICK);
    // None of them stands in the way of those behind it.
    let taken = queue.take(9).await;
    assert_eq!(ids(&taken), [healthy.id]);
    ctx.advance(secs(3600));
    assert_eq!(queue.nothing().await, windlass_core::backend::Again::OnNotice);
    assert_eq!(queue.sweep(Overdue::Expired).await, 3);
    for job in [late, delayed, at_once] {
        assert_eq!(queue.state(&job).await, State::Expired);
    }
}

/// It ends as `expired`; also one that waits for its moment or for others.
async fn an_expired_job_ends_as_expired_in_whatever_state_it_waited(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let blocker = queue.add(queue.job().after(secs(3600))).await;
    let soon = When::After(secs(10));
    let jobs = [
        queue.add(queue.job().expires(soon).dedup("k")).await,
        queue.add(queue.job().expires(soon).after(secs(60))).await,
        queue.add(queue.job().expires(soon).depends_on([&blocker])).await,
    ];
    ctx.advance(secs(10).saturating_sub(TICK));
    assert_eq!(queue.overdue(Overdue::Expired).await.jobs, []);
    let now = ctx.advance(TICK);
    let states = [State::Waiting, State::Scheduled, State::Blocked];
    for (job, state) in jobs.iter().zip(states) {
        assert_eq!(queue.state(job).await, state, "nothing happens by itself");
    }
    assert_eq!(queue.sweep(Overdue::Expired).await, 3);
    for job in &jobs {
        let job = queue.see(job).await;
        assert_eq!((job.state, job.finished_at), (State::Expired, Some(now)));
    }
    assert_eq!(queue.sweep(Overdue::Expired).await, 0);
    queue.add(queue.job().dedup("k")).await;
}

/// Expiry is for a job that has not started.
async fn a_job_that_has_started_once_does_not_expire(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let expires = When::After(secs(10));
    let retried = queue.add(queue.job().expires(expires)).await;
    queue.work(failure("no")).await;
    let stalled = queue.add(queue.job().expires(expires)).await;
    queue.take_one().await;
    let active = queue.add(queue.job().expires(expires)).await;
    queue.take_for(secs(99_999)).await;
    ctx.advance(secs(3600));
    assert_eq!(queue.overdue(Overdue::Expired).await.jobs, []);
    assert_eq!(queue.sweep(Overdue::LostLeases).await, 1);
    assert_eq!(queue.overdue(Overdue::Expired).await.jobs, []);
    let taken = ids(&queue.take(9).await);
    assert_eq!(taken, [stalled.id, retried.id]);
    assert_eq!(queue.state(&active).await, State::Active);
}

/// Nor does one that was removed.
async fn a_job_that_has_ended_does_not_expire(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let blocker = queue.add(queue.job().after(secs(3600))).await;
    for wish in [Wish::Cancel, Wish::Remove] {
        let soon = When::After(secs(10));
        let drafts = [
            queue.job().expires(soon),
            queue.job().expires(soon).after(secs(60)),
            queue.job().expires(soon).after(secs(5)),
            queue.job().expires(soon).depends_on([&blocker]),
        ];
        for draft in drafts {
            let job = queue.add(draft).await;
            if wish == Wish::Remove && queue.state(&job).await == State::Blocked {
                // Only one that has ended, or does not wait for others, can go.
                assert!(queue.control(&job, Wish::Cancel).await);
            }
            assert!(queue.control(&job, wish).await);
        }
        queue.add(queue.job().expires(soon)).await;
        queue.work(done()).await;
        ctx.advance(secs(60));
        assert_eq!(queue.overdue(Overdue::Expired).await.jobs, [], "{wish:?}");
        queue.nothing().await;
    }
}

/// By the `expires` moment, then by the enqueue sequence.
async fn expired_jobs_are_listed_in_the_order_in_which_they_expired(ctx: &Context) {
    let (queue, other) = (ctx.queue("q").await, ctx.queue("other").await);
    other.add(other.job().expires(When::Now)).await;
    let mut jobs = Vec::new();
    for wait in [3, 5, 1, 3, 99, 2] {
        jobs.push(queue.add(queue.job().expires(When::After(secs(wait)))).await.id);
    }
    ctx.advance(secs(10));
    let expected = [2, 5, 0, 3, 1].map(|i: usize| jobs[i]);
    let page = queue.overdue(Overdue::Expired).await;
    assert_eq!(ids(&page.jobs), expected);
    assert!(page.jobs.iter().all(|job| job.payload.is_none()));
    let mut after = None;
    for expected in expected {
        let query = windlass_core::backend::OverdueQuery {
            queue: queue.spec.name.clone(),
            what: Overdue::Expired,
            after,
            limit: 1,
        };
        let page = queue.backend().overdue(query).await.expect("overdue");
        assert_eq!(ids(&page.jobs), [expected]);
        after = page.next;
    }
}
