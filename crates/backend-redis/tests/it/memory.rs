//! What is left in the server of jobs that were run and cleaned (F37).

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_core::Backend;
use windlass_core::backend::{BackendExt, Clean, CleanWhich};
use windlass_core::decide::{self, Dedup, JobRequest, OnDuplicate, Outcome, Retryable};
use windlass_core::model::{
    Beat, DedupKey, FailureKind, FlowId, Job, JobKey, ManualClock, NewJob, NewStep, PartitionKey,
    Partitions, Payload, QueueSpec, State, StepName, Tag, When, WorkerId, WorkerInfo,
};
use windlass_redis::{RedisBackend, redis};

use crate::fixture::*;
use crate::own::Own;
use crate::server::Node;

/// So many jobs, of which nothing is to be left.
const JOBS: &str = "WINDLASS_TEST_MEMORY_JOBS";
/// So many are enqueued, leased and ended at once.
const BATCH: usize = 1000;

/// A store with three queues: of plain jobs, of jobs in partitions, and of jobs with all
/// that a job can have.
struct Shop {
    backend: RedisBackend,
    clock: ManualClock,
    specs: [QueueSpec; 3],
    /// Of the next job, for names that nobody has used.
    next: usize,
}

impl Shop {
    async fn open(home: &Home) -> Self {
        let clock = ManualClock::new();
        let backend = home.open_by(&clock).await;
        let specs = ["plain", "parts", "rich"].map(|name| QueueSpec::new(named(name)));
        let mut shop = Self { backend, clock, specs, next: 0 };
        shop.specs[1].partitions = Some(Partitions::default());
        for spec in &shop.specs {
            shop.backend.declare(spec).await.unwrap();
        }
        shop
    }

    /// Eight in ten are plain, one has a partition, and one has everything else.
    fn batch(&mut self) -> Vec<NewJob> {
        let [plain, parts, rich] = self.specs.clone();
        let mut jobs = Vec::with_capacity(BATCH);
        let mut before: Option<NewJob> = None;
        for number in self.next..self.next + BATCH {
            let job = match number % 10 {
                0 => {
                    let partition = PartitionKey::new(format!("p{number}")).unwrap();
                    decide::enqueue(&parts, JobRequest { partition: Some(partition), ..request() })
                }
                1 => decide::enqueue(&rich, everything(number, before.as_ref())),
                _ => decide::enqueue(&plain, request()),
            };
            let job = job.expect("a valid job");
            before = Some(job.clone());
            jobs.push(job);
        }
        self.next += BATCH;
        jobs
    }

    async fn enqueue(&mut self) {
        let batch = self.batch();
        let unblocked = enqueue(&self.backend, batch).await;
        self.backend.release(unblocked).await.unwrap();
    }

    /// Runs all that can be run, in each way in which a job can end.
    async fn run(&self) {
        loop {
            let mut ran = 0;
            for spec in &self.specs {
                let leased = take_of(&self.backend, &spec.name, BATCH as u32).await;
                ran += leased.len();
                if spec.name == self.specs[2].name {
                    self.record_steps(&leased).await;
                }
                let ends = leased.iter().filter_map(|job| end(job, spec)).collect();
                self.backend.apply_through(ends).await.unwrap();
            }
            if ran == 0 {
                return;
            }
            // Those that failed once are tried again.
            self.clock.advance(Duration::from_secs(10));
        }
    }

    async fn record_steps(&self, leased: &[Job]) {
        for job in leased.iter().step_by(10) {
            let step = NewStep {
                job: job.reference(),
                token: job.lease.expect("it is leased").token,
                position: 0,
                name: StepName::new("s").unwrap(),
                outcome: Payload::from("outcome"),
            };
            self.backend.record_step(step).await.unwrap();
        }
    }

    /// Workers come and go, some of them without a word.
    async fn beats(&self) {
        for number in 0..4_u8 {
            let mut id = [number; 16];
            id[..8].copy_from_slice(&self.next.to_be_bytes());
            let worker = WorkerInfo {
                id: WorkerId::from_bytes(id),
                host: "host".into(),
                pid: 1,
                queues: self.specs.iter().map(|spec| spec.name.clone()).collect(),
                concurrency: 1,
                running: 0,
            };
            let forget_after = Duration::from_secs(5);
            self.backend.beat(Beat::Alive { worker, forget_after }).await.unwrap();
            if number > 0 {
                self.backend.beat(Beat::Leaving(WorkerId::from_bytes(id))).await.unwrap();
            }
        }
    }

    /// Removes all that has ended, dependents before those they depended on.
    async fn clean(&self) -> u64 {
        let mut removed = 0;
        for spec in self.specs.iter().rev() {
            for state in State::ALL.into_iter().filter(|state| state.is_terminal()) {
                let (queue, which) = (spec.name.clone(), CleanWhich::OlderThan(Duration::ZERO));
                let clean = Clean { queue, state, which, limit: u32::MAX };
                removed += self.backend.clean(clean).await.unwrap();
            }
        }
        removed
    }

    /// So many batches, from the first to the last breath of their jobs.
    async fn rounds(&mut self, batches: usize) -> u64 {
        // Some stand in line together.
        for _ in 0..batches.div_ceil(10) {
            for _ in 0..10 {
                self.enqueue().await;
            }
            self.beats().await;
            self.run().await;
        }
        self.clean().await
    }
}

/// A job with whatever a job can have, and one that it depends on.
fn everything(number: usize, before: Option<&NewJob>) -> JobRequest {
    let dedup = Dedup {
        key: DedupKey::new(format!("d{number}")).unwrap(),
        on_duplicate: OnDuplicate::ReturnExisting,
        hold: None,
    };
    let mut flow = [3; 16];
    flow[..8].copy_from_slice(&number.to_be_bytes());
    JobRequest {
        priority: Some(i32::try_from(number % 5).unwrap()),
        due: if number.is_multiple_of(3) { When::After(Duration::from_secs(5)) } else { When::Now },
        expires: Some(When::After(Duration::from_secs(3600))),
        key: Some(JobKey::new(format!("k{number}")).unwrap()),
        dedup: Some(dedup),
        tags: vec![Tag::new("all").unwrap(), Tag::new(format!("t{number}")).unwrap()],
        depends_on: before.map(reference).into_iter().collect(),
        flow: Some(FlowId::from_bytes(flow)),
        ..request()
    }
}

/// What a job comes to: most of those with a name fail once, some for good.
fn end(job: &Job, spec: &QueueSpec) -> Option<windlass_core::backend::Transition> {
    let token = job.lease?.token;
    let retry = match job.course.failed_attempts {
        0 => Retryable::After(Duration::from_secs(1)),
        _ => Retryable::No,
    };
    let fails_always = job.id.as_bytes()[15].is_multiple_of(10);
    let outcome = match &job.key {
        Some(_) if job.course.failed_attempts == 0 || fails_always => {
            Outcome::Failure { kind: FailureKind::Error, message: "no".into(), retry }
        }
        Some(_) => Outcome::Success { result: Some(Payload::from("result")) },
        None => Outcome::Success { result: None },
    };
    decide::finish(job, spec, &decide::Attempt { token, outcome })
}

/// How many bytes a server has in use.
async fn used(node: &mut Node) -> u64 {
    let info: String = node.run(redis::cmd("INFO").arg("memory")).await;
    let line = info.lines().find_map(|line| line.trim().strip_prefix("used_memory:"));
    line.expect("a server knows it").parse().expect("a number")
}

/// How many bytes each key takes.
async fn sizes(node: &mut Node, prefix: &str) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    for key in node.keys(prefix).await {
        let mut usage = redis::cmd("MEMORY");
        let size: u64 = node.run(usage.arg("USAGE").arg(&key).arg("SAMPLES").arg(0)).await;
        sizes.insert(String::from_utf8_lossy(&key).into_owned(), size);
    }
    sizes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_were_run_and_cleaned_leave_nothing() {
    let own = Own::start("itmemory", "redis");
    let home = Home::on(own.server.clone());
    let mut node = own.server.masters().await.remove(0);
    // Each batch is larger than this, and would be kept in mind.
    let _: () = node.run(redis::cmd("CONFIG").arg("SET").arg("slowlog-max-len").arg(0)).await;
    let mut shop = Shop::open(&home).await;
    // What a server that is used has, and one that is not used has not: scripts,
    // connections, the last answers.
    shop.rounds(10).await;
    let (before, keys_before) = (settled(&mut node).await, sizes(&mut node, &home.prefix).await);

    let jobs = number(JOBS, 20_000);
    let removed = shop.rounds(jobs / BATCH).await;
    assert!(removed >= jobs as u64, "{removed} of {jobs}");
    let after = settled(&mut node).await;
    let keys_after = sizes(&mut node, &home.prefix).await;
    eprintln!("{jobs} jobs enqueued, run and cleaned: {before} bytes before, {after} after");
    eprintln!("{keys_before:#?}\n{keys_after:#?}");
    assert!(after * 20 <= before * 21, "{before} bytes before, {after} after");
    for (key, size) in &keys_after {
        let limit = keys_before.get(key).map_or(0, |size| size * 21 / 20);
        assert!(*size <= limit, "{key} has grown to {size} bytes: {keys_before:?}");
    }
}

/// What a server uses when it has freed what connections needed for large calls.
async fn settled(node: &mut Node) -> u64 {
    let (mut least, mut same) = (u64::MAX, 0);
    let node = tokio::sync::Mutex::new(node);
    let seen = std::sync::Mutex::new((&mut least, &mut same));
    until("nothing more is freed", || async {
        let now = used(*node.lock().await).await;
        let mut seen = seen.lock().unwrap();
        if now < *seen.0 {
            (*seen.0, *seen.1) = (now, 0);
        }
        *seen.1 += 1;
        *seen.1 > 100
    })
    .await;
    least
}
