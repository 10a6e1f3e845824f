//! A payload may hold secrets: nothing of ours shows one, however it is looked
//! at and whatever goes wrong.

use std::fmt::{Debug, Display};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::Layer;
use windlass::backend::BackendExt as _;
use windlass::backend::{
    Ask, Backend, CleanWhich, EnqueueAnswer, Overdue, OverdueQuery, PutRepeatable, RepeatablesQuery,
};
use windlass::decide::{self, JobRequest, Outcome, repeat};
use windlass::memory::{MemoryBackend, MemoryConfig};
use windlass::model::{
    Backoff, Clock, Detail, Direction, Filter, JobId, JobRef, JobType, JobsQuery, ManualClock,
    NewStep, Payload, State, StepName, WorkerId,
};
use windlass::sqlite::{SqliteBackend, SqliteConfig};
use windlass::testing::Kit;
use windlass::{
    Answer, BoxError, Call, Client, Context, Error, Job, JobError, JobHandle, JobService, Windlass,
};

use crate::captured::{capture, logged};

const CANARY: &str = "c4n4ry";

/// A job with a secret in each of the ways in which one can be held.
#[derive(Clone, Debug, Serialize, Deserialize, Job)]
#[job(name = "secret")]
struct Secret {
    token: String,
    what: What,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum What {
    Succeed,
    Fail,
    Panic,
    Snooze,
    Long,
    Lose,
}

/// As [`Secret`], as far as its name goes.
#[derive(Debug, Serialize, Deserialize, Job)]
#[job(name = "picky")]
#[serde(deny_unknown_fields)]
struct Picky {
    number: u8,
    what: Option<What>,
}

impl Secret {
    fn to(what: What) -> Self {
        Self { token: CANARY.to_owned(), what }
    }
}

async fn work(
    job: Secret,
    context: Context,
    seen: windlass::Data<Arc<Shown>>,
) -> Result<Value, JobError> {
    seen.look(&context);
    seen.look(&context.encode_result(&job.token));
    seen.look(&context.completion(context.encode_result(&job.token)?, None));
    seen.look(&context.dependencies().await);
    seen.say(&context.dependency_results::<u8>().await.map_err(|error| error.to_string()));
    context.say("at work");
    match job.what {
        What::Succeed => Ok(json!({"token": job.token})),
        What::Fail => Err(JobError::new("no")),
        What::Panic => panic!("on purpose"),
        What::Snooze if context.job().course.snoozes == 0 => Err(JobError::snooze(Duration::ZERO)),
        What::Snooze => Ok(Value::Null),
        What::Long => Ok(Value::String(CANARY.repeat(1000))),
        What::Lose if context.job().course.stalls == 0 => {
            // Its lease runs out while it is at work, and somebody takes over.
            seen.clock.advance(Duration::from_secs(3600));
            let client = context.client();
            let queue = client.open_queue("q").await?;
            let other = Kit::new(Arc::clone(client.backend()), seen.clock.clone());
            queue.pause().await?;
            other.drain(|worker| worker.queue(&queue).handle(|_: Picky| async {})).await?;
            queue.resume().await?;
            Ok(Value::String(job.token))
        }
        What::Lose => Ok(Value::String(job.token)),
    }
}

/// What was shown of anything.
struct Shown {
    texts: Mutex<Vec<String>>,
    clock: ManualClock,
}

impl Shown {
    fn look(&self, thing: &dyn Debug) {
        self.keep(format!("{thing:?}\n{thing:#?}"));
    }

    fn say(&self, thing: &dyn Debug) {
        self.keep(format!("{thing:?}"));
    }

    fn error<E: Display + Debug>(&self, error: &E) {
        self.keep(format!("{error}\n{error:#}\n{error:?}\n{error:#?}"));
    }

    fn keep(&self, text: String) {
        self.texts.lock().unwrap().push(text);
    }
}

/// Logs whatever goes through it, as a user's layer might.
#[derive(Clone)]
struct Nosy(Arc<Shown>);

impl Layer<JobService> for Nosy {
    type Service = JobService;

    fn layer(&self, inner: JobService) -> JobService {
        let shown = Arc::clone(&self.0);
        JobService::new(tower::service_fn(move |call: Call| {
            let (mut inner, shown) = (inner.clone(), Arc::clone(&shown));
            async move {
                tracing::trace!(?call, "a job comes");
                let answer: Result<Answer, BoxError> = tower::Service::call(&mut inner, call).await;
                tracing::trace!(?answer, "and goes");
                shown.look(&answer);
                answer
            }
        }))
    }
}

#[tokio::test]
async fn no_secret_of_a_payload_is_shown_or_logged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.db");
    capture();
    for store in ["memory", "file"] {
        let clock = ManualClock::new();
        let time = Clock::Manual(clock.clone());
        let backend: Arc<dyn Backend> = if store == "memory" {
            Arc::new(MemoryBackend::with(MemoryConfig { clock: time, ..MemoryConfig::default() }))
        } else {
            let mut config = SqliteConfig::new(&file);
            config.clock = time;
            Arc::new(SqliteBackend::open(config).await.unwrap())
        };
        let shown = Arc::new(Shown { texts: Mutex::default(), clock: clock.clone() });
        let kit = Kit::new(backend, clock);
        live(&kit, &shown).await;
        if store == "file" {
            damage(&kit, &shown, &file).await;
        }
        let texts = shown.texts.lock().unwrap();
        assert!(texts.len() > 100, "{} texts prove nothing", texts.len());
        let hits: Vec<_> = texts.iter().filter(|text| text.contains(CANARY)).collect();
        eprintln!("{store}: {} texts of values and errors, {} hits", texts.len(), hits.len());
        assert_eq!(hits, Vec::<&String>::new());
    }
    let logged = logged();
    for expected in [
        "no handler for jobs of this type",
        "taking over",
        "the lease is not the current one any more",
        "a job comes",
        "and goes",
        "that cannot be read are passed over",
    ] {
        assert!(logged.contains(expected), "{expected:?} was never logged:\n{logged}");
    }
    let hits: Vec<_> = logged.lines().filter(|line| line.contains(CANARY)).collect();
    eprintln!("log: {} lines, {} hits", logged.lines().count(), hits.len());
    assert_eq!(hits, Vec::<&str>::new());
    let of_unknown =
        |line: &&str| line.contains("no handler for jobs") && line.contains("job_type=unknown");
    let told = logged.lines().filter(of_unknown).count();
    assert_eq!(told, 2, "ten jobs of one type are told of once by each worker");
}

/// Everything that can become of a job with a secret.
async fn live(kit: &Kit, shown: &Arc<Shown>) {
    let client = kit.client();
    let queue = client.queue("q").max_payload(4000).max_stalls(1).declare().await.unwrap();
    let mut handles: Vec<JobHandle> = Vec::new();
    let untyped = |handle: JobHandle<Secret>| client.handle(handle.reference().clone());
    let job =
        |what| queue.enqueue(Secret::to(what)).retries(1).backoff(Backoff::Fixed(Duration::ZERO));
    for what in [What::Succeed, What::Fail, What::Panic, What::Snooze, What::Long, What::Lose] {
        shown.look(&job(what));
        shown.look(&job(what).prepare());
        handles.push(untyped(job(what).await.unwrap()));
    }
    let debounce = || job(What::Succeed).debounce("k", None);
    handles.push(untyped(debounce().await.unwrap()));
    handles.push(untyped(debounce().await.unwrap()));
    shown.error(&job(What::Succeed).dedup("k").await.unwrap_err());
    let all = || queue.enqueue_all([Secret::to(What::Succeed), Secret::to(What::Succeed)]);
    shown.look(&all());
    handles.extend(all().await.unwrap().into_iter().map(untyped));
    let mut flow = client.flow();
    let first = flow.add(job(What::Succeed)).unwrap();
    flow.add(job(What::Succeed).after(first)).unwrap();
    shown.look(&flow);
    shown.look(&flow.enqueue().await.unwrap());
    let repeat = || queue.repeat("r", Secret::to(What::Succeed)).every(Duration::from_secs(60));
    shown.look(&repeat());
    let repeated = repeat().await.unwrap();
    shown.look(&repeated.record().await.unwrap());
    shown.look(&queue.repeatables().await.unwrap());
    repeated.run_now().await.unwrap();

    // What cannot be enqueued at all.
    let long = Secret { token: CANARY.repeat(1000), what: What::Succeed };
    shown.error(&queue.enqueue(long.clone()).await.unwrap_err());
    shown.error(&queue.repeat("long", long).every(Duration::from_secs(1)).await.unwrap_err());
    let deep = (0..200).fold(json!(CANARY), |inner, _| json!({CANARY: inner}));
    shown.error(&queue.enqueue_raw("picky", &deep).await.unwrap_err());
    // What no handler can read, in every way that the reader complains of.
    for payload in [
        json!(CANARY),
        json!([CANARY]),
        json!({CANARY: 1}),
        json!({"number": CANARY}),
        json!({"number": format!("{CANARY}, expected {CANARY}")}),
        json!({"number": 1, "what": CANARY}),
        json!({"number": 1, "what": {CANARY: CANARY}}),
        json!({"number": 1, CANARY: 2}),
        json!({"number": 1, "what": [CANARY, CANARY]}),
        json!({"number": {"number": CANARY}}),
    ] {
        let handle = queue.enqueue_raw("picky", &payload).await.unwrap();
        shown.look(&handle);
        handles.push(handle);
    }
    // What nobody handles.
    for _ in 0..10 {
        queue.enqueue_raw("unknown", &json!(CANARY)).await.unwrap();
    }

    look_at_records(client, shown).await;
    kit.drain(|worker| {
        worker
            .queue(&queue)
            .handle(work)
            .handle(|_: Picky| async {})
            .data(Arc::clone(shown))
            .layer(Nosy(Arc::clone(shown)))
    })
    .await
    .unwrap();
    for handle in &handles {
        shown.look(handle);
        match handle.result::<u8>().await {
            Ok(number) => panic!("{number}"),
            Err(error) => {
                shown.error(&error);
                if let Error::NotCompleted { error: Some(attempt), .. } = error {
                    shown.look(&attempt);
                }
            }
        }
        shown.look(&handle.job().await.unwrap());
        shown.look(&handle.cancel().await.map_err(|error| error.to_string()));
    }
    shown.error(&kit.enqueued::<Picky>().await.unwrap_err());
    let failed = kit.count::<Picky>(State::Failed).await.unwrap();
    assert_eq!(failed, 10, "each payload that cannot be read has failed its job");
    look_at_records(client, shown).await;
    handles[0].retry().await.unwrap();
    shown.look(&queue.clean(State::Failed, Duration::ZERO, 3).await.unwrap());
}

/// What goes to a store and what comes back.
async fn look_at_records(client: &Client, shown: &Shown) {
    let backend = client.backend();
    let queue = client.open_queue("q").await.unwrap();
    for detail in [Detail::Full, Detail::Summary] {
        let query = JobsQuery {
            filter: Filter::default(),
            direction: Direction::OldestFirst,
            after: None,
            limit: 1000,
            detail,
        };
        shown.look(&client.jobs(query).await.unwrap());
    }
    let request = || {
        let id = JobId::from_bytes(number().to_be_bytes());
        let payload = Payload::from(CANARY);
        JobRequest::new(id, JobType::new("unknown").unwrap(), payload)
    };
    shown.look(&request());
    let nobody = JobRef { queue: queue.name().clone(), id: JobId::from_bytes([9; 16]) };
    let waits = JobRequest { depends_on: vec![nobody], ..request() };
    let waits = decide::enqueue(queue.spec(), waits).unwrap();
    shown.look(&waits);
    let refused = backend.enqueue(vec![waits]).await.unwrap();
    assert!(matches!(refused, EnqueueAnswer::Refused { .. }));
    shown.look(&refused);
    let stored = decide::enqueue(queue.spec(), request()).unwrap();
    shown.look(&backend.enqueue(vec![stored.clone(), stored]).await.unwrap());

    let worker = WorkerId::from_bytes([1; 16]);
    let lease = Duration::from_secs(1);
    let ask = Ask { queue: queue.name().clone(), worker, max: 1, lease };
    let leased = backend.dequeue(ask).await.unwrap();
    shown.look(&leased);
    if let Some(job) = leased.jobs.first() {
        let token = job.lease.unwrap().token;
        let step = NewStep {
            job: job.reference(),
            token,
            position: 0,
            name: StepName::new("step").unwrap(),
            outcome: Payload::from(CANARY),
        };
        shown.look(&step);
        shown.look(&backend.record_step(step.clone()).await.unwrap());
        shown.look(&backend.record_step(step).await.unwrap());
        shown.look(&backend.steps(&job.reference()).await.unwrap());
        let outcome = Outcome::Success { result: Some(Payload::from(CANARY)) };
        let attempt = decide::Attempt { token, outcome };
        shown.look(&attempt);
        let transition = decide::finish(job, queue.spec(), &attempt).unwrap();
        shown.look(&transition);
        let stale = windlass::backend::Guard { version: 0, ..transition.guard };
        let stale = windlass::backend::Transition { guard: stale, ..transition.clone() };
        shown.look(&backend.apply(vec![stale]).await.unwrap());
        let back = decide::Attempt { token, outcome: Outcome::Release };
        let back = decide::finish(job, queue.spec(), &back).unwrap();
        shown.look(&backend.apply(vec![back]).await.unwrap());
    }
    for what in Overdue::ALL {
        let query = OverdueQuery { queue: queue.name().clone(), what, after: None, limit: 1000 };
        shown.look(&backend.overdue(query).await.unwrap());
    }
    let all = RepeatablesQuery::OfQueue(queue.name().clone());
    let repeatables = backend.repeatables(all).await.unwrap();
    shown.look(&repeatables);
    for record in &repeatables.records {
        let due = record.next.unwrap();
        let put = repeat::fire(record, queue.spec(), due, repeat::Previous::Ended).unwrap();
        shown.look(&put);
        let stale = PutRepeatable { record: record.clone(), guard: Some(77), jobs: Vec::new() };
        shown.look(&stale);
        shown.look(&backend.put_repeatable(stale).await.unwrap());
    }
    shown.look(&CleanWhich::BeyondNewest(1));
}

/// A number that no two jobs of a run share.
fn number() -> u128 {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    u128::from(COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) << 32
}

/// Rows that nobody can read, with a secret where it hurts.
async fn damage(kit: &Kit, shown: &Shown, file: &std::path::Path) {
    let queue = kit.client().open_queue("q").await.unwrap();
    let handle = queue.enqueue(Secret::to(What::Succeed)).await.unwrap();
    let conn = rusqlite::Connection::open(file).unwrap();
    for (table, column) in [
        ("jobs", "course"),
        ("jobs", "rare"),
        ("jobs", "options"),
        ("repeatables", "record"),
        ("queues", "spec"),
    ] {
        let value = match column {
            "course" | "options" => format!("CAST('\"{CANARY}\"' AS BLOB)"),
            _ => format!("'{{\"{CANARY}\": \"{CANARY}\", \"name\": \"{CANARY} \"}}'"),
        };
        conn.execute(&format!("UPDATE windlass_{table} SET {column} = {value}"), []).unwrap();
        kit.advance(Duration::from_secs(3600));
        shown.error(&handle.job().await.unwrap_err());
        let drained = kit.drain(|worker| worker.queue(&queue).handle(|_: Picky| async {})).await;
        if let Err(error) = drained {
            shown.error(&error);
        }
    }
}

#[tokio::test]
async fn no_password_of_a_url_is_shown() {
    for url in [
        format!("postgres://user:{CANARY}@host/db"),
        format!("sqlite:jobs.db?password={CANARY}"),
        format!("sqlite:jobs.db?synchronous={CANARY}"),
        format!("sqlite:jobs.db?{CANARY}"),
        format!("redis+{}://:{CANARY}@host", "x".repeat(100)),
        format!("{CANARY}@host"),
        CANARY.to_owned(),
    ] {
        let error = Windlass::connect(&url).await.unwrap_err();
        let text = format!("{error} {error:#} {error:?} {error:#?}");
        assert!(!text.contains(CANARY), "{text}");
    }
}
