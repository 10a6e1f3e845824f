//! Builds a worker, starts it and stops it.

use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tower::{Layer, Service, ServiceExt};
use uuid::Uuid;
use windlass_core::model::{Interest, JobType, QueueName, WorkerId};

use super::Timing;
use super::heartbeat::beat;
use super::keeper::keep;
use super::listener::listen;
use super::poller::poll;
use super::pool::Pool;
use super::running::{RunningWorker, WorkerSummary};
use super::settler::{Held, Settler};
use super::supervise::supervise;
use super::unknown::UnknownTypes;
use crate::client::Client;
use crate::context::{DataMap, Shared};
use crate::error::{Error, Result};
use crate::handler::{AnyHandler, Handler, Raw, Typed};
use crate::job::Job;
use crate::queue::Queue;
use crate::service::{Answer, BoxError, Call, Execution, JobService, Router};

/// How many jobs of each queue a worker runs at once unless told otherwise.
const DEFAULT_CONCURRENCY: usize = 64;

/// The most jobs of a queue that one worker runs at once.
const MAX_CONCURRENCY: usize = 10_000;

/// The shortest that intervals may be: less would only burn the processor.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// What stands for lengths of time that no process outlasts: a moment so far
/// away can still be computed.
const FOR_EVER: Duration = Duration::from_secs(100 * 366 * 86_400);

type Wrap = Box<dyn FnOnce(JobService) -> JobService + Send>;

/// Builds a worker.
#[must_use = "nothing runs before `run_until` or `start`"]
pub struct WorkerBuilder {
    client: Client,
    queues: Vec<(QueueName, Option<usize>)>,
    concurrency: usize,
    timing: Timing,
    data: DataMap,
    handlers: HashMap<JobType, Arc<dyn AnyHandler>>,
    layers: Vec<Wrap>,
    problem: Option<Error>,
}

impl std::fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("WorkerBuilder");
        shown.field("queues", &self.queues).field("job_types", &self.handlers.keys());
        shown.finish_non_exhaustive()
    }
}

/// What the parts of a running worker have in common.
pub(crate) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) execution: Execution,
    pub(super) timing: Timing,
    pub(super) held: Arc<Held>,
    /// Raised when a notice came in.
    pub(super) hint: Notify,
}

impl Parts {
    pub(crate) fn execution(&self) -> &Execution {
        &self.execution
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn worker(&self) -> WorkerId {
        self.shared.worker
    }
}

impl WorkerBuilder {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            queues: Vec::new(),
            concurrency: DEFAULT_CONCURRENCY,
            timing: Timing::default(),
            data: DataMap::new(),
            handlers: HashMap::new(),
            layers: Vec::new(),
            problem: None,
        }
    }

    /// Works this queue.
    pub fn queue(mut self, queue: &Queue) -> Self {
        self.queues.push((queue.name().clone(), None));
        self
    }

    /// Works this queue, with a concurrency of its own.
    pub fn queue_with(mut self, queue: &Queue, concurrency: usize) -> Self {
        self.queues.push((queue.name().clone(), Some(concurrency)));
        self
    }

    /// How many jobs of each queue run at once, 1 to 10,000; more are taken for
    /// 10,000. Default 64. The queue's own limits hold besides.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// How long a lease is, a millisecond at least; a third of it is the
    /// heartbeat. Default 30 s. A job whose worker dies is taken over at most
    /// this and a sweep later.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.timing.lease = lease.min(FOR_EVER);
        self
    }

    /// How long an idle worker waits at most before it asks for jobs again,
    /// should a notice be lost. Default 1 s.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.timing.poll = interval.clamp(SHORTEST_INTERVAL, FOR_EVER);
        self
    }

    /// How often the worker looks for lost leases and the like. Default 5 s.
    pub fn sweep_interval(mut self, interval: Duration) -> Self {
        self.timing.sweep = interval.clamp(SHORTEST_INTERVAL, FOR_EVER);
        self
    }

    /// How long a handler whose job was cancelled may go on before it is
    /// dropped (rule C1). Default 10 s.
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.timing.cancel_grace = grace.min(FOR_EVER);
        self
    }

    /// How long handlers may go on once the worker is told to stop. After
    /// that they are dropped and their jobs handed back. Default 30 s.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.timing.shutdown_grace = grace.min(FOR_EVER);
        self
    }

    /// Shares a value with the handlers, which take it as
    /// [`Data<T>`](crate::Data).
    pub fn data<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.data.insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    /// Handles jobs of a type: an async function that takes the job first and
    /// extractors after it.
    pub fn handle<J: Job, A: 'static>(self, handler: impl Handler<J, A>) -> Self {
        let handler = Arc::new(Typed::<J, A, _>::new(handler));
        self.add(J::NAME, handler)
    }

    /// Handles jobs of a type by its name, as JSON, for tools that do not have
    /// the type.
    pub fn handle_raw<A: 'static>(
        self,
        job_type: &str,
        handler: impl Handler<serde_json::Value, A>,
    ) -> Self {
        let handler = Arc::new(Raw::<A, _>::new(handler));
        self.add(job_type, handler)
    }

    fn add(mut self, name: &str, handler: Arc<dyn AnyHandler>) -> Self {
        match JobType::new(name) {
            Ok(job_type) => {
                if self.handlers.insert(job_type, handler).is_some() {
                    let problem = format!("two handlers take jobs of type {name:?}; keep one");
                    self.problem.get_or_insert(Error::Worker(problem));
                }
            }
            Err(error) => {
                self.problem.get_or_insert(error.into());
            }
        }
        self
    }

    /// Puts a tower layer round every handler. The last one added is the
    /// outermost.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<JobService> + Send + 'static,
        L::Service: Service<Call, Response = Answer> + Clone + Send + Sync + 'static,
        <L::Service as Service<Call>>::Error: Into<BoxError>,
        <L::Service as Service<Call>>::Future: Send,
    {
        self.layers
            .push(Box::new(move |inner| JobService::new(layer.layer(inner).map_err(Into::into))));
        self
    }

    /// Runs the worker until a future is ready, then drains it: it takes no
    /// further jobs, lets handlers finish for the grace period and hands the
    /// rest back.
    ///
    /// # Errors
    /// [`Error::Worker`] if it has no queue or no handler, or two for one
    /// type; [`Error::Store`] if it cannot reach the store at the start. Later
    /// failures of the store are waited out.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<WorkerSummary> {
        let worker = self.start().await?;
        stop.await;
        Ok(worker.stop().await)
    }

    /// Starts the worker in the background.
    ///
    /// # Errors
    /// As [`WorkerBuilder::run_until`].
    pub async fn start(self) -> Result<RunningWorker> {
        let timing = self.timing;
        let client = self.client.clone();
        let queues = self.queues.clone();
        let concurrency = self.concurrency;
        let parts = Arc::new(self.parts()?);
        // An unreachable store, or an undeclared queue, is better told now
        // than found in a log.
        let known: HashSet<_> =
            client.backend().queues().await?.into_iter().map(|info| info.spec.name).collect();
        if let Some((missing, _)) = queues.iter().find(|(name, _)| !known.contains(name)) {
            return Err(windlass_core::Error::unknown_queue(missing).into());
        }

        // Listening begins before the first question, so that nothing that
        // follows from its answer goes unheard.
        let notices = client.backend().watch(Interest::Work);
        let mut running = RunningWorker {
            parts: Arc::clone(&parts),
            pools: Vec::new(),
            tasks: Vec::new(),
            pollers: Vec::new(),
        };
        for (queue, own) in &queues {
            let slots = own.unwrap_or(concurrency).clamp(1, MAX_CONCURRENCY);
            let pool = Arc::new(Pool::new(queue.clone(), slots));
            let settler = Arc::new(Settler::new(
                Arc::clone(client.backend()),
                Arc::clone(&pool),
                Arc::clone(&parts.held),
            ));
            let begin = {
                let (parts, pool, settler) =
                    (Arc::clone(&parts), Arc::clone(&pool), Arc::clone(&settler));
                move || poll(Arc::clone(&parts), Arc::clone(&pool), Arc::clone(&settler))
            };
            running.pollers.push(tokio::spawn(supervise("poller", begin)));
            running.pools.push((pool, settler));
        }
        let pools: Vec<_> = running.pools.iter().map(|(pool, _)| Arc::clone(pool)).collect();
        let first = Mutex::new(Some(notices));
        running.begin("listener", {
            let (parts, pools) = (Arc::clone(&parts), pools.clone());
            move || {
                let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
                listen(Arc::clone(&parts), pools.clone(), first)
            }
        });
        running.begin("heartbeat", {
            let parts = Arc::clone(&parts);
            move || beat(Arc::clone(&parts))
        });
        running.begin("keeper", move || keep(Arc::clone(&parts), pools.clone(), timing.sweep));
        Ok(running)
    }

    /// What runs jobs, without the loops round it.
    pub(crate) fn parts(self) -> Result<Parts> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        if self.queues.is_empty() {
            return Err(Error::Worker("it has no queue; give it one with queue(…)".to_owned()));
        }
        let mut seen = HashSet::new();
        if let Some((twice, _)) = self.queues.iter().find(|(name, _)| !seen.insert(name)) {
            return Err(Error::Worker(format!(
                "queue {twice:?} was given twice; give it once, with the concurrency that it is \
                 to have"
            )));
        }
        let mut slots = self.queues.iter().map(|(_, own)| own.unwrap_or(self.concurrency));
        if slots.any(|slots| slots == 0) {
            return Err(Error::Worker(format!(
                "its concurrency is 0, and it would run nothing; use 1 to {MAX_CONCURRENCY}, or \
                 pause the queue"
            )));
        }
        if self.handlers.is_empty() {
            return Err(Error::Worker("it has no handler; give it one with handle(…)".to_owned()));
        }
        if self.timing.lease < SHORTEST_INTERVAL {
            return Err(Error::Worker(format!(
                "its lease of {:?} would run out before it could be extended; use a millisecond \
                 at least, and better a few seconds",
                self.timing.lease
            )));
        }
        let router = Router::new(self.handlers);
        let execution = if self.layers.is_empty() {
            Execution::Plain(router)
        } else {
            let inner = JobService::new(router);
            Execution::Layered(self.layers.into_iter().fold(inner, |inner, wrap| wrap(inner)))
        };
        let shared = Shared {
            client: self.client,
            worker: WorkerId::from(Uuid::new_v4()),
            data: self.data,
            news: Notify::new(),
            unknown: UnknownTypes::default(),
        };
        Ok(Parts {
            shared: Arc::new(shared),
            execution,
            timing: self.timing,
            held: Arc::default(),
            hint: Notify::new(),
        })
    }

    pub(crate) fn queue_names(&self) -> Vec<QueueName> {
        self.queues.iter().map(|(name, _)| name.clone()).collect()
    }
}
