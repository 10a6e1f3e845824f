//! A store in memory, a job, and a way to wait for a state.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_memory::{MemoryBackend, MemoryConfig};
use windlass_runtime::backend::Backend;
use windlass_runtime::model::{Clock, Job as JobRecord, ManualClock, State};
use windlass_runtime::{Client, Job, JobDefaults, JobHandle, Queue, WorkerBuilder};

/// A job that carries a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Number(pub(crate) u64);

impl Job for Number {
    const NAME: &'static str = "number";

    fn defaults() -> JobDefaults {
        JobDefaults::default()
    }
}

/// A job of another type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Other;

impl Job for Other {
    const NAME: &'static str = "other";

    fn defaults() -> JobDefaults {
        JobDefaults { queue: Some("q"), ..JobDefaults::default() }
    }
}

/// A fresh store whose clock stands still.
pub(crate) fn store() -> (Client, ManualClock) {
    let clock = ManualClock::new();
    let config = MemoryConfig { clock: Clock::Manual(clock.clone()), ..MemoryConfig::default() };
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::with(config));
    (Client::new(backend), clock)
}

/// A fresh store with a queue `q`.
pub(crate) async fn queue() -> (Queue, ManualClock) {
    let (client, clock) = store();
    (client.queue("q").declare().await.unwrap(), clock)
}

/// A worker on this queue.
pub(crate) fn worker(queue: &Queue) -> WorkerBuilder {
    queue.client().worker().queue(queue)
}

/// Waits, in virtual time, until the job is in this state.
pub(crate) async fn until<J>(handle: &JobHandle<J>, state: State) -> JobRecord {
    for _ in 0..10_000 {
        let job = handle.job().await.unwrap();
        if job.state == state {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the job never became {state}: {:?}", handle.job().await);
}

/// Waits, in virtual time, until the job's first attempt has been settled.
pub(crate) async fn until_changed<J>(handle: &JobHandle<J>) -> JobRecord {
    for _ in 0..10_000 {
        let job = handle.job().await.unwrap();
        if !job.course.errors.is_empty() {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the job's attempt was never settled: {:?}", handle.job().await);
}

/// How often a test does what it does: so often in a run of all of them, or as
/// this variable of the environment says.
pub(crate) fn by_hand(variable: &str, by_default: u32) -> u32 {
    match std::env::var(variable) {
        Ok(number) => number.parse().unwrap_or_else(|_| panic!("{variable}={number}: no number")),
        Err(_) => by_default,
    }
}
