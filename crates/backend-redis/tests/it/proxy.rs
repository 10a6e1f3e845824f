//! What stands between a client and its server, and loses what it is told to lose.
//!
//! It knows nothing of the protocol but this: what comes from the client with a certain
//! word in it is a request, and what comes from the server next is its reply. Where one
//! connection carries several calls at once, all that are under way share the fate of
//! the one that is chosen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use windlass_redis::redis::{self, ConnectionAddr};
use windlass_redis::{RedisConfig, Servers};

use crate::fixture::{Dice, until};
use crate::own::Own;
use crate::server::Server;

/// What calls of the store have in them, as no handshake or notice has.
const CALL: &[u8] = b"EVAL";

/// How a server says that it has to be given a script whole.
const FORGOTTEN: &[u8] = b"-NOSCRIPT";

/// Stands in front of a server, or of each node of a cluster, until it is dropped.
pub(crate) struct Proxy {
    /// A port for each of them.
    ports: Vec<u16>,
    state: Arc<State>,
    tasks: Vec<JoinHandle<()>>,
}

struct State {
    orders: Mutex<Orders>,
    /// Changes when all connections are to be reset.
    resets: watch::Sender<u64>,
    /// Whether new connections have to wait at the door.
    is_closed: watch::Sender<bool>,
    calls: AtomicU64,
    swallowed: AtomicU64,
    cut: AtomicU64,
    reset: AtomicU64,
}

/// What is to be lost.
#[derive(Default)]
struct Orders {
    /// So many calls are let through before anything is.
    pass: u64,
    /// Then the replies to so many.
    swallow: u64,
    /// Then so many calls, before the server sees them.
    cut: u64,
    /// So many new connections are ended as they are made.
    turn_away: u64,
    /// Besides, each reply with so many chances in a hundred.
    chance: Option<(Dice, u64)>,
}

enum Fate {
    Passes,
    ReplyIsLost,
    IsLost,
}

impl Proxy {
    /// Stands in front of a server.
    pub(crate) async fn before(server: &Server) -> Self {
        Self::before_all(&[server.address()]).await
    }

    /// Stands in front of each node of a cluster that is a test's own: the nodes tell
    /// clients, and each other, that they are here.
    pub(crate) async fn before_cluster(own: &Own) -> Self {
        let proxy = Self::before_all(&own.server.addresses()).await;
        let mut nodes = own.server.every_node().await;
        for (node, port) in nodes.iter_mut().zip(&proxy.ports) {
            let mut announce = redis::cmd("CONFIG");
            announce.arg("SET").arg("cluster-announce-port").arg(port);
            let _: () = node.run(&mut announce).await;
        }
        let nodes = tokio::sync::Mutex::new(nodes);
        let all_know = async || {
            for node in nodes.lock().await.iter_mut() {
                let known = node.announced_ports().await;
                if known.iter().any(|port| !proxy.ports.contains(port)) {
                    return false;
                }
            }
            true
        };
        until("the nodes know of each other's ports", all_know).await;
        proxy
    }

    async fn before_all(addresses: &[(String, u16)]) -> Self {
        let state = Arc::new(State {
            orders: Mutex::default(),
            resets: watch::Sender::new(0),
            is_closed: watch::Sender::new(false),
            calls: AtomicU64::new(0),
            swallowed: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            reset: AtomicU64::new(0),
        });
        let (mut ports, mut tasks) = (Vec::new(), Vec::new());
        for address in addresses {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
            ports.push(listener.local_addr().expect("its own address").port());
            tasks.push(tokio::spawn(stand(listener, address.clone(), Arc::clone(&state))));
        }
        Self { ports, state, tasks }
    }

    /// The same store, through here.
    pub(crate) fn lead(&self, server: &Server, mut config: RedisConfig) -> RedisConfig {
        let mut here = self
            .ports
            .iter()
            .map(|port| server.info().set_addr(ConnectionAddr::Tcp("127.0.0.1".into(), *port)));
        config.servers = match config.servers {
            Servers::Cluster(_) => Servers::Cluster(here.collect()),
            _ => Servers::Single(here.next().expect("it stands before a server")),
        };
        config
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.state.orders.lock().expect("orders"));
    }

    /// Swallows the replies to `count` calls, after so many others: the server carries
    /// them out, and the connection is closed instead of an answer.
    pub(crate) fn swallow(&self, after: u64, count: u64) {
        self.order(|orders| (orders.pass, orders.swallow) = (after, count));
    }

    /// Swallows each reply with so many chances in a hundred.
    pub(crate) fn swallow_by_chance(&self, seed: u64, per_cent: u64) {
        self.order(|orders| orders.chance = Some((Dice::new(seed), per_cent)));
    }

    /// Closes the connection instead of passing on the next `count` calls, after so
    /// many others.
    pub(crate) fn cut(&self, after: u64, count: u64) {
        self.order(|orders| (orders.pass, orders.cut) = (after, count));
    }

    /// Ends the next `count` new connections as they are made.
    pub(crate) fn turn_away(&self, count: u64) {
        self.order(|orders| orders.turn_away = count);
    }

    /// Lets new connections wait until [`Proxy::open`]; those that are there go on.
    pub(crate) fn close(&self) {
        self.state.is_closed.send_replace(true);
    }

    pub(crate) fn open(&self) {
        self.state.is_closed.send_replace(false);
    }

    /// Loses nothing from now on.
    pub(crate) fn relent(&self) {
        self.order(|orders| *orders = Orders::default());
    }

    /// Resets every connection, on both sides.
    pub(crate) fn reset_all(&self) {
        self.state.resets.send_modify(|number| *number += 1);
    }

    /// How many calls were seen.
    pub(crate) fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// How many replies were swallowed.
    pub(crate) fn swallowed(&self) -> u64 {
        self.state.swallowed.load(Ordering::SeqCst)
    }

    /// How many calls were lost on their way.
    pub(crate) fn lost(&self) -> u64 {
        self.state.cut.load(Ordering::SeqCst)
    }

    /// How many connections were reset.
    pub(crate) fn resets(&self) -> u64 {
        self.state.reset.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.reset_all();
    }
}

impl State {
    fn turns_away(&self) -> bool {
        let mut orders = self.orders.lock().expect("orders");
        let turns_away = orders.turn_away > 0;
        orders.turn_away = orders.turn_away.saturating_sub(1);
        turns_away
    }

    /// What becomes of this piece of what a client sends.
    fn judge(&self, sent: &[u8]) -> Fate {
        let calls = sent.windows(CALL.len()).filter(|bytes| *bytes == CALL).count();
        if calls == 0 {
            return Fate::Passes;
        }
        self.calls.fetch_add(calls as u64, Ordering::SeqCst);
        let mut orders = self.orders.lock().expect("orders");
        if let Some((dice, per_cent)) = &mut orders.chance
            && (0..calls).any(|_| dice.below(100) < *per_cent)
        {
            return Fate::ReplyIsLost;
        }
        if orders.pass > 0 {
            orders.pass -= 1;
        } else if orders.swallow > 0 {
            orders.swallow -= 1;
            return Fate::ReplyIsLost;
        } else if orders.cut > 0 {
            orders.cut -= 1;
            return Fate::IsLost;
        }
        Fate::Passes
    }
}

async fn stand(listener: TcpListener, address: (String, u16), state: Arc<State>) {
    let mut is_closed = state.is_closed.subscribe();
    while let Ok((client, _)) = listener.accept().await {
        if is_closed.wait_for(|is_closed| !is_closed).await.is_err() {
            return;
        }
        if state.turns_away() {
            continue;
        }
        let Ok(server) = TcpStream::connect(&address).await else { continue };
        tokio::spawn(carry(Arc::clone(&state), client, server));
    }
}

async fn carry(state: Arc<State>, mut client: TcpStream, mut server: TcpStream) {
    let mut resets = state.resets.subscribe();
    let (mut sent, mut told) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut swallows = false;
    loop {
        tokio::select! {
            read = client.read(&mut sent) => {
                let Ok(count @ 1..) = read else { return };
                match state.judge(&sent[..count]) {
                    Fate::Passes => {}
                    Fate::ReplyIsLost => swallows = true,
                    Fate::IsLost => {
                        state.cut.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                }
                if server.write_all(&sent[..count]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut told) => {
                let Ok(count @ 1..) = read else { return };
                // A server that has forgotten a script has done nothing yet: it is asked
                // again, and that answer is lost.
                if swallows && !told.starts_with(FORGOTTEN) {
                    // It answers: so it has been done.
                    state.swallowed.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if client.write_all(&told[..count]).await.is_err() {
                    return;
                }
            }
            _ = resets.changed() => {
                // Without lingering, what was on its way is lost, on both sides.
                let _ = (client.set_zero_linger(), server.set_zero_linger());
                state.reset.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    }
}
