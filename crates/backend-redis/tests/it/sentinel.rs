//! A master that sentinels know, and that another one follows.

use windlass_core::Backend;
use windlass_core::model::{Clock, Interest, ManualClock};
use windlass_redis::redis::{self, FromRedisValue};
use windlass_redis::{RedisConfig, Servers};

use crate::connections::hears;
use crate::fixture::*;
use crate::load::Load;
use crate::program::{Program, free_port};

fn server(port: u16, more: &[&str]) -> Program {
    let port = port.to_string();
    let mut arguments = vec!["--port", &port, "--bind", "127.0.0.1", "--save", ""];
    let known = ["--requirepass", "secret", "--masterauth", "secret"];
    arguments.extend_from_slice(&known);
    arguments.extend_from_slice(&["--repl-diskless-sync-delay", "0"]);
    arguments.extend_from_slice(more);
    Program::run(&[], &arguments)
}

/// What one of them answers, if it is there.
async fn answer<T: FromRedisValue>(port: u16, command: &mut redis::Cmd) -> Option<T> {
    let client = redis::Client::open(format!("redis://:secret@127.0.0.1:{port}")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.ok()?;
    command.query_async(&mut connection).await.ok()
}

/// Whether a sentinel says this of the master.
async fn is_said(sentinel: u16, name: &str, value: &str) -> bool {
    let mut command = redis::cmd("SENTINEL");
    let said: Vec<String> =
        answer(sentinel, command.arg("MASTER").arg("main")).await.unwrap_or_default();
    said.chunks(2).any(|pair| pair[0] == name && pair[1] == value)
}

/// Whether a replica is given what its master writes. That the two are connected, and that
/// it has a copy, does not say so yet: a master begins to send what comes after the copy only
/// when the replica has confirmed that.
async fn is_followed(master: u16) -> bool {
    let client = redis::Client::open(format!("redis://:secret@127.0.0.1:{master}")).unwrap();
    let Ok(mut connection) = client.get_multiplexed_async_connection().await else { return false };
    let mut probe = redis::pipe();
    probe.cmd("SET").arg("probe").arg("").ignore().cmd("WAIT").arg(1).arg(100);
    let confirmed: Option<(u32,)> = probe.query_async(&mut connection).await.ok();
    confirmed.is_some_and(|(replicas,)| replicas == 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_is_followed_by_the_one_that_the_sentinels_choose() {
    let (first, second, sentinel) = (free_port(), free_port(), free_port());
    let mut master = server(first, &[]);
    let _replica = server(second, &["--replicaof", "127.0.0.1", &first.to_string()]);
    let settings = format!(
        "port {sentinel}\nbind 127.0.0.1\nrequirepass secret\n\
         sentinel monitor main 127.0.0.1 {first} 1\nsentinel auth-pass main secret\n\
         sentinel down-after-milliseconds main 8000\nsentinel failover-timeout main 5000\n"
    );
    let _sentinel = Program::run(&[("sentinel.conf", &settings)], &["sentinel.conf", "--sentinel"]);
    until("the replica follows", || is_followed(first)).await;
    until("the sentinel knows the replica", || is_said(sentinel, "num-slaves", "1")).await;

    // Of two sentinels one is away.
    let url =
        format!("redis-sentinel://:secret@127.0.0.1:{},127.0.0.1:{sentinel}/main", free_port());
    let clock = ManualClock::new();
    let mut config = RedisConfig::parse(&url).unwrap();
    config.clock = Clock::Manual(clock.clone());
    // A sentinel that takes a busy master for a dead one has it forget what it was told
    // since; so it is slow to, and calls have to wait for it.
    config.patience = PATIENCE;
    assert!(matches!(config.servers, Servers::Sentinel { .. }));
    let mut handles = Vec::new();
    for _ in 0..4 {
        handles.push(connect(config.clone()).await);
    }
    let queues = ["q", "r"].map(named);
    let mut stream = handles[0].watch(Interest::Work);
    let load = Load::start(&handles[1..], &queues).await;
    load.goes_on(100).await;
    master.kill();
    load.goes_on(100).await;
    let now_known = second.to_string();
    assert!(is_said(sentinel, "port", &now_known).await, "the replica is the master now");
    master.again();
    load.goes_on(100).await;
    let loss = load.end_after_loss(&handles[0], &clock).await;
    assert!(loss.gaps <= 1, "{loss:?}");
    hears(&mut stream, &handles[1]).await;
    eprintln!("a master that a sentinel knows was killed: {loss:?}");
}
