//! How many jobs may start within a period.

use windlass_core::backend::{Again, Overdue};
use windlass_core::decide::Outcome;
use windlass_core::model::{Rate, Timestamp, When};

use crate::fixture::{Dice, LEASE, Queue, TICK, done, failure, micros, secs};
use crate::harness::{Context, case_table};

case_table! {
    [G1] the_rate_holds_in_every_sliding_window,
    [G1] a_start_leaves_the_window_after_exactly_one_period,
    [G1] a_rate_of_zero_stops_all_processing,
    [G1] one_dequeue_starts_no_more_than_are_free,
    [G2] a_start_counts_however_the_job_ends,
    [G3] a_changed_rate_takes_effect_at_the_next_dequeue,
    [G4] the_moment_to_look_again_is_exact,
    [G4] rate_and_concurrency_hold_together,
    [G5] jobs_that_come_back_start_under_the_same_rate,
    [Q2] stats_count_the_starts_of_the_current_window,
}

async fn rated(ctx: &Context, limit: u32, period: std::time::Duration) -> Queue {
    ctx.queue_with("q", |spec| spec.limits.rate = Some(Rate { limit, period })).await
}

/// The rate holds in every sliding window, not per calendar bucket.
async fn the_rate_holds_in_every_sliding_window(ctx: &Context) {
    const LIMIT: u32 = 7;
    let period = micros(1_000);
    let queue = rated(ctx, LIMIT, period).await;
    let handles = ctx.handles(2).await;
    queue.add_all(queue.jobs(200)).await;
    let mut dice = Dice::new(1);
    let mut starts: Vec<i64> = Vec::new();
    while starts.len() < 200 {
        let queue = queue.on(&handles[starts.len() % handles.len()]);
        let dequeued = queue.dequeue(1 + u32::try_from(dice.below(4)).expect("small")).await;
        let now = ctx.now().as_micros();
        starts.extend(dequeued.jobs.iter().map(|_| now));
        // Uneven steps, so that windows overlap at odd places; now and then as
        // long as it takes to be free again.
        match dequeued.again {
            Again::At(moment) if dice.below(3) == 0 => ctx.clock().set(moment),
            _ => {
                ctx.advance(micros(dice.pick(&[0, 1, 40, 160, 333])));
            }
        }
    }
    // The oracle counts every window that begins at a start.
    let length = i64::try_from(period.as_micros()).expect("short");
    for begin in &starts {
        let within = starts.iter().filter(|at| (*begin..begin + length).contains(at)).count();
        assert!(within <= LIMIT as usize, "{within} starts in the window from {begin}");
    }
    // As early as allowed: 200 starts fit into 29 windows and a half.
    let taken = starts[199] - starts[0];
    assert!(taken >= 28 * length, "too fast: {taken} µs");
}

/// A window of one period, open at its beginning.
async fn a_start_leaves_the_window_after_exactly_one_period(ctx: &Context) {
    let queue = rated(ctx, 2, secs(10)).await;
    queue.add_all(queue.jobs(9)).await;
    let begin = ctx.now();
    let at = |wait| begin.after(secs(wait));
    assert_eq!(queue.take(1).await.len(), 1);
    ctx.clock().set(at(4));
    assert_eq!(queue.take(9).await.len(), 1);
    for (first, second) in [(10, 14), (20, 24)] {
        for moment in [first, second] {
            ctx.clock().set(at(moment).before(TICK));
            assert_eq!(queue.nothing().await, Again::At(at(moment)));
            ctx.advance(TICK);
            assert_eq!(queue.take(9).await.len(), 1, "at {moment} s");
        }
    }
}

/// Limit 0 stops all processing.
async fn a_rate_of_zero_stops_all_processing(ctx: &Context) {
    let mut queue = rated(ctx, 0, secs(1)).await;
    queue.add_one().await;
    assert_eq!(queue.nothing().await, Again::OnNotice);
    ctx.advance(secs(3600));
    assert_eq!(queue.nothing().await, Again::OnNotice);
    let period = secs(1);
    queue.redeclare(|spec| spec.limits.rate = Some(Rate { limit: 1, period })).await;
    queue.take_one().await;
}

/// However many are asked for.
async fn one_dequeue_starts_no_more_than_are_free(ctx: &Context) {
    let queue = rated(ctx, 5, secs(10)).await;
    queue.add_all(queue.jobs(20)).await;
    assert_eq!(queue.take(2).await.len(), 2);
    let dequeued = queue.dequeue(1000).await;
    assert_eq!(dequeued.jobs.len(), 3);
    assert_eq!(dequeued.again, Again::At(ctx.now().after(secs(10))));
    ctx.advance(secs(10));
    assert_eq!(queue.take(1000).await.len(), 5);
}

/// It bounds starts: one that is over counts as well as one that runs.
async fn a_start_counts_however_the_job_ends(ctx: &Context) {
    let queue = rated(ctx, 3, secs(10)).await;
    queue.add_all(queue.jobs(9)).await;
    queue.work(done()).await;
    queue.work(failure("no")).await;
    queue.work(done()).await;
    ctx.advance(secs(9));
    queue.nothing().await;
    queue.sweep(Overdue::LostLeases).await;
    queue.nothing().await;
}

/// Can be changed while running.
async fn a_changed_rate_takes_effect_at_the_next_dequeue(ctx: &Context) {
    let mut queue = rated(ctx, 2, secs(10)).await;
    queue.add_all(queue.jobs(30)).await;
    assert_eq!(queue.take(9).await.len(), 2);
    let period = secs(10);
    queue.redeclare(|spec| spec.limits.rate = Some(Rate { limit: 5, period })).await;
    // Starts under the old limit lie in the window of the new one.
    assert_eq!(queue.take(9).await.len(), 3);
    ctx.advance(secs(5));
    queue.redeclare(|spec| spec.limits.rate = Some(Rate { limit: 1, period })).await;
    assert_eq!(queue.nothing().await, Again::At(ctx.now().after(secs(5))));
    queue.redeclare(|spec| spec.limits.rate = None).await;
    assert_eq!(queue.take(9).await.len(), 9);
}

/// Advance to that moment, and something is leasable; one microsecond before,
/// nothing is.
async fn the_moment_to_look_again_is_exact(ctx: &Context) {
    let queue = rated(ctx, 3, micros(777)).await;
    queue.add_all(queue.jobs(40)).await;
    let mut dice = Dice::new(2);
    let mut started = 0;
    while started < 40 {
        started += queue.take(1 + u32::try_from(dice.below(3)).expect("small")).await.len();
        let again = queue.dequeue(1).await;
        started += again.jobs.len();
        if let Again::At(moment) = again.again {
            assert!(moment > ctx.now());
            ctx.clock().set(moment.before(TICK));
            assert_eq!(queue.nothing().await, Again::At(moment));
            ctx.clock().set(moment);
            let found = queue.take(1).await.len();
            assert_eq!(found, 1, "nothing at the stated moment");
            started += 1;
        }
        ctx.advance(micros(dice.below(300)));
    }
}

/// Bounds on live leases and on starts hold together.
async fn rate_and_concurrency_hold_together(ctx: &Context) {
    let queue = ctx
        .queue_with("q", |spec| {
            spec.limits.concurrency = Some(2);
            spec.limits.rate = Some(Rate { limit: 3, period: secs(10) });
        })
        .await;
    queue.add_all(queue.jobs(9)).await;
    let begin = ctx.now();
    let held = queue.take(9).await;
    assert_eq!(held.len(), 2, "two slots");
    assert_eq!(queue.nothing().await, Again::At(begin.after(LEASE)));
    for job in &held {
        queue.complete(job).await;
    }
    let last = queue.take(9).await;
    assert_eq!(last.len(), 1, "one more start");
    assert_eq!(queue.nothing().await, Again::At(begin.after(secs(10))));
    ctx.advance(secs(10));
    assert_eq!(queue.take(9).await.len(), 1, "one of the two slots is held");
}

/// Recovered, retried and promoted jobs pass the same gates.
async fn jobs_that_come_back_start_under_the_same_rate(ctx: &Context) {
    let queue = rated(ctx, 1, secs(100)).await;
    queue.add_one().await;
    queue.work(Outcome::Snooze(When::After(secs(10)))).await;
    ctx.advance(secs(10));
    assert_eq!(queue.nothing().await, Again::At(ctx.now().after(secs(90))));
    ctx.advance(secs(90));
    queue.take_one().await;
    ctx.advance(LEASE);
    assert_eq!(queue.sweep(Overdue::LostLeases).await, 1);
    assert_eq!(queue.nothing().await, Again::At(ctx.now().after(secs(40))));
    ctx.advance(secs(40));
    queue.take_one().await;
}

/// Starts within the current window of the queue's rate; 0 without one.
async fn stats_count_the_starts_of_the_current_window(ctx: &Context) {
    let queue = rated(ctx, 10, secs(10)).await;
    let other = ctx.queue("other").await;
    other.add_one().await;
    other.take_one().await;
    queue.add_all(queue.jobs(6)).await;
    let begin: Timestamp = ctx.now();
    for (wait, take, expected) in
        [(0, 2, 2), (4, 3, 5), (9, 0, 5), (10, 0, 3), (13, 1, 4), (14, 0, 1)]
    {
        ctx.clock().set(begin.after(secs(wait)));
        if take > 0 {
            assert_eq!(queue.take(take).await.len(), take as usize);
        }
        assert_eq!(queue.stats().await.starts_in_window, expected, "at {wait} s");
    }
    assert_eq!(other.stats().await.starts_in_window, 0);
}
