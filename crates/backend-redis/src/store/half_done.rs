//! Nothing is left half done: in each changing script, each of its calls is made to fail
//! once, and everything has to be as it was before.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use windlass_core::backend::{Ask, Clean, CleanWhich, Extend, PutRepeatable, Target, Transition};
use windlass_core::decide::{self, Attempt, Dedup, JobRequest, OnDuplicate, Outcome, Retryable};
use windlass_core::model::{
    Beat, Clock, Job, JobId, JobRef, JobTemplate, JobType, Limits, ManualClock, NewJob, NewStep,
    PartitionKey, Partitions, Payload, Progress, QueueName, QueueSpec, Rate, Repeatable,
    RepeatableKey, State, StepName, Tag, When, WorkerId, WorkerInfo,
};
use windlass_core::schedule::Schedule;

use super::{Place, Script, Store};
use crate::config::RedisConfig;

/// How long the server may take to answer: the machine may be busy with everything else.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a key holds, whatever its kind.
type Held = BTreeMap<String, Vec<Vec<u8>>>;

pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) clock: ManualClock,
    admin: MultiplexedConnection,
    tried: BTreeMap<&'static str, usize>,
}

pub(super) fn name(text: &str) -> QueueName {
    QueueName::new(text).unwrap()
}

fn fresh_id() -> JobId {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut bytes = [0x77; 16];
    bytes[12..].copy_from_slice(&NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    JobId::from_bytes(bytes)
}

pub(super) fn request() -> JobRequest {
    JobRequest::new(fresh_id(), JobType::new("t").unwrap(), Payload::from("payload"))
}

fn spec(queue: &str) -> QueueSpec {
    let partitions = (queue == "lines").then(Partitions::default);
    QueueSpec { partitions, ..QueueSpec::new(name(queue)) }
}

pub(super) fn job(queue: &str, request: JobRequest) -> NewJob {
    decide::enqueue(&spec(queue), request).unwrap()
}

pub(super) fn reference(job: &NewJob) -> JobRef {
    JobRef { queue: job.queue.clone(), id: job.id }
}

pub(super) fn settle(job: &Job, outcome: Outcome) -> Transition {
    let token = job.lease.unwrap().token;
    let spec = spec(job.queue.as_str());
    decide::finish(job, &spec, &Attempt { token, outcome }).unwrap()
}

impl Bench {
    pub(super) async fn new(purpose: &str) -> Self {
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; see CONTRIBUTING.md"))
        };
        let clock = ManualClock::new();
        let mut config = RedisConfig::parse(&variable("REDIS_URL")).unwrap();
        config.prefix = format!("windlass_{purpose}_{}", std::process::id());
        config.clock = Clock::Manual(clock.clone());
        let admin = redis::Client::open(variable("WINDLASS_TEST_REDIS_ADMIN_URL")).unwrap();
        let patient = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let admin = admin.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
        let store = Store::connect(&config).await.unwrap();
        for queue in ["q", "other", "lines"] {
            store.declare(&spec(queue)).await.unwrap();
        }
        Self { store, clock, admin, tried: BTreeMap::new() }
    }

    /// Everything that the store holds, but which operations it remembers.
    async fn held(&mut self) -> Held {
        let mut held = Held::new();
        let mut keys: Vec<&str> =
            Script::ALL.iter().flat_map(|script| script.text().keys.iter().copied()).collect();
        keys.sort_unstable();
        keys.dedup();
        let places = [
            self.store.tag(Place::Registry),
            self.store.tag(Place::Queue(&name("q"))),
            self.store.tag(Place::Queue(&name("other"))),
            self.store.tag(Place::Queue(&name("lines"))),
        ];
        let keys: Vec<String> = places
            .iter()
            .flat_map(|place| {
                keys.iter()
                    .filter(|key| **key != "ops")
                    .map(move |key| format!("{{{place}}}:{key}"))
            })
            .collect();
        let mut kinds = redis::pipe();
        for key in &keys {
            kinds.cmd("TYPE").arg(key);
        }
        let kinds: Vec<String> = kinds.query_async(&mut self.admin).await.unwrap();
        let there: Vec<(String, String)> =
            keys.into_iter().zip(kinds).filter(|(_, kind)| kind != "none").collect();
        let mut read = redis::pipe();
        for (key, kind) in &there {
            match kind.as_str() {
                "hash" => read.cmd("HGETALL").arg(key),
                "zset" => read.cmd("ZRANGE").arg(key).arg(0).arg(-1),
                "list" => read.cmd("LRANGE").arg(key).arg(0).arg(-1),
                other => panic!("{key} is a {other}"),
            };
        }
        let found: Vec<Vec<Vec<u8>>> = read.query_async(&mut self.admin).await.unwrap();
        for ((key, kind), mut values) in there.into_iter().zip(found) {
            if kind == "hash" {
                values = values.chunks(2).map(|pair| pair.concat()).collect();
                values.sort_unstable();
                // A counter that is 0 says as much as none.
                values.retain(|pair| {
                    let value = pair.get(1..).unwrap_or_default();
                    let is_zero = matches!(value, b"0" | [0, ..])
                        || (pair.starts_with(b"e") && pair.ends_with(b"0"));
                    !(key.ends_with(":meta") && is_zero)
                });
            }
            held.insert(key, values);
        }
        held
    }

    /// Makes a call again and again, while one call of its script fails after the other;
    /// the last time none does. Answers what it then answered.
    async fn try_all<T>(&mut self, script: Script, call: impl AsyncFn(&Store) -> T) -> T
    where
        T: Settled,
    {
        let before = self.held().await;
        for number in 1..10_000 {
            *self.store.fault.lock().unwrap() = Some((script, number));
            let answer = call(&self.store).await;
            *self.store.fault.lock().unwrap() = None;
            if answer.is_right() {
                *self.tried.entry(script.name()).or_default() += number - 1;
                assert!(number > 1, "{} made no call", script.name());
                return answer;
            }
            let after = self.held().await;
            let differ: Vec<String> = before
                .keys()
                .chain(after.keys())
                .filter(|key| before.get(*key) != after.get(*key))
                .map(|key| format!("{key}: {:?} {:?}", before.get(key), after.get(key)))
                .collect();
            assert!(differ.is_empty(), "{}, call {number}: {differ:#?}", script.name());
        }
        panic!("{} fails whether or not one of its calls does", script.name());
    }

    pub(super) async fn take(&self, queue: &str, max: u32) -> Vec<Job> {
        self.store.dequeue(&ask(queue, max)).await.unwrap().jobs
    }
}

fn ask(queue: &str, max: u32) -> Ask {
    let lease = Duration::from_secs(60);
    Ask { queue: name(queue), worker: WorkerId::from_bytes([3; 16]), max, lease }
}

/// Whether a call has done what it was to do.
trait Settled {
    fn is_right(&self) -> bool;
}

impl<T> Settled for Result<T, windlass_core::Error> {
    fn is_right(&self) -> bool {
        self.is_ok()
    }
}

#[tokio::test]
async fn nothing_is_half_done_whichever_call_of_a_script_fails() {
    let mut bench = Bench::new("half").await;
    let plain = || (0..40).map(|_| job("q", request())).collect::<Vec<_>>();
    let many = plain();
    bench.try_all(Script::EnqueuePlain, async |s| s.enqueue(many.clone()).await).await.unwrap();

    // Everything that a job can have.
    let first = job("q", JobRequest { priority: Some(3), ..request() });
    let odd = vec![
        first.clone(),
        job("q", JobRequest { due: When::After(Duration::from_secs(5)), ..request() }),
        job("q", JobRequest { expires: Some(When::After(Duration::from_secs(5))), ..request() }),
        job("q", JobRequest { depends_on: vec![reference(&first)], ..request() }),
        job("q", JobRequest { tags: vec![Tag::new("tag").unwrap()], ..request() }),
        job("q", JobRequest { payload: Payload::from(vec![7; 5000]), ..request() }),
        job(
            "q",
            JobRequest {
                dedup: Some(Dedup {
                    key: windlass_core::model::DedupKey::new("only").unwrap(),
                    on_duplicate: OnDuplicate::Reject,
                    hold: Some(Duration::from_secs(9)),
                }),
                ..request()
            },
        ),
    ];
    bench.try_all(Script::Enqueue, async |s| s.enqueue(odd.clone()).await).await.unwrap();
    let partition = |key: &str| Some(PartitionKey::new(key).unwrap());
    let lines: Vec<NewJob> = ["a", "b", "a", "c", "b", "a"]
        .into_iter()
        .map(|key| job("lines", JobRequest { partition: partition(key), ..request() }))
        .collect();
    bench.try_all(Script::Enqueue, async |s| s.enqueue(lines.clone()).await).await.unwrap();

    // Leases: of the main line alone, of all lines, of partitions.
    *bench.store.careful.lock().unwrap() = std::collections::HashMap::new();
    let other: Vec<NewJob> = (0..3).map(|_| job("other", request())).collect();
    bench.store.enqueue(other).await.unwrap();
    let leased = bench
        .try_all(Script::DequeuePlain, async |s| s.dequeue(&ask("other", 2)).await)
        .await
        .unwrap();
    assert_eq!(leased.jobs.len(), 2);
    let done: Vec<Transition> =
        leased.jobs.iter().map(|job| settle(job, Outcome::Success { result: None })).collect();
    bench.try_all(Script::ApplyPlain, async |s| s.apply(&done).await).await.unwrap();
    bench.clock.advance(Duration::from_secs(6));
    let mut leased =
        bench.try_all(Script::Dequeue, async |s| s.dequeue(&ask("q", 45)).await).await.unwrap();
    assert_eq!(leased.jobs.len(), 45);
    let plainest = leased.jobs.remove(40);
    let of_lines =
        bench.try_all(Script::Dequeue, async |s| s.dequeue(&ask("lines", 9)).await).await.unwrap();
    assert_eq!(of_lines.jobs.len(), 3);

    let extend: Vec<Extend> = leased.jobs[..3]
        .iter()
        .map(|job| Extend {
            job: job.reference(),
            token: job.lease.unwrap().token,
            lease: Duration::from_secs(90),
            progress: Some(Progress { done: 3, ..Progress::default() }),
        })
        .collect();
    bench.try_all(Script::Extend, async |s| s.extend(&extend).await).await.unwrap();
    let step = NewStep {
        job: leased.jobs[0].reference(),
        token: leased.jobs[0].lease.unwrap().token,
        position: 0,
        name: StepName::new("step").unwrap(),
        outcome: Payload::from("1"),
    };
    let steps = [step];
    bench.try_all(Script::RecordSteps, async |s| s.record_steps(&steps).await).await.unwrap();

    // All that can become of them.
    let failure = || Outcome::Failure {
        kind: windlass_core::model::FailureKind::Error,
        message: "no".into(),
        retry: Retryable::Yes,
    };
    let mut ends: Vec<Transition> = leased
        .jobs
        .iter()
        .enumerate()
        .map(|(index, job)| match index % 4 {
            0 => settle(job, Outcome::Success { result: Some(Payload::from("[1]")) }),
            1 => settle(job, failure()),
            2 => settle(job, Outcome::Snooze(When::After(Duration::from_secs(30)))),
            _ => settle(job, Outcome::Release),
        })
        .collect();
    ends[5].to = Target::Removed;
    // One that nothing else is known of, too.
    ends.push(settle(&plainest, Outcome::Success { result: None }));
    if let Some(last) = ends.last_mut() {
        last.to = Target::Removed;
    }
    bench.try_all(Script::Apply, async |s| s.apply(&ends).await).await.unwrap();
    let of_lines: Vec<Transition> =
        of_lines.jobs.iter().map(|job| settle(job, Outcome::Success { result: None })).collect();
    bench.try_all(Script::Apply, async |s| s.apply(&of_lines).await).await.unwrap();

    // Another queue's job depends on one of this one, which then ends.
    let awaited = job("other", request());
    bench.store.enqueue(vec![awaited.clone()]).await.unwrap();
    let waiting = job("q", JobRequest { depends_on: vec![reference(&awaited)], ..request() });
    bench
        .try_all(Script::Link, async |s| {
            let pairs = [(awaited.id, waiting.id)];
            s.link_jobs(&name("other"), &name("q"), &pairs, super::enqueue::Noting::Will).await
        })
        .await
        .unwrap();
    bench.store.enqueue(vec![waiting.clone()]).await.unwrap();
    let held = bench.take("other", 9).await;
    let done: Vec<Transition> =
        held.iter().map(|job| settle(job, Outcome::Success { result: None })).collect();
    // What it has to tell cannot be told at once, and is by the sweep.
    *bench.store.fault.lock().unwrap() = Some((Script::Hear, 1));
    bench.store.apply(&done).await.unwrap();
    *bench.store.fault.lock().unwrap() = None;
    let sweep = async |s: &Store| s.sweep_graph(&name("other")).await;
    bench.try_all(Script::Hear, sweep).await.unwrap();
    bench
        .try_all(Script::Heard, async |s| {
            let mut arguments = super::Arguments::default();
            arguments.add("o").add("field").add("value");
            s.call(Place::Queue(&name("other")), Script::Heard, arguments).await
        })
        .await
        .unwrap();
    bench.try_all(Script::Stats, async |s| s.stats(&name("q")).await).await.unwrap();
    let found = bench.store.read(&name("q"), &[waiting.id], false).await.unwrap().0;
    assert_eq!(found[0].dependencies.open, 0, "its end was told");

    let clean = |queue: &str, state| Clean {
        queue: name(queue),
        state,
        which: CleanWhich::OlderThan(Duration::ZERO),
        limit: 1000,
    };
    let call = clean("q", State::Completed);
    let gone = bench.try_all(Script::Clean, async |s| s.clean(&call).await).await.unwrap();
    assert!(gone.len() > 5, "{} went", gone.len());
    let call = clean("q", State::Waiting);
    bench.try_all(Script::CleanPending, async |s| s.clean(&call).await).await.unwrap();

    let bounded = QueueSpec {
        limits: Limits {
            concurrency: Some(5),
            rate: Some(Rate { limit: 5, period: Duration::from_secs(9) }),
        },
        ..spec("lines")
    };
    bench.try_all(Script::Declare, async |s| s.declare(&bounded).await).await.unwrap();
    bench.try_all(Script::Dequeue, async |s| s.dequeue(&ask("lines", 9)).await).await.unwrap();
    bench
        .try_all(Script::Pause, async |s| s.set_paused(&name("q"), true, None).await)
        .await
        .unwrap();

    let key = RepeatableKey::new("again").unwrap();
    let repeatable = Repeatable {
        key: key.clone(),
        queue: name("q"),
        template: JobTemplate {
            job_type: JobType::new("t").unwrap(),
            payload: Payload::from("x"),
            options: windlass_core::model::JobOptions::default(),
            partition: None,
            tags: Vec::new(),
        },
        schedule: Schedule::every(Duration::from_secs(10)).unwrap(),
        start: None,
        end: None,
        count: None,
        missed: windlass_core::model::Missed::default(),
        overlap: windlass_core::model::Overlap::default(),
    };
    let put = PutRepeatable {
        record: windlass_core::model::RepeatableRecord {
            spec: repeatable,
            version: 1,
            anchor: bench.clock.now(),
            next: Some(bench.clock.now()),
            fired: 0,
            last_fire: None,
            last_job: None,
            paused: false,
        },
        guard: None,
        jobs: vec![job("q", request())],
    };
    bench.store.register(&name("q"), super::queues::HasRepeatables::Yes).await.unwrap();
    bench
        .try_all(Script::PutRepeatable, async |s| s.put_repeatable(put.clone()).await)
        .await
        .unwrap();
    bench
        .try_all(Script::RemoveRepeatable, async |s| s.remove_repeatable(&name("q"), &key).await)
        .await
        .unwrap();
    let worker = WorkerInfo {
        id: WorkerId::from_bytes([4; 16]),
        host: "host".into(),
        pid: 1,
        queues: vec![name("q")],
        concurrency: 1,
        running: 0,
    };
    let beat = Beat::Alive { worker, forget_after: Duration::from_secs(9) };
    bench.try_all(Script::Beat, async |s| s.beat(&beat).await).await.unwrap();
    bench
        .try_all(Script::Register, async |s| {
            s.register(&name("new"), super::queues::HasRepeatables::Yes).await
        })
        .await
        .unwrap();

    let key = format!("{{{}}}:store", bench.store.tag(Place::Registry));
    let _: u64 = redis::cmd("DEL").arg(key).query_async(&mut bench.admin).await.unwrap();
    bench.try_all(Script::WriteFormat, async |s| s.check_format().await).await.unwrap();

    let calls: usize = bench.tried.values().sum();
    eprintln!("{calls} calls of {} scripts failed: {:?}", bench.tried.len(), bench.tried);
    let untried: Vec<&str> = Script::ALL
        .iter()
        .filter(|script| script.text().writes && !bench.tried.contains_key(script.name()))
        .map(|script| script.name())
        .collect();
    assert!(untried.is_empty(), "{untried:?} were not tried");
}
