//! Figures of a queue.

use windlass_core::backend::{CleanWhich, Overdue};
use windlass_core::decide::Outcome;
use windlass_core::decide::control::Wish;
use windlass_core::model::{State, Timestamp, When};

use crate::fixture::{Dice, LEASE, Queue, done, failure, failure_for_good, is_applied, secs};
use crate::harness::{Context, case_table};

case_table! {
    [Q2] every_state_is_counted_for_itself,
    [Q2] time_alone_moves_a_job_from_scheduled_to_waiting,
    [Q2] the_oldest_ready_job_is_that_whose_moment_came_first,
    [Q2] leases_are_counted_live_or_run_out,
    [Q2] a_queues_figures_are_its_own,
    [Q2] figures_agree_with_the_jobs_after_whatever_happened,
}

/// Jobs per state.
async fn every_state_is_counted_for_itself(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let counts = [1, 2, 3, 4, 5, 6, 7, 8];
    let mut expected = [0; 8];
    // The last first, so that what is leased is what was just added.
    for state in State::ALL.into_iter().rev() {
        for n in 0..counts[usize::from(state.code())] {
            match state {
                State::Expired => {
                    queue.add(queue.job().expires(When::Now)).await;
                    queue.sweep(Overdue::Expired).await;
                }
                State::Cancelled => {
                    let job = queue.add_one().await;
                    queue.control(&job, Wish::Cancel).await;
                }
                State::Failed => {
                    queue.add_one().await;
                    queue.work(failure_for_good("no")).await;
                }
                State::Completed => {
                    queue.add_one().await;
                    queue.work(done()).await;
                }
                State::Active => {
                    queue.add_one().await;
                    queue.take_one().await;
                }
                State::Waiting => {
                    queue.add_one().await;
                }
                State::Scheduled => {
                    queue.add(queue.job().after(secs(60))).await;
                }
                State::Blocked => {
                    let other = queue.all().await;
                    let last = other.last().expect("a scheduled job").reference();
                    queue.add(queue.job().depends_on([&last])).await;
                }
            }
            expected[usize::from(state.code())] = n + 1;
            assert_eq!(queue.stats().await.jobs, expected, "{state}");
        }
    }
    let stats = queue.stats().await;
    assert_eq!(stats.queue, queue.spec.name);
    assert_eq!((stats.leases, stats.paused), (4, false));
}

/// A job is `scheduled` before its moment and `waiting` from that moment on,
/// with no help from any scanner, in every answer.
async fn time_alone_moves_a_job_from_scheduled_to_waiting(ctx: &Context) {
    let queue = ctx.queue("q").await;
    for wait in [1, 2, 2, 4] {
        queue.add(queue.job().after(secs(wait))).await;
    }
    for (scheduled, waiting) in [(4, 0), (3, 1), (1, 3), (1, 3), (0, 4)] {
        let stats = queue.stats().await;
        let counted = (stats.count(State::Scheduled), stats.count(State::Waiting));
        assert_eq!(counted, (scheduled, waiting));
        let listed = queue.all().await;
        let waits = listed.iter().filter(|job| job.state == State::Waiting).count();
        assert_eq!(waits as u64, waiting, "the listing agrees");
        ctx.advance(secs(1));
    }
}

/// The earliest moment at which a job that is waiting now became ready.
async fn the_oldest_ready_job_is_that_whose_moment_came_first(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let begin = ctx.now();
    let oldest = async || queue.stats().await.oldest_ready.map(|at| at.since(begin).as_secs());
    assert_eq!(oldest().await, None);
    queue.add(queue.job().after(secs(30)).priority(-1)).await;
    queue.add(queue.job().after(secs(20)).priority(9)).await;
    assert_eq!(oldest().await, None, "none is ready");
    ctx.advance(secs(40));
    queue.add(queue.job().priority(5)).await;
    assert_eq!(oldest().await, Some(20), "neither the next in line nor the first enqueued");
    queue.work(done()).await;
    assert_eq!(oldest().await, Some(20));
    queue.work(done()).await;
    assert_eq!(oldest().await, Some(20));
    queue.work(done()).await;
    assert_eq!(oldest().await, None);
}

/// Leases that are held, live or run out.
async fn leases_are_counted_live_or_run_out(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_all(queue.jobs(3)).await;
    let held = queue.take(2).await;
    assert_eq!(queue.stats().await.leases, 2);
    ctx.advance(LEASE * 2);
    assert_eq!(queue.stats().await.leases, 2);
    queue.complete(&held[0]).await;
    assert_eq!(queue.stats().await.leases, 1);
    queue.sweep(Overdue::LostLeases).await;
    assert_eq!(queue.stats().await.leases, 0);
}

/// Figures of one queue.
async fn a_queues_figures_are_its_own(ctx: &Context) {
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    a.add_all(a.jobs(5)).await;
    a.take(2).await;
    let stats = b.stats().await;
    assert_eq!((stats.jobs, stats.leases, stats.oldest_ready), ([0; 8], 0, None));
}

/// What a look at each job of a queue comes to.
#[derive(Debug, Default)]
struct Count {
    jobs: [u64; 8],
    leases: u64,
    /// The earliest place and the earliest moment of a waiting job. They differ
    /// where one was handed back; a store may go by either.
    oldest: [Option<Timestamp>; 2],
}

async fn count(queue: &Queue) -> Count {
    let mut count = Count::default();
    for job in queue.all().await {
        count.jobs[usize::from(job.state.code())] += 1;
        count.leases += u64::from(job.lease.is_some());
        if job.state == State::Waiting {
            let earlier = |oldest: Option<Timestamp>, at| Some(oldest.map_or(at, |o| o.min(at)));
            count.oldest = [earlier(count.oldest[0], job.place), earlier(count.oldest[1], job.due)];
        }
    }
    count
}

/// A snapshot, however long a queue has lived and whatever has happened to its
/// jobs: no count drifts.
async fn figures_agree_with_the_jobs_after_whatever_happened(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.max_stalls = 2).await;
    let mut dice = Dice::new(7);
    for step in 0..300 {
        let all = queue.all().await;
        match dice.below(12) {
            0 | 1 => {
                let drafts = (0..=dice.below(3)).map(|_| {
                    let draft = queue.job().after(secs(dice.below(3) * 4));
                    match dice.below(4) {
                        0 => draft.dedup(dice.pick(&["a", "b"])),
                        1 => draft.key(dice.pick(&["c", "d"])),
                        _ => draft,
                    }
                });
                queue.offer(drafts.collect()).await;
            }
            2 if !all.is_empty() => {
                let on =
                    all[usize::try_from(dice.below(all.len() as u64)).expect("small")].reference();
                queue.offer_one(queue.job().depends_on([&on])).await;
            }
            3 => {
                ctx.advance(secs(dice.below(10)));
            }
            4 => {
                ctx.advance(LEASE);
                queue.sweep(Overdue::LostLeases).await;
            }
            5 | 6 => {
                queue.take(2).await;
            }
            7 | 8 => {
                let outcome = match dice.below(5) {
                    0 => failure("no"),
                    1 => failure_for_good("no"),
                    2 => Outcome::Release,
                    _ => done(),
                };
                if let Some(job) = all.iter().find(|job| job.lease.is_some()) {
                    assert!(is_applied(&queue.settle(job, outcome).await));
                }
            }
            9 | 10 if !all.is_empty() => {
                let job = &all[usize::try_from(dice.below(all.len() as u64)).expect("small")];
                let wishes = [Wish::Cancel, Wish::Retry, Wish::Promote, Wish::Remove];
                let wish = dice.pick(&wishes);
                // Most are not possible in the state that the job is in.
                let _ = windlass_core::BackendExt::control(queue.backend(), &job.reference(), wish)
                    .await;
            }
            _ => {
                let state =
                    dice.pick(&[State::Completed, State::Failed, State::Cancelled, State::Waiting]);
                queue.clean(state, CleanWhich::BeyondNewest(dice.below(6)), 3).await;
            }
        }
        let stats = queue.stats().await;
        let count = count(&queue).await;
        assert_eq!(stats.jobs, count.jobs, "step {step}");
        assert_eq!(stats.leases, count.leases, "step {step}");
        let oldest = stats.oldest_ready;
        assert!(
            (count.oldest[0]..=count.oldest[1]).contains(&oldest),
            "step {step}: {oldest:?} is not within {:?}",
            count.oldest
        );
    }
}
