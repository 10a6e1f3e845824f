//! A slow wire between a master and its replica, and what is lost with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Carries bytes that take a while to arrive, until it is dropped.
pub(crate) struct Wire {
    pub(crate) port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    delay: Duration,
    /// Changes when it is cut: what is on its way never arrives.
    cuts: watch::Sender<u64>,
    /// Whether nothing arrives for now.
    is_held: watch::Sender<bool>,
}

impl Wire {
    /// To a server, over which everything takes so long, in each direction.
    pub(crate) async fn to(address: (String, u16), delay: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let port = listener.local_addr().expect("its own address").port();
        let (cuts, is_held) = (watch::Sender::new(0), watch::Sender::new(false));
        let state = Arc::new(State { delay, cuts, is_held });
        let of_connections = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&address).await else { continue };
                let (from_near, to_near) = near.into_split();
                let (from_far, to_far) = far.into_split();
                carry(&of_connections, from_near, to_far);
                carry(&of_connections, from_far, to_near);
            }
        });
        Self { port, state, task }
    }

    /// Loses what is on its way.
    pub(crate) fn cut(&self) {
        self.state.cuts.send_modify(|number| *number += 1);
    }

    /// Lets nothing arrive until [`Wire::release`].
    pub(crate) fn hold(&self) {
        self.state.is_held.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.state.is_held.send_replace(false);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

fn carry(state: &Arc<State>, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let (sender, mut arriving) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let (delay, mut cuts) = (state.delay, state.cuts.subscribe());
    tokio::spawn(async move {
        let mut bytes = vec![0; 1 << 16];
        loop {
            tokio::select! {
                read = from.read(&mut bytes) => {
                    let Ok(count @ 1..) = read else { return };
                    if sender.send((Instant::now() + delay, bytes[..count].to_vec())).is_err() {
                        return;
                    }
                }
                _ = cuts.changed() => return,
            }
        }
    });
    let (mut cuts, mut is_held) = (state.cuts.subscribe(), state.is_held.subscribe());
    tokio::spawn(async move {
        loop {
            let arrival = async {
                let (at, bytes) = arriving.recv().await?;
                sleep_until(at).await;
                is_held.wait_for(|is_held| !is_held).await.ok()?;
                to.write_all(&bytes).await.ok()
            };
            tokio::select! {
                arrived = arrival => if arrived.is_none() { return },
                _ = cuts.changed() => return,
            }
        }
    });
}
