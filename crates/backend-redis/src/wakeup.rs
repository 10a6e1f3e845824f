//! Hints across processes: published apart from what they tell of, and heard on a
//! connection of its own.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::PubSub;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use windlass_core::backend::hub::{Hub, News};
use windlass_core::model::QueueName;

use crate::store::Store;

/// At most one notice of a queue in this time.
const PACE: Duration = Duration::from_millis(5);

/// A listener that has heard nothing for so long asks whether the server is still
/// there.
const SILENCE: Duration = Duration::from_secs(15);

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a listener that has lost its connection waits before it tries again, at
/// first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How long a client's name is.
const NAME: usize = 32;

/// The channel of a store. What is said there is who says it, in [`NAME`] bytes, and the
/// name of a queue.
pub(crate) fn channel(prefix: &str) -> String {
    format!("{prefix}:work")
}

/// Tells other processes that queues may have work.
#[derive(Debug)]
pub(crate) struct Herald {
    told: Arc<Told>,
    task: JoinHandle<()>,
}

/// Of which queues there is news that was not published yet.
#[derive(Debug, Default)]
struct Told {
    queues: Mutex<HashSet<QueueName>>,
    any: Notify,
}

impl Herald {
    /// A herald that works until it is dropped.
    pub(crate) fn start(store: Store, channel: String) -> Self {
        let told = Arc::new(Told::default());
        let task = tokio::spawn(herald(store, channel, Arc::clone(&told)));
        Self { told, task }
    }

    /// A queue may have work.
    pub(crate) fn tell(&self, queue: &QueueName) {
        let mut queues = self.told.queues.lock().unwrap_or_else(PoisonError::into_inner);
        // Most have been told of, and need not wake it again.
        if !queues.contains(queue) {
            queues.insert(queue.clone());
            self.told.any.notify_one();
        }
    }
}

impl Drop for Herald {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Publishes what was told, each queue at most once in [`PACE`].
async fn herald(store: Store, channel: String, told: Arc<Told>) {
    let mut free_at: HashMap<QueueName, Instant> = HashMap::new();
    loop {
        let now = Instant::now();
        free_at.retain(|_, at| *at > now);
        let (due, next) = {
            let mut queues = told.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let due: Vec<QueueName> =
                queues.iter().filter(|queue| !free_at.contains_key(*queue)).cloned().collect();
            queues.retain(|queue| free_at.contains_key(queue));
            (due, queues.iter().filter_map(|queue| free_at.get(queue)).min().copied())
        };
        if !due.is_empty() {
            let names: Vec<String> =
                due.iter().map(|queue| format!("{}{queue}", store.client())).collect();
            if let Err(error) = store.publish(&channel, &names).await {
                tracing::debug!(error = format!("{error:#}"), "a notice could not be sent");
            }
            let at = Instant::now() + PACE;
            free_at.extend(due.into_iter().map(|queue| (queue, at)));
        }
        tokio::select! {
            () = told.any.notified() => {
                // Whoever heard of it here asks first; both would only be in each
                // other's way.
                tokio::task::yield_now().await;
            }
            () = async { sleep_until(next.unwrap_or_else(Instant::now)).await }, if next.is_some() => {}
        }
    }
}

/// Hears of work in other processes, from the first watcher on.
#[derive(Debug)]
pub(crate) struct Ear {
    store: Weakly,
    channel: String,
    hub: Arc<Hub>,
    /// Where the tasks of the backend run.
    runtime: Handle,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// A store, without its inside in what is shown of it.
struct Weakly(Store);

impl std::fmt::Debug for Weakly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Ear {
    pub(crate) fn new(store: Store, channel: String, hub: Arc<Hub>) -> Self {
        let runtime = Handle::current();
        Self { store: Weakly(store), channel, hub, runtime, task: Mutex::default() }
    }

    /// Listens from now on.
    pub(crate) fn open(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.is_none() {
            let hub = Arc::downgrade(&self.hub);
            let listen = listen(self.store.0.clone(), self.channel.clone(), hub);
            *task = Some(self.runtime.spawn(listen));
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}

/// Listens, and connects again whenever the connection is lost, for as long as the hub
/// lives.
async fn listen(store: Store, channel: String, hub: Weak<Hub>) {
    let mut pause = PAUSES.0;
    // Within a cluster all nodes pass on what is published at any of them: one that is
    // away is passed over.
    let mut turn = 0;
    while hub.strong_count() > 0 {
        match connect(&store, &channel, turn).await {
            Ok(pubsub) => {
                pause = PAUSES.0;
                // What was told while nobody listened is lost.
                if let Some(hub) = hub.upgrade() {
                    hub.tell_anything();
                }
                let why = hear(pubsub, &channel, store.client(), &hub).await;
                tracing::warn!(why, "listening for notices begins anew");
            }
            Err(why) => {
                tracing::warn!(why, "cannot listen for notices; polling goes on");
                pause = (pause * 2).min(PAUSES.1);
            }
        }
        turn += 1;
        sleep(pause).await;
    }
}

async fn connect(store: &Store, channel: &str, turn: usize) -> Result<PubSub, String> {
    let connect = async {
        let clients = store.link().listening_clients().await?;
        let client = &clients[turn % clients.len().max(1)];
        let mut pubsub = client.get_async_pubsub().await?;
        pubsub.subscribe(channel).await?;
        Ok::<_, redis::RedisError>(pubsub)
    };
    match timeout(PATIENCE, connect).await {
        Ok(connected) => connected.map_err(|error| error.to_string()),
        Err(_) => Err(String::from("the server does not answer")),
    }
}

/// Passes notices on until the connection is lost, and answers why.
async fn hear(pubsub: PubSub, channel: &str, own: &str, hub: &Weak<Hub>) -> String {
    let (mut sink, mut stream) = pubsub.split();
    loop {
        let heard = timeout(SILENCE, stream.next()).await;
        let Some(hub) = hub.upgrade() else { return String::from("nobody watches") };
        match heard {
            Ok(Some(message)) => {
                let said = String::from_utf8_lossy(message.get_payload_bytes());
                let told = said.split_at_checked(NAME).map(|(by, name)| (by, QueueName::new(name)));
                match told {
                    // What comes from here was told here.
                    Some((by, _)) if by == own => {}
                    Some((_, Ok(queue))) => {
                        let mut news = News::default();
                        news.touch(&queue);
                        hub.tell(&mut news);
                    }
                    _ => hub.tell_anything(),
                }
            }
            Ok(None) => return String::from("the connection was closed"),
            Err(_) => {
                // A connection may be dead without a word. To subscribe again changes
                // nothing, and is answered.
                match timeout(PATIENCE, sink.subscribe(channel)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return error.to_string(),
                    Err(_) => return String::from("the server does not answer"),
                }
            }
        }
    }
}
