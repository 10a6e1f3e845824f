//! Workers' signs of life. For people to look at: no rule reads it.

use std::time::Duration;

use windlass_core::model::{Beat, WorkerId, WorkerInfo, WorkerSeen};

use crate::fixture::{TICK, queue_name, secs};
use crate::harness::{Context, case_table};

case_table! {
    [L5] a_worker_comes_back_as_it_described_itself,
    [] the_last_sign_of_life_holds_and_the_first_is_remembered,
    [] workers_are_listed_by_when_they_were_first_heard_of,
    [] a_worker_that_leaves_is_forgotten_at_once,
    [] workers_that_have_been_silent_for_too_long_are_forgotten,
}

fn worker(id: WorkerId, host: &str) -> WorkerInfo {
    WorkerInfo {
        id,
        host: host.to_owned(),
        pid: 4242,
        queues: vec![queue_name("a"), queue_name("b")],
        concurrency: 64,
        running: 3,
    }
}

async fn beat(ctx: &Context, worker: &WorkerInfo, forget_after: Duration) {
    let alive = Beat::Alive { worker: worker.clone(), forget_after };
    ctx.backend().beat(alive).await.expect("beat");
}

async fn seen(ctx: &Context) -> Vec<WorkerSeen> {
    ctx.backend().workers().await.expect("workers")
}

async fn hosts(ctx: &Context) -> Vec<String> {
    seen(ctx).await.into_iter().map(|seen| seen.worker.host).collect()
}

/// What a worker says of itself; its identity is random per start, so that two
/// starts are two workers, on whatever machine.
async fn a_worker_comes_back_as_it_described_itself(ctx: &Context) {
    let first = worker(ctx.ids().worker(), "it's \"h\u{f6}st\" \u{1f980}");
    let second = WorkerInfo {
        id: ctx.ids().worker(),
        queues: Vec::new(),
        pid: u32::MAX,
        concurrency: 0,
        ..first.clone()
    };
    beat(ctx, &first, secs(60)).await;
    beat(ctx, &second, secs(60)).await;
    let mut workers: Vec<_> = seen(ctx).await.into_iter().map(|seen| seen.worker).collect();
    workers.sort_by_key(|worker| worker.pid);
    assert_eq!(workers, [first, second]);
}

/// The last one holds.
async fn the_last_sign_of_life_holds_and_the_first_is_remembered(ctx: &Context) {
    let mut info = worker(ctx.ids().worker(), "host");
    let since = ctx.now();
    for running in [3, 0, 64] {
        info.running = running;
        beat(ctx, &info, secs(60)).await;
        beat(ctx, &info, secs(60)).await;
        let expected = WorkerSeen { worker: info.clone(), since, beat_at: ctx.now() };
        assert_eq!(seen(ctx).await, [expected]);
        ctx.advance(secs(20));
    }
}

/// By when they were first heard of.
async fn workers_are_listed_by_when_they_were_first_heard_of(ctx: &Context) {
    let names = ["m", "z", "a", "k", "b"];
    let workers = names.map(|name| worker(ctx.ids().worker(), name));
    for worker in &workers {
        beat(ctx, worker, secs(60)).await;
        ctx.advance(secs(1));
    }
    for i in [3, 0, 4] {
        beat(ctx, &workers[i], secs(60)).await;
        ctx.advance(secs(1));
    }
    assert_eq!(hosts(ctx).await, names);
}

/// The worker has stopped and is forgotten.
async fn a_worker_that_leaves_is_forgotten_at_once(ctx: &Context) {
    let (a, b) = (worker(ctx.ids().worker(), "a"), worker(ctx.ids().worker(), "b"));
    beat(ctx, &a, secs(60)).await;
    beat(ctx, &b, secs(60)).await;
    for id in [a.id, a.id, ctx.ids().worker()] {
        ctx.backend().beat(Beat::Leaving(id)).await.expect("beat");
        assert_eq!(hosts(ctx).await, ["b"]);
    }
    // Heard of again, it is new.
    let now = ctx.advance(secs(5));
    beat(ctx, &a, secs(60)).await;
    let again = seen(ctx).await.into_iter().find(|seen| seen.worker.id == a.id);
    assert_eq!(again.map(|seen| seen.since), Some(now));
}

/// Workers that have not been heard of for so long are forgotten.
async fn workers_that_have_been_silent_for_too_long_are_forgotten(ctx: &Context) {
    let [dead, quiet, alive] = ["dead", "quiet", "alive"].map(|n| worker(ctx.ids().worker(), n));
    beat(ctx, &dead, secs(60)).await;
    ctx.advance(secs(10));
    beat(ctx, &quiet, secs(60)).await;
    ctx.advance(secs(45));
    beat(ctx, &alive, secs(60)).await;
    assert_eq!(hosts(ctx).await, ["dead", "quiet", "alive"]);
    // 60 s after the first and 50 s after the second: so long, or longer.
    ctx.advance(secs(5).saturating_sub(TICK));
    beat(ctx, &alive, secs(60)).await;
    assert_eq!(hosts(ctx).await, ["dead", "quiet", "alive"]);
    ctx.advance(TICK);
    beat(ctx, &alive, secs(60)).await;
    assert_eq!(hosts(ctx).await, ["quiet", "alive"]);
    ctx.advance(secs(3600));
    beat(ctx, &alive, secs(60)).await;
    assert_eq!(hosts(ctx).await, ["alive"], "its own silence does not count");
}
