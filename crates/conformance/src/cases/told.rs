//! Jobs that are suspended, and told something meanwhile.

use windlass_core::BackendExt;
use windlass_core::backend::{Applied, CancelRequest, Guard, LeaseGuard, Overdue, Place, Target};
use windlass_core::decide::durable::{Suspend, Told, UNTIL_TOLD, gate_type, tell};
use windlass_core::decide::{Outcome, control::Wish};
use windlass_core::model::{
    Awaits, FIRST_MESSAGE, FIRST_RESULT, Gate, Job, JobRef, Keep, Payload, Retention, State, Step,
    StepName, When,
};

use crate::fixture::{
    Draft, Queue, done, failure_for_good, forged, is_applied, secs, stale, success, token,
};
use crate::harness::{Context, case_table};

case_table! {
    [W4] what_comes_with_a_transition_is_recorded_with_it,
    [W4] what_comes_with_a_transition_is_not_recorded_without_it,
    [W4] the_first_record_of_a_position_stays_whoever_comes_second,
    [W4] messages_stand_in_the_order_in_which_they_came,
    [W4] of_messages_that_race_each_stands_once,
    [W4] a_message_is_kept_while_the_job_is_there_and_goes_with_it,
    [W2] a_suspended_job_holds_no_slot_and_goes_on_when_it_is_due,
    [W2] a_suspended_job_is_woken_by_what_it_waits_for,
    [W2] a_job_that_is_told_something_while_it_runs_is_not_suspended,
    [W2] a_suspended_job_yields_its_place_in_its_partition,
    [W2 N5] the_parent_of_a_gate_is_told_when_the_last_child_has_ended,
    [W2 N5] a_gate_that_nobody_told_about_is_found_by_the_sweep,
    [W2 N5] children_of_queues_that_keep_nothing_are_told_about,
    [W2] a_parent_that_has_ended_is_told_all_the_same,
    [W2] one_that_was_stored_anew_is_not_told_about_children_of_its_former_life,
    [W3] a_child_that_is_enqueued_again_is_the_one_that_exists,
    [N2] each_dependency_has_a_policy_of_its_own,
}

fn name(text: &str) -> StepName {
    StepName::new(text).expect("a valid step name")
}

fn step(position: u32, outcome: &str) -> Step {
    Step { position, name: name("s"), outcome: Payload::from(outcome.to_owned()) }
}

fn message(topic: &str, body: &str) -> Told {
    Told::Message { topic: name(topic), id: None, body: Payload::from(body.to_owned()) }
}

async fn steps(queue: &Queue, job: &JobRef) -> Vec<Step> {
    queue.backend().steps(job).await.expect("steps")
}

async fn positions(queue: &Queue, job: &JobRef) -> Vec<u32> {
    steps(queue, job).await.iter().map(|step| step.position).collect()
}

/// The suspension of a job until this long from now, unless it is told what it awaits.
fn suspend(job: &Job, until: When, awaits: Awaits) -> Outcome {
    let told = job.course.told;
    Outcome::Suspend(Box::new(Suspend { until, awaits, told, steps: Vec::new() }))
}

fn on_topic(topic: &str) -> Awaits {
    Awaits { topics: vec![name(topic)], ..Awaits::default() }
}

const STAY: Target = Target::Stay { cancel: CancelRequest::Unchanged };

/// Steps that come with a transition are recorded if it is carried out, whatever it does.
async fn what_comes_with_a_transition_is_recorded_with_it(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let waiting = queue.add_one().await;
    let scheduled = queue.add(queue.job().after(secs(60))).await;
    let pending = Target::Pending { due: When::After(secs(9)), place: Place::AtDue };
    let mut expected = Vec::new();
    for (n, (job, to)) in (1_u32..).zip([
        (&waiting, STAY),
        (&scheduled, STAY),
        (&waiting, pending.clone()),
        (&scheduled, pending),
    ]) {
        let seen = queue.see(job).await;
        let mut transition =
            forged(&seen, Guard { version: seen.version, lease: LeaseGuard::Any }, to);
        transition.steps = vec![step(n, "1"), step(100 + n, "2")];
        assert!(is_applied(&queue.apply(transition).await));
        assert_eq!(queue.see(job).await.version, seen.version + 1);
        expected.push(n);
    }
    assert_eq!(positions(&queue, &waiting).await, [1, 3, 101, 103]);
    assert_eq!(positions(&queue, &scheduled).await, [2, 4, 102, 104]);
    // Under a lease, and with the end of one.
    ctx.advance(secs(60));
    let leased = queue.take_one().await;
    let mut stays = forged(&leased, held(&leased), STAY);
    stays.steps = vec![step(0, "0")];
    assert!(is_applied(&queue.apply(stays).await));
    let leased = queue.see(&leased.reference()).await;
    let mut ends = queue.decide(&leased, success("r"));
    ends.steps = vec![step(9, "9")];
    assert!(is_applied(&queue.apply(ends).await));
    for handle in ctx.handles(2).await {
        let found = steps(&queue.on(&handle), &leased.reference()).await;
        assert_eq!(found.first().map(|step| step.outcome.as_slice()), Some(&b"0"[..]));
        assert_eq!(found.len(), 6);
    }
}

fn held(job: &Job) -> Guard {
    Guard { version: job.version, lease: LeaseGuard::Held(token(job)) }
}

/// And only then.
async fn what_comes_with_a_transition_is_not_recorded_without_it(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let leased = queue.take_one().await;
    let old = Guard { version: leased.version - 1, lease: LeaseGuard::Any };
    let early = Guard { version: leased.version, lease: LeaseGuard::RunOut(token(&leased)) };
    for guard in [old, early] {
        let mut transition = forged(&leased, guard, STAY);
        transition.steps = vec![step(0, "1")];
        stale(queue.apply(transition).await);
    }
    assert_eq!(steps(&queue, &job).await, []);
    let mut nobody = forged(&leased, held(&leased), STAY);
    nobody.job.id = ctx.ids().job();
    nobody.steps = vec![step(0, "1")];
    assert!(matches!(queue.apply(nobody).await, Applied::Gone));
    assert_eq!(steps(&queue, &job).await, []);
}

/// The first record of a position stays, also within one call.
async fn the_first_record_of_a_position_stays_whoever_comes_second(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let mut first = queue.see(&job).await;
    let mut batch = Vec::new();
    for n in 0..3 {
        let guard = Guard { version: first.version, lease: LeaseGuard::Any };
        let mut transition = forged(&first, guard, STAY);
        transition.steps = vec![step(5, &n.to_string()), step(10 + n, "x")];
        batch.push(transition);
        first.version += 1;
    }
    let answer = queue.backend().apply(batch).await.expect("apply");
    assert!(answer.outcomes.iter().all(is_applied), "{answer:?}");
    let found = steps(&queue, &job).await;
    assert_eq!(found[0], step(5, "0"));
    assert_eq!(positions(&queue, &job).await, [5, 10, 11, 12]);
}

/// Messages to a job stand in the order in which they came, and raise its version.
async fn messages_stand_in_the_order_in_which_they_came(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let backend = queue.backend();
    for n in 0..3 {
        let told = vec![message("a", &n.to_string()), message("b", "0")];
        assert!(backend.tell(&job, told).await.expect("tell"));
    }
    let leased = queue.take_one().await;
    assert_eq!(leased.course.told, 6);
    assert!(backend.tell(&job, vec![message("a", "3")]).await.expect("tell"));
    let found = steps(&queue, &job).await;
    let expected: Vec<u32> = (0..7).map(|n| FIRST_MESSAGE + n).collect();
    assert_eq!(positions(&queue, &job).await, expected);
    let of_a: Vec<_> = found.iter().filter(|step| step.name.as_str() == "a").collect();
    for (n, step) in of_a.iter().enumerate() {
        assert_eq!(step.outcome.as_slice(), format!(r#"{{"b":{n}}}"#).as_bytes());
    }
    // Its holder has decided without knowing of the last one.
    let now = stale(queue.settle(&leased, done()).await);
    queue.settled(&now, done()).await;
    assert!(!backend.tell(&job, vec![message("a", "4")]).await.expect("tell"));
}

/// Each of them is consumed once; none is lost, and none comes twice.
async fn of_messages_that_race_each_stands_once(ctx: &Context) {
    let handles = ctx.handles(3).await;
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let to = job.clone();
    let told = ctx
        .race(&handles, 24, move |i, backend| {
            let to = to.clone();
            async move { backend.tell(&to, vec![message("a", &i.to_string())]).await.expect("tell") }
        })
        .await;
    assert!(told.into_iter().all(|told| told));
    let found = steps(&queue, &job).await;
    let mut bodies: Vec<_> = found.iter().map(|step| step.outcome.as_slice().to_vec()).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!((found.len(), bodies.len()), (24, 24));
}

/// Messages are kept while the job lives.
async fn a_message_is_kept_while_the_job_is_there_and_goes_with_it(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add(queue.job().key("k")).await;
    queue.backend().tell(&job, vec![message("a", "1")]).await.expect("tell");
    queue.work(done()).await;
    assert_eq!(steps(&queue, &job).await.len(), 1);
    assert!(queue.control(&job, Wish::Remove).await);
    assert_eq!(steps(&queue, &job).await, []);
    // One that is stored anew under its name knows nothing of it.
    let again = queue.add(queue.job().key("k")).await;
    assert_eq!(again, job);
    assert_eq!(steps(&queue, &job).await, []);
    assert!(queue.take_one().await.is_untouched());
}

/// A job that sleeps gives its lease and its slot back, and goes on when it is due.
async fn a_suspended_job_holds_no_slot_and_goes_on_when_it_is_due(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.limits.concurrency = Some(1)).await;
    let job = queue.add_one().await;
    let other = queue.add_one().await;
    let leased = queue.take_one().await;
    assert!(leased.is_untouched());
    queue.nothing().await;
    let until = When::At(ctx.now().after(secs(100)));
    queue.settled(&leased, suspend(&leased, until, Awaits::default())).await;
    assert_eq!(queue.state(&job).await, State::Scheduled);
    assert_eq!(queue.take_one().await.id, other.id);
    ctx.advance(secs(99));
    queue.nothing().await;
    queue.settled(&queue.see(&other).await, done()).await;
    queue.nothing().await;
    ctx.advance(secs(1));
    let again = queue.take_one().await;
    assert_eq!((again.id, again.attempt(), again.course.stalls), (job.id, 1, 0));
    assert!(!again.is_untouched());
}

/// A job that waits for a message is told it and woken in one step.
async fn a_suspended_job_is_woken_by_what_it_waits_for(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let leased = queue.take_one().await;
    let until = When::After(UNTIL_TOLD);
    queue.settled(&leased, suspend(&leased, until, on_topic("a"))).await;
    queue.nothing().await;
    let backend = queue.backend();
    assert!(backend.tell(&job, vec![message("b", "1")]).await.expect("tell"));
    queue.nothing().await;
    assert!(backend.tell(&job, vec![message("a", "2")]).await.expect("tell"));
    let again = queue.take_one().await;
    assert_eq!((again.id, again.course.told), (job.id, 2));
    assert_eq!(positions(&queue, &job).await, [FIRST_MESSAGE, FIRST_MESSAGE + 1]);
    queue.settled(&again, done()).await;
}

/// What comes between a look and a suspension is not missed.
async fn a_job_that_is_told_something_while_it_runs_is_not_suspended(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let leased = queue.take_one().await;
    assert!(queue.backend().tell(&job, vec![message("a", "1")]).await.expect("tell"));
    assert_eq!(queue.see(&job).await.lease, leased.lease);
    let outcome = suspend(&leased, When::After(UNTIL_TOLD), on_topic("a"));
    let now = stale(queue.settle(&leased, outcome.clone()).await);
    queue.settled(&now, outcome).await;
    assert_eq!(queue.take_one().await.id, job.id);
}

/// It yields its place: what it waits for may stand behind it.
async fn a_suspended_job_yields_its_place_in_its_partition(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.partitions = Some(Default::default())).await;
    let job = queue.add(queue.job().partition("p")).await;
    let other = queue.add(queue.job().partition("p")).await;
    let leased = queue.take_one().await;
    let until = When::After(UNTIL_TOLD);
    queue.settled(&leased, suspend(&leased, until, on_topic("a"))).await;
    let next = queue.take_one().await;
    assert_eq!(next.id, other.id);
    queue.backend().tell(&job, vec![message("a", "1")]).await.expect("tell");
    queue.nothing().await;
    queue.settled(&next, done()).await;
    assert_eq!(queue.take_one().await.id, job.id);
}

/// A gate on these children, for this parent, as a spawn at position 7 makes it.
fn gate(parents: &Queue, parent: &Job, children: &[JobRef]) -> Draft {
    let gate = parents.job().job_type(gate_type().as_str()).parent(parent);
    let at = Gate { position: 7, life: parent.enqueued_at };
    gate.depends_on(children).run_anyway().options(|options| options.gate = Some(at))
}

/// A parent that waits for two children in another queue.
async fn family(ctx: &Context, keep: Keep) -> (Queue, Queue, JobRef, [JobRef; 2]) {
    let parents = ctx.queue("parents").await;
    let retention = Retention { completed: keep, other: keep };
    let children = ctx.queue_with("children", |spec| spec.retention = retention).await;
    let parent = parents.add_one().await;
    let leased = parents.take_one().await;
    let of: Vec<JobRef> = children
        .add_all(vec![children.job().parent(&leased), children.job().parent(&leased)])
        .await;
    let gate = parents.add(gate(&parents, &leased, &of)).await;
    assert_eq!(parents.state(&gate).await, State::Blocked);
    let awaits = Awaits { results: vec![7], ..Awaits::default() };
    let leased = parents.see(&leased.reference()).await;
    parents.settled(&leased, suspend(&leased, When::After(UNTIL_TOLD), awaits)).await;
    let of = of.try_into().expect("two children");
    (parents, children, parent, of)
}

/// The parent is told what they came to, and is woken.
async fn the_parent_of_a_gate_is_told_when_the_last_child_has_ended(ctx: &Context) {
    let (parents, children, parent, [first, second]) = family(ctx, Keep::Forever).await;
    let job = children.work(failure_for_good("no")).await;
    assert_eq!(job.id, first.id);
    parents.nothing().await;
    assert_eq!(children.work(success("[1]")).await.id, second.id);
    let woken = parents.take_one().await;
    assert_eq!((woken.id, woken.course.told), (parent.id, 1));
    let told = steps(&parents, &parent).await;
    let outcome = br#"[{"s":"failed"},{"s":"completed","r":[1]}]"#;
    assert_eq!((told[0].position, told[0].outcome.as_slice()), (FIRST_RESULT + 7, &outcome[..]));
    assert_eq!(told.len(), 1);
    assert_eq!(parents.all().await.len(), 1, "the gate is gone");
}

/// If the process that ended the last child died before it told anybody, the sweep finds
/// the gate.
async fn a_gate_that_nobody_told_about_is_found_by_the_sweep(ctx: &Context) {
    let (parents, children, parent, _) = family(ctx, Keep::Forever).await;
    for _ in 0..2 {
        let leased = children.take_one().await;
        let end = children.decide(&leased, done());
        let answer = children.backend().apply(vec![end]).await.expect("apply");
        assert!(answer.outcomes.iter().all(is_applied));
    }
    parents.nothing().await;
    let page = parents.overdue(Overdue::Unblocked).await;
    assert_eq!(page.jobs.len(), 1);
    // It died again, when it had told and not yet removed the gate.
    let told = Told::Results { position: 7, outcomes: Payload::from("[]") };
    let seen = parents.see(&parent).await;
    let telling = tell(&seen, vec![told]).expect("it has not ended");
    assert!(is_applied(&parents.apply(telling).await));
    parents.backend().release(page.jobs).await.expect("release");
    assert_eq!(parents.overdue(Overdue::Unblocked).await.jobs, []);
    let woken = parents.take_one().await;
    assert_eq!(woken.id, parent.id);
    let told = steps(&parents, &parent).await;
    assert_eq!((told.len(), told[0].outcome.as_slice()), (1, &b"[]"[..]), "the first one stays");
}

/// Their results are there when their parent is told, though nothing else keeps them.
async fn children_of_queues_that_keep_nothing_are_told_about(ctx: &Context) {
    let (parents, children, parent, _) = family(ctx, Keep::Remove).await;
    children.work(success("1")).await;
    children.work(success("2")).await;
    assert_eq!(parents.take_one().await.id, parent.id);
    let told = steps(&parents, &parent).await;
    let outcome = br#"[{"s":"completed","r":1},{"s":"completed","r":2}]"#;
    assert_eq!(told[0].outcome.as_slice(), outcome);
}

/// It may be retried, and goes on with what it was told.
async fn a_parent_that_has_ended_is_told_all_the_same(ctx: &Context) {
    let (parents, children, parent, _) = family(ctx, Keep::Forever).await;
    assert!(parents.control(&parent, Wish::Cancel).await);
    children.work(success("1")).await;
    children.work(success("2")).await;
    assert_eq!(positions(&parents, &parent).await, [FIRST_RESULT + 7]);
    assert_eq!(parents.state(&parent).await, State::Cancelled);
    // A message is no use to it.
    assert!(!parents.backend().tell(&parent, vec![message("a", "1")]).await.expect("tell"));
    assert!(parents.control(&parent, Wish::Retry).await);
    let again = parents.take_one().await;
    assert_eq!((again.id, again.course.told), (parent.id, 1));
    parents.settled(&again, done()).await;
}

/// One that was stored anew under the name of another is another job.
async fn one_that_was_stored_anew_is_not_told_about_children_of_its_former_life(ctx: &Context) {
    let parents = ctx.queue("parents").await;
    let children = ctx.queue("children").await;
    let parent = parents.add(parents.job().key("daily")).await;
    let leased = parents.take_one().await;
    let child = children.add(children.job().parent(&leased)).await;
    parents.add(gate(&parents, &leased, std::slice::from_ref(&child))).await;
    parents.settled(&parents.see(&parent).await, done()).await;
    assert!(parents.control(&parent, Wish::Remove).await);
    ctx.advance(secs(1));
    assert_eq!(parents.add(parents.job().key("daily")).await, parent);
    children.work(success("1")).await;
    assert_eq!(steps(&parents, &parent).await, []);
    assert_eq!(parents.all().await.len(), 1, "the gate is gone");
    assert!(parents.take_one().await.is_untouched());
}

/// A child's identity derives from its parent and its place.
async fn a_child_that_is_enqueued_again_is_the_one_that_exists(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let others = ctx.queue("others").await;
    queue.add_one().await;
    let parent = queue.take_one().await;
    let child =
        |queue: &Queue| queue.job().key(&format!("windlass:{}/0/0", parent.id)).parent(&parent);
    let first = others.add(child(&others)).await;
    let gated = queue.new_jobs(vec![gate(&queue, &parent, std::slice::from_ref(&first)).key("g")]);
    let mut batch = others.new_jobs(vec![child(&others)]);
    batch.extend(gated);
    // A spawn that was interrupted, and is done again.
    for _ in 0..2 {
        let answer = queue.backend().enqueue(batch.clone()).await.expect("enqueue");
        assert!(matches!(answer, windlass_core::backend::EnqueueAnswer::Stored { .. }));
    }
    assert_eq!(others.all().await.len(), 1);
    assert_eq!(queue.all().await.len(), 2);
    assert_eq!(others.see(&first).await.parent.as_ref(), Some(&parent.reference()));
}

/// By choice for each dependency.
async fn each_dependency_has_a_policy_of_its_own(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let needed = queue.add_one().await;
    let optional = queue.add_one().await;
    let dependent = |edges: &[u32]| {
        let edges = edges.to_vec();
        queue
            .job()
            .after(secs(1))
            .depends_on([&needed, &optional])
            .options(move |options| options.other_edges = edges)
    };
    let tolerant = queue.add(dependent(&[1])).await;
    let strict = queue.add(dependent(&[0])).await;
    assert_eq!(queue.work(done()).await.id, needed.id);
    assert_eq!(queue.work(failure_for_good("no")).await.id, optional.id);
    assert_eq!(queue.state(&tolerant).await, State::Scheduled);
    assert_eq!(queue.state(&strict).await, State::Cancelled);
}
