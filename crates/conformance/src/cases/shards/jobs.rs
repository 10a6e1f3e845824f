//! Jobs of queues with shards are found, and found out about, wherever they are.

use std::collections::BTreeSet;

use windlass_core::backend::{
    BackendExt, CleanWhich, Enqueued, Refusal, RepeatablePut, RepeatablesQuery,
};
use windlass_core::decide::control::Wish;
use windlass_core::decide::repeat::{self, Previous};
use windlass_core::model::{
    Detail, Direction, Filter, Job, JobOptions, JobRef, JobTemplate, JobType, JobsQuery, Missed,
    NewStep, Overlap, Partitions, Payload, Repeatable, RepeatableKey, State, StepName,
    StepRecorded, When,
};
use windlass_core::schedule::Schedule;

use super::{MANY, SHARDS, run_all, sorted, spread};
use crate::fixture::{Draft, Queue, done, ids, ids_of, secs, success, tag, token};
use crate::harness::{Context, case_table};

case_table! {
    [Q7 E4] a_deduplication_key_is_taken_in_whichever_shard,
    [Q7 E3] a_batch_that_comes_again_is_stored_once,
    [Q7 C2] jobs_are_found_cancelled_moved_and_retried_by_their_ids,
    [Q7 Q5] a_listing_walks_through_all_shards,
    [Q7 Q2] figures_are_those_of_all_shards,
    [Q7 N1] dependencies_reach_across_shards_and_queues,
    [Q7 N2] a_dependency_that_breaks_cancels_in_other_shards,
    [Q7 L2] children_are_stored_under_their_parents_lease_in_any_shard,
    [Q7 Q3] cleaning_is_bounded_over_all_shards_by_age_and_by_count,
    [Q7 S2] a_repeatable_fires_once_a_moment_and_its_job_runs,
    [Q7 W1] steps_are_recorded_and_read_wherever_their_job_is,
}

/// Drafts of every kind that a store may spread by: by id, and by deduplication key.
fn mixture(queue: &Queue) -> Vec<Draft> {
    let keyed = |n: usize| queue.job().dedup(&format!("dedup-{n}"));
    (0..MANY).map(|n| if n % 2 == 0 { queue.job() } else { keyed(n) }).collect()
}

/// At most one job that has not ended exists per key.
async fn a_deduplication_key_is_taken_in_whichever_shard(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    let keyed = || (0..MANY).map(|n| queue.job().dedup(&format!("key-{n}"))).collect::<Vec<_>>();
    let first = queue.add_all(keyed()).await;
    for (outcome, job) in queue.offer(keyed()).await.into_iter().zip(&first) {
        let Enqueued::Duplicate(taken) = outcome else { panic!("{outcome:?}") };
        assert_eq!(taken.reference(), *job);
        // What is decided about it reaches it.
        if job.id.as_bytes()[0] % 2 == 0 {
            assert!(queue.control(&taken.reference(), Wish::Delay(When::After(secs(9)))).await);
        }
    }
    ctx.advance(secs(9));
    assert_eq!(sorted(ids(&run_all(&queue).await)), sorted(ids_of(&first)));
    queue.add_all(keyed()).await;
}

/// A job whose id exists, in whatever state, is not stored.
async fn a_batch_that_comes_again_is_stored_once(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    let named: Vec<Draft> = (0..MANY).map(|n| queue.job().key(&format!("key-{n}"))).collect();
    let drafts = [named, mixture(&queue)].concat();
    let jobs = queue.add_all(drafts.clone()).await;
    let again = vec![Enqueued::Existing; jobs.len()];
    assert_eq!(queue.offer(drafts.clone()).await, again);
    assert_eq!(run_all(&queue).await.len(), jobs.len());
    assert_eq!(queue.offer(drafts).await, again, "those that have ended exist too");
    for (n, job) in jobs.iter().take(MANY).enumerate() {
        let key = Some(crate::fixture::job_key(&format!("key-{n}")));
        let found = queue.list(Filter { key, ..Filter::default() }).await;
        assert_eq!(ids(&found), [job.id]);
    }
}

/// Jobs are found by their ids, and so is what is wished of them.
async fn jobs_are_found_cancelled_moved_and_retried_by_their_ids(ctx: &Context) {
    let plain = spread(ctx, |_| {}).await;
    let split = ctx
        .queue_with("split", |spec| {
            spec.shards = SHARDS;
            spec.partitions = Some(Partitions::default());
        })
        .await;
    let partitioned =
        (0..MANY).map(|n| split.job().partition(&format!("partition-{}", n % 9))).collect();
    for (queue, drafts) in [(&plain, mixture(&plain)), (&split, partitioned)] {
        let jobs = queue.add_all(drafts).await;
        for handle in ctx.handles(2).await {
            for job in &jobs {
                let seen = handle.job(job).await.expect("job").expect("it is there").job;
                assert_eq!(seen.reference(), *job);
                assert_eq!(seen.payload, Some(Payload::from("payload")));
            }
        }
        for job in &jobs {
            assert!(queue.control(job, Wish::Delay(When::After(secs(60)))).await);
            assert_eq!(queue.state(job).await, State::Scheduled);
            assert!(queue.control(job, Wish::Promote).await);
            assert_eq!(queue.state(job).await, State::Waiting);
            assert!(queue.control(job, Wish::Cancel).await);
            assert_eq!(queue.state(job).await, State::Cancelled);
            assert!(queue.control(job, Wish::Retry).await);
            assert_eq!(queue.state(job).await, State::Waiting);
        }
        let ran = run_all(queue).await;
        assert_eq!(sorted(ids(&ran)), sorted(ids_of(&jobs)));
        for job in &jobs {
            assert!(queue.control(job, Wish::Remove).await);
            assert_eq!(queue.find(job).await, None);
        }
    }
}

async fn walk(queue: &Queue, filter: &Filter, direction: Direction) -> Vec<Job> {
    let filter = Filter { queue: Some(queue.spec.name.clone()), ..filter.clone() };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let detail = Detail::Summary;
        let query = JobsQuery { filter: filter.clone(), direction, after, limit: 7, detail };
        let page = queue.backend().jobs(query).await.expect("jobs");
        assert!(page.jobs.len() <= 7);
        found.extend(page.jobs);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// A job that stays in the filter is in exactly one page of a walk, in either direction.
async fn a_listing_walks_through_all_shards(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    let tagged =
        |n: usize| if n.is_multiple_of(3) { queue.job().tag("third") } else { queue.job() };
    let jobs = queue.add_all((0..MANY).map(tagged).collect()).await;
    let other = ctx.queue("other").await;
    other.add_all(other.jobs(9)).await;
    let all = walk(&queue, &Filter::default(), Direction::OldestFirst).await;
    assert!(all.iter().all(|job| job.queue == queue.spec.name));
    assert!(all.is_sorted_by(|a, b| a.seq < b.seq), "by the sequence");
    assert_eq!(sorted(ids(&all)), sorted(ids_of(&jobs)));
    let mut backwards = walk(&queue, &Filter::default(), Direction::NewestFirst).await;
    backwards.reverse();
    assert_eq!(backwards, all);
    let third = Filter { tag: Some(tag("third")), ..Filter::default() };
    let found = walk(&queue, &third, Direction::OldestFirst).await;
    let expected = ids_of(&jobs).into_iter().step_by(3).collect();
    assert_eq!(sorted(ids(&found)), sorted(expected));
    // And so does one over all queues.
    let query = JobsQuery {
        filter: Filter::default(),
        direction: Direction::OldestFirst,
        after: None,
        limit: 1000,
        detail: Detail::Summary,
    };
    let page = queue.backend().jobs(query).await.expect("jobs");
    assert_eq!(page.jobs.len(), MANY + 9);
    let of_queue = page.jobs.iter().filter(|job| job.queue == queue.spec.name).count();
    assert_eq!(of_queue, MANY);
}

/// Figures agree with the jobs.
async fn figures_are_those_of_all_shards(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    let begin = ctx.now();
    queue.add_all(mixture(&queue)).await;
    queue.add_all((0..MANY).map(|_| queue.job().after(secs(60))).collect()).await;
    ctx.advance(secs(5));
    let taken = queue.take(30).await;
    for job in &taken[..10] {
        queue.complete(job).await;
    }
    for job in &taken[10..15] {
        queue.settled(job, crate::fixture::failure_for_good("no")).await;
    }
    let stats = queue.stats().await;
    let many = MANY as u64;
    let expected = [
        (State::Waiting, many - 30),
        (State::Scheduled, many),
        (State::Active, 15),
        (State::Completed, 10),
        (State::Failed, 5),
        (State::Cancelled, 0),
    ];
    for (state, count) in expected {
        assert_eq!(stats.count(state), count, "{state}");
    }
    assert_eq!((stats.queue.clone(), stats.leases), (queue.spec.name.clone(), 15));
    assert_eq!((stats.oldest_ready, stats.now), (Some(begin), ctx.now()));
    let queues = queue.backend().queues().await.expect("queues");
    assert_eq!(queues.len(), 1, "it is one queue");
    assert_eq!(queues[0].spec, queue.spec);
}

/// A job stays blocked until all that it depends on has completed.
async fn dependencies_reach_across_shards_and_queues(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    let other = ctx.queue("other").await;
    let outside = other.add_one().await;
    // A chain in one batch, and one that waits for some of it and for another queue's.
    let mut chain: Vec<Draft> = Vec::new();
    for draft in queue.jobs(12) {
        let before =
            chain.last().map(|draft| JobRef { queue: queue.spec.name.clone(), id: draft.0.id });
        chain.push(draft.depends_on(before.iter()));
    }
    let chain = queue.add_all(chain).await;
    let join = queue.add(queue.job().depends_on([&chain[3], &chain[11], &outside])).await;
    let late = queue.add(queue.job().depends_on([&chain[0]])).await;
    let abroad = other.add(other.job().depends_on([&chain[11]])).await;
    assert_eq!(queue.stats().await.count(State::Blocked), 13);
    let dependents = queue.backend().dependents(&chain[11]).await.expect("dependents");
    let found: BTreeSet<JobRef> = dependents.iter().map(Job::reference).collect();
    assert_eq!(found, BTreeSet::from([join.clone(), abroad.clone()]));
    assert!(queue.see(&chain[11]).await.has_dependents);
    for expected in &chain {
        let mut taken = queue.take(10).await;
        taken.retain(|job| {
            assert!(job.id == expected.id || job.id == late.id, "nothing else can start");
            job.id == expected.id
        });
        assert_eq!(ids(&taken), [expected.id]);
        queue.settled(&taken[0], success("r")).await;
    }
    assert_eq!(queue.state(&join).await, State::Blocked);
    assert_eq!(other.take(10).await.len(), 2, "its own, and the one that has waited");
    other.backend().now().await.expect("now");
    let held = other.list(Filter { states: vec![State::Active], ..Filter::default() }).await;
    for job in &held {
        other.complete(job).await;
    }
    assert_eq!(queue.take_one().await.id, join.id);
    let needs = queue.backend().dependencies(&join).await.expect("dependencies");
    let named: Vec<&JobRef> = needs.iter().map(|need| &need.job).collect();
    assert_eq!(named, [&chain[3], &chain[11], &outside], "in the order given");
    assert!(needs.iter().all(|need| need.state == Some(State::Completed)));
    assert_eq!(needs[0].result, Some(Payload::from("r")));
    // One that there is none of is an error that names it.
    let missing = JobRef { queue: queue.spec.name.clone(), id: ctx.ids().job() };
    let drafts = vec![queue.job(), queue.job().depends_on([&missing]), queue.job()];
    let given = queue.new_jobs(drafts.clone());
    let (index, why, back) = queue.refused(drafts).await;
    assert_eq!((index, why), (1, Refusal::UnknownDependency(missing)));
    assert_eq!(back, given, "the batch comes back as it was");
    for job in given {
        assert_eq!(queue.find(&JobRef { queue: job.queue, id: job.id }).await, None);
    }
}

/// When a dependency ends otherwise, its dependents are cancelled, on down the graph.
async fn a_dependency_that_breaks_cancels_in_other_shards(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    let first = queue.add_one().await;
    let second = queue.add_all((0..16).map(|_| queue.job().depends_on([&first])).collect()).await;
    let third: Vec<Draft> = second.iter().map(|job| queue.job().depends_on([job])).collect();
    let third = queue.add_all(third).await;
    assert!(queue.control(&first, Wish::Cancel).await);
    for job in second.iter().chain(&third) {
        assert_eq!(queue.state(job).await, State::Cancelled);
    }
}

/// Enqueuing a child is accepted only with the parent's current token.
async fn children_are_stored_under_their_parents_lease_in_any_shard(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    queue.add_all(queue.jobs(8)).await;
    for parent in queue.take(8).await {
        let children = (0..8).map(|_| queue.job().parent(&parent)).collect();
        let children = queue.add_all(children).await;
        let filter = Filter { parent: Some(parent.reference()), ..Filter::default() };
        let found = queue.list(filter).await;
        assert_eq!(sorted(ids(&found)), sorted(ids_of(&children)));
        assert!(found.iter().all(|job| job.parent == Some(parent.reference())));
        queue.complete(&parent).await;
        let drafts = vec![queue.job(), queue.job().parent(&parent), queue.job()];
        let given = queue.new_jobs(drafts.clone());
        let (index, why, back) = queue.refused(drafts).await;
        assert_eq!((index, why), (1, Refusal::StaleParent(parent.reference())));
        assert_eq!(back, given, "the batch comes back as it was");
    }
    assert_eq!(queue.stats().await.count(State::Waiting), 64, "nothing of what was refused");
}

/// Removes jobs of one state by age or by count, up to a bound, and says how many.
async fn cleaning_is_bounded_over_all_shards_by_age_and_by_count(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    let old = queue.add_all(queue.jobs(MANY)).await;
    run_all(&queue).await;
    ctx.advance(secs(100));
    let young = queue.add_all(queue.jobs(MANY)).await;
    run_all(&queue).await;
    let by_age = CleanWhich::OlderThan(secs(100));
    let mut removed = 0;
    for _ in 0..MANY / 10 {
        assert_eq!(queue.clean(State::Completed, by_age, 10).await, 10);
        removed += 10;
        assert_eq!(queue.all().await.len(), 2 * MANY - removed);
    }
    assert_eq!(queue.clean(State::Completed, by_age, 10).await, (MANY - removed) as u64);
    assert_eq!(queue.clean(State::Completed, by_age, 10).await, 0);
    for job in &old {
        assert_eq!(queue.find(job).await, None);
    }
    assert_eq!(sorted(ids(&queue.all().await)), sorted(ids_of(&young)));
    let but = CleanWhich::BeyondNewest;
    assert_eq!(queue.clean(State::Completed, but(50), 10).await, 10);
    assert_eq!(queue.clean(State::Completed, but(50), 10).await, 4);
    assert_eq!(queue.clean(State::Completed, but(50), 10).await, 0);
    assert_eq!(queue.clean(State::Completed, but(3), 1000).await, 47);
    assert_eq!(queue.stats().await.count(State::Completed), 3);
}

/// For each fire moment there is at most one job, stored with the record in one step.
async fn a_repeatable_fires_once_a_moment_and_its_job_runs(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    for name in ["a", "b", "c", "d", "e"] {
        let spec = Repeatable {
            key: RepeatableKey::new(name).expect("a key"),
            queue: queue.spec.name.clone(),
            template: JobTemplate {
                job_type: JobType::new("tick").expect("a job type"),
                payload: Payload::from("tock"),
                options: JobOptions::default(),
                partition: None,
                tags: Vec::new(),
            },
            schedule: Schedule::every(secs(60)).expect("a period"),
            start: None,
            end: None,
            count: None,
            missed: Missed::RunOnce,
            overlap: Overlap::Allow,
        };
        let record = repeat::put(None, spec, ctx.now()).expect("a moment lies ahead");
        let put = windlass_core::backend::PutRepeatable { record, guard: None, jobs: Vec::new() };
        let stored = queue.backend().put_repeatable(put).await.expect("put_repeatable");
        assert_eq!(stored, RepeatablePut::Stored);
    }
    ctx.advance(secs(60));
    let due = queue.backend().repeatables(RepeatablesQuery::Due(10)).await.expect("repeatables");
    assert_eq!(due.records.len(), 5);
    let mut fired = Vec::new();
    for record in &due.records {
        let put = repeat::fire(record, &queue.spec, due.now, Previous::Ended);
        let put = put.expect("valid").expect("due");
        fired.extend(put.jobs.iter().map(|job| job.id));
        let first = queue.backend().put_repeatable(put.clone()).await.expect("put_repeatable");
        assert_eq!(first, RepeatablePut::Stored);
        let second = queue.backend().put_repeatable(put).await.expect("put_repeatable");
        assert!(matches!(second, RepeatablePut::Stale(Some(_))), "{second:?}");
    }
    for id in &fired {
        let job = JobRef { queue: queue.spec.name.clone(), id: *id };
        assert_eq!(queue.state(&job).await, State::Waiting);
    }
    assert_eq!(sorted(ids(&run_all(&queue).await)), sorted(fired));
}

/// A step is recorded under the current lease, and a later attempt finds it.
async fn steps_are_recorded_and_read_wherever_their_job_is(ctx: &Context) {
    let queue = spread(ctx, |_| {}).await;
    let jobs = queue.add_all(mixture(&queue)).await;
    let other = ctx.handle().await;
    let taken = queue.take(MANY as u32).await;
    for (position, job) in (0..).zip(&taken) {
        let step = NewStep {
            job: job.reference(),
            token: token(job),
            position,
            name: StepName::new("s").expect("a name"),
            outcome: Payload::from(job.id.to_string()),
        };
        let backend = queue.backend();
        assert_eq!(backend.steps(&step.job).await.expect("steps"), []);
        let recorded = backend.record_step(step.clone()).await.expect("record_step");
        assert_eq!(recorded, StepRecorded::Recorded);
        queue.settled(job, done()).await;
        let late = backend.record_step(NewStep { position: 999, ..step }).await;
        assert_eq!(late.expect("record_step"), StepRecorded::StaleLease);
    }
    for job in &jobs {
        let steps = other.steps(job).await.expect("steps");
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].outcome, Payload::from(job.id.to_string()));
    }
}
