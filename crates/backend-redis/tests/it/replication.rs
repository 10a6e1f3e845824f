//! What is gone of what was acknowledged when a master dies: of its replica, and of its
//! own file (F38).
//!
//! A process that is killed has mostly given to the system what it has told anybody, so
//! that nothing is gone. A machine that dies takes along what was on its way: here, the
//! wire to the replica is slow, and is cut as the master is killed.

use std::collections::HashSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use windlass_core::backend::EnqueueAnswer;
use windlass_core::model::{Filter, JobId, State};
use windlass_core::{Backend, Error, ErrorKind};
use windlass_redis::{Listen, RedisBackend, RedisConfig, redis};

use crate::fixture::*;
use crate::own::Own;
use crate::server::{Node, Server};
use crate::wire::Wire;

/// So often a master dies, in each setting.
const ROUNDS: &str = "WINDLASS_TEST_REPLICATION_ROUNDS";
/// How long what a master tells its replica is under way.
const DELAY: Duration = Duration::from_millis(20);
const TASKS: usize = 4;

/// A master and its replica.
struct Pair {
    master: Own,
    replica: Own,
    wire: Wire,
}

fn command(words: &str) -> redis::Cmd {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().expect("a command"));
    command.arg(words.collect::<Vec<_>>());
    command
}

async fn operator(server: &Server) -> Node {
    server.masters().await.remove(0)
}

impl Pair {
    async fn new(master: &'static str, replica: &'static str) -> Self {
        let (master, replica) = (Own::start(master, "redis"), Own::start(replica, "redis"));
        let wire = Wire::to(master.server.address(), DELAY).await;
        let pair = Self { master, replica, wire };
        pair.join().await;
        pair
    }

    /// Has the replica follow the master, from nothing.
    async fn join(&self) {
        let mut master = operator(&self.master.server).await;
        let mut replica = operator(&self.replica.server).await;
        let _: () = master.run(&mut command("CONFIG SET repl-diskless-sync-delay 0")).await;
        let _: () = master.run(&mut command("FLUSHALL")).await;
        let (user, password) = self.master.server.operators_login();
        let mut login = command("CONFIG SET masteruser");
        login.arg(user).arg("masterauth").arg(password);
        let _: () = replica.run(&mut login).await;
        let follow = format!("REPLICAOF 127.0.0.1 {}", self.wire.port);
        let _: () = replica.run(&mut command(&follow)).await;
        // Once the replica has confirmed its copy, and not before, it is sent what follows.
        let master = tokio::sync::Mutex::new(master);
        until("the replica follows", || async {
            let mut master = master.lock().await;
            let _: () = master.run(&mut command("SET probe 1")).await;
            let confirmed: u32 = master.run(&mut command("WAIT 1 100")).await;
            confirmed == 1
        })
        .await;
    }

    async fn promote(&self) {
        let mut replica = operator(&self.replica.server).await;
        let _: () = replica.run(&mut command("REPLICAOF NO ONE")).await;
    }

    /// As a machine dies: with all that it has not sent, and what is under way.
    async fn kill_master(&self) {
        let mut master = operator(&self.master.server).await;
        let info: String = master.run(&mut command("INFO server")).await;
        let process = info.lines().find_map(|line| line.trim().strip_prefix("process_id:"));
        let mut kill = Command::new("kill");
        kill.args(["-s", "KILL", process.expect("it is told")]);
        let killed = kill.status().expect("kill can be run");
        self.wire.cut();
        assert!(killed.success());
    }
}

/// What goes on at a master until it dies.
#[derive(Clone, Copy)]
struct Setting {
    name: &'static str,
    /// How many replicas a change waits for.
    replicas: u32,
    /// How many jobs one call enqueues.
    batch: usize,
    appendfsync: &'static str,
}

/// What is gone of what was acknowledged.
#[derive(Default)]
struct Gone {
    acknowledged: usize,
    of_replica: usize,
    of_file: usize,
}

/// Enqueues until the master is gone; answers what was acknowledged, in order.
async fn enqueue_on(backend: RedisBackend, batch: usize, count: Arc<AtomicUsize>) -> Vec<JobId> {
    let mut acknowledged = Vec::new();
    loop {
        let batch = jobs(batch);
        let ids: Vec<JobId> = batch.iter().map(|job| job.id).collect();
        match backend.enqueue(batch).await {
            Ok(EnqueueAnswer::Stored { .. }) => {
                count.fetch_add(ids.len(), Ordering::SeqCst);
                acknowledged.extend(ids);
            }
            Ok(refused) => panic!("{refused:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
                return acknowledged;
            }
        }
    }
}

/// How many of these a server does not have. Those come last.
async fn gone(server: &Server, prefix: &str, acknowledged: &[Vec<JobId>]) -> usize {
    let backend = connect(server.config(prefix)).await;
    let stored: HashSet<JobId> =
        list(&backend, Filter::default()).await.iter().map(|job| job.id).collect();
    let mut count = 0;
    for ids in acknowledged {
        let kept = ids.iter().take_while(|id| stored.contains(id)).count();
        assert!(!ids[kept..].iter().any(|id| stored.contains(id)), "one before another is gone");
        count += ids.len() - kept;
    }
    count
}

async fn a_master_dies(pair: &Pair, setting: Setting, jobs: usize) -> Gone {
    pair.join().await;
    let mut master = operator(&pair.master.server).await;
    let _: () =
        master.run(&mut command(&format!("CONFIG SET appendfsync {}", setting.appendfsync))).await;
    let home = Home::on(pair.master.server.clone());
    let mut config = home.config();
    (config.replicas, config.listen) = (setting.replicas, Listen::Off);
    // Nobody waits for the dead.
    config.patience = Duration::from_millis(500);
    home.open().await.declare(&spec()).await.unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let backend = connect(config.clone()).await;
        tasks.push(tokio::spawn(enqueue_on(backend, setting.batch, Arc::clone(&count))));
    }
    until("jobs are acknowledged", || async { count.load(Ordering::SeqCst) >= jobs }).await;
    pair.kill_master().await;
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.push(task.await.unwrap());
    }
    pair.promote().await;
    let of_replica = gone(&pair.replica.server, &home.prefix, &acknowledged).await;
    pair.master.harm("--only redis start").await;
    let of_file = gone(&pair.master.server, &home.prefix, &acknowledged).await;
    Gone { acknowledged: acknowledged.iter().map(Vec::len).sum(), of_replica, of_file }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_takes_along_what_was_under_way_unless_a_replica_was_waited_for() {
    let pair = Pair::new("itmaster", "itreplica").await;
    let usual = Setting { name: "", replicas: 0, batch: 1, appendfsync: "everysec" };
    let mut dice = Dice::new(38);
    for setting in [
        Setting { name: "no WAIT, one by one", ..usual },
        Setting { name: "no WAIT, batches of 100", batch: 100, ..usual },
        Setting { name: "replicas=1, one by one", replicas: 1, ..usual },
        Setting { name: "replicas=1, batches of 100", replicas: 1, batch: 100, ..usual },
        Setting { name: "appendfsync always, one by one", appendfsync: "always", ..usual },
    ] {
        let mut all = Gone::default();
        let rounds = number(ROUNDS, 1);
        for _ in 0..rounds {
            // What waits for a replica comes slower.
            let few = setting.batch * if setting.replicas > 0 { 20 } else { 500 };
            let jobs = few + usize::try_from(dice.below(few as u64)).unwrap();
            let gone = a_master_dies(&pair, setting, jobs).await;
            if setting.replicas > 0 {
                assert_eq!(gone.of_replica, 0, "{}", setting.name);
            } else {
                assert!(gone.of_replica > 0, "{}: what was under way has arrived", setting.name);
            }
            if setting.appendfsync == "always" {
                assert_eq!(gone.of_file, 0, "{}", setting.name);
            }
            all.acknowledged += gone.acknowledged;
            all.of_replica += gone.of_replica;
            all.of_file += gone.of_file;
        }
        eprintln!(
            "{}: {} jobs acknowledged, {} masters killed, {} ms to the replica: gone with the \
             replica promoted {}, with the master restarted {}",
            setting.name,
            all.acknowledged,
            rounds,
            DELAY.as_millis(),
            all.of_replica,
            all.of_file,
        );
    }
}

fn is_unconfirmed(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
    let words = "too few replicas have confirmed the change in time";
    assert!(error.to_string().contains(words), "{error:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_replica_confirms_is_said_to_be_stored_and_no_job_suffers() {
    let pair = Pair::new("itconfirms", "itsilent").await;
    let home = Home::on(pair.master.server.clone());
    let plain = home.open().await;
    plain.declare(&spec()).await.unwrap();
    let mut config: RedisConfig = home.config();
    (config.replicas, config.patience) = (1, Duration::from_millis(900));
    let waits = connect(config).await;
    enqueue(&waits, jobs(1)).await;

    pair.wire.hold();
    is_unconfirmed(&waits.enqueue(jobs(1)).await.unwrap_err());
    // Nor is one that is made again, on another connection on which nothing was changed.
    let call = tokio::spawn({
        let waits = waits.clone();
        async move { waits.enqueue(jobs(1)).await }
    });
    until("the call is carried out", || async {
        count(&plain, &queue(), State::Waiting).await == 3
    })
    .await;
    let mut kill = command("CLIENT KILL TYPE normal USER");
    kill.arg(home.server.user());
    let _: u64 = operator(&home.server).await.run(&mut kill).await;
    is_unconfirmed(&call.await.unwrap().unwrap_err());
    assert_eq!(count(&plain, &queue(), State::Waiting).await, 3, "each is stored, once");
    // Jobs that are leased for nobody are let go, and lose nothing by it.
    for _ in 0..5 {
        is_unconfirmed(&waits.dequeue(ask(10)).await.unwrap_err());
    }
    assert_eq!(count(&plain, &queue(), State::Waiting).await, 3);
    for job in list(&plain, Filter::default()).await {
        assert_eq!((job.course.stalls, job.course.failed_attempts), (0, 0), "{job:?}");
    }

    pair.wire.release();
    until("the replica is there again", || async { waits.enqueue(jobs(1)).await.is_ok() }).await;
    let leased = take(&waits, 10).await;
    assert!(leased.len() >= 4, "{leased:?}");
    apply(&waits, leased.iter().map(done).collect()).await;
}
