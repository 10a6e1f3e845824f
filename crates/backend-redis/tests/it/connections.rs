//! Connections that end under load, and servers that forget scripts (F32, F33).

use std::time::Duration;

use futures_util::StreamExt;
use windlass_core::Backend;
use windlass_core::backend::NoticeStream;
use windlass_core::model::{Interest, Notice, QueueName, QueueSpec};
use windlass_redis::{RedisBackend, redis};

use crate::fixture::*;
use crate::load::Load;
use crate::proxy::Proxy;

/// So often connections are killed.
const KILLS: u64 = 20;
/// So many connections are reset.
const RESETS: u64 = 1000;
/// So often the scripts are forgotten.
const FLUSHES: u64 = 100;

async fn handles(home: &Home, count: usize) -> Vec<RedisBackend> {
    let mut handles = Vec::new();
    for _ in 0..count {
        handles.push(home.open().await);
    }
    handles
}

fn queues() -> Vec<QueueName> {
    ["q", "r", "s"].map(named).to_vec()
}

/// Enqueues into a queue of its own until a watcher hears of it, and of nothing less
/// particular: that would say only that it listens anew.
pub(crate) async fn hears(stream: &mut NoticeStream, other: &RedisBackend) {
    let quiet = named("quiet");
    other.declare(&QueueSpec::new(quiet.clone())).await.unwrap();
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        enqueue(other, vec![new_job_in(&quiet, request())]).await;
        let heard = async {
            while let Some(notice) = stream.next().await {
                if notice == Notice::Queue(quiet.clone()) {
                    return true;
                }
            }
            false
        };
        match tokio::time::timeout(Duration::from_millis(200), heard).await {
            Ok(heard) => {
                assert!(heard, "the stream has ended");
                return;
            }
            Err(_) => assert!(tokio::time::Instant::now() < end, "no notice comes any more"),
        }
    }
}

/// Ends the connections of the tests' user of a kind, at every node: a replica
/// passes notices on, too.
async fn kill(home: &Home, kind: &str) -> u64 {
    let mut killed = 0;
    for mut node in home.server.every_node().await {
        let mut command = redis::cmd("CLIENT");
        command.arg("KILL").arg("TYPE").arg(kind).arg("USER").arg(home.server.user());
        killed += node.run::<u64>(&mut command).await;
    }
    killed
}

async fn connections_are_killed(home: Home) {
    let handles = handles(&home, 6).await;
    let watcher = home.open().await;
    let mut stream = watcher.watch(Interest::Work);
    let load = Load::start(&handles, &queues()).await;
    let mut killed = (0, 0);
    for _ in 0..KILLS {
        load.goes_on(30).await;
        killed.0 += kill(&home, "normal").await;
        killed.1 += kill(&home, "pubsub").await;
    }
    load.goes_on(30).await;
    let figures = load.end(&handles[0]).await;
    assert!(killed.0 >= KILLS && killed.1 > 0, "{killed:?}");
    hears(&mut stream, &handles[1]).await;
    eprintln!("{} connections killed, and {} that listen: {figures}", killed.0, killed.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_an_operator_ends_come_back_and_no_call_fails() {
    connections_are_killed(Home::single()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_cluster_that_an_operator_ends_come_back_and_no_call_fails() {
    connections_are_killed(Home::cluster()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_resets_under_load_lose_nothing_and_end_no_watching() {
    let home = Home::single();
    let proxy = Proxy::before(&home.server).await;
    let mut handles = Vec::new();
    for _ in 0..8 {
        handles.push(connect(proxy.lead(&home.server, home.config())).await);
    }
    let plain = home.open().await;
    let mut stream = handles[0].watch(Interest::Work);
    let load = Load::start(&handles, &queues()).await;
    let mut rounds = 0;
    while proxy.resets() < RESETS {
        load.goes_on(8).await;
        proxy.reset_all();
        rounds += 1;
    }
    load.goes_on(8).await;
    let figures = load.end(&plain).await;
    hears(&mut stream, &plain).await;
    eprintln!("{} connections reset in {rounds} rounds: {figures}", proxy.resets());
}

async fn scripts_are_forgotten(home: Home) {
    let handles = handles(&home, 6).await;
    let plain = home.open().await;
    let load = Load::start(&handles, &queues()).await;
    let mut masters = home.server.masters().await;
    for _ in 0..FLUSHES {
        load.goes_on(3).await;
        for master in &mut masters {
            let _: () = master.run(redis::cmd("SCRIPT").arg("FLUSH")).await;
        }
    }
    let figures = load.end(&handles[0]).await;
    // Between calls, too: whatever a call needs is there again with its first attempt.
    for _ in 0..10 {
        for master in &mut masters {
            let _: () = master.run(redis::cmd("SCRIPT").arg("FLUSH")).await;
        }
        enqueue(&plain, jobs(1)).await;
        let leased = take(&plain, 10).await;
        assert_eq!(leased.len(), 1);
        apply(&plain, leased.iter().map(done).collect()).await;
        plain.stats(&queue()).await.unwrap();
    }
    eprintln!("scripts forgotten {FLUSHES} times under load: {figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgets_scripts_is_given_them_anew_without_an_error() {
    scripts_are_forgotten(Home::single()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_forgets_scripts_is_given_them_anew_without_an_error() {
    scripts_are_forgotten(Home::cluster()).await;
}

/// An operator ends connections when it likes, and a restart does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_opened_though_its_first_connections_are_ended_as_they_are_made() {
    let home = Home::single();
    let proxy = Proxy::before(&home.server).await;
    proxy.turn_away(3);
    let backend = connect(proxy.lead(&home.server, home.config())).await;
    backend.declare(&spec()).await.unwrap();
}
