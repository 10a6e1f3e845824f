//! Settles, heartbeats, take-overs and wishes about one job at once.

use windlass_core::BackendExt;
use windlass_core::backend::{Extended, Overdue};
use windlass_core::decide::control::Wish;
use windlass_core::model::{NewStep, Payload, State, StepName, StepRecorded, Token};

use crate::fixture::{LEASE, done, failure, is_applied, success, token};
use crate::harness::{Context, case_table};

use super::TASKS;

case_table! {
    [L3] of_two_take_overs_of_a_job_that_race_one_counts,
    [L3] of_a_completion_and_a_take_over_that_race_exactly_one_wins,
    [L2] of_two_settles_of_one_lease_that_race_one_wins,
    [L2] a_lease_that_is_extended_and_settled_at_once_ends_settled,
    [C1] of_a_wish_to_cancel_and_a_start_that_race_the_job_obeys_both_or_one,
    [W1] of_records_of_one_step_that_race_one_stays,
}

/// A take-over counts a stall: one.
async fn of_two_take_overs_of_a_job_that_race_one_counts(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue_with("q", |spec| spec.max_stalls = 100).await;
    let jobs = queue.add_all(queue.jobs(5)).await;
    for stalls in 1..=10 {
        assert_eq!(queue.take(9).await.len(), 5);
        ctx.advance(LEASE);
        let each = queue.clone();
        let taken_over = ctx
            .race(&handles, 8, move |_, backend| {
                let queue = each.on(&backend);
                async move { queue.sweep(Overdue::LostLeases).await }
            })
            .await;
        assert_eq!(taken_over.iter().sum::<usize>(), 5);
        for job in &jobs {
            assert_eq!(queue.see(job).await.course.stalls, stalls);
        }
    }
}

/// One compare-and-set on token and version.
async fn of_a_completion_and_a_take_over_that_race_exactly_one_wins(ctx: &Context) {
    let handles = ctx.handles(2).await;
    let queue = ctx.queue("q").await;
    for _ in 0..25 {
        let job = queue.add_one().await;
        let leased = queue.take_one().await;
        ctx.advance(LEASE);
        let page = queue.overdue(Overdue::LostLeases).await;
        let both = [
            queue.decide(&leased, success("r")),
            queue.decide_overdue(&page.jobs[0], Overdue::LostLeases, page.now),
        ];
        let outcomes = ctx
            .race(&handles, 2, move |i, backend| {
                let transition = both[i].clone();
                async move {
                    let outcomes = backend.apply_through(vec![transition]).await;
                    is_applied(&outcomes.expect("apply")[0])
                }
            })
            .await;
        let seen = queue.see(&job).await;
        match outcomes[..] {
            [true, false] => assert_eq!((seen.state, seen.course.stalls), (State::Completed, 0)),
            [false, true] => {
                assert_eq!((seen.state, seen.course.stalls), (State::Waiting, 1));
                assert_eq!(queue.work(done()).await.id, job.id);
            }
            _ => panic!("not exactly one: {outcomes:?}"),
        }
        assert_eq!(seen.version, leased.version + 1);
        assert_eq!(queue.stats().await.leases, 0);
    }
}

/// Accepted only with the current token, in one atomic step.
async fn of_two_settles_of_one_lease_that_race_one_wins(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue_with("q", |spec| spec.limits.concurrency = Some(1)).await;
    for _ in 0..10 {
        queue.add_one().await;
        let leased = queue.take_one().await;
        let each = (queue.clone(), leased.clone());
        let outcomes = ctx
            .race(&handles, TASKS, move |i, backend| {
                let (queue, job) = (each.0.on(&backend), each.1.clone());
                async move {
                    let outcome = match i % 2 {
                        0 => success(&i.to_string()),
                        _ => failure(&i.to_string()),
                    };
                    is_applied(&queue.settle(&job, outcome).await)
                }
            })
            .await;
        let winners: Vec<_> = (0..TASKS).filter(|i| outcomes[*i]).collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        let seen = queue.see(&leased.reference()).await;
        let winner = winners[0].to_string();
        if winners[0] % 2 == 0 {
            assert_eq!(seen.result, Some(Payload::from(winner)));
        } else {
            assert_eq!(seen.course.errors[0].message, winner);
            queue.control(&seen.reference(), Wish::Cancel).await;
        }
    }
}

/// A heartbeat never brings back a lease that has ended.
async fn a_lease_that_is_extended_and_settled_at_once_ends_settled(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    for _ in 0..10 {
        queue.add_one().await;
        let leased = queue.take_one().await;
        let each = (queue.clone(), leased.clone());
        ctx.race(&handles, 6, move |i, backend| {
            let (queue, job) = (each.0.on(&backend), each.1.clone());
            async move {
                if i == 3 {
                    queue.complete(&job).await;
                } else {
                    queue.extend(&job, LEASE).await;
                }
            }
        })
        .await;
        let seen = queue.see(&leased.reference()).await;
        assert_eq!((seen.state, seen.lease), (State::Completed, None));
        assert_eq!(queue.extend(&leased, LEASE).await, Extended::Lost);
        assert_eq!(queue.stats().await.leases, 0);
    }
}

/// A job that is not active is cancelled at once; an active one is told.
async fn of_a_wish_to_cancel_and_a_start_that_race_the_job_obeys_both_or_one(ctx: &Context) {
    let handles = ctx.handles(2).await;
    let queue = ctx.queue("q").await;
    for _ in 0..20 {
        let job = queue.add_one().await;
        let each = (queue.clone(), job.clone());
        let started = ctx
            .race(&handles, 2, move |i, backend| {
                let (queue, job) = (each.0.on(&backend), each.1.clone());
                async move {
                    if i == 0 {
                        return queue.take(1).await;
                    }
                    assert!(queue.control(&job, Wish::Cancel).await);
                    Vec::new()
                }
            })
            .await
            .concat();
        let seen = queue.see(&job).await;
        if started.is_empty() {
            assert_eq!(seen.state, State::Cancelled);
        } else {
            assert_eq!((seen.state, seen.cancel_requested), (State::Active, true));
            queue.settled(&seen, windlass_core::decide::Outcome::Cancelled).await;
        }
    }
}

/// Once, under the job's current lease.
async fn of_records_of_one_step_that_race_one_stays(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let leased = queue.take_one().await;
    for position in 0..10 {
        let (reference, token): (_, Token) = (job.clone(), token(&leased));
        let answers = ctx
            .race(&handles, TASKS, move |i, backend| {
                let step = NewStep {
                    job: reference.clone(),
                    token,
                    position,
                    name: StepName::new("s").expect("a name"),
                    outcome: Payload::from(vec![i as u8]),
                };
                async move { backend.record_step(step).await.expect("record_step") }
            })
            .await;
        let steps = queue.backend().steps(&job).await.expect("steps");
        let stored = steps.last().expect("a step").clone();
        let recorded = answers.iter().filter(|a| **a == StepRecorded::Recorded).count();
        assert_eq!(recorded, 1, "{answers:?}");
        let winner = answers.iter().position(|a| *a == StepRecorded::Recorded);
        assert_eq!(winner.map(|i| vec![i as u8]), Some(stored.outcome.as_slice().to_vec()));
        let existing = StepRecorded::Existing(stored);
        assert_eq!(answers.iter().filter(|a| **a == existing).count(), TASKS - 1);
    }
}
