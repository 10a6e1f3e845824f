//! What a case is given: a fresh store, its clock, and further handles.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Barrier;
use windlass_core::backend::Support;
use windlass_core::model::{Clock, ManualClock, QueueName, QueueSpec, Timestamp};
use windlass_core::{Backend, Error};

use super::stores::Stores;
use crate::deaf::Deaf;
use crate::fixture::{Ids, Queue};

/// Whether a case's handles deliver notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// As the backend delivers them.
    Full,
    /// None at all.
    Deaf,
}

/// A fresh store, and what a case needs around it.
pub(crate) struct Context {
    stores: Arc<dyn Stores>,
    name: String,
    clock: ManualClock,
    hearing: Hearing,
    first: Arc<dyn Backend>,
    ids: Ids,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Context {
    /// A new store on a manual clock.
    pub(crate) async fn fresh(stores: Arc<dyn Stores>, hearing: Hearing) -> Result<Self, Error> {
        let clock = ManualClock::new();
        let name = fresh_name();
        let first = stores.open(&name, Clock::Manual(clock.clone())).await?;
        Ok(Self {
            first: with_hearing(first, hearing),
            stores,
            name,
            clock,
            hearing,
            ids: Ids::default(),
        })
    }

    /// Lets go of the store, which is of no more use.
    pub(crate) async fn close(self) {
        drop(self.first);
        self.stores.discard(&self.name).await;
    }

    /// The first handle on the store.
    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.first
    }

    /// Whether several handles can be opened on the store.
    pub(crate) fn is_shared(&self) -> bool {
        self.first.capabilities().shared == Support::Yes
    }

    /// A further handle on the store; the first one again if there can be no
    /// other.
    pub(crate) async fn handle(&self) -> Arc<dyn Backend> {
        if !self.is_shared() {
            return Arc::clone(&self.first);
        }
        let clock = Clock::Manual(self.clock.clone());
        let handle = self.stores.open(&self.name, clock).await;
        with_hearing(handle.expect("a shared store opens again"), self.hearing)
    }

    /// So many handles, the first one among them.
    pub(crate) async fn handles(&self, count: usize) -> Vec<Arc<dyn Backend>> {
        let mut handles = vec![Arc::clone(&self.first)];
        while handles.len() < count {
            handles.push(self.handle().await);
        }
        handles
    }

    /// The store's clock.
    pub(crate) fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The store's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the store's time forward.
    pub(crate) fn advance(&self, length: Duration) -> Timestamp {
        self.clock.advance(length)
    }

    /// Fresh ids.
    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Declares a queue with every default.
    pub(crate) async fn queue(&self, name: &str) -> Queue {
        self.queue_with(name, |_| {}).await
    }

    /// Declares a queue that differs from the defaults.
    pub(crate) async fn queue_with(
        &self,
        name: &str,
        differ: impl FnOnce(&mut QueueSpec),
    ) -> Queue {
        let mut spec = spec(name);
        differ(&mut spec);
        let queue = Queue::new(Arc::clone(&self.first), spec, self.ids.clone());
        queue.declare().await;
        queue
    }

    /// Runs so many tasks at once, spread over the handles, all set off
    /// together; answers what they returned, in their order.
    pub(crate) async fn race<T, F>(
        &self,
        handles: &[Arc<dyn Backend>],
        tasks: usize,
        task: impl Fn(usize, Arc<dyn Backend>) -> F,
    ) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let barrier = Arc::new(Barrier::new(tasks));
        let running: Vec<_> = (0..tasks)
            .map(|i| {
                let work = task(i, Arc::clone(&handles[i % handles.len()]));
                let barrier = Arc::clone(&barrier);
                tokio::spawn(async move {
                    barrier.wait().await;
                    work.await
                })
            })
            .collect();
        let mut results = Vec::with_capacity(tasks);
        for task in running {
            match task.await {
                Ok(result) => results.push(result),
                // The task's own panic says more than the join could.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        results
    }
}

/// A queue's declaration with every default.
pub(crate) fn spec(name: &str) -> QueueSpec {
    QueueSpec::new(QueueName::new(name).expect("a valid queue name"))
}

fn with_hearing(backend: Arc<dyn Backend>, hearing: Hearing) -> Arc<dyn Backend> {
    match hearing {
        Hearing::Full => backend,
        Hearing::Deaf => Arc::new(Deaf::new(backend)),
    }
}

/// A name that no other case of any run has: several processes may test the
/// same server at once.
pub(crate) fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("case{:016x}x{count}", hasher.finish())
}
