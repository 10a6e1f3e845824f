//! Jobs that wait for other jobs.

use windlass_core::BackendExt;
use windlass_core::backend::{Applied, Enqueued, Overdue, Refusal};
use windlass_core::decide::control::Wish;
use windlass_core::decide::{InvalidJob, Outcome, check_graph};
use windlass_core::model::{Dependency, Job, JobRef, Payload, State, When};

use crate::fixture::{
    Draft, Queue, TICK, done, failure, failure_for_good, ids, ids_of, is_applied, secs, success,
};
use crate::harness::{Context, case_table};

case_table! {
    [N1] a_job_stays_blocked_until_all_its_dependencies_have_completed,
    [N1] a_released_job_becomes_scheduled_or_waiting_by_its_own_moment,
    [N1] a_job_may_depend_on_jobs_of_any_queue,
    [N1] a_dependency_may_stand_before_or_behind_its_dependent_in_the_batch,
    [N1] a_dependency_that_already_completed_counts_as_met,
    [N1] a_dependency_that_already_ended_otherwise_counts_as_broken,
    [N1] an_unknown_dependency_is_refused,
    [N1] a_dependency_that_its_batch_does_not_store_is_refused,
    [N1 L2] what_a_job_names_that_will_not_be_stored_is_not_looked_at,
    [N1] a_cycle_in_a_batch_is_an_error,
    [N1] a_job_that_a_batch_finds_existing_counts_as_it_stands,
    [N1] a_retry_of_a_dependency_does_not_meet_it_a_second_time,
    [N2] a_broken_dependency_cancels_its_dependents_down_the_graph,
    [N2] by_choice_a_dependent_runs_once_all_have_ended_however_they_ended,
    [N3] a_dependent_reads_its_dependencies_results,
    [N3] the_dependents_of_a_job_are_listed_in_the_order_of_enqueue,
    [] an_answer_names_the_jobs_that_it_left_without_an_open_dependency,
    [] having_dependents_raises_the_version_once,
}

/// Open and broken dependencies of a job.
async fn counts(queue: &Queue, job: &JobRef) -> (u32, u32) {
    let dependencies = queue.see(job).await.dependencies;
    (dependencies.open, dependencies.broken)
}

/// It stays `blocked` until all have completed.
async fn a_job_stays_blocked_until_all_its_dependencies_have_completed(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let first = queue.add_all(queue.jobs(3)).await;
    let last = queue.add(queue.job().depends_on(&first)).await;
    for open in (1..=3).rev() {
        assert_eq!(queue.state(&last).await, State::Blocked);
        assert_eq!(counts(&queue, &last).await, (open, 0));
        assert_eq!(queue.stats().await.count(State::Blocked), 1);
        let leased = queue.take_one().await;
        assert!(first.iter().any(|job| job.id == leased.id), "leased while blocked");
        // An attempt that fails is no end.
        if open == 2 {
            queue.settled(&leased, failure("no")).await;
            assert_eq!(counts(&queue, &last).await, (2, 0));
            let other = queue.work(done()).await;
            assert_ne!(other.id, leased.id);
            ctx.advance(secs(60));
            continue;
        }
        queue.complete(&leased).await;
    }
    assert_eq!(queue.state(&last).await, State::Waiting);
    assert_eq!(counts(&queue, &last).await, (0, 0));
    assert_eq!(queue.work(done()).await.id, last.id);
}

/// Then becomes scheduled or waiting by its own moment.
async fn a_released_job_becomes_scheduled_or_waiting_by_its_own_moment(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let begin = ctx.now();
    let first = queue.add_one().await;
    let past = queue.add(queue.job().depends_on([&first]).after(secs(5))).await;
    let future = queue.add(queue.job().depends_on([&first]).after(secs(30))).await;
    let leased = queue.take_one().await;
    let now = ctx.advance(secs(10));
    queue.nothing().await;
    queue.complete(&leased).await;
    let seen = queue.see(&past).await;
    // It cannot have become ready before it was released.
    assert_eq!((seen.state, seen.due, seen.place), (State::Waiting, now, now));
    let seen = queue.see(&future).await;
    assert_eq!((seen.state, seen.due), (State::Scheduled, begin.after(secs(30))));
    assert_eq!(queue.work(done()).await.id, past.id);
    ctx.clock().set(begin.after(secs(30)).before(TICK));
    queue.nothing().await;
    ctx.advance(TICK);
    assert_eq!(queue.work(done()).await.id, future.id);
}

/// A job may depend on jobs of any queue.
async fn a_job_may_depend_on_jobs_of_any_queue(ctx: &Context) {
    let (a, b, c) = (ctx.queue("a").await, ctx.queue("b").await, ctx.queue("c").await);
    let first = [a.add_one().await, b.add_one().await];
    let last = c.add(c.job().depends_on(&first)).await;
    a.work(done()).await;
    c.nothing().await;
    b.work(done()).await;
    assert_eq!(c.work(done()).await.id, last.id);
}

/// Existing or in the same batch; it may stand before or behind its dependent.
async fn a_dependency_may_stand_before_or_behind_its_dependent_in_the_batch(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let drafts = queue.jobs(5);
    let refs: Vec<JobRef> = drafts
        .iter()
        .map(|draft| JobRef { queue: queue.spec.name.clone(), id: draft.0.id })
        .collect();
    // 4 ─▶ 0 ─▶ 2, and 3 waits for 0, 2 and 1.
    let edges: [&[usize]; 5] = [&[4], &[], &[0], &[0, 2, 1], &[]];
    let drafts = drafts
        .into_iter()
        .zip(edges)
        .map(|(draft, on)| draft.depends_on(on.iter().map(|i| &refs[*i])));
    queue.add_all(drafts.collect()).await;
    for (job, open) in refs.iter().zip([1, 0, 1, 3, 0]) {
        assert_eq!(counts(&queue, job).await, (open, 0));
    }
    let mut order = Vec::new();
    for _ in 0..5 {
        order.push(queue.work(done()).await.id);
    }
    assert_eq!(order, [1, 4, 0, 2, 3].map(|i: usize| refs[i].id));
}

/// A dependency that already completed counts as met. Jobs of the batch that
/// wait for nothing that is still open are named, without payload.
async fn a_dependency_that_already_completed_counts_as_met(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let met = queue.add_one().await;
    queue.work(done()).await;
    let open = queue.add(queue.job().after(secs(60))).await;
    let (job, unblocked) = queue.add_raw(queue.job().depends_on([&met, &open])).await;
    assert_eq!(unblocked, []);
    assert_eq!(counts(&queue, &job).await, (1, 0));
    let (job, unblocked) = queue.add_raw(queue.job().depends_on([&met])).await;
    assert_eq!(ids(&unblocked), [job.id]);
    assert_eq!((unblocked[0].state, &unblocked[0].payload), (State::Blocked, &None));
    assert_eq!(counts(&queue, &job).await, (0, 0));
    queue.nothing().await;
    queue.backend().release(unblocked).await.expect("release");
    assert_eq!(queue.work(done()).await.id, job.id);
}

/// Or for something broken.
async fn a_dependency_that_already_ended_otherwise_counts_as_broken(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let failed = queue.add_one().await;
    queue.work(failure_for_good("no")).await;
    let cancelled = queue.add_one().await;
    queue.control(&cancelled, Wish::Cancel).await;
    let open = queue.add(queue.job().after(secs(60))).await;
    let on = [failed, cancelled, open];
    let (job, unblocked) = queue.add_raw(queue.job().depends_on(&on)).await;
    assert_eq!(ids(&unblocked), [job.id]);
    assert_eq!(counts(&queue, &job).await, (1, 2));
    queue.backend().release(unblocked).await.expect("release");
    assert_eq!(queue.state(&job).await, State::Cancelled);
    let job = queue.add(queue.job().depends_on(&on[..2]).run_anyway()).await;
    assert_eq!(queue.work(done()).await.id, job.id);
}

/// An unknown one is an error: nothing is stored.
async fn an_unknown_dependency_is_refused(ctx: &Context) {
    let (queue, other) = (ctx.queue("q").await, ctx.queue("other").await);
    let known = queue.add_one().await;
    let cleaned = queue.add_one().await;
    queue.control(&cleaned, Wish::Remove).await;
    let misplaced = JobRef { queue: other.spec.name.clone(), id: known.id };
    let nowhere =
        JobRef { queue: crate::fixture::queue_name("never-declared"), id: ctx.ids().job() };
    for unknown in [cleaned, misplaced, nowhere] {
        let drafts = vec![
            queue.job().depends_on([&known]),
            queue.job(),
            queue.job().depends_on([&known, &unknown]),
        ];
        let (index, why, _) = queue.refused(drafts).await;
        assert_eq!((index, why), (2, Refusal::UnknownDependency(unknown)));
        assert_eq!(ids(&queue.all().await), [known.id]);
        assert!(!queue.see(&known).await.has_dependents, "a refused job left its mark");
    }
}

/// A dependency is neither stored nor in the batch: one whose deduplication key
/// is taken is not stored, and a job that waited for it would wait for ever.
async fn a_dependency_that_its_batch_does_not_store_is_refused(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let reference = |draft: &Draft| JobRef { queue: queue.spec.name.clone(), id: draft.0.id };
    let taken = queue.add(queue.job().dedup("taken")).await;
    let duplicate = queue.job().dedup("taken");
    let first = queue.job().dedup("fresh");
    let second = queue.job().dedup("fresh");
    for (duplicate, batch) in
        [(reference(&duplicate), vec![duplicate]), (reference(&second), vec![first, second])]
    {
        let index = batch.len();
        let mut batch = batch;
        batch.push(queue.job().depends_on([&duplicate]));
        let (refused, why, _) = queue.refused(batch).await;
        assert_eq!((refused, why), (index, Refusal::UnknownDependency(duplicate)));
        assert_eq!(ids(&queue.all().await), [taken.id]);
    }
    // The one that has the key is there, and may be waited for.
    let last = queue.add(queue.job().depends_on([&taken])).await;
    assert_eq!(queue.work(done()).await.id, taken.id);
    assert_eq!(queue.work(done()).await.id, last.id);
}

/// What a job names that will not be stored (its parent, its dependencies) is
/// not looked at.
async fn what_a_job_names_that_will_not_be_stored_is_not_looked_at(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let parent = queue.add_one().await;
    let stale = queue.take_one().await;
    queue.complete(&stale).await;
    let unknown = JobRef { queue: queue.spec.name.clone(), id: ctx.ids().job() };
    queue.add_all(vec![queue.job().key("k"), queue.job().dedup("d")]).await;
    let named = |draft: Draft| [draft.clone().parent(&stale), draft.depends_on([&unknown])];
    for draft in named(queue.job().key("k")) {
        assert_eq!(queue.offer_one(draft).await, Enqueued::Existing);
    }
    for draft in named(queue.job().dedup("d")) {
        assert!(matches!(queue.offer_one(draft).await, Enqueued::Duplicate(_)));
    }
    // Nor if it is a job of the same batch that has the name or the key.
    for key in ["k2", "k3"] {
        for twin in named(queue.job().key(key).dedup(key)) {
            let batch = vec![queue.job().key(key).dedup(key), twin];
            assert_eq!(queue.offer(batch).await[1], Enqueued::Existing);
        }
    }
    let [orphan, dependent] = named(queue.job().dedup("d2"));
    let batch = vec![queue.job().dedup("d2"), orphan, dependent];
    let outcomes = queue.offer(batch).await;
    assert!(matches!(outcomes[1..], [Enqueued::Duplicate(_), Enqueued::Duplicate(_)]));
    // One that will be stored is looked at wherever it stands.
    let batch = vec![queue.job().dedup("d"), queue.job().parent(&stale)];
    let (index, why, _) = queue.refused(batch).await;
    assert_eq!((index, why), (1, Refusal::StaleParent(parent)));
}

/// A cycle in a batch is an error, before the store is touched.
async fn a_cycle_in_a_batch_is_an_error(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let (a, b) = (queue.job(), queue.job());
    let reference = |draft: &Draft| JobRef { queue: queue.spec.name.clone(), id: draft.0.id };
    let (ra, rb) = (reference(&a), reference(&b));
    let batch = queue.new_jobs(vec![a.depends_on([&rb]), b.depends_on([&ra])]);
    assert!(matches!(check_graph(&batch), Err(InvalidJob::Cycle(_))));
}

/// A job whose id exists is not stored again, and counts as it stands.
async fn a_job_that_a_batch_finds_existing_counts_as_it_stands(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let existing = queue.add(queue.job().key("k")).await;
    queue.work(done()).await;
    let last = queue.job().depends_on([&existing]);
    let id = last.0.id;
    let outcomes = queue.offer(vec![last, queue.job().key("k")]).await;
    assert_eq!(outcomes, [Enqueued::Stored, Enqueued::Existing]);
    assert_eq!(queue.work(done()).await.id, id);
}

/// A job that ends counts as ended with each job that depends on it, once.
async fn a_retry_of_a_dependency_does_not_meet_it_a_second_time(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let first = queue.add_one().await;
    let second = queue.add(queue.job().after(secs(3600))).await;
    let last = queue.add(queue.job().depends_on([&first, &second]).run_anyway()).await;
    for (outcome, expected) in [
        (failure_for_good("no"), (1, 1)),
        (failure_for_good("no"), (1, 1)),
        (Outcome::Cancelled, (1, 1)),
    ] {
        assert_eq!(queue.work(outcome).await.id, first.id);
        assert_eq!(counts(&queue, &last).await, expected);
        queue.control(&first, Wish::Retry).await;
    }
    queue.work(done()).await;
    let (open, _) = counts(&queue, &last).await;
    assert_eq!(open, 1, "the other one is still open");
    assert_eq!(queue.state(&last).await, State::Blocked);
}

/// When a dependency ends otherwise: cancel the dependent (default, and on
/// down the graph).
async fn a_broken_dependency_cancels_its_dependents_down_the_graph(ctx: &Context) {
    let (queue, other) = (ctx.queue("q").await, ctx.queue("other").await);
    let endings = ["failed", "cancelled", "expired"];
    for ending in endings {
        let draft = match ending {
            "expired" => queue.job().expires(When::After(secs(5))),
            _ => queue.job(),
        };
        let first = queue.add(draft).await;
        let free = queue.add(queue.job().after(secs(3600))).await;
        let child = queue.add(queue.job().depends_on([&first, &free]).dedup("k")).await;
        let grandchild = other.add(other.job().depends_on([&child])).await;
        let last = queue.add(queue.job().depends_on([&grandchild, &first])).await;
        let bystander = queue.add(queue.job().depends_on([&free])).await;
        match ending {
            "failed" => {
                queue.work(failure_for_good("no")).await;
            }
            "cancelled" => assert!(queue.control(&first, Wish::Cancel).await),
            _ => {
                ctx.advance(secs(5));
                assert_eq!(queue.sweep(Overdue::Expired).await, 1);
            }
        }
        assert_eq!(queue.state(&first).await.name(), ending);
        for (queue, job) in [(&queue, &child), (&other, &grandchild), (&queue, &last)] {
            let job = queue.see(job).await;
            assert_eq!(job.state, State::Cancelled, "after one that is {ending}");
            assert_eq!(job.finished_at, Some(ctx.now()));
        }
        assert_eq!(queue.state(&bystander).await, State::Blocked);
        // Its deduplication key is free for the next round.
    }
}

/// Or run it anyway: once all its dependencies have ended, however they ended.
async fn by_choice_a_dependent_runs_once_all_have_ended_however_they_ended(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let first = queue.add_all(queue.jobs(3)).await;
    let last = queue.add(queue.job().depends_on(&first).run_anyway()).await;
    queue.work(failure_for_good("no")).await;
    assert_eq!(counts(&queue, &last).await, (2, 1));
    queue.control(&first[2], Wish::Cancel).await;
    assert_eq!(counts(&queue, &last).await, (1, 2));
    assert_eq!(queue.state(&last).await, State::Blocked);
    queue.work(done()).await;
    assert_eq!(counts(&queue, &last).await, (0, 2));
    assert_eq!(queue.work(done()).await.id, last.id);
}

/// A dependent reads its dependencies' results, in the order in which
/// `depends_on` was given.
async fn a_dependent_reads_its_dependencies_results(ctx: &Context) {
    let (queue, other) = (ctx.queue("q").await, ctx.queue("other").await);
    let mut jobs = queue.add_all(queue.jobs(4)).await;
    jobs.push(other.add_one().await);
    let order = [3, 0, 4, 1, 2].map(|i: usize| jobs[i].clone());
    let last = queue.add(queue.job().depends_on(&order).run_anyway()).await;
    queue.work(success("zero")).await;
    queue.work(done()).await;
    queue.work(failure_for_good("no")).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let result = Some(Payload::from(every_byte));
    other.work(Outcome::Success { result: result.clone() }).await;
    let read = async || queue.backend().dependencies(&last).await.expect("dependencies");
    let expected =
        |i: usize, state, result| Dependency { job: jobs[i].clone(), state: Some(state), result };
    assert_eq!(
        read().await,
        [
            expected(3, State::Waiting, None),
            expected(0, State::Completed, Some(Payload::from("zero"))),
            expected(4, State::Completed, result),
            expected(1, State::Completed, None),
            expected(2, State::Failed, None),
        ]
    );
    assert_eq!(queue.backend().dependencies(&jobs[0]).await.expect("dependencies"), []);
    // Once the dependent has ended, they may be removed; it still knows them.
    queue.work(done()).await;
    assert_eq!(queue.work(done()).await.id, last.id);
    assert!(queue.control(&jobs[0], Wish::Remove).await);
    let gone = Dependency { job: jobs[0].clone(), state: None, result: None };
    assert_eq!(read().await[1], gone);
}

/// The jobs that depend on this one, without payload, by the enqueue sequence.
async fn the_dependents_of_a_job_are_listed_in_the_order_of_enqueue(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let first = queue.add_one().await;
    assert_eq!(queue.backend().dependents(&first).await.expect("dependents"), []);
    let other = queue.add(queue.job().after(secs(9))).await;
    let mut dependents = Vec::new();
    for priority in [3, -3, 0] {
        let draft = queue.job().depends_on([&first]).priority(priority);
        dependents.push(queue.add(draft).await);
        queue.add(queue.job().depends_on([&other])).await;
    }
    let read = async || queue.backend().dependents(&first).await.expect("dependents");
    assert_eq!(ids(&read().await), ids_of(&dependents));
    assert!(read().await.iter().all(|job| job.payload.is_none() && job.state == State::Blocked));
    // Also those that have gone on.
    queue.work(done()).await;
    queue.work(done()).await;
    let states: Vec<_> = read().await.iter().map(|job| job.state).collect();
    assert_eq!(states, [State::Waiting, State::Completed, State::Waiting]);
    assert!(queue.control(&dependents[0], Wish::Remove).await);
    assert_eq!(ids(&read().await), ids_of(&dependents[1..]));
}

/// Blocked jobs that a transition has left without an open dependency, or with
/// a broken one, without payload.
async fn an_answer_names_the_jobs_that_it_left_without_an_open_dependency(ctx: &Context) {
    let (queue, other) = (ctx.queue("q").await, ctx.queue("other").await);
    let first = queue.add_all(queue.jobs(3)).await;
    let ready = other.add(other.job().depends_on([&first[0]])).await;
    let both = queue.add(queue.job().depends_on([&first[0], &first[1]])).await;
    let broken = queue.add(queue.job().depends_on([&first[2], &first[1]])).await;
    let jobs = queue.take(3).await;
    let apply = async |job: &Job, outcome| {
        let answer = queue.backend().apply(vec![queue.decide(job, outcome)]).await;
        let answer = answer.expect("apply");
        assert!(is_applied(&answer.outcomes[0]));
        answer.unblocked
    };
    let unblocked = apply(&jobs[0], done()).await;
    assert_eq!(ids(&unblocked), [ready.id]);
    let job = &unblocked[0];
    assert_eq!((job.state, &job.payload), (State::Blocked, &None));
    assert_eq!((job.dependencies.open, job.dependencies.broken), (0, 0));
    let unblocked = apply(&jobs[2], failure_for_good("no")).await;
    assert_eq!(ids(&unblocked), [broken.id]);
    let job = &unblocked[0];
    assert_eq!((job.dependencies.open, job.dependencies.broken), (1, 1));
    let mut unblocked = ids(&apply(&jobs[1], done()).await);
    // The broken one is still undecided and may be named again.
    unblocked.retain(|id| *id != broken.id);
    assert_eq!(unblocked, [both.id]);
    queue.add_one().await;
    let plain = queue.take_one().await;
    assert_eq!(apply(&plain, done()).await, []);
}

/// Storing a dependent sets the dependency's `has_dependents` and, where that
/// changes it, raises its version.
async fn having_dependents_raises_the_version_once(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let first = queue.add_one().await;
    let before = queue.see(&first).await;
    assert!(!before.has_dependents);
    for _ in 0..3 {
        queue.add(queue.job().depends_on([&first])).await;
        let now = queue.see(&first).await;
        assert_eq!((now.has_dependents, now.version), (true, before.version + 1));
    }
    // In one batch too, whichever stands first.
    let drafts = queue.jobs(2);
    let reference = JobRef { queue: queue.spec.name.clone(), id: drafts[1].0.id };
    let [dependent, dependency]: [_; 2] = drafts.try_into().expect("two drafts");
    let refs = queue.add_all(vec![dependent.depends_on([&reference]), dependency]).await;
    assert!(queue.see(&refs[1]).await.has_dependents);
    let outcome = queue.settle(&queue.take_one().await, done()).await;
    assert!(matches!(outcome, Applied::Applied), "{outcome:?}");
}
