//! Enqueues and declarations at once.

use std::collections::BTreeSet;

use windlass_core::BackendExt;
use windlass_core::backend::{CleanWhich, Declared, Enqueued};
use windlass_core::decide::control::Wish;
use windlass_core::model::{Filter, JobId, Payload, State};

use crate::fixture::{dedup_key, done, failure_for_good};
use crate::harness::{Context, case_table, spec};

use super::TASKS;

case_table! {
    [E2] batches_that_race_keep_their_order_and_their_numbers,
    [E3] of_enqueues_with_one_job_key_that_race_one_is_stored,
    [E4] of_enqueues_with_one_deduplication_key_that_race_one_is_stored,
    [E4] a_key_that_many_fight_for_has_one_live_job_and_is_free_in_the_end,
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

/// At most one non-terminal job per (queue, key), whoever enqueues, completes,
/// cancels, retries and cleans at once; and a key whose jobs have all ended is
/// free, whatever ended them.
async fn a_key_that_many_fight_for_has_one_live_job_and_is_free_in_the_end(ctx: &Context) {
    const KEYS: usize = 3;
    let handles = ctx.handles(4).await;
    let queue = ctx.queue("q").await;
    let of_key = |key: usize, states: &[State]| Filter {
        dedup: Some(dedup_key(&format!("k{key}"))),
        states: states.to_vec(),
        ..Filter::default()
    };
    const LIVE: [State; 4] = [State::Blocked, State::Scheduled, State::Waiting, State::Active];
    const ENDED: [State; 3] = [State::Completed, State::Failed, State::Cancelled];
    let each = queue.clone();
    let counts = ctx
        .race(&handles, TASKS, move |task, backend| {
            let queue = each.on(&backend);
            async move {
                let (mut stored, mut duplicates) = (0, 0);
                for round in 0..12 {
                    let key = (task + round) % KEYS;
                    match (task + 5 * round) % 6 {
                        0 | 1 => {
                            let draft = queue.job().dedup(&format!("k{key}"));
                            let outcome = queue.offer_one(draft).await;
                            stored += usize::from(outcome == Enqueued::Stored);
                        }
                        2 => {
                            for job in queue.take(1).await {
                                // Somebody may have cancelled it meanwhile.
                                let failed = failure_for_good("no");
                                drop(queue.settle(&job, failed).await);
                            }
                        }
                        3 => {
                            for job in queue.list(of_key(key, &ENDED)).await.iter().take(2) {
                                drop(queue.backend().control(&job.reference(), Wish::Retry).await);
                            }
                        }
                        4 => {
                            for job in queue.list(of_key(key, &LIVE)).await {
                                drop(queue.backend().control(&job.reference(), Wish::Cancel).await);
                            }
                        }
                        _ => {
                            let all = CleanWhich::OlderThan(std::time::Duration::ZERO);
                            queue.clean(State::Cancelled, all, 1).await;
                        }
                    }
                    let live = queue.list(of_key(key, &LIVE)).await.len();
                    duplicates += live.saturating_sub(1);
                }
                (stored, duplicates)
            }
        })
        .await;
    let stored: usize = counts.iter().map(|(stored, _)| stored).sum();
    let duplicates: usize = counts.iter().map(|(_, duplicates)| duplicates).sum();
    assert_eq!(duplicates, 0, "live duplicates");
    assert!(stored >= KEYS, "{stored} jobs prove nothing");

    // All that is still live comes to its end.
    for job in queue.list(Filter { states: LIVE.to_vec(), ..Filter::default() }).await {
        queue.control(&job.reference(), Wish::Cancel).await;
    }
    for job in queue.list(Filter { states: LIVE.to_vec(), ..Filter::default() }).await {
        queue.settled(&job, done()).await;
    }
    let mut dangling = 0;
    for key in 0..KEYS {
        let outcome = queue.offer_one(queue.job().dedup(&format!("k{key}"))).await;
        dangling += usize::from(outcome != Enqueued::Stored);
    }
    assert_eq!(dangling, 0, "keys that stay taken for nobody");
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
