//! Many tasks on several handles at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use windlass_core::backend::{
    Applied, Declared, EnqueueAnswer, Enqueued, Extended, Overdue, RepeatablePut, RepeatablesQuery,
};
use windlass_core::decide::control::Wish;
use windlass_core::decide::repeat;
use windlass_core::model::{
    Job, JobId, JobOptions, JobTemplate, JobType, Missed, NewStep, Overlap, Partitions, Payload,
    Rate, Repeatable, RepeatableKey, State, StepName, StepRecorded, Token,
};
use windlass_core::schedule::Schedule;
use windlass_core::{Backend, BackendExt};

use crate::fixture::{
    LEASE, Queue, done, failure, ids, is_applied, partition_key, secs, success, token,
};
use crate::harness::{Context, case_table, spec};

case_table! {
    [L1] no_job_is_leased_twice_however_many_ask_at_once,
    [L1] workers_that_race_do_every_job_exactly_once,
    [G1] concurrency_holds_however_many_ask_at_once,
    [G1] the_rate_holds_however_many_ask_at_once,
    [P1] one_at_a_time_holds_however_many_ask_at_once,
    [E2] batches_that_race_keep_their_order_and_their_numbers,
    [E3] of_enqueues_with_one_job_key_that_race_one_is_stored,
    [E4] of_enqueues_with_one_deduplication_key_that_race_one_is_stored,
    [] of_first_declarations_that_race_one_creates,
    [S2] schedulers_that_race_fire_each_moment_once,
    [L3] of_two_take_overs_of_a_job_that_race_one_counts,
    [L3] of_a_completion_and_a_take_over_that_race_exactly_one_wins,
    [L2] of_two_settles_of_one_lease_that_race_one_wins,
    [L2] a_lease_that_is_extended_and_settled_at_once_ends_settled,
    [C1] of_a_wish_to_cancel_and_a_start_that_race_the_job_obeys_both_or_one,
    [N1] dependencies_that_end_at_once_release_their_dependent_once,
    [N1] a_dependent_that_is_stored_while_its_dependency_ends_is_never_forgotten,
    [W1] of_records_of_one_step_that_race_one_stays,
    [Q3] cleaners_that_race_remove_each_job_once,
    [Q1] nothing_starts_after_a_pause_was_acknowledged,
}

/// How many tasks race.
const TASKS: usize = 16;

/// Two calls never lease the same job.
async fn no_job_is_leased_twice_however_many_ask_at_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    queue.add_all(queue.jobs(200)).await;
    let each = queue.clone();
    let taken = ctx
        .race(&handles, TASKS, move |i, backend| {
            let queue = each.on(&backend);
            async move {
                let mut taken = Vec::new();
                loop {
                    let jobs = queue.take(1 + (i % 5) as u32).await;
                    if jobs.is_empty() {
                        return taken;
                    }
                    taken.extend(ids(&jobs));
                }
            }
        })
        .await;
    let all: Vec<JobId> = taken.concat();
    let distinct: BTreeSet<JobId> = all.iter().copied().collect();
    assert_eq!((all.len(), distinct.len()), (200, 200));
    assert_eq!(queue.stats().await.leases, 200);
}

/// Each job is run by whoever leased it, and by nobody else, while others
/// enqueue, fail and hand back.
async fn workers_that_race_do_every_job_exactly_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    let each = queue.clone();
    let done = ctx
        .race(&handles, TASKS, move |i, backend| {
            let queue = each.on(&backend);
            async move {
                let mut done = Vec::new();
                if i % 2 == 0 {
                    queue.add_all(queue.jobs(20)).await;
                }
                for round in 0_usize.. {
                    let jobs = queue.take(3).await;
                    if jobs.is_empty() && round > 20 {
                        return done;
                    }
                    for job in jobs {
                        if (round + i) % 7 == 0 {
                            let release = windlass_core::decide::Outcome::Release;
                            queue.settled(&job, release).await;
                        } else {
                            queue.settled(&job, success("r")).await;
                            done.push(job.id);
                        }
                    }
                    tokio::task::yield_now().await;
                }
                done
            }
        })
        .await
        .concat();
    let mut seen: BTreeSet<JobId> = BTreeSet::new();
    assert!(done.iter().all(|id| seen.insert(*id)), "a job was completed twice");
    // What the last ones handed back is still there; nothing is lost.
    let left = queue.take(1000).await;
    assert_eq!(done.len() + left.len(), TASKS / 2 * 20);
    assert!(left.iter().all(|job| !seen.contains(&job.id)));
    assert_eq!(queue.stats().await.count(State::Completed), done.len() as u64);
}

/// Everything that so many tasks lease at once with one dequeue each.
async fn rush(ctx: &Context, handles: &[Arc<dyn Backend>], queue: &Queue, max: u32) -> Vec<Job> {
    let each = queue.clone();
    let taken = ctx.race(handles, TASKS, move |_, backend| {
        let queue = each.on(&backend);
        async move { queue.take(max).await }
    });
    taken.await.concat()
}

/// Limits hold however many call at once.
async fn concurrency_holds_however_many_ask_at_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue_with("q", |spec| spec.limits.concurrency = Some(7)).await;
    queue.add_all(queue.jobs(60)).await;
    let mut held = rush(ctx, &handles, &queue, 2).await;
    assert_eq!(held.len(), 7);
    while !held.is_empty() {
        // Some settle while others ask: what is freed is taken, and no more.
        let freed = held.split_off(held.len() / 2);
        let (each, settle) = (queue.clone(), freed.clone());
        let taken = ctx
            .race(&handles, TASKS, move |i, backend| {
                let queue = each.on(&backend);
                let job = settle.get(i).cloned();
                async move {
                    if let Some(job) = job {
                        queue.complete(&job).await;
                    }
                    let taken = queue.take(2).await;
                    let leases = queue.stats().await.leases;
                    assert!(leases <= 7, "{leases} leases of 7");
                    taken
                }
            })
            .await
            .concat();
        held.extend(taken);
        assert!(held.len() <= 7, "{} leases of 7", held.len());
        assert_eq!(queue.stats().await.leases, held.len() as u64);
        if queue.stats().await.count(State::Waiting) == 0 {
            for job in held.drain(..) {
                queue.complete(&job).await;
            }
        }
    }
    assert_eq!(queue.stats().await.count(State::Completed), 60);
}

/// Limits hold however many call at once.
async fn the_rate_holds_however_many_ask_at_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let rate = Rate { limit: 5, period: secs(10) };
    let queue = ctx.queue_with("q", |spec| spec.limits.rate = Some(rate)).await;
    queue.add_all(queue.jobs(60)).await;
    for _ in 0..4 {
        assert_eq!(rush(ctx, &handles, &queue, 2).await.len(), 5);
        ctx.advance(secs(9));
        assert_eq!(rush(ctx, &handles, &queue, 2).await.len(), 0);
        ctx.advance(secs(1));
    }
}

/// The default is one at a time.
async fn one_at_a_time_holds_however_many_ask_at_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue_with("q", |spec| spec.partitions = Some(Partitions::default())).await;
    let names = ["a", "b", "c", "d", "e"];
    let drafts = (0..60).map(|i| queue.job().partition(names[i % 5]));
    queue.add_all(drafts.collect()).await;
    let mut order: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for _ in 0..12 {
        let taken = rush(ctx, &handles, &queue, 3).await;
        let partitions: BTreeSet<_> = taken.iter().map(|job| job.partition.clone()).collect();
        assert_eq!((taken.len(), partitions.len()), (5, 5), "one of each");
        for job in &taken {
            let partition = job.partition.as_ref().expect("a partition").as_str().to_owned();
            order.entry(partition).or_default().push(job.seq);
            queue.complete(job).await;
        }
    }
    assert!(order.values().all(|line| line.is_sorted()), "out of order: {order:?}");
    let last = queue.add(queue.job().partition("a")).await;
    let partition = queue.see(&last).await.partition;
    assert_eq!(partition, Some(partition_key("a")));
}

/// The jobs of a batch have rising sequence numbers, above those of every
/// earlier acknowledged batch of the same queue.
async fn batches_that_race_keep_their_order_and_their_numbers(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    let each = queue.clone();
    let batches = ctx
        .race(&handles, TASKS, move |i, backend| {
            let queue = each.on(&backend);
            async move {
                let mut batches = Vec::new();
                for size in [1, 4, 1 + i % 3] {
                    batches.push(queue.add_all(queue.jobs(size)).await);
                }
                batches
            }
        })
        .await;
    let mut seen = BTreeSet::new();
    for of_task in &batches {
        let mut before = None;
        for job in of_task.concat() {
            let seq = queue.see(&job).await.seq;
            assert!(Some(seq) > before, "{seq} after {before:?}");
            assert!(seen.insert(seq), "{seq} twice");
            before = Some(seq);
        }
    }
}

/// The same name in the same queue yields the job that already exists.
async fn of_enqueues_with_one_job_key_that_race_one_is_stored(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    for round in 0..10 {
        let each = queue.clone();
        let outcomes = ctx
            .race(&handles, TASKS, move |i, backend| {
                let queue = each.on(&backend);
                let draft = queue.job().key(&format!("k{round}")).payload(vec![i as u8]);
                async move { queue.offer_one(draft).await }
            })
            .await;
        let stored = outcomes.iter().filter(|outcome| **outcome == Enqueued::Stored).count();
        let existing = outcomes.iter().filter(|o| **o == Enqueued::Existing).count();
        assert_eq!((stored, existing), (1, TASKS - 1), "{outcomes:?}");
        // The one that was told it is stored is the one that is.
        let winner = outcomes.iter().position(|o| *o == Enqueued::Stored).expect("a winner");
        let job = queue.work(done()).await;
        assert_eq!(job.payload, Some(Payload::from(vec![winner as u8])));
    }
}

/// At most one non-terminal job per (queue, key).
async fn of_enqueues_with_one_deduplication_key_that_race_one_is_stored(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    for _ in 0..10 {
        let each = queue.clone();
        let outcomes = ctx
            .race(&handles, TASKS, move |_, backend| {
                let queue = each.on(&backend);
                let draft = queue.job().dedup("k");
                let id = draft.0.id;
                async move { (id, queue.offer_one(draft).await) }
            })
            .await;
        let stored: Vec<JobId> = outcomes
            .iter()
            .filter(|(_, outcome)| *outcome == Enqueued::Stored)
            .map(|(id, _)| *id)
            .collect();
        assert_eq!(stored.len(), 1, "{outcomes:?}");
        for (_, outcome) in &outcomes {
            match outcome {
                Enqueued::Stored => {}
                Enqueued::Duplicate(job) => assert_eq!(job.id, stored[0]),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(queue.work(done()).await.id, stored[0]);
        queue.nothing().await;
    }
}

/// Of two first declarations one creates.
async fn of_first_declarations_that_race_one_creates(ctx: &Context) {
    let handles = ctx.handles(3).await;
    for round in 0..10 {
        let answers = ctx
            .race(&handles, TASKS, move |_, backend| async move {
                backend.declare(&spec(&format!("q{round}"))).await.expect("declare")
            })
            .await;
        let created = answers.iter().filter(|answer| **answer == Declared::Created).count();
        let unchanged = answers.iter().filter(|a| **a == Declared::Unchanged).count();
        assert_eq!((created, unchanged), (1, TASKS - 1), "{answers:?}");
    }
}

/// For each fire moment there is at most one job, over all processes.
async fn schedulers_that_race_fire_each_moment_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    let wanted = Repeatable {
        key: RepeatableKey::new("k").expect("a key"),
        queue: queue.spec.name.clone(),
        template: JobTemplate {
            job_type: JobType::new("tick").expect("a name"),
            payload: Payload::default(),
            options: JobOptions::default(),
            partition: None,
            tags: Vec::new(),
        },
        schedule: Schedule::every(secs(10)).expect("a period"),
        start: None,
        end: None,
        count: None,
        missed: Missed::RunOnce,
        overlap: Overlap::Allow,
    };
    let record = repeat::put(None, wanted, ctx.now()).expect("new");
    let put = windlass_core::backend::PutRepeatable { record, guard: None, jobs: Vec::new() };
    let stored = queue.backend().put_repeatable(put).await.expect("put_repeatable");
    assert_eq!(stored, RepeatablePut::Stored);
    for moment in 1..=20 {
        ctx.advance(secs(10));
        let each = queue.clone();
        let fired = ctx
            .race(&handles, 8, move |_, backend| {
                let queue = each.on(&backend);
                async move {
                    let due = RepeatablesQuery::Due(10);
                    let due = backend.repeatables(due).await.expect("repeatables");
                    let Some(record) = due.records.first() else {
                        return 0;
                    };
                    let put = repeat::fire(record, &queue.spec, due.now, false);
                    let put = put.expect("valid jobs").expect("due");
                    match backend.put_repeatable(put).await.expect("put_repeatable") {
                        RepeatablePut::Stored => 1,
                        RepeatablePut::Stale(_) => 0,
                    }
                }
            })
            .await;
        assert_eq!(fired.iter().sum::<u32>(), 1, "at moment {moment}");
        assert_eq!(queue.stats().await.count(State::Waiting), moment);
    }
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

/// It stays `blocked` until all have completed, and is then released.
async fn dependencies_that_end_at_once_release_their_dependent_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    for _ in 0..10 {
        let first = queue.add_all(queue.jobs(8)).await;
        let last = queue.add(queue.job().depends_on(&first)).await;
        let leased = queue.take(8).await;
        let each = queue.clone();
        ctx.race(&handles, 8, move |i, backend| {
            let (queue, job) = (each.on(&backend), leased[i].clone());
            async move { queue.complete(&job).await }
        })
        .await;
        let seen = queue.see(&last).await;
        assert_eq!((seen.state, seen.dependencies.open), (State::Waiting, 0));
        assert_eq!(queue.work(done()).await.id, last.id);
        queue.nothing().await;
    }
}

/// A dependency that already completed counts as met, and one that has not
/// tells when it does: there is nothing in between.
async fn a_dependent_that_is_stored_while_its_dependency_ends_is_never_forgotten(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let (queue, waiting) = (ctx.queue("q").await, ctx.queue("waiting").await);
    for _ in 0..15 {
        let first = queue.add_one().await;
        let leased = queue.take_one().await;
        let each = (queue.clone(), waiting.clone());
        ctx.race(&handles, 6, move |i, backend| {
            let (queue, waiting) = (each.0.on(&backend), each.1.on(&backend));
            let (first, leased) = (first.clone(), leased.clone());
            async move {
                if i != 2 {
                    waiting.add(waiting.job().depends_on([&first])).await;
                    return;
                }
                // Gaining a dependent may make this stale, however often.
                let mut job = leased;
                loop {
                    match queue.settle(&job, done()).await {
                        Applied::Applied => return,
                        Applied::Stale(now) => job = *now,
                        other => panic!("{other:?}"),
                    }
                }
            }
        })
        .await;
        let released = waiting.take(9).await;
        assert_eq!(released.len(), 5, "some dependent was forgotten");
        for job in &released {
            waiting.complete(job).await;
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

/// Removes jobs for good, and answers how many.
async fn cleaners_that_race_remove_each_job_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    let drafts = (0..120).map(|_| queue.job().tag("t")).collect();
    queue.add_all(drafts).await;
    let each = queue.clone();
    let removed = ctx
        .race(&handles, TASKS, move |i, backend| {
            let queue = each.on(&backend);
            async move {
                let age = windlass_core::backend::CleanWhich::OlderThan(secs(0));
                queue.clean(State::Waiting, age, 5 + i as u32).await
            }
        })
        .await;
    let removed: u64 = removed.into_iter().sum();
    assert_eq!(removed, 120, "16 cleaners of 5 to 20 jobs each");
    assert_eq!((queue.all().await, queue.stats().await.jobs), (vec![], [0; 8]));
}

/// Holds for every dequeue that begins after the answer.
async fn nothing_starts_after_a_pause_was_acknowledged(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    queue.add_all(queue.jobs(300)).await;
    let each = queue.clone();
    let after = ctx
        .race(&handles, 8, move |i, backend| {
            let queue = each.on(&backend);
            async move {
                if i == 0 {
                    backend.pause(&queue.spec.name).await.expect("pause");
                    return queue.take(9).await.len();
                }
                for _ in 0..10 {
                    queue.take(1).await;
                }
                0
            }
        })
        .await;
    assert_eq!(after[0], 0);
    let leases = queue.stats().await.leases;
    queue.nothing().await;
    assert_eq!(queue.stats().await.leases, leases);
    let answer = queue.enqueue(vec![queue.job()]).await;
    assert!(matches!(answer, EnqueueAnswer::Stored { .. }));
}
