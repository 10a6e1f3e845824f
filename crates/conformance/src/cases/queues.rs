//! Declaring, pausing and resuming queues.

use windlass_core::ErrorKind;
use windlass_core::backend::{Again, Clean, CleanWhich, Declared, Overdue, OverdueQuery};
use windlass_core::model::{
    Keep, Limits, OnRetry, Partitions, PriorityMode, QueueSpec, Rate, Retention, State,
};

use crate::fixture::{LEASE, Queue, done, queue_name, secs};
use crate::harness::{Context, case_table, spec};

case_table! {
    [G3] a_declaration_comes_back_with_every_field,
    [G3] declaring_the_same_again_changes_nothing,
    [G3] bounds_can_be_declared_anew_and_the_last_ones_hold,
    [O2] what_places_depend_on_is_fixed_by_the_first_declaration,
    [] queues_are_listed_by_name,
    [E5] queue_names_are_told_apart_to_the_letter,
    [] a_queue_that_was_never_declared_is_unknown_to_every_call,
    [Q1] a_paused_queue_gives_out_nothing_until_it_is_resumed,
    [Q1] enqueue_and_running_jobs_go_on_while_a_queue_is_paused,
    [Q1] pause_is_stored_and_declaring_does_not_end_it,
    [Q1] pausing_and_resuming_twice_changes_nothing,
    [Q1] pausing_one_queue_leaves_the_others_alone,
}

fn everything_chosen(name: &str) -> QueueSpec {
    QueueSpec {
        priority: PriorityMode::HighestFirst,
        aging: Some(std::time::Duration::from_nanos(1_500_001_000)),
        partitions: Some(Partitions {
            limits: Limits { concurrency: Some(3), rate: Some(Rate { limit: 4, period: secs(5) }) },
            on_retry: OnRetry::Yield,
        }),
        limits: Limits {
            concurrency: Some(u32::MAX),
            rate: Some(Rate { limit: 7, period: secs(8) }),
        },
        retention: Retention { completed: Keep::ForNewest(secs(9), 10), other: Keep::Newest(11) },
        max_stalls: 12,
        max_payload: 13,
        shards: 3,
        ..spec(name)
    }
}

/// Every declared queue, as it was declared.
async fn a_declaration_comes_back_with_every_field(ctx: &Context) {
    let specs = [everything_chosen("a"), spec("b")];
    for spec in &specs {
        let declared = ctx.backend().declare(spec).await.expect("declare");
        assert_eq!(declared, Declared::Created);
    }
    let queues = ctx.backend().queues().await.expect("queues");
    let stored: Vec<_> = queues.into_iter().map(|queue| queue.spec).collect();
    assert_eq!(stored, specs);
    // A dequeue carries the declaration too.
    let queue = Queue::new(ctx.backend().clone(), specs[0].clone(), ctx.ids().clone());
    assert_eq!(*queue.dequeue(1).await.spec, specs[0]);
}

/// Declaring the same again answers `Unchanged`.
async fn declaring_the_same_again_changes_nothing(ctx: &Context) {
    let spec = everything_chosen("q");
    ctx.backend().declare(&spec).await.expect("declare");
    for backend in ctx.handles(2).await {
        let declared = backend.declare(&spec).await.expect("declare");
        assert_eq!(declared, Declared::Unchanged);
        assert_eq!(backend.queues().await.expect("queues").len(), 1);
    }
}

/// It was declared before with other bounds; the new ones hold from now on.
/// The last declaration holds.
async fn bounds_can_be_declared_anew_and_the_last_ones_hold(ctx: &Context) {
    let mut queue = ctx.queue("q").await;
    type Change = fn(&mut QueueSpec);
    let changes: [Change; 5] = [
        |spec| spec.limits.concurrency = Some(0),
        |spec| spec.limits.rate = Some(Rate { limit: 1, period: secs(1) }),
        |spec| spec.retention.completed = Keep::Remove,
        |spec| spec.max_stalls = 0,
        |spec| spec.max_payload = 1,
    ];
    for change in changes {
        assert_eq!(queue.redeclare(change).await, Declared::Updated);
        let queues = ctx.backend().queues().await.expect("queues");
        assert_eq!(queues[0].spec, queue.spec);
        assert_eq!(*queue.dequeue(1).await.spec, queue.spec);
    }
}

/// It was declared before with something else that is fixed; nothing changed.
/// Carries the stored declaration.
async fn what_places_depend_on_is_fixed_by_the_first_declaration(ctx: &Context) {
    let stored = ctx.queue("q").await.spec;
    let others = [
        QueueSpec { priority: PriorityMode::HighestFirst, max_stalls: 99, ..stored.clone() },
        QueueSpec { aging: Some(secs(1)), ..stored.clone() },
        QueueSpec { partitions: Some(Partitions::default()), ..stored.clone() },
    ];
    for other in others {
        let declared = ctx.backend().declare(&other).await.expect("declare");
        assert_eq!(declared, Declared::Conflict(Box::new(stored.clone())));
        let queues = ctx.backend().queues().await.expect("queues");
        assert_eq!(queues[0].spec, stored, "a conflict changed something");
    }
}

/// Every declared queue, by name.
async fn queues_are_listed_by_name(ctx: &Context) {
    let names = ["m", "z", "a", "B", "a.1", "a-1", "a:1", "a_1", "10", "9"];
    for name in names {
        ctx.queue(name).await;
    }
    let mut sorted = names;
    sorted.sort_unstable();
    let queues = ctx.backend().queues().await.expect("queues");
    let listed: Vec<_> = queues.iter().map(|q| q.spec.name.as_str()).collect();
    assert_eq!(listed, sorted);
}

/// Names match `[A-Za-z0-9_.:-]{1,128}` and mean what they say: nothing is
/// folded, cut or matched as a pattern.
async fn queue_names_are_told_apart_to_the_letter(ctx: &Context) {
    let long = ["x".repeat(127) + "a", "x".repeat(127) + "b", "x".repeat(127)];
    let names = ["q", "Q", "a_b", "axb", "a:b", "a", "a.b", "-", ".", ":", "0", "00"];
    let names: Vec<&str> = names.into_iter().chain(long.iter().map(String::as_str)).collect();
    let mut queues = Vec::new();
    for name in &names {
        let queue = ctx.queue(name).await;
        let job = queue
            .add(queue.job().key("same").dedup("same").payload(name.as_bytes().to_vec()))
            .await;
        queues.push((queue, job));
    }
    ctx.backend().pause(&queue_name("a_b")).await.expect("pause");
    for (queue, job) in &queues {
        assert_eq!(queue.stats().await.count(State::Waiting), 1, "{:?}", queue.spec.name);
        if queue.spec.name.as_str() == "a_b" {
            queue.nothing().await;
            continue;
        }
        let taken = queue.take(10).await;
        assert_eq!(crate::fixture::ids(&taken), [job.id]);
        let payload = taken[0].payload.as_ref().map(|p| p.as_slice());
        assert_eq!(payload, Some(queue.spec.name.as_str().as_bytes()));
    }
}

/// The queue was never declared: `UnknownQueue`.
async fn a_queue_that_was_never_declared_is_unknown_to_every_call(ctx: &Context) {
    ctx.queue("known").await;
    let backend = ctx.backend();
    let queue = Queue::new(backend.clone(), spec("unknown"), ctx.ids().clone());
    let name = &queue.spec.name;
    let clean = Clean {
        queue: name.clone(),
        state: State::Completed,
        which: CleanWhich::OlderThan(secs(0)),
        limit: 1,
    };
    let overdue = |what| OverdueQuery { queue: name.clone(), what, after: None, limit: 1 };
    let mut answers = vec![
        ("pause", backend.pause(name).await.err()),
        ("resume", backend.resume(name).await.err()),
        ("dequeue", backend.dequeue(queue.ask(1)).await.err()),
        ("clean", backend.clean(clean).await.err()),
        ("stats", backend.stats(name).await.err()),
    ];
    for what in Overdue::ALL {
        answers.push(("overdue", backend.overdue(overdue(what)).await.err()));
    }
    for (call, error) in answers {
        let kind = error.map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::UnknownQueue), "{call}");
    }
    assert_eq!(backend.queues().await.expect("queues").len(), 1, "a call declared the queue");
}

/// Stops every process from dequeuing, until it is resumed. Holds for every
/// dequeue that begins after the answer.
async fn a_paused_queue_gives_out_nothing_until_it_is_resumed(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_all(queue.jobs(3)).await;
    queue.add(queue.job().after(secs(5))).await;
    let handles = ctx.handles(2).await;
    queue.backend().pause(&queue.spec.name).await.expect("pause");
    for handle in &handles {
        // No passing of time makes a job of a paused queue eligible.
        assert_eq!(queue.on(handle).nothing().await, Again::OnNotice);
        assert!(queue.on(handle).stats().await.paused);
    }
    ctx.advance(secs(3600));
    queue.nothing().await;
    handles[1].resume(&queue.spec.name).await.expect("resume");
    assert!(!queue.stats().await.paused);
    assert_eq!(queue.take(10).await.len(), 4);
}

/// No process dequeues until resume; what runs finishes; enqueue goes on.
async fn enqueue_and_running_jobs_go_on_while_a_queue_is_paused(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let first = queue.add_one().await;
    let running = queue.take_one().await;
    queue.backend().pause(&queue.spec.name).await.expect("pause");
    let second = queue.add_one().await;
    assert_eq!(queue.state(&second).await, State::Waiting);
    let extended = queue.extend(&running, LEASE).await;
    assert!(matches!(extended, windlass_core::backend::Extended::Held { .. }));
    queue.complete(&running).await;
    assert_eq!(queue.state(&first).await, State::Completed);
    queue.nothing().await;
}

/// Pause is stored.
async fn pause_is_stored_and_declaring_does_not_end_it(ctx: &Context) {
    let mut queue = ctx.queue("q").await;
    queue.add_one().await;
    queue.backend().pause(&queue.spec.name).await.expect("pause");
    queue.declare().await;
    queue.redeclare(|spec| spec.limits.concurrency = Some(5)).await;
    let later = ctx.handle().await;
    assert!(later.queues().await.expect("queues")[0].paused);
    queue.on(&later).nothing().await;
}

/// Pausing a paused queue changes nothing; resuming a queue that is not
/// paused changes nothing.
async fn pausing_and_resuming_twice_changes_nothing(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let (backend, name) = (queue.backend(), &queue.spec.name);
    backend.resume(name).await.expect("resume");
    queue.add_one().await;
    queue.work(done()).await;
    for _ in 0..2 {
        backend.pause(name).await.expect("pause");
    }
    assert!(queue.stats().await.paused);
    for _ in 0..2 {
        backend.resume(name).await.expect("resume");
    }
    queue.add_one().await;
    queue.work(done()).await;
}

/// A queue that is paused, and the others are not.
async fn pausing_one_queue_leaves_the_others_alone(ctx: &Context) {
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    a.add_one().await;
    b.add_one().await;
    ctx.backend().pause(&a.spec.name).await.expect("pause");
    a.nothing().await;
    b.work(done()).await;
    let paused = ctx.backend().queues().await.expect("queues");
    let paused: Vec<_> = paused.iter().map(|queue| queue.paused).collect();
    assert_eq!(paused, [true, false]);
}
