//! One call of the store goes wrong, whichever: every job still ends once, and
//! as it should.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use windlass::backend::{Backend, ErrorKind};
use windlass::model::{
    Backoff, Beat, Clock, Detail, Direction, Event, Filter, Interest, Job as Record, JobId,
    JobsQuery, ManualClock, Missed, Notice, State, WorkerId,
};
use windlass::{Attempt, Client, Data, Error, Job, JobError, Queue};
use windlass_conformance::{Trouble, Troubled};
use windlass_memory::{MemoryBackend, MemoryConfig};
use windlass_sqlite::{SqliteBackend, SqliteConfig};

const SECOND: Duration = Duration::from_secs(1);

/// How often the store's clock is moved on by as much.
const TICK: Duration = Duration::from_millis(100);

/// How long everything may take, by the store's clock.
const LONG: Duration = Duration::from_secs(300);

/// So late that leases run out meanwhile.
const LATE: Trouble = Trouble::Late { calls: 25 };
const ANSWER_LATE: Trouble = Trouble::AnswerLate { calls: 25 };

/// How often the repeatable fires.
const FIRES: usize = 3;

/// A job, and what it is to do.
#[derive(Clone, Debug, Serialize, Deserialize, Job)]
struct Task {
    name: String,
    does: Does,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Does {
    Succeed,
    FailTwice,
    Fail,
    Snooze,
    /// It takes longer than a lease lasts.
    TakeTime,
}

/// What was started, in order.
#[derive(Clone, Default)]
struct Started(Arc<Mutex<Vec<String>>>);

async fn run(
    task: Task,
    attempt: Attempt,
    Data(started): Data<Started>,
) -> Result<String, JobError> {
    let first = {
        let mut started = started.0.lock().unwrap();
        let first = !started.contains(&task.name);
        started.push(task.name.clone());
        first
    };
    match task.does {
        Does::FailTwice if attempt.0 < 3 => return Err(JobError::new("not yet")),
        Does::Fail => return Err(JobError::permanent("never")),
        Does::Snooze if first => return Err(JobError::snooze(SECOND)),
        Does::TakeTime => tokio::time::sleep(SECOND * 5).await,
        _ => {}
    }
    Ok(task.name)
}

/// Does something again until the store is there. Whatever is done again here
/// has a key, or changes nothing the second time.
async fn insist<T>(what: impl AsyncFn() -> windlass::Result<T>) -> T {
    for _ in 0..3 {
        match what().await {
            Ok(done) => return done,
            Err(Error::Store(error)) if error.kind() == ErrorKind::Unavailable => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("only one call goes wrong");
}

/// What is to become of the jobs that the store has acknowledged.
#[derive(Default)]
struct Expected {
    by_name: BTreeMap<String, (Does, State)>,
    /// Enqueued without a name and not acknowledged: there, or not.
    unsure: Vec<String>,
}

impl Expected {
    fn of(&mut self, name: &str, does: Does) -> Task {
        let state = if does == Does::Fail { State::Failed } else { State::Completed };
        self.by_name.insert(name.to_owned(), (does, state));
        Task { name: name.to_owned(), does }
    }
}

/// Enqueues everything that there is, and answers what is to become of it.
async fn enqueue(plain: &Queue, line: &Queue) -> Expected {
    let mut expected = Expected::default();
    for n in 0..3 {
        let name = format!("nameless {n}");
        let task = expected.of(&name, Does::Succeed);
        if plain.enqueue(task).await.is_err() {
            expected.by_name.remove(&name);
            expected.unsure.push(name);
        }
    }

    let kinds = [Does::Succeed, Does::FailTwice, Does::Fail, Does::Snooze, Does::TakeTime];
    let tasks = kinds.map(|does| expected.of(&format!("{does:?}"), does));
    let keyed = |queue: &Queue, task: &Task| {
        let key = task.name.clone();
        queue.enqueue(task.clone()).key(key).backoff(Backoff::Fixed(SECOND))
    };
    insist(async || {
        plain.client().enqueue_batch(tasks.iter().map(|task| keyed(plain, task))).await
    })
    .await;

    let only = expected.of("only", Does::Succeed);
    insist(async || match plain.enqueue(only.clone()).dedup("only").await {
        Err(Error::Duplicate { .. }) => Ok(()),
        other => other.map(drop),
    })
    .await;

    // first ─▶ left, right ─▶ last, and one that is cancelled with what fails.
    let flow = ["first", "left", "right", "last"].map(|name| expected.of(name, Does::Succeed));
    let [fails, cancelled] = [("fails", Does::Fail), ("cancelled", Does::Succeed)]
        .map(|(name, does)| expected.of(name, does));
    expected.by_name.insert("cancelled".to_owned(), (Does::Succeed, State::Cancelled));
    insist(async || {
        let mut graph = plain.client().flow();
        let first = graph.add(keyed(plain, &flow[0]))?;
        let left = graph.add(keyed(plain, &flow[1]).after(first.clone()))?;
        let right = graph.add(keyed(line, &flow[2]).partition("other").after(first))?;
        graph.add(keyed(plain, &flow[3]).after_all([left, right]))?;
        let fails = graph.add(keyed(plain, &fails))?;
        graph.add(keyed(plain, &cancelled).after(fails))?;
        graph.enqueue().await
    })
    .await;

    for (n, does) in [Does::Succeed, Does::FailTwice, Does::Succeed].into_iter().enumerate() {
        let task = expected.of(&format!("line {n}"), does);
        insist(async || keyed(line, &task).partition("line").await).await;
    }
    let again = Task { name: "again".to_owned(), does: Does::Succeed };
    insist(async || {
        let repeat = plain.repeat("again", again.clone()).every(SECOND * 2);
        repeat.count(FIRES as u64).missed(Missed::RunAll(100)).await
    })
    .await;
    expected
}

/// A store under test, behind which a job may be looked at without a call that
/// counts.
struct Store {
    backend: Arc<dyn Backend>,
    clock: ManualClock,
}

impl Store {
    async fn jobs(&self) -> Vec<Record> {
        let query = JobsQuery {
            filter: Filter::default(),
            direction: Direction::OldestFirst,
            after: None,
            limit: 1000,
            detail: Detail::Full,
        };
        self.backend.jobs(query).await.unwrap().jobs
    }

    /// Lets time pass, on both clocks, until something holds of the jobs.
    async fn pass_until(&self, what: &str, holds: impl Fn(&[Record]) -> bool) {
        let end = self.clock.now().after(LONG);
        loop {
            let jobs = self.jobs().await;
            if holds(&jobs) {
                return;
            }
            assert!(self.clock.now() < end, "{what}: {jobs:?}");
            // Behind every write that is under way: the clock does not run away
            // from a disk that is slow.
            self.backend.beat(Beat::Leaving(WorkerId::from_bytes([0; 16]))).await.unwrap();
            tokio::time::sleep(TICK).await;
            self.clock.advance(TICK);
        }
    }
}

fn task(job: &Record) -> Task {
    serde_json::from_slice(job.payload.as_ref().unwrap().as_slice()).unwrap()
}

/// Lives through everything while call `at` goes wrong. Answers whether there
/// was such a call.
async fn survive(store: &Store, trouble: Trouble, at: u64) -> bool {
    let troubled = Arc::new(Troubled::new(Arc::clone(&store.backend), trouble, at));
    let client = Client::new(Arc::clone(&troubled) as Arc<dyn Backend>);
    let ends = Ends::of(&*store.backend);
    let declare =
        async |name| insist(async || client.queue(name).concurrency(4).declare().await).await;
    let plain = declare("plain").await;
    let line = insist(async || client.queue("line").partitioned().declare().await).await;
    let started = Started::default();
    let begin = async || {
        let worker = client.worker().queue(&plain).queue(&line).data(started.clone());
        let worker = worker.lease(SECOND * 2).poll_interval(SECOND).sweep_interval(SECOND);
        worker.handle(run).start().await
    };

    // The first half comes before the worker, the second while it works.
    let mut expected = enqueue(&plain, &line).await;
    let worker = insist(begin).await;
    let done = |jobs: &[Record]| {
        let fired = jobs.iter().filter(|job| task(job).name == "again").count();
        fired == FIRES && jobs.iter().all(|job| job.state.is_terminal())
    };
    store.pass_until("not all jobs end", done).await;
    let late = expected.of("late", Does::Succeed);
    insist(async || plain.enqueue(late.clone()).key("late").await).await;
    store.pass_until("the worker is dead", done).await;

    let jobs = store.jobs().await;
    let before = store.clock.now();
    store.pass_until("time stands still", |_| store.clock.now() > before.after(SECOND * 6)).await;
    assert_eq!(store.jobs().await, jobs, "something changed after all had ended");
    worker.stop().await;
    check(&expected, &jobs);
    // A job starts again if its lease was lost; but not after the next in line
    // has, unless its worker hears of the lease when it has run out.
    let mut in_line = started.0.lock().unwrap().clone();
    in_line.retain(|name| name.starts_with("line"));
    in_line.dedup();
    if trouble != ANSWER_LATE {
        assert_eq!(in_line, ["line 0", "line 1", "line 2"]);
    }
    for queue in [&plain, &line] {
        assert_eq!(store.backend.stats(queue.name()).await.unwrap().leases, 0);
    }
    let ends = ends.so_far();
    for job in &jobs {
        assert_eq!(ends.get(&job.id), Some(&1), "so often ended {job:?}");
        // Only a lease of which nobody knows runs out.
        let known = trouble == Trouble::Fails;
        assert!(job.course.stalls == 0 || !known, "given up: {job:?}");
    }
    troubled.calls() >= at
}

fn check(expected: &Expected, jobs: &[Record]) {
    let mut names: Vec<String> = jobs.iter().map(|job| task(job).name).collect();
    names.retain(|name| name != "again");
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "some job is there twice: {jobs:?}");
    for (name, (does, state)) in &expected.by_name {
        let job = jobs.iter().find(|job| task(job).name == *name);
        let job = job.unwrap_or_else(|| panic!("{name} is lost"));
        assert_eq!(job.state, *state, "{job:?}");
        let course = &job.course;
        let wanted = match does {
            Does::FailTwice => (2, 0),
            Does::Fail => (1, 0),
            Does::Snooze => (0, 1),
            Does::Succeed | Does::TakeTime => (0, 0),
        };
        assert_eq!((course.failed_attempts, course.snoozes), wanted, "{job:?}");
        let result = job.result.as_ref().map(|result| result.as_slice().to_vec());
        let wanted = (*state == State::Completed).then(|| serde_json::to_vec(name).unwrap());
        assert_eq!(result, wanted, "{job:?}");
    }
    for name in names {
        let known = expected.by_name.contains_key(&name) || expected.unsure.contains(&name);
        assert!(known, "nobody enqueued {name}");
    }
    let ended = |n| {
        let job = jobs.iter().find(|job| task(job).name == format!("line {n}"));
        job.and_then(|job| job.finished_at)
    };
    assert!([0, 1, 2].map(ended).is_sorted(), "out of line: {jobs:?}");
}

/// How often each job has ended, by the notices of the store itself.
struct Ends {
    counts: Arc<Mutex<BTreeMap<JobId, u32>>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Ends {
    fn of(backend: &dyn Backend) -> Self {
        let mut notices = backend.watch(Interest::Jobs);
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let all = Arc::clone(&counts);
        let listening = tokio::spawn(async move {
            while let Some(notice) = notices.next().await {
                if let Notice::Job { job, event } = notice
                    && matches!(event, Event::Completed | Event::Failed | Event::Cancelled)
                {
                    *all.lock().unwrap().entry(job.id).or_default() += 1;
                }
            }
        });
        Self { counts, listening }
    }

    fn so_far(&self) -> BTreeMap<JobId, u32> {
        self.counts.lock().unwrap().clone()
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Every call goes wrong once, from the first one to the last one that there
/// is.
async fn survive_all(open: impl AsyncFn(Clock) -> Arc<dyn Backend>, trouble: Trouble, step: u64) {
    let mut at = 1;
    loop {
        let clock = ManualClock::new();
        let store = Store { backend: open(Clock::Manual(clock.clone())).await, clock };
        if !survive(&store, trouble, at).await {
            assert!(at > 50, "there are only {at} calls");
            return;
        }
        at += step;
    }
}

async fn memory(clock: Clock) -> Arc<dyn Backend> {
    Arc::new(MemoryBackend::with(MemoryConfig { clock, ..MemoryConfig::default() }))
}

/// Tokio's clock runs on while a thread reads the file, so that there are more
/// calls, and others each time: a part of them at a time covers all.
const SOME: u64 = 37;

/// Files in a folder that goes with them.
async fn in_files(trouble: Trouble) {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU64::new(0);
    let file = async |clock| {
        let name = count.fetch_add(1, Ordering::Relaxed).to_string();
        let mut config = SqliteConfig::new(folder.path().join(name));
        config.clock = clock;
        Arc::new(SqliteBackend::open(config).await.unwrap()) as Arc<dyn Backend>
    };
    survive_all(file, trouble, SOME).await;
}

#[tokio::test(start_paused = true)]
async fn any_one_call_may_fail() {
    survive_all(memory, Trouble::Fails, 1).await;
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_any_one_call_may_be_lost() {
    survive_all(memory, Trouble::AnswerLost, 1).await;
}

#[tokio::test(start_paused = true)]
async fn any_one_call_may_come_late() {
    survive_all(memory, LATE, 1).await;
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_any_one_call_may_come_late() {
    survive_all(memory, ANSWER_LATE, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_file_may_fail() {
    in_files(Trouble::Fails).await;
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_call_of_a_file_may_be_lost() {
    in_files(Trouble::AnswerLost).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_file_may_come_late() {
    in_files(LATE).await;
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_call_of_a_file_may_come_late() {
    in_files(ANSWER_LATE).await;
}
