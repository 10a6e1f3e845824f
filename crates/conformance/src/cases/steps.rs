//! Recorded steps of durable jobs.

use windlass_core::backend::{BackendExt, Overdue};
use windlass_core::model::{Job, JobRef, NewStep, Payload, Step, StepName, StepRecorded, Token};

use crate::fixture::{AWKWARD, LEASE, Queue, failure, scatter, secs, success, token};
use crate::harness::{Context, case_table};

case_table! {
    [W1] the_first_record_of_a_step_stays,
    [W1] a_later_attempt_finds_what_was_recorded,
    [W1] steps_are_read_in_the_order_of_their_positions,
    [W1] a_step_is_recorded_only_under_the_current_lease,
    [W1] outcomes_of_steps_come_back_byte_for_byte,
    [W1] the_steps_of_two_jobs_are_two_records,
    [W1] each_step_of_a_batch_is_recorded_alone,
}

fn step(
    job: &Job,
    token: Token,
    position: u32,
    name: &str,
    outcome: impl Into<Payload>,
) -> NewStep {
    NewStep {
        job: job.reference(),
        token,
        position,
        name: StepName::new(name).expect("a valid step name"),
        outcome: outcome.into(),
    }
}

async fn record(queue: &Queue, step: NewStep) -> StepRecorded {
    queue.backend().record_step(step).await.expect("record_step")
}

async fn steps(queue: &Queue, job: &JobRef) -> Vec<Step> {
    queue.backend().steps(job).await.expect("steps")
}

fn names(steps: &[Step]) -> Vec<(u32, &str)> {
    steps.iter().map(|step| (step.position, step.name.as_str())).collect()
}

/// The first record of a position stays.
async fn the_first_record_of_a_step_stays(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let leased = queue.take_one().await;
    let first = step(&leased, token(&leased), 0, "first", "1");
    assert_eq!(record(&queue, first.clone()).await, StepRecorded::Recorded);
    let stored = Step { position: 0, name: first.name.clone(), outcome: first.outcome.clone() };
    for again in [
        first,
        step(&leased, token(&leased), 0, "first", "2"),
        step(&leased, token(&leased), 0, "other", "3"),
    ] {
        let answer = record(&queue, again).await;
        assert_eq!(answer, StepRecorded::Existing(stored.clone()));
        assert_eq!(steps(&queue, &job).await, std::slice::from_ref(&stored));
    }
    // Recording is no change of the job: its holder can go on.
    queue.complete(&leased).await;
    assert_eq!(steps(&queue, &job).await, [stored]);
}

/// A later attempt returns the record instead of running it again.
async fn a_later_attempt_finds_what_was_recorded(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    for attempt in 0..3 {
        let leased = queue.take_one().await;
        assert_eq!(steps(&queue, &job).await.len(), attempt);
        let position = u32::try_from(attempt).expect("small");
        let answer = record(&queue, step(&leased, token(&leased), position, "s", "o")).await;
        assert_eq!(answer, StepRecorded::Recorded);
        if attempt == 1 {
            ctx.advance(LEASE);
            queue.sweep(Overdue::LostLeases).await;
        } else {
            queue.settled(&leased, failure("no")).await;
            ctx.advance(secs(3600));
        }
    }
    for handle in ctx.handles(2).await {
        assert_eq!(steps(&queue.on(&handle), &job).await.len(), 3);
    }
}

/// By position.
async fn steps_are_read_in_the_order_of_their_positions(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let leased = queue.take_one().await;
    for position in [10, 2, u32::MAX, 0, 9, 100] {
        let name = format!("s{position}");
        record(&queue, step(&leased, token(&leased), position, &name, "o")).await;
    }
    let steps = steps(&queue, &job).await;
    let expected = [(0, "s0"), (2, "s2"), (9, "s9"), (10, "s10"), (100, "s100")];
    assert_eq!(names(&steps)[..5], expected);
    assert_eq!((steps.len(), steps[5].position), (6, u32::MAX));
}

/// Once, under the job's current lease: a stale one changes nothing.
async fn a_step_is_recorded_only_under_the_current_lease(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let old = queue.take_one().await;
    ctx.advance(LEASE * 2);
    // It ran out, but nobody has taken the job over.
    let answer = record(&queue, step(&old, token(&old), 0, "late", "o")).await;
    assert_eq!(answer, StepRecorded::Recorded);
    queue.sweep(Overdue::LostLeases).await;
    let refused = async |job: &Job, token: Token, what: &str| {
        let answer = record(&queue, step(job, token, 1, "stale", "o")).await;
        assert_eq!(answer, StepRecorded::StaleLease, "{what}");
    };
    refused(&old, token(&old), "taken over").await;
    let new = queue.take_one().await;
    refused(&old, token(&old), "leased anew").await;
    refused(&new, Token(token(&new).0 + 1), "a token of the future").await;
    let answer = record(&queue, step(&new, token(&new), 2, "fresh", "o")).await;
    assert_eq!(answer, StepRecorded::Recorded);
    queue.settled(&new, success("r")).await;
    refused(&new, token(&new), "completed").await;
    let nobody = Job { id: ctx.ids().job(), ..new };
    refused(&nobody, token(&nobody), "no such job").await;
    assert_eq!(names(&steps(&queue, &job).await), [(0, "late"), (2, "fresh")]);
}

/// Names are UTF-8 and outcomes are bytes.
async fn outcomes_of_steps_come_back_byte_for_byte(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let leased = queue.take_one().await;
    let large: Vec<u8> = (0..300_000).map(|n| scatter(n).to_be_bytes()[0]).collect();
    let outcomes = [vec![], vec![0], (0..=255).collect(), vec![0xff, 0xfe], large];
    let mut expected = Vec::new();
    for (position, name) in (0_u32..).zip(AWKWARD) {
        let outcome = Payload::from(outcomes[position as usize % outcomes.len()].clone());
        let step = step(&leased, token(&leased), position, name, outcome.clone());
        expected.push(Step { position, name: step.name.clone(), outcome });
        record(&queue, step).await;
    }
    assert_eq!(steps(&queue, &job).await, expected);
}

/// The recorded steps of a job.
async fn the_steps_of_two_jobs_are_two_records(ctx: &Context) {
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    a.add_all(a.jobs(2)).await;
    b.add_one().await;
    let mut jobs = a.take(2).await;
    jobs.push(b.take_one().await);
    for (i, job) in jobs.iter().enumerate() {
        for position in 0..=u32::try_from(i).expect("small") {
            let outcome = vec![u8::try_from(i).expect("small")];
            let answer = record(&a, step(job, token(job), position, "s", outcome)).await;
            assert_eq!(answer, StepRecorded::Recorded);
        }
    }
    for (i, job) in jobs.iter().enumerate() {
        let steps = steps(&a, &job.reference()).await;
        assert_eq!(steps.len(), i + 1);
        assert!(
            steps.iter().all(|step| step.outcome.as_slice() == [u8::try_from(i).expect("small")])
        );
    }
}

/// Each one alone: what is wrong with one is no matter to the others.
async fn each_step_of_a_batch_is_recorded_alone(ctx: &Context) {
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    a.add_all(a.jobs(2)).await;
    b.add_one().await;
    let old = b.take_one().await;
    ctx.advance(LEASE);
    b.sweep(Overdue::LostLeases).await;
    let jobs = a.take(2).await;
    let new = b.take_one().await;
    let of = |job: &Job, position, outcome: &str| {
        step(job, token(job), position, "s", outcome.as_bytes().to_vec())
    };
    let undeclared = JobRef { queue: crate::fixture::queue_name("nowhere"), id: new.id };
    let batch = vec![
        of(&old, 0, "stale"),
        of(&jobs[1], 0, "one"),
        of(&jobs[0], 0, "two"),
        of(&jobs[1], 0, "second"),
        NewStep { job: undeclared, ..of(&new, 1, "nobody's") },
        of(&new, 0, "three"),
        of(&jobs[0], 7, "four"),
    ];
    let answers = a.backend().record_steps(batch).await.expect("record_steps");
    let stands = of(&jobs[1], 0, "one").into_step();
    let (recorded, stale) = (StepRecorded::Recorded, StepRecorded::StaleLease);
    let expected = [
        stale.clone(),
        recorded.clone(),
        recorded.clone(),
        StepRecorded::Existing(stands),
        stale,
        recorded.clone(),
        recorded,
    ];
    assert_eq!(answers, expected);
    for (job, positions) in [(&jobs[0], &[0, 7][..]), (&jobs[1], &[0]), (&new, &[0])] {
        let found = steps(&a, &job.reference()).await;
        let found: Vec<u32> = found.iter().map(|step| step.position).collect();
        assert_eq!(found, positions);
    }
    let none = a.backend().record_steps(Vec::new()).await.expect("record_steps");
    assert_eq!(none, []);
}
