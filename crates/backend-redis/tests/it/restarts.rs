//! A server that is restarted under load, with its file and without (F32, F38).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use windlass_core::backend::{Applied, Declared, EnqueueAnswer, Refusal};
use windlass_core::model::{Interest, ManualClock, QueueSpec, State};
use windlass_core::{Backend, ErrorKind};
use windlass_redis::{RedisBackend, redis};

use crate::connections::hears;
use crate::fixture::*;
use crate::load::Load;
use crate::own::Own;

/// So often a server is restarted in each way.
const RESTARTS: &str = "WINDLASS_TEST_RESTARTS";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_with_its_file_loses_nothing_and_fails_no_call() {
    let own = Own::start("itrestart", "redis");
    let (home, clock) = (Home::on(own.server.clone()), ManualClock::new());
    let mut handles = Vec::new();
    for _ in 0..6 {
        handles.push(home.open_by(&clock).await);
    }
    let queues = ["q", "r", "s"].map(named);
    let mut stream = handles[0].watch(Interest::Work);
    let times = number(RESTARTS, 2);
    let load = Load::start(&handles, &queues).await;
    for _ in 0..times {
        load.goes_on(200).await;
        own.harm("restart redis fast").await;
    }
    load.goes_on(200).await;
    let figures = load.end(&handles[0]).await;
    eprintln!("ended as an operator does, {times} times: {figures}");

    // What a process that is killed had written, the system has: only where the disk is
    // so slow that Redis puts off its writes, something is lost, and that came last.
    let load = Load::start(&handles, &queues).await;
    for _ in 0..times {
        load.goes_on(200).await;
        own.harm("restart redis immediate").await;
    }
    load.goes_on(200).await;
    let loss = load.end_after_loss(&handles[0], &clock).await;
    assert!(loss.gaps <= times, "{loss:?}");
    eprintln!("killed {times} times, appendfsync everysec: {loss:?}");
    hears(&mut stream, &home.open().await).await;
}

/// What a task of a process sees whose server forgets everything.
#[derive(Default)]
struct Seen {
    stops: AtomicBool,
    unknown: AtomicUsize,
    acknowledged: AtomicUsize,
    ended: AtomicUsize,
}

/// Does what a process does that declares its queue whenever it is told that it is not
/// known.
async fn carry_on(backend: RedisBackend, seen: Arc<Seen>) {
    while !seen.stops.load(Ordering::SeqCst) {
        match backend.enqueue(jobs(2)).await.expect("every call is answered") {
            EnqueueAnswer::Stored { .. } => {
                seen.acknowledged.fetch_add(2, Ordering::SeqCst);
            }
            EnqueueAnswer::Refused { why: Refusal::UnknownQueue(name), .. } => {
                assert_eq!(name, queue());
                seen.unknown.fetch_add(1, Ordering::SeqCst);
                backend.declare(&spec()).await.expect("every call is answered");
            }
            refused => panic!("{refused:?}"),
        }
        let leased = match backend.dequeue(ask(2)).await {
            Ok(dequeued) => dequeued.jobs,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::UnknownQueue, "{error:#}");
                seen.unknown.fetch_add(1, Ordering::SeqCst);
                continue;
            }
        };
        let answer = backend.apply(leased.iter().map(done).collect()).await;
        for outcome in answer.expect("every call is answered").outcomes {
            match outcome {
                Applied::Applied => seen.ended.fetch_add(1, Ordering::SeqCst),
                // One whose enqueue was not answered before was stored anew.
                Applied::Gone | Applied::Stale(_) => 0,
                other => panic!("{other:?}"),
            };
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_file_forgets_all_and_goes_on_with_who_declares_again() {
    let own = Own::start("itforgets", "redis");
    let home = Home::on(own.server.clone());
    let mut node = own.server.masters().await.remove(0);
    let _: () = node.run(redis::cmd("CONFIG").arg("SET").arg("appendonly").arg("no")).await;
    let _: () = node.run(redis::cmd("CONFIG").arg("REWRITE")).await;

    let mut handles = Vec::new();
    for _ in 0..4 {
        handles.push(home.open().await);
    }
    handles[0].declare(&spec()).await.unwrap();
    let mut stream = handles[0].watch(Interest::Work);
    let seen = Arc::new(Seen::default());
    let tasks: Vec<_> = handles
        .iter()
        .map(|handle| tokio::spawn(carry_on(handle.clone(), Arc::clone(&seen))))
        .collect();
    let times = number(RESTARTS, 2);
    for _ in 0..times {
        let goal = seen.ended.load(Ordering::SeqCst) + 100;
        until("jobs end", || async { seen.ended.load(Ordering::SeqCst) >= goal }).await;
        own.harm("restart redis immediate").await;
    }
    let goal = seen.ended.load(Ordering::SeqCst) + 100;
    until("jobs end again", || async { seen.ended.load(Ordering::SeqCst) >= goal }).await;
    seen.stops.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(seen.unknown.load(Ordering::SeqCst) >= times, "nobody was told");
    hears(&mut stream, &handles[1]).await;
    let active = count(&handles[0], &queue(), State::Active).await;
    assert_eq!(active, 0, "no lease is left that its holder does not know of");
    eprintln!(
        "forgot all {times} times: {} jobs acknowledged, {} ended, {} answers that the queue is \
         not known, other errors 0",
        seen.acknowledged.load(Ordering::SeqCst),
        seen.ended.load(Ordering::SeqCst),
        seen.unknown.load(Ordering::SeqCst),
    );

    // What a handle remembers of a declaration is of that declaration, and not of one
    // that somebody made since.
    let mut other = QueueSpec::new(queue());
    other.max_stalls = 17;
    handles[0].dequeue(ask(1)).await.unwrap();
    own.harm("restart redis immediate").await;
    assert_eq!(handles[1].declare(&other).await.unwrap(), Declared::Created);
    assert_eq!(*handles[0].dequeue(ask(1)).await.unwrap().spec, other);
}
