//! Enqueues and declarations at once.

use std::collections::BTreeSet;

use windlass_core::backend::{Declared, Enqueued};
use windlass_core::model::{JobId, Payload};

use crate::fixture::done;
use crate::harness::{Context, case_table, spec};

use super::TASKS;

case_table! {
    [E2] batches_that_race_keep_their_order_and_their_numbers,
    [E3] of_enqueues_with_one_job_key_that_race_one_is_stored,
    [E4] of_enqueues_with_one_deduplication_key_that_race_one_is_stored,
    [] of_first_declarations_that_race_one_creates,
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
