//! The number of shards is changed while jobs are stored.

use windlass_core::backend::{Again, Declared, Enqueued};
use windlass_core::decide::control::Wish;
use windlass_core::model::{Job, JobRef, Limits, Partitions, QueueSpec, State};

use super::{MANY, SHARDS, by_partition, run_all, sorted, spread};
use crate::fixture::{Draft, LEASE, Queue, done, ids, ids_of, is_applied, secs};
use crate::harness::{Context, case_table};

case_table! {
    [Q7 G3] the_number_of_shards_is_declared_anew_and_comes_back,
    [Q7] no_job_is_lost_or_stranded_when_there_are_more_or_fewer_shards,
    [Q7] leases_from_before_a_change_are_current_after_it,
    [Q7 P2] after_a_change_partitions_keep_their_order_once_the_old_jobs_have_ended,
    [Q7 E3 E4] keys_that_are_taken_stay_so_when_there_are_more_or_fewer_shards,
    [Q7 Q1] a_queue_stays_paused_when_shards_are_added,
    [Q7] processes_that_declare_at_once_agree,
}

/// Other counts, growing and shrinking, over and under what there ever was.
const COUNTS: [u32; 7] = [1, SHARDS, 2, 7, 1, 64, 3];

/// The last declaration holds, and is what is seen of the queue.
async fn the_number_of_shards_is_declared_anew_and_comes_back(ctx: &Context) {
    let mut queue = ctx.queue("q").await;
    let other = ctx.handle().await;
    for shards in COUNTS.into_iter().skip(1) {
        let declared = queue.redeclare(|spec| spec.shards = shards).await;
        assert_eq!(declared, Declared::Updated);
        assert_eq!(queue.declare().await, Declared::Unchanged);
        for handle in [queue.clone(), queue.on(&other)] {
            let queues = handle.backend().queues().await.expect("queues");
            assert_eq!(queues.len(), 1);
            assert_eq!(queues[0].spec, queue.spec);
            assert_eq!(*handle.dequeue(1).await.spec, queue.spec);
        }
        assert!(ctx.backend().jobs(all_of(&queue)).await.expect("jobs").jobs.is_empty());
    }
    let mut conflict = queue.spec.clone();
    conflict.shards = 5;
    conflict.partitions = Some(Partitions::default());
    let declared = ctx.backend().declare(&conflict).await.expect("declare");
    assert_eq!(declared, Declared::Conflict(Box::new(queue.spec.clone())));
}

fn all_of(queue: &Queue) -> windlass_core::model::JobsQuery {
    windlass_core::model::JobsQuery {
        filter: windlass_core::model::Filter {
            queue: Some(queue.spec.name.clone()),
            ..windlass_core::model::Filter::default()
        },
        direction: windlass_core::model::Direction::OldestFirst,
        after: None,
        limit: 1000,
        detail: windlass_core::model::Detail::Summary,
    }
}

/// Whatever was enqueued under whichever number of shards is found, listed, counted and
/// run.
async fn no_job_is_lost_or_stranded_when_there_are_more_or_fewer_shards(ctx: &Context) {
    let mut queue = ctx.queue("q").await;
    let other = ctx.handle().await;
    let mut jobs = Vec::new();
    for shards in COUNTS {
        queue.redeclare(|spec| spec.shards = shards).await;
        jobs.extend(queue.add_all(queue.jobs(MANY)).await);
        jobs.extend(queue.on(&other).add_all(queue.jobs(9)).await);
        assert_eq!(queue.stats().await.count(State::Waiting), jobs.len() as u64);
        assert_eq!(sorted(ids(&queue.all().await)), sorted(ids_of(&jobs)));
        for job in jobs.iter().step_by(7) {
            assert_eq!(queue.state(job).await, State::Waiting, "with {shards} shards");
        }
    }
    for job in jobs.iter().step_by(5) {
        assert!(queue.control(job, Wish::Cancel).await);
        assert!(queue.control(job, Wish::Retry).await);
    }
    let ran = run_all(&queue.on(&other)).await;
    assert_eq!(sorted(ids(&ran)), sorted(ids_of(&jobs)));
    assert_eq!(queue.stats().await.count(State::Completed), jobs.len() as u64);
}

/// What was leased before can be extended and settled, and so can what is taken over.
async fn leases_from_before_a_change_are_current_after_it(ctx: &Context) {
    let bounded = Limits { concurrency: Some(64), rate: None };
    let mut queue = spread(ctx, |spec| spec.limits = bounded).await;
    queue.add_all(queue.jobs(MANY)).await;
    let mut held: Vec<Job> = Vec::new();
    for shards in COUNTS {
        held.extend(queue.take(6).await);
        queue.redeclare(|spec| spec.shards = shards).await;
        for job in &held {
            let held = queue.extend(job, LEASE).await;
            assert!(matches!(held, windlass_core::backend::Extended::Held { .. }), "{held:?}");
        }
    }
    assert!(held.len() >= 6);
    let lost = held.split_off(held.len() / 2);
    for job in &held {
        assert!(is_applied(&queue.settle(job, done()).await));
    }
    ctx.advance(LEASE);
    let swept = queue.sweep(windlass_core::backend::Overdue::LostLeases).await;
    assert_eq!(swept, lost.len());
    assert_eq!(run_all(&queue).await.len(), MANY - held.len());
}

/// Once the jobs from before have ended, order and bounds are those of the new shards.
async fn after_a_change_partitions_keep_their_order_once_the_old_jobs_have_ended(ctx: &Context) {
    let mut queue = spread(ctx, |spec| spec.partitions = Some(Partitions::default())).await;
    for shards in COUNTS {
        queue.redeclare(|spec| spec.shards = shards).await;
        let mut added = Vec::new();
        for _ in 0..4 {
            let drafts = (0..9).map(|n| queue.job().partition(&format!("partition-{n}")));
            added.extend(queue.add_all(drafts.collect()).await);
        }
        let mut expected: std::collections::BTreeMap<String, Vec<_>> = Default::default();
        for (n, job) in added.iter().enumerate() {
            expected.entry(format!("partition-{}", n % 9)).or_default().push(job.id);
        }
        let mut ran = Vec::new();
        loop {
            let taken = queue.take(100).await;
            if taken.is_empty() {
                break;
            }
            assert!(by_partition(&taken).values().all(|jobs| jobs.len() == 1));
            for job in &taken {
                queue.complete(job).await;
            }
            ran.extend(taken);
        }
        assert_eq!(by_partition(&ran), expected, "with {shards} shards");
    }
}

/// A job whose id exists is not stored, and neither is one whose deduplication key is
/// taken.
async fn keys_that_are_taken_stay_so_when_there_are_more_or_fewer_shards(ctx: &Context) {
    let mut queue = ctx.queue("q").await;
    let named = |queue: &Queue| -> Vec<Draft> {
        (0..MANY).map(|n| queue.job().key(&format!("key-{n}"))).collect()
    };
    let unique = |queue: &Queue| -> Vec<Draft> {
        (0..MANY).map(|n| queue.job().dedup(&format!("dedup-{n}"))).collect()
    };
    let first = queue.add_all(named(&queue)).await;
    let mut holders = queue.add_all(unique(&queue)).await;
    for shards in COUNTS {
        queue.redeclare(|spec| spec.shards = shards).await;
        let existing = vec![Enqueued::Existing; MANY];
        assert_eq!(queue.offer(named(&queue)).await, existing, "with {shards} shards");
        // One of a flow goes another way.
        let mut drafts = named(&queue);
        drafts.push(queue.job().depends_on([&first[0]]));
        let outcomes = queue.offer(drafts).await;
        assert_eq!(outcomes[..MANY], existing);
        for (outcome, holder) in queue.offer(unique(&queue)).await.into_iter().zip(&holders) {
            let Enqueued::Duplicate(taken) = outcome else { panic!("{outcome:?}") };
            assert_eq!(taken.reference(), *holder, "with {shards} shards");
        }
        // Some end, and their keys are taken anew, in the shards of now.
        for holder in holders.iter().step_by(3) {
            assert!(queue.control(holder, Wish::Cancel).await);
        }
        let anew = queue.offer(unique(&queue)).await;
        for (n, outcome) in anew.iter().enumerate() {
            assert_eq!(*outcome == Enqueued::Stored, n % 3 == 0, "{outcome:?}");
        }
        holders = live_by_dedup(&queue).await;
    }
}

/// The jobs that have not ended, in the order of the numbers in their deduplication keys.
async fn live_by_dedup(queue: &Queue) -> Vec<JobRef> {
    let mut numbered = Vec::new();
    for job in queue.all().await {
        if let Some(dedup) = job.dedup.as_ref().filter(|_| !job.state.is_terminal()) {
            let number: usize = dedup.key.as_str()["dedup-".len()..].parse().expect("a number");
            numbered.push((number, job.reference()));
        }
    }
    numbered.sort();
    numbered.into_iter().map(|(_, job)| job).collect()
}

/// Declaring does not end a pause, and adds nothing that runs.
async fn a_queue_stays_paused_when_shards_are_added(ctx: &Context) {
    let mut queue = ctx.queue("q").await;
    queue.backend().pause(&queue.spec.name).await.expect("pause");
    queue.redeclare(|spec| spec.shards = SHARDS).await;
    queue.add_all(queue.jobs(MANY)).await;
    for _ in 0..2 * SHARDS {
        assert_eq!(queue.nothing().await, Again::OnNotice);
    }
    queue.backend().resume(&queue.spec.name).await.expect("resume");
    assert_eq!(run_all(&queue).await.len(), MANY);
    ctx.advance(secs(1));
    queue.redeclare(|spec| spec.shards = 2 * SHARDS).await;
    queue.add_all(queue.jobs(MANY)).await;
    assert_eq!(run_all(&queue).await.len(), MANY, "what is added to one that runs, runs");
}

/// Of several declarations at once one holds, whole.
async fn processes_that_declare_at_once_agree(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let template = crate::harness::spec("q");
    let declared = ctx.race(&handles, 9, move |i, backend| {
        let shards = [2, 5, 3][i % 3];
        let limits = Limits { concurrency: Some(4 * shards), rate: None };
        let spec = QueueSpec { shards, limits, ..template.clone() };
        async move { backend.declare(&spec).await.expect("declare") }
    });
    for declared in declared.await {
        assert!(!matches!(declared, Declared::Conflict(_)), "{declared:?}");
    }
    let queues = ctx.backend().queues().await.expect("queues");
    assert_eq!(queues.len(), 1);
    let queue = Queue::new(ctx.backend().clone(), queues[0].spec.clone(), ctx.ids().clone());
    assert_eq!(queue.declare().await, Declared::Unchanged);
    queue.add_all(queue.jobs(MANY)).await;
    let held = queue.take(1000).await;
    // Shards that only another declaration had run one job each besides.
    let bound = queue.spec.limits.concurrency.expect("a bound") + 5 - queue.spec.shards;
    assert!(held.len() <= bound as usize, "{} of {bound}", held.len());
    for job in &held {
        queue.complete(job).await;
    }
    assert_eq!(run_all(&queue).await.len(), MANY - held.len());
}
