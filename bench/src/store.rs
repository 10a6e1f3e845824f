//! Opening the store that is measured, and the queue in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use windlass::model::{Keep, State};
use windlass::{Client, Queue, QueueBuilder, Windlass, WorkerBuilder};

use crate::counting::{Counting, Dequeues};
use crate::job::Noop;
use crate::options::{Options, Retention};

/// How many jobs are enqueued in one call where that is not what is measured.
pub(crate) const BULK: usize = 1000;

/// A store whose calls are counted.
pub(crate) struct Store {
    pub(crate) client: Client,
    calls: Arc<AtomicU64>,
    dequeues: Arc<Dequeues>,
}

impl Store {
    pub(crate) async fn connect(options: &Options) -> Result<Self> {
        let windlass = Windlass::connect(&options.store).await?;
        let (counting, calls, dequeues) = Counting::new(Arc::clone(windlass.backend()));
        Ok(Self { client: Client::new(Arc::new(counting)), calls, dequeues })
    }

    /// How many calls have been made so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// How long each dequeue took since this was last asked.
    pub(crate) fn take_dequeues(&self) -> Vec<Duration> {
        std::mem::take(&mut self.dequeues.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A declared queue with no jobs in it.
    pub(crate) async fn queue(
        &self,
        options: &Options,
        choose: impl FnOnce(QueueBuilder) -> QueueBuilder,
    ) -> Result<Queue> {
        let mut builder = choose(self.client.queue("bench"));
        if options.retention == Retention::Remove {
            builder = builder.keep_completed(Keep::Remove);
        }
        Ok(builder.declare().await?)
    }

    /// The queue that is measured, which must be empty: figures of a store
    /// that is half full are figures of something else.
    pub(crate) async fn fresh_queue(
        &self,
        options: &Options,
        choose: impl FnOnce(QueueBuilder) -> QueueBuilder,
    ) -> Result<Queue> {
        let queue = self.queue(options, choose).await?;
        let stats = queue.stats().await?;
        if State::ALL.iter().any(|state| stats.count(*state) > 0) {
            bail!("the store holds jobs of an earlier run; name a fresh one");
        }
        Ok(queue)
    }

    /// A worker with every default, on this queue.
    pub(crate) fn worker(&self, options: &Options, queue: &Queue) -> WorkerBuilder {
        let builder = self.client.worker().queue(queue);
        match options.concurrency {
            Some(concurrency) => builder.concurrency(concurrency),
            None => builder,
        }
    }
}

/// Jobs `from` and on, to be enqueued together.
pub(crate) fn batches(options: &Options, jobs: usize) -> impl Iterator<Item = Vec<Noop>> {
    let payload = options.payload;
    (0..jobs).step_by(BULK).map(move |from| {
        let to = (from + BULK).min(jobs);
        (from..to).map(|n| Noop::new(n as u64, payload)).collect()
    })
}

/// Fails unless so many jobs have completed and none is open: a figure of jobs
/// that were not done would be none.
pub(crate) async fn check_done(options: &Options, queue: &Queue, completed: usize) -> Result<()> {
    let stats = queue.stats().await?;
    let kept = if options.retention == Retention::Remove { 0 } else { completed as u64 };
    let done = stats.count(State::Completed);
    let open = stats.count(State::Active) + stats.count(State::Failed);
    // With a bound by age, what has completed is all there.
    if done != kept || open > 0 {
        bail!("{done} jobs have completed instead of {kept}, and {open} are active or failed");
    }
    Ok(())
}

/// How long a store may take for what is being waited for, before the run is
/// given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
