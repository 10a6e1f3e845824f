//! A prefix of a test's own, backends on it, jobs for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use windlass_core::Backend;
use windlass_core::backend::{Applied, Ask, Dequeued, EnqueueAnswer, Enqueued, Transition};
use windlass_core::decide::{self, Attempt, JobRequest, Outcome};
use windlass_core::model::{
    Clock, Detail, Direction, Filter, Job, JobId, JobRef, JobTemplate, JobType, JobsQuery,
    ManualClock, Missed, NewJob, Overlap, Payload, QueueName, QueueSpec, Repeatable, RepeatableKey,
    State, WorkerId,
};
use windlass_core::schedule::Schedule;
use windlass_redis::{RedisBackend, RedisConfig};

use crate::server::Server;

/// How long leases are unless a test says otherwise.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// So long a test waits for what has to come, at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A prefix whose keys go with its test.
pub(crate) struct Home {
    pub(crate) server: Server,
    pub(crate) prefix: String,
}

impl Home {
    /// On the single server.
    pub(crate) fn single() -> Self {
        Self::on(Server::single())
    }

    /// On the cluster.
    pub(crate) fn cluster() -> Self {
        Self::on(Server::cluster())
    }

    pub(crate) fn on(server: Server) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        Self { server, prefix: format!("windlass_it_{}_{number}", std::process::id()) }
    }

    pub(crate) fn config(&self) -> RedisConfig {
        self.server.config(&self.prefix)
    }

    /// The same, by a clock of the test's own.
    pub(crate) fn config_by(&self, clock: &ManualClock) -> RedisConfig {
        let mut config = self.config();
        config.clock = Clock::Manual(clock.clone());
        config
    }

    pub(crate) async fn open(&self) -> RedisBackend {
        connect(self.config()).await
    }

    /// A backend that goes by a clock of the test's own.
    pub(crate) async fn open_by(&self, clock: &ManualClock) -> RedisBackend {
        connect(self.config_by(clock)).await
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let (server, prefix) = (self.server.clone(), self.prefix.clone());
        // The test's own runtime cannot be waited for in here.
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                for mut master in server.masters().await {
                    master.remove(&prefix).await;
                }
            });
        });
        // A test that fails says more than that its keys stay behind.
        assert!(removed.join().is_ok() || std::thread::panicking(), "keys stay behind");
    }
}

/// How often a test does what it does: a small number, unless a variable asks for more.
pub(crate) fn number(variable: &str, usual: usize) -> usize {
    match std::env::var(variable) {
        Ok(said) => said.parse().unwrap_or_else(|_| panic!("{variable} is no number")),
        Err(_) => usual,
    }
}

pub(crate) async fn connect(config: RedisConfig) -> RedisBackend {
    RedisBackend::connect(config).await.expect("connect")
}

/// Numbers that look random; the same ones in every run.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed << 32)
    }

    /// A number below `bound`, by the finaliser of SplitMix64 (Steele, Lea, Flood
    /// 2014).
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.0 += 1;
        let mut x = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % bound
    }
}

pub(crate) fn named(name: &str) -> QueueName {
    QueueName::new(name).expect("a name")
}

pub(crate) fn queue() -> QueueName {
    named("q")
}

pub(crate) fn spec() -> QueueSpec {
    QueueSpec::new(queue())
}

/// A fresh id.
pub(crate) fn job_id() -> JobId {
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let mut bytes = [0x55; 16];
    bytes[..4].copy_from_slice(&std::process::id().to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    JobId::from_bytes(bytes)
}

pub(crate) fn request() -> JobRequest {
    JobRequest::new(job_id(), JobType::new("t").expect("a name"), Payload::from("payload"))
}

/// What core makes of a request.
pub(crate) fn new_job(request: JobRequest) -> NewJob {
    decide::enqueue(&spec(), request).expect("a valid job")
}

/// The same for a queue of this name.
pub(crate) fn new_job_in(queue: &QueueName, request: JobRequest) -> NewJob {
    decide::enqueue(&QueueSpec::new(queue.clone()), request).expect("a valid job")
}

/// A job of this queue that waits for others.
pub(crate) fn waiting_for(queue: &QueueName, others: &[&NewJob]) -> NewJob {
    let depends_on = others.iter().map(|job| reference(job)).collect();
    new_job_in(queue, JobRequest { depends_on, ..request() })
}

pub(crate) fn jobs(count: usize) -> Vec<NewJob> {
    (0..count).map(|_| new_job(request())).collect()
}

pub(crate) fn reference(job: &NewJob) -> JobRef {
    JobRef { queue: job.queue.clone(), id: job.id }
}

/// A repeatable of this queue that nobody has put yet.
pub(crate) fn repeatable(queue: &QueueName, key: &str) -> Repeatable {
    Repeatable {
        key: RepeatableKey::new(key).expect("a key"),
        queue: queue.clone(),
        template: JobTemplate {
            job_type: JobType::new("t").expect("a name"),
            payload: Payload::from("p"),
            options: windlass_core::model::JobOptions::default(),
            partition: None,
            tags: Vec::new(),
        },
        schedule: Schedule::every(Duration::from_secs(3600)).expect("a schedule"),
        start: None,
        end: None,
        count: None,
        missed: Missed::RunOnce,
        overlap: Overlap::Allow,
    }
}

pub(crate) fn ask_of(queue: &QueueName, max: u32) -> Ask {
    Ask { queue: queue.clone(), worker: WorkerId::from_bytes([7; 16]), max, lease: LEASE }
}

pub(crate) fn ask(max: u32) -> Ask {
    ask_of(&queue(), max)
}

pub(crate) async fn dequeue(backend: &RedisBackend, max: u32) -> Dequeued {
    backend.dequeue(ask(max)).await.expect("dequeue")
}

pub(crate) async fn take(backend: &RedisBackend, max: u32) -> Vec<Job> {
    dequeue(backend, max).await.jobs
}

pub(crate) async fn take_of(backend: &RedisBackend, queue: &QueueName, max: u32) -> Vec<Job> {
    backend.dequeue(ask_of(queue, max)).await.expect("dequeue").jobs
}

/// Enqueues a batch that is stored, every job of it.
pub(crate) async fn enqueue(backend: &RedisBackend, jobs: Vec<NewJob>) -> Vec<Job> {
    match backend.enqueue(jobs).await.expect("enqueue") {
        EnqueueAnswer::Stored { outcomes, unblocked, .. } => {
            assert!(outcomes.iter().all(|outcome| *outcome == Enqueued::Stored), "{outcomes:?}");
            unblocked
        }
        refused => panic!("{refused:?}"),
    }
}

/// What core decides for a leased job whose attempt came to this.
pub(crate) fn settle(job: &Job, outcome: Outcome) -> Transition {
    let token = job.lease.expect("an active job has a lease").token;
    let spec = QueueSpec::new(job.queue.clone());
    decide::finish(job, &spec, &Attempt { token, outcome }).expect("a current lease")
}

pub(crate) fn done(job: &Job) -> Transition {
    settle(job, Outcome::Success { result: None })
}

/// Carries out transitions that nobody else is in the way of.
pub(crate) async fn apply(backend: &RedisBackend, transitions: Vec<Transition>) -> Vec<Job> {
    let answer = backend.apply(transitions).await.expect("apply");
    for outcome in answer.outcomes {
        assert!(matches!(outcome, Applied::Applied), "{outcome:?}");
    }
    answer.unblocked
}

/// A page of the first jobs of a filter.
pub(crate) async fn list(backend: &RedisBackend, filter: Filter) -> Vec<Job> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let query = JobsQuery {
            filter: filter.clone(),
            direction: Direction::OldestFirst,
            after,
            limit: 1000,
            detail: Detail::Summary,
        };
        let page = backend.jobs(query).await.expect("a page");
        found.extend(page.jobs);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// How many jobs of a queue are in a state.
pub(crate) async fn count(backend: &RedisBackend, queue: &QueueName, state: State) -> u64 {
    backend.stats(queue).await.expect("stats").count(state)
}

/// A job that is there.
pub(crate) async fn look(backend: &RedisBackend, job: &JobRef) -> Job {
    backend.job(job).await.expect("a look").expect("the job is there").job
}

/// Waits for a condition, or fails with these words.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
