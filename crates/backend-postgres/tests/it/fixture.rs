//! A schema of a test's own, backends on it, jobs for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};
use windlass_core::Backend;
use windlass_core::backend::{Applied, Ask, Dequeued, EnqueueAnswer, Transition};
use windlass_core::decide::{self, Attempt, JobRequest, Outcome};
use windlass_core::model::{
    Clock, Job, JobId, JobType, ManualClock, NewJob, Payload, QueueName, QueueSpec, When, WorkerId,
};
use windlass_postgres::{PostgresBackend, PostgresConfig, sqlx};

use crate::server::Server;

/// How long leases are unless a test says otherwise.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// So long a test waits for what has to come, at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A schema that goes with its test.
pub(crate) struct Home {
    pub(crate) server: Server,
    pub(crate) schema: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::on(Server::find())
    }

    pub(crate) fn on(server: Server) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        Self { server, schema: format!("it_{}_{number}", std::process::id()) }
    }

    pub(crate) fn config(&self) -> PostgresConfig {
        self.server.config(&self.schema)
    }

    /// The same, by a clock of the test's own.
    pub(crate) fn config_by(&self, clock: &ManualClock) -> PostgresConfig {
        let mut config = self.config();
        config.clock = Clock::Manual(clock.clone());
        config
    }

    pub(crate) async fn open(&self) -> PostgresBackend {
        PostgresBackend::connect(self.config()).await.expect("connect")
    }

    /// A backend that goes by a clock of the test's own.
    pub(crate) async fn open_by(&self, clock: &ManualClock) -> PostgresBackend {
        PostgresBackend::connect(self.config_by(clock)).await.expect("connect")
    }

    /// A connection such as an application has.
    pub(crate) async fn connection(&self) -> PgConnection {
        self.server.connect().await
    }

    /// A statement, with this schema where it says `windlass`.
    pub(crate) fn sql(&self, text: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(text.replace("windlass.", &format!("{}.", self.schema)))
    }

    /// The number that a statement answers.
    pub(crate) async fn number(&self, text: &str) -> i64 {
        let mut connection = self.connection().await;
        sqlx::query_scalar(self.sql(text)).fetch_one(&mut connection).await.expect("a number")
    }

    /// Runs statements.
    pub(crate) async fn run(&self, text: &str) {
        let mut connection = self.connection().await;
        sqlx::raw_sql(self.sql(text)).execute(&mut connection).await.expect("a statement");
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let (server, schema) = (self.server.clone(), self.schema.clone());
        // The test's own runtime cannot be waited for in here.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(server.drop(&schema));
        });
        // A test that fails says more than that its schema stays behind.
        assert!(dropped.join().is_ok() || std::thread::panicking(), "the schema stays behind");
    }
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

pub(crate) fn queue() -> QueueName {
    QueueName::new("q").expect("a name")
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

pub(crate) fn jobs(count: usize) -> Vec<NewJob> {
    (0..count).map(|_| new_job(request())).collect()
}

pub(crate) fn due_after(length: Duration) -> NewJob {
    new_job(JobRequest { due: When::After(length), ..request() })
}

pub(crate) fn with_priority(priority: i32) -> NewJob {
    new_job(JobRequest { priority: Some(priority), ..request() })
}

pub(crate) fn ask(max: u32) -> Ask {
    Ask { queue: queue(), worker: WorkerId::from_bytes([7; 16]), max, lease: LEASE }
}

pub(crate) async fn dequeue(backend: &PostgresBackend, max: u32) -> Dequeued {
    backend.dequeue(ask(max)).await.expect("dequeue")
}

pub(crate) async fn take(backend: &PostgresBackend, max: u32) -> Vec<Job> {
    dequeue(backend, max).await.jobs
}

/// Enqueues a batch that is stored.
pub(crate) async fn enqueue(backend: &PostgresBackend, jobs: Vec<NewJob>) {
    let answer = backend.enqueue(jobs).await.expect("enqueue");
    assert!(matches!(answer, EnqueueAnswer::Stored { .. }), "{answer:?}");
}

/// What core decides for a leased job whose attempt came to this.
pub(crate) fn settle(job: &Job, outcome: Outcome) -> Transition {
    let token = job.lease.expect("an active job has a lease").token;
    decide::finish(job, &spec(), &Attempt { token, outcome }).expect("a current lease")
}

pub(crate) fn done(job: &Job) -> Transition {
    settle(job, Outcome::Success { result: None })
}

/// Carries out transitions that nobody else is in the way of.
pub(crate) async fn apply(backend: &PostgresBackend, transitions: Vec<Transition>) {
    let answer = backend.apply(transitions).await.expect("apply");
    for outcome in answer.outcomes {
        assert!(matches!(outcome, Applied::Applied), "{outcome:?}");
    }
}

/// Waits for a condition, or fails with these words.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
