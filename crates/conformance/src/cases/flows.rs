//! Flows, and what keeps a graph of jobs whole.

use windlass_core::BackendExt;
use windlass_core::backend::{CleanWhich, ControlError, EnqueueAnswer, Overdue, OverdueQuery};
use windlass_core::decide::control::Wish;
use windlass_core::model::{Filter, JobRef, Keep, NewJob, Payload, State};

use crate::fixture::{Queue, done, failure, failure_for_good, ids, secs, stale, success};
use crate::harness::{Context, case_table};

case_table! {
    [N4] a_flow_is_enqueued_atomically,
    [N4] a_flow_can_be_looked_at_and_cancelled_whole,
    [N5] cleaning_never_removes_what_a_job_that_has_not_ended_depends_on,
    [N5] jobs_of_one_batch_keep_each_other_from_being_cleaned,
    [N5] a_release_that_was_lost_is_found_by_the_sweep,
    [N5] a_job_that_gains_a_dependent_while_it_runs_is_not_removed_as_it_ends,
}

/// A diamond of four jobs: 1 and 2 wait for 0, and 3 for both.
fn diamond(ctx: &Context, queue: &Queue) -> (windlass_core::model::FlowId, Vec<NewJob>) {
    let flow = ctx.ids().flow();
    let drafts: Vec<_> = (0..4).map(|_| queue.job().flow(flow)).collect();
    let refs: Vec<_> = drafts
        .iter()
        .map(|draft| JobRef { queue: queue.spec.name.clone(), id: draft.0.id })
        .collect();
    let edges: [&[usize]; 4] = [&[], &[0], &[0], &[1, 2]];
    let drafts = drafts
        .into_iter()
        .zip(edges)
        .map(|(draft, on)| draft.depends_on(on.iter().map(|i| &refs[*i])));
    (flow, queue.new_jobs(drafts.collect()))
}

fn of_flow(flow: windlass_core::model::FlowId) -> Filter {
    Filter { flow: Some(flow), ..Filter::default() }
}

/// A flow (a graph of jobs) is enqueued atomically.
async fn a_flow_is_enqueued_atomically(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let (flow, jobs) = diamond(ctx, &queue);
    let mut broken = jobs.clone();
    let unknown = JobRef { queue: queue.spec.name.clone(), id: ctx.ids().job() };
    broken[3].depends_on.push(unknown);
    let answer = queue.backend().enqueue(broken).await.expect("enqueue");
    assert!(matches!(answer, EnqueueAnswer::Refused { index: 3, .. }), "{answer:?}");
    assert_eq!(queue.list(of_flow(flow)).await, []);
    let answer = queue.backend().enqueue(jobs).await.expect("enqueue");
    assert!(matches!(answer, EnqueueAnswer::Stored { .. }), "{answer:?}");
    assert_eq!(queue.list(of_flow(flow)).await.len(), 4);
}

/// Can be looked at and cancelled whole.
async fn a_flow_can_be_looked_at_and_cancelled_whole(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let (flow, jobs) = diamond(ctx, &queue);
    let expected: Vec<_> = jobs.iter().map(|job| job.id).collect();
    let (other, others) = diamond(ctx, &queue);
    for jobs in [jobs, others] {
        queue.backend().enqueue(jobs).await.expect("enqueue");
    }
    let listed = queue.list(of_flow(flow)).await;
    assert_eq!(ids(&listed), expected);
    assert!(listed.iter().all(|job| job.flow == Some(flow)));
    queue.work(done()).await;
    let cancelled = ctx.backend().control_all(of_flow(flow), Wish::Cancel).await;
    // The last one may have been cancelled as a dependent, before its turn.
    let cancelled = cancelled.expect("control_all");
    assert!((2..=3).contains(&cancelled), "{cancelled} cancelled");
    let states: Vec<_> = queue.list(of_flow(flow)).await.iter().map(|job| job.state).collect();
    let [completed, cancelled] = [State::Completed, State::Cancelled];
    assert_eq!(states, [completed, cancelled, cancelled, cancelled]);
    let untouched = queue.list(of_flow(other)).await;
    assert!(untouched.iter().all(|job| !job.state.is_terminal()));
}

/// Cleaning never removes a job that one which has not ended depends on.
async fn cleaning_never_removes_what_a_job_that_has_not_ended_depends_on(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let needed = queue.add_one().await;
    queue.work(done()).await;
    let blocker = queue.add(queue.job().after(secs(30))).await;
    let last = queue.add(queue.job().depends_on([&needed, &blocker])).await;
    let other = queue.add_one().await;
    queue.work(done()).await;
    let clean = async || {
        let age = queue.clean(State::Completed, CleanWhich::OlderThan(secs(0)), 99).await;
        age + queue.clean(State::Completed, CleanWhich::BeyondNewest(0), 99).await
    };
    assert_eq!(clean().await, 1);
    assert_eq!(queue.find(&other).await, None);
    // Not one that waits, or runs, either.
    match ctx.backend().control(&blocker, Wish::Remove).await {
        Err(ControlError::Needed(job, by)) => assert_eq!((job, by), (blocker.id, last.id)),
        other => panic!("expected Needed, not {other:?}"),
    }
    let waiting = CleanWhich::OlderThan(secs(0));
    assert_eq!(queue.clean(State::Scheduled, waiting, 99).await, 0);
    ctx.advance(secs(30));
    queue.work(done()).await;
    assert_eq!(queue.state(&last).await, State::Waiting);
    assert_eq!(clean().await, 0);
    let leased = queue.take_one().await;
    assert_eq!(clean().await, 0);
    queue.settled(&leased, failure("no")).await;
    assert_eq!(clean().await, 0);
    ctx.advance(secs(60));
    queue.work(done()).await;
    assert_eq!(clean().await, 3);
    assert_eq!(queue.all().await, []);
}

/// Nor if the two were stored together, whichever stood first.
async fn jobs_of_one_batch_keep_each_other_from_being_cleaned(ctx: &Context) {
    let queue = ctx.queue("q").await;
    for first in [0, 1] {
        let mut drafts = queue.jobs(2);
        let needed = JobRef { queue: queue.spec.name.clone(), id: drafts[first].0.id };
        drafts[1 - first].0.depends_on.push(needed.clone());
        queue.add_all(drafts).await;
        assert_eq!(queue.work(done()).await.id, needed.id);
        let everything = CleanWhich::BeyondNewest(0);
        assert_eq!(queue.clean(State::Completed, everything, 9).await, 0);
        queue.work(done()).await;
        assert_eq!(queue.clean(State::Completed, everything, 9).await, 2);
    }
}

/// A crash anywhere between a completion and its dependents' release is healed
/// by the sweep.
async fn a_release_that_was_lost_is_found_by_the_sweep(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let first = queue.add_all(queue.jobs(2)).await;
    let run = queue.add(queue.job().depends_on([&first[0]])).await;
    let cancel = queue.add(queue.job().depends_on([&first[1]])).await;
    let after_cancel = queue.add(queue.job().depends_on([&cancel])).await;
    let jobs = queue.take(2).await;
    // The process dies after `apply`: nobody decides about the dependents.
    let settle =
        vec![queue.decide(&jobs[0], done()), queue.decide(&jobs[1], failure_for_good("no"))];
    queue.backend().apply(settle).await.expect("apply");
    // Nor after the next one, half-way down the graph.
    ctx.advance(secs(5));
    for job in [&run, &cancel, &after_cancel] {
        assert_eq!(queue.state(job).await, State::Blocked);
    }
    let page = queue.overdue(Overdue::Unblocked).await;
    assert_eq!(ids(&page.jobs), [run.id, cancel.id]);
    let query = OverdueQuery {
        queue: queue.spec.name.clone(),
        what: Overdue::Unblocked,
        after: None,
        limit: 1,
    };
    let head = queue.backend().overdue(query.clone()).await.expect("overdue");
    assert_eq!(ids(&head.jobs), [run.id], "page by page, too");
    let query = OverdueQuery { after: head.next, ..query };
    let tail = queue.backend().overdue(query).await.expect("overdue");
    assert_eq!(ids(&tail.jobs), [cancel.id], "page by page, too");
    assert!(page.jobs.iter().all(|job| job.payload.is_none()));
    let transitions = page
        .jobs
        .iter()
        .map(|job| queue.decide_overdue(job, Overdue::Unblocked, page.now))
        .collect();
    queue.backend().apply(transitions).await.expect("apply");
    assert_eq!(queue.state(&after_cancel).await, State::Blocked);
    assert_eq!(queue.sweep(Overdue::Unblocked).await, 1);
    assert_eq!(queue.sweep(Overdue::Unblocked).await, 0);
    let states = [State::Waiting, State::Cancelled, State::Cancelled];
    for (job, state) in [&run, &cancel, &after_cancel].into_iter().zip(states) {
        assert_eq!(queue.state(job).await, state);
    }
    // So is a batch whose answer was lost.
    let (met, unblocked) = queue.add_raw(queue.job().depends_on([&first[0]])).await;
    assert_eq!(ids(&unblocked), [met.id]);
    assert_eq!(queue.sweep(Overdue::Unblocked).await, 1);
    assert_eq!(queue.state(&met).await, State::Waiting);
}

/// Storing a dependent raises the dependency's version, so that whoever
/// decided before decides again; its result is kept for the dependent.
async fn a_job_that_gains_a_dependent_while_it_runs_is_not_removed_as_it_ends(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.retention.completed = Keep::Remove).await;
    let first = queue.add_one().await;
    let leased = queue.take_one().await;
    let last = queue.add(queue.job().depends_on([&first])).await;
    let now = stale(queue.settle(&leased, success("for you")).await);
    assert_eq!((now.version, now.has_dependents), (leased.version + 1, true));
    assert_eq!(now.lease, leased.lease, "the lease goes on");
    queue.settled(&now, success("for you")).await;
    let dependencies = queue.backend().dependencies(&last).await.expect("dependencies");
    assert_eq!(dependencies[0].result, Some(Payload::from("for you")));
    queue.work(done()).await;
    assert_eq!(queue.find(&last).await, None, "nobody waits for this one");
    assert_eq!(queue.clean(State::Completed, CleanWhich::OlderThan(secs(0)), 9).await, 1);
}
