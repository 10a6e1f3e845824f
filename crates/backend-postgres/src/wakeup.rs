//! Hints across processes: LISTEN on a connection of its own, and empty notices
//! sent apart from what they tell of.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use windlass_core::backend::hub::{Hub, News};
use windlass_core::model::QueueName;

use crate::store::Store;

/// Queues share so many channels: a listener has to know of channels before it
/// can know of queues.
const CHANNELS: usize = 64;

/// At most one notice of a queue in this time.
const PACE: Duration = Duration::from_millis(5);

/// A listener that has heard nothing for so long asks whether the server is
/// still there.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a server may take to say that it is still there.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a listener that has lost its connection waits at most before it tries
/// again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Which of the channels a queue uses. The same in every process and version.
fn channel_of(queue: &QueueName) -> usize {
    // FNV-1a, 64 bits (Fowler, Noll and Vo).
    let hash = queue.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash % CHANNELS as u64).unwrap_or_default()
}

fn channel_name(schema: &str, channel: usize) -> String {
    format!("windlass_{schema}_{channel}")
}

/// Tells other processes that queues may have work.
#[derive(Debug)]
pub(crate) struct Herald {
    channels: mpsc::UnboundedSender<usize>,
    told: Arc<Told>,
}

/// Of which channels the herald knows already that they have news.
#[derive(Debug)]
struct Told([AtomicBool; CHANNELS]);

impl Herald {
    /// A herald that works until it is dropped.
    pub(crate) fn start(store: Store, schema: String) -> Self {
        let (channels, news) = mpsc::unbounded_channel();
        let told = Arc::new(Told([const { AtomicBool::new(false) }; CHANNELS]));
        tokio::spawn(herald(store, schema, news, Arc::clone(&told)));
        Self { channels, told }
    }

    /// A queue may have work.
    pub(crate) fn tell(&self, queue: &QueueName) {
        let channel = channel_of(queue);
        // Most have been told of, and need not wake it again.
        if !self.told.0[channel].swap(true, Ordering::AcqRel) {
            // The task ends with the runtime only, and then nobody is left to tell.
            let _ = self.channels.send(channel);
        }
    }
}

/// Sends what was told, each channel at most once in [`PACE`].
async fn herald(
    store: Store,
    schema: String,
    mut news: mpsc::UnboundedReceiver<usize>,
    told: Arc<Told>,
) {
    let mut free_at: HashMap<usize, Instant> = HashMap::new();
    let mut waiting: BTreeMap<usize, Instant> = BTreeMap::new();
    loop {
        let next = waiting.values().min().copied();
        tokio::select! {
            channel = news.recv() => {
                let Some(channel) = channel else { return };
                waiting.insert(channel, free_at.get(&channel).copied().unwrap_or_else(Instant::now));
            }
            () = async { sleep_until(next.unwrap_or_else(Instant::now)).await }, if next.is_some() => {}
        }
        // Whoever heard of it here asks first; both would only be in each other's way.
        tokio::task::yield_now().await;
        // What came in meanwhile goes along.
        while let Ok(channel) = news.try_recv() {
            waiting.insert(channel, free_at.get(&channel).copied().unwrap_or_else(Instant::now));
        }
        let now = Instant::now();
        let due: Vec<usize> =
            waiting.iter().filter(|(_, at)| **at <= now).map(|(channel, _)| *channel).collect();
        if due.is_empty() {
            continue;
        }
        waiting.retain(|channel, _| !due.contains(channel));
        for channel in &due {
            // From here on, news is news again.
            told.0[*channel].swap(false, Ordering::AcqRel);
        }
        let names: Vec<String> = due.iter().map(|c| channel_name(&schema, *c)).collect();
        if let Err(error) = store.notify(&names).await {
            tracing::debug!(error = format!("{error:#}"), "a notice could not be sent");
        }
        free_at.extend(due.into_iter().map(|channel| (channel, Instant::now() + PACE)));
        free_at.retain(|_, at| *at > Instant::now());
    }
}

/// Hears of work in other processes, from the first watcher on.
#[derive(Debug)]
pub(crate) struct Ear {
    server: PgConnectOptions,
    schema: String,
    hub: Arc<Hub>,
    /// Where the tasks of the backend run.
    runtime: Handle,
    known: Arc<Mutex<HashMap<usize, Vec<QueueName>>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Ear {
    pub(crate) fn new(server: PgConnectOptions, schema: String, hub: Arc<Hub>) -> Self {
        let runtime = Handle::current();
        Self { server, schema, hub, runtime, known: Arc::default(), task: Mutex::default() }
    }

    /// Learns a queue's name: a notice names only its channel.
    pub(crate) fn know(&self, queue: &QueueName) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let queues = known.entry(channel_of(queue)).or_default();
        if !queues.contains(queue) {
            queues.push(queue.clone());
        }
    }

    /// Listens from now on.
    pub(crate) fn open(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.is_none() {
            let hub = Arc::downgrade(&self.hub);
            let known = Arc::clone(&self.known);
            let listen = listen(self.server.clone(), self.schema.clone(), hub, known);
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

/// Listens, and connects again whenever the connection is lost, for as long as
/// the hub lives.
async fn listen(
    server: PgConnectOptions,
    schema: String,
    hub: Weak<Hub>,
    known: Arc<Mutex<HashMap<usize, Vec<QueueName>>>>,
) {
    let channels: HashMap<String, usize> =
        (0..CHANNELS).map(|channel| (channel_name(&schema, channel), channel)).collect();
    let mut pause = Duration::from_millis(50);
    while hub.strong_count() > 0 {
        match connect(&server, &channels).await {
            Ok(listener) => {
                pause = Duration::from_millis(50);
                // What was told while nobody listened is lost.
                if let Some(hub) = hub.upgrade() {
                    hub.tell_anything();
                }
                let error = hear(listener, &channels, &hub, &known).await;
                tracing::warn!(error = error, "listening for notices begins anew");
            }
            Err(error) => {
                let error = error.to_string();
                tracing::warn!(error, "cannot listen for notices; polling goes on");
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        sleep(pause).await;
    }
}

async fn connect(
    server: &PgConnectOptions,
    channels: &HashMap<String, usize>,
) -> Result<PgListener, sqlx::Error> {
    let options = server.clone().application_name("windlass listener");
    let pool: PgPool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_with(options)
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen_all(channels.keys().map(String::as_str)).await?;
    Ok(listener)
}

/// Passes notices on until the connection is lost, and answers why.
async fn hear(
    mut listener: PgListener,
    channels: &HashMap<String, usize>,
    hub: &Weak<Hub>,
    known: &Mutex<HashMap<usize, Vec<QueueName>>>,
) -> String {
    loop {
        let heard = timeout(SILENCE, listener.try_recv()).await;
        let Some(hub) = hub.upgrade() else { return String::from("nobody watches") };
        match heard {
            Ok(Ok(Some(notice))) => {
                let queues = channels.get(notice.channel()).and_then(|channel| {
                    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                    known.get(channel).cloned()
                });
                match queues {
                    Some(queues) => {
                        let mut news = News::default();
                        for queue in &queues {
                            news.touch(queue);
                        }
                        hub.tell(&mut news);
                    }
                    None => hub.tell_anything(),
                }
            }
            Ok(Ok(None)) => return String::from("the connection was closed"),
            Ok(Err(error)) => return error.to_string(),
            Err(_) => {
                // A connection may be dead without a word.
                match timeout(PATIENCE, sqlx::query("SELECT 1").execute(&mut listener)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error.to_string(),
                    Err(_) => return String::from("the server does not answer"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_finds_the_same_channel_for_a_queue() {
        for (name, channel) in [("emails", 28), ("a", 12), ("windlass.reports:daily", 0)] {
            assert_eq!(channel_of(&QueueName::new(name).unwrap()), channel, "{name}");
        }
    }
}
