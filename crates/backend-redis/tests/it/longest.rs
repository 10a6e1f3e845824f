//! The heaviest calls on a large queue, and how long each holds up the server (F34).
//!
//! What is held here is that each call does all of its work, in pieces; how long the
//! longest piece takes is told, and judged by who reads it: machines differ.

use std::time::Duration;

use windlass_core::Backend;
use windlass_core::backend::{Clean, CleanWhich, Extend, Overdue, OverdueQuery};
use windlass_core::decide::{self, Attempt, Dedup, JobRequest, OnDuplicate, Outcome, Retryable};
use windlass_core::model::{
    DedupKey, Detail, Direction, FailureKind, Filter, Job, JobsQuery, ManualClock, NewJob,
    PartitionKey, Partitions, QueueSpec, State, Tag, When,
};
use windlass_redis::{RedisBackend, redis};

use crate::fixture::*;
use crate::own::Own;
use crate::server::Node;

/// So many jobs the queue has, and a tenth as many partitions.
const JOBS: &str = "WINDLASS_TEST_LONGEST_JOBS";
/// As many as one call may bring, and ask for.
const BATCH: usize = 10_000;

/// A server that keeps count of what takes long.
struct Watched {
    backend: RedisBackend,
    clock: ManualClock,
    node: tokio::sync::Mutex<Node>,
}

impl Watched {
    /// Makes a call, and tells of its scripts the longest.
    async fn time<T>(&self, what: &str, call: impl Future<Output = T>) -> T {
        let mut node = self.node.lock().await;
        let _: () = node.run(redis::cmd("SLOWLOG").arg("RESET")).await;
        let answer = call.await;
        // An entry: its number, when, how many microseconds, the command, and who.
        let entries: Vec<Vec<redis::Value>> =
            node.run(redis::cmd("SLOWLOG").arg("GET").arg(-1)).await;
        let micros = entries.iter().map(|entry| {
            redis::from_redis_value_ref::<u64>(&entry[2]).expect("how long a command took")
        });
        let longest = micros.max().unwrap_or(0);
        eprintln!("| {what} | {:.1} |", longest as f64 / 1000.0);
        answer
    }

    async fn list(&self, what: &str, filter: Filter, direction: Direction) {
        let query =
            JobsQuery { filter, direction, after: None, limit: 1000, detail: Detail::Summary };
        let page = self.time(what, self.backend.jobs(query)).await.unwrap();
        assert!(!page.jobs.is_empty(), "{what}");
    }

    async fn clean(&self, what: &str, spec: &QueueSpec, state: State) -> u64 {
        let (queue, which) = (spec.name.clone(), CleanWhich::OlderThan(Duration::ZERO));
        let clean = Clean { queue, state, which, limit: u32::MAX };
        self.time(what, self.backend.clean(clean)).await.unwrap()
    }
}

fn batch(spec: &QueueSpec, request: impl Fn(usize) -> JobRequest) -> Vec<NewJob> {
    (0..BATCH).map(|number| decide::enqueue(spec, request(number)).expect("a valid job")).collect()
}

fn fails(job: &Job, spec: &QueueSpec) -> windlass_core::backend::Transition {
    let outcome = Outcome::Failure {
        kind: FailureKind::Error,
        message: "no".repeat(100),
        retry: Retryable::After(Duration::from_secs(1)),
    };
    let token = job.lease.expect("it is leased").token;
    decide::finish(job, spec, &Attempt { token, outcome }).expect("a current lease")
}

fn extend(job: &Job) -> Extend {
    let token = job.lease.expect("it is leased").token;
    Extend { job: job.reference(), token, lease: LEASE, progress: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_heaviest_calls_on_a_large_queue_do_all_of_their_work_in_pieces() {
    let own = Own::start("itlongest", "redis");
    let home = Home::on(own.server.clone());
    let clock = ManualClock::new();
    let mut config = home.config_by(&clock);
    config.answer_within = Duration::from_secs(60);
    let node = own.server.masters().await.remove(0);
    let w = Watched { backend: connect(config).await, clock, node: node.into() };
    let set = async |what: &str, value: u64| {
        let mut command = redis::cmd("CONFIG");
        let _: () = w.node.lock().await.run(command.arg("SET").arg(what).arg(value)).await;
    };
    set("slowlog-log-slower-than", 500).await;
    set("slowlog-max-len", 100_000).await;
    let batches = (number(JOBS, 2 * BATCH) / BATCH).max(2);
    eprintln!("| call | its longest script, ms (0: below 0.5) |\n|---|---|");

    let plain = QueueSpec::new(named("plain"));
    let rich = QueueSpec::new(named("rich"));
    let mut parts = QueueSpec::new(named("parts"));
    parts.partitions = Some(Partitions::default());
    for spec in [&plain, &rich, &parts] {
        w.backend.declare(spec).await.unwrap();
    }
    for number in 0..batches {
        let jobs = batch(&plain, |_| request());
        if number + 1 < batches {
            enqueue(&w.backend, jobs).await;
        } else {
            w.time("enqueue 10,000", enqueue(&w.backend, jobs)).await;
        }
    }
    for number in 0..batches.div_ceil(10) {
        let jobs = batch(&parts, |job| {
            let partition = Some(PartitionKey::new(format!("p{number}.{job}")).unwrap());
            JobRequest { partition, ..request() }
        });
        w.time("enqueue 10,000, each of a new partition", enqueue(&w.backend, jobs)).await;
    }
    let jobs = batch(&parts, |job| {
        let partition = Some(PartitionKey::new(format!("p0.{}", job % 5000)).unwrap());
        JobRequest { partition, ..request() }
    });
    w.time("enqueue 10,000, of old partitions", enqueue(&w.backend, jobs)).await;
    let everything = |number: usize| JobRequest {
        priority: Some(1),
        due: if number.is_multiple_of(2) { When::After(Duration::from_secs(5)) } else { When::Now },
        expires: Some(When::After(Duration::from_secs(9000))),
        dedup: Some(Dedup {
            key: DedupKey::new(format!("d{number}")).unwrap(),
            on_duplicate: OnDuplicate::ReturnExisting,
            hold: None,
        }),
        tags: vec![Tag::new("all").unwrap(), Tag::new(format!("t{number}")).unwrap()],
        ..request()
    };
    let jobs = batch(&rich, everything);
    w.time("enqueue 10,000 with all a job can have", enqueue(&w.backend, jobs)).await;

    for spec in [&plain, &parts] {
        w.time(&format!("stats, {}", spec.name), w.backend.stats(&spec.name)).await.unwrap();
        let queue = Some(spec.name.clone());
        let filter = Filter { queue, ..Filter::default() };
        let what = format!("list 1,000, {}", spec.name);
        w.list(&what, filter, Direction::NewestFirst).await;
    }
    let filter = Filter { states: vec![State::Waiting], ..Filter::default() };
    w.list("list 1,000 waiting, of all queues", filter, Direction::OldestFirst).await;
    let filter = Filter { tag: Some(Tag::new("all").unwrap()), ..Filter::default() };
    w.list("list 1,000 with a tag", filter, Direction::OldestFirst).await;

    let mut leased = Vec::new();
    w.clock.advance(Duration::from_secs(10));
    for spec in [&plain, &parts, &rich] {
        let what = format!("dequeue 10,000, {}", spec.name);
        let mut jobs = Vec::new();
        while jobs.len() < BATCH {
            let wanted = u32::try_from(BATCH - jobs.len()).unwrap();
            jobs.extend(w.time(&what, take_of(&w.backend, &spec.name, wanted)).await);
        }
        leased.push(jobs);
    }
    let extends = leased[0].iter().map(extend).collect();
    w.time("extend 10,000", w.backend.extend(extends)).await.unwrap();
    parts.limits.concurrency = Some(1_000_000);
    w.time("declare, 10,000 partitions with leases", w.backend.declare(&parts)).await.unwrap();
    w.time("dequeue 1 after that", take_of(&w.backend, &parts.name, 1)).await;
    for (spec, jobs) in [&plain, &parts, &rich].into_iter().zip(&leased) {
        let (half, rest) = jobs.split_at(BATCH / 2);
        let ends = half.iter().map(done).collect();
        w.time(&format!("apply 5,000 ends, {}", spec.name), apply(&w.backend, ends)).await;
        let (third, _) = rest.split_at(BATCH / 4);
        let ends = third.iter().map(|job| fails(job, spec)).collect();
        w.time(&format!("apply 2,500 failures, {}", spec.name), apply(&w.backend, ends)).await;
    }
    w.clock.advance(LEASE * 2);
    for spec in [&plain, &parts, &rich] {
        let what = Overdue::LostLeases;
        let query = OverdueQuery { queue: spec.name.clone(), what, after: None, limit: 1000 };
        let words = format!("overdue, 1,000 of 2,500, {}", spec.name);
        let page = w.time(&words, w.backend.overdue(query)).await.unwrap();
        assert_eq!(page.jobs.len(), 1000);
        let back = page.jobs.iter().filter_map(|job| decide::overdue(job, spec, what, page.now));
        let words = format!("apply 1,000 take-overs, {}", spec.name);
        w.time(&words, apply(&w.backend, back.collect())).await;
        w.time(&format!("dequeue 10,000 of all kinds, {}", spec.name), async {
            take_of(&w.backend, &spec.name, BATCH as u32).await
        })
        .await;
    }

    let jobs =
        batch(&rich, |_| JobRequest { due: When::After(Duration::from_secs(60)), ..request() });
    enqueue(&w.backend, jobs).await;
    w.clock.advance(Duration::from_secs(60));
    let taken = w.time("dequeue 1 when 10,000 come due", take_of(&w.backend, &rich.name, 1)).await;
    assert_eq!(taken.len(), 1);
    for spec in [&plain, &parts, &rich] {
        let what = format!("clean 5,000 completed, {}", spec.name);
        assert_eq!(w.clean(&what, spec, State::Completed).await, 5000, "{what}");
        let waiting = count(&w.backend, &spec.name, State::Waiting).await;
        let what = format!("clean {waiting} waiting, {}", spec.name);
        assert_eq!(w.clean(&what, spec, State::Waiting).await, waiting, "{what}");
    }
}
