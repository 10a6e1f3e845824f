//! Dependents, schedulers and cleaners at once.

use windlass_core::backend::{Applied, RepeatablePut, RepeatablesQuery};
use windlass_core::decide::repeat::{self, Previous};
use windlass_core::model::{
    JobOptions, JobTemplate, JobType, Missed, Overlap, Payload, Repeatable, RepeatableKey, State,
};
use windlass_core::schedule::Schedule;

use crate::fixture::{done, secs};
use crate::harness::{Context, case_table};

use super::TASKS;

case_table! {
    [S2] schedulers_that_race_fire_each_moment_once,
    [N1] dependencies_that_end_at_once_release_their_dependent_once,
    [N1] a_dependent_that_is_stored_while_its_dependency_ends_is_never_forgotten,
    [Q3] cleaners_that_race_remove_each_job_once,
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
                    let put = repeat::fire(record, &queue.spec, due.now, Previous::Ended);
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
