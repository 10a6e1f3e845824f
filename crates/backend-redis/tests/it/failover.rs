//! Masters of a cluster that die, or hand over, and slots that move, all under load
//! (F32, F36, F38).

use windlass_core::Backend;
use windlass_core::model::{Interest, ManualClock, QueueName};
use windlass_redis::{RedisBackend, redis};

use crate::connections::hears;
use crate::fixture::*;
use crate::load::Load;
use crate::own::Own;
use crate::server::Node;

/// So often a master is killed, and slots are moved.
const KILLS: &str = "WINDLASS_TEST_FAILOVERS";
const MOVES: &str = "WINDLASS_TEST_RESHARDINGS";

fn queues() -> Vec<QueueName> {
    ["q", "r", "s"].map(named).to_vec()
}

/// A store on a cluster, and what goes on there.
struct Site {
    home: Home,
    clock: ManualClock,
    handles: Vec<RedisBackend>,
}

impl Site {
    /// With so many replicas that each change waits for.
    async fn on(own: &Own, replicas: u32) -> Self {
        let (home, clock) = (Home::on(own.server.clone()), ManualClock::new());
        let mut handles = Vec::new();
        for _ in 0..4 {
            let mut config = home.config_by(&clock);
            config.replicas = replicas;
            handles.push(connect(config).await);
        }
        Self { home, clock, handles }
    }

    async fn load(&self) -> Load {
        Load::start(&self.handles[1..], &queues()).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_killed_fails_no_call_and_takes_along_only_what_no_replica_had() {
    let own = Own::start("itkill", "redis_cluster");
    let (plain, waits) = (Site::on(&own, 0).await, Site::on(&own, 1).await);
    let mut stream = plain.handles[0].watch(Interest::Work);
    let (of_plain, of_waits) = (plain.load().await, waits.load().await);
    let kills = number(KILLS, 1);
    for _ in 0..kills {
        of_plain.goes_on(50).await;
        of_waits.goes_on(50).await;
        own.harm("failover redis_cluster kill").await;
    }
    of_plain.goes_on(50).await;
    of_waits.goes_on(50).await;
    let loss = of_plain.end_after_loss(&plain.handles[0], &plain.clock).await;
    // What goes is the end of what was acknowledged until then.
    assert!(loss.gaps <= kills, "{loss:?}");
    eprintln!("{kills} masters killed, no replica waited for: {loss:?}");
    let loss = of_waits.end_after_loss(&waits.handles[0], &waits.clock).await;
    assert_eq!((loss.lost, loss.gaps, loss.leased_twice, loss.wrong), (0, 0, 0, 0), "{loss:?}");
    eprintln!("{kills} masters killed, one replica waited for: {loss:?}");
    hears(&mut stream, &plain.home.open().await).await;
}

async fn has_role(node: &mut Node, role: &str) -> bool {
    let info: String = node.run(redis::cmd("INFO").arg("replication")).await;
    info.contains(&format!("role:{role}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masters_that_hand_over_and_slots_that_move_cost_nothing() {
    let own = Own::start("itmoves", "redis_cluster");
    let (plain, waits) = (Site::on(&own, 0).await, Site::on(&own, 1).await);
    let mut stream = plain.handles[0].watch(Interest::Work);
    let (of_plain, of_waits) = (plain.load().await, waits.load().await);
    let mut handed_over = 0;
    for mut node in own.server.every_node().await {
        if !has_role(&mut node, "slave").await {
            continue;
        }
        let _: () = node.run(redis::cmd("CLUSTER").arg("FAILOVER")).await;
        let node = tokio::sync::Mutex::new(node);
        until("a replica takes over", || async {
            has_role(&mut *node.lock().await, "master").await
        })
        .await;
        handed_over += 1;
        of_plain.goes_on(20).await;
        of_waits.goes_on(20).await;
    }
    let moves = number(MOVES, 3);
    for _ in 0..moves {
        // A third of what one master has: so the queues of the test are among it, by and by.
        own.harm("reshard redis_cluster 1800").await;
        of_plain.goes_on(20).await;
        of_waits.goes_on(20).await;
    }
    let figures = of_plain.end(&plain.handles[0]).await;
    eprintln!("{handed_over} masters handed over, {moves} x 1800 slots moved: {figures}");
    let figures = of_waits.end(&waits.handles[0]).await;
    eprintln!("the same with one replica waited for: {figures}");
    hears(&mut stream, &plain.home.open().await).await;
}
