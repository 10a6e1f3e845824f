//! A worker process: handles jobs and writes down what it knows of them.

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use windlass::backend::BackendExt;
use windlass::model::{JobId, JobRef, NewStep, Payload, StepName, StepRecorded, Token};
use windlass::{Client, Context, Data, Error, JobError, Windlass, WorkerBuilder, backend};

use crate::fact::{Acknowledged, Fact, History, Start, StepAnswer, machine_time};
use crate::jobs::{Doomed, Flaky, Parent, Poison, Rare, STEPS, Snoozy, Steps, Tick, Work};
use crate::plan::{Queues, knows_rare};
use crate::{Failure, Member, stale};

/// How many leases that have ended are remembered.
const PAST: usize = 256;

/// How long handlers may go on once standard input has ended.
const GRACE: Duration = Duration::from_secs(20);

/// What this process has in its hands, and has had.
pub(crate) struct Hands {
    pub(crate) history: History,
    queues: Queues,
    held: Mutex<HashMap<(JobId, Token), JobRef>>,
    past: Mutex<VecDeque<(JobRef, Token)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hands {
    /// Notes that a handler begins.
    fn begin(self: &Arc<Self>, context: &Context) -> Attempt {
        let job = context.job();
        // A running job has both.
        let at = job.started_at.unwrap_or_default();
        let until = job.lease.map_or(at, |lease| lease.until);
        let of = (job.reference(), context.token());
        self.history.note(Fact::Started(Start {
            job: job.id,
            queue: job.queue.clone(),
            token: of.1,
            at,
            until,
            attempt: context.attempt(),
            partition: job.partition.clone(),
            worker: context.worker(),
        }));
        lock(&self.held).insert((job.id, of.1), of.0.clone());
        Attempt { hands: Arc::clone(self), of, finished: false }
    }

    /// The leases in hand, and the last ones that were.
    pub(crate) fn leases(&self) -> Vec<(JobRef, Token)> {
        let mut leases: Vec<_> =
            lock(&self.held).iter().map(|((_, token), job)| (job.clone(), *token)).collect();
        leases.extend(lock(&self.past).iter().cloned());
        leases
    }

    /// One of the last leases that have ended.
    pub(crate) fn past(&self, random: &mut fastrand::Rng) -> Option<(JobRef, Token)> {
        let past = lock(&self.past);
        if past.is_empty() { None } else { past.get(random.usize(..past.len())).cloned() }
    }
}

/// A handler at work.
struct Attempt {
    hands: Arc<Hands>,
    of: (JobRef, Token),
    finished: bool,
}

impl Attempt {
    /// Notes that the handler is about to return, by the store's clock.
    async fn finish(mut self, context: &Context) {
        let (job, token) = (self.of.0.id, self.of.1);
        match context.client().backend().now().await {
            Ok(at) => {
                self.finished = true;
                self.hands.history.note(Fact::Finished { job, token, at });
            }
            Err(error) => self.hands.history.note_failure("now", &error),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let (job, token) = (self.of.0.clone(), self.of.1);
        if !self.finished {
            self.hands.history.note(Fact::Dropped { job: job.id, token });
        }
        lock(&self.hands.held).remove(&(job.id, token));
        let mut past = lock(&self.hands.past);
        past.push_back((job, token));
        if past.len() > PAST {
            past.pop_front();
        }
    }
}

/// Runs until standard input ends.
pub(crate) async fn run(member: Member) -> Result<(), Failure> {
    let ended = leave_with_parent()?;
    speak();
    let history = History::begin(&member.history)?;
    let (windlass, queues) = persist(&history, "connect", || join(&member.store)).await?;
    let hands = Arc::new(Hands {
        history,
        queues: queues.clone(),
        held: Mutex::default(),
        past: Mutex::default(),
    });
    let start = || builder(&windlass, &hands, &member).start();
    let worker = persist(&hands.history, "start", start).await?;
    hands.history.note(Fact::Began { worker: worker.id() });
    let watch = tokio::spawn(stale::watch(
        Arc::clone(&hands),
        Client::clone(&windlass),
        queues,
        member.clone(),
    ));
    // It ends with the parent's end too.
    let _ = ended.await;
    worker.stop().await;
    watch.abort();
    Ok(())
}

fn builder(windlass: &Windlass, hands: &Arc<Hands>, member: &Member) -> WorkerBuilder {
    let mut builder = windlass
        .worker()
        .lease(member.lease())
        // Both are short, so that what was lost is found within a lease.
        .poll_interval(member.lease() / 5)
        .sweep_interval(member.lease() / 4)
        .shutdown_grace(GRACE)
        .data(Arc::clone(hands))
        .handle(work)
        .handle(flaky)
        .handle(snoozy)
        .handle(steps)
        .handle(parent)
        .handle(doomed)
        .handle(poison)
        .handle(tick);
    for (queue, slots) in hands.queues.all() {
        builder = builder.queue_with(queue, slots);
    }
    if knows_rare(member.index) {
        builder = builder.handle(rare);
    }
    builder
}

/// Connects, and declares the queues.
pub(crate) async fn join(store: &str) -> windlass::Result<(Windlass, Queues)> {
    let windlass = Windlass::connect(store).await?;
    let queues = Queues::declare(&windlass).await?;
    Ok((windlass, queues))
}

/// Does what a process begins with. A store that is away is waited for:
/// whoever looks after real processes would start them again until it is back.
pub(crate) async fn persist<T, F>(
    history: &History,
    call: &str,
    mut begin: impl FnMut() -> F,
) -> windlass::Result<T>
where
    F: Future<Output = windlass::Result<T>>,
{
    loop {
        match begin().await {
            Err(error) if error.is_transient() => {
                history.note_failure(call, &error);
                pass(100).await;
            }
            done => return done,
        }
    }
}

/// What ends when standard input does. A stopped process would not notice that
/// its parent has died, so the system is asked to kill it then.
pub(crate) fn leave_with_parent() -> Result<tokio::sync::oneshot::Receiver<()>, Failure> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // Processes abort here on purpose, and nobody wants their memory on disk.
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Core, none)?;
    let (end, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Whatever it reads, or whyever it cannot, the end is the end.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = end.send(());
    });
    Ok(ended)
}

/// The time as in histories, so that the judge can compare.
struct MachineTime;

impl FormatTime for MachineTime {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        write!(line, "{}", machine_time().as_micros())
    }
}

/// Lets warnings and errors of the library out: they go to a file, and the
/// judge reads it. What a store's client says by itself stays out: it calls an
/// error what it tries again, and what comes of that, the library says.
pub(crate) fn speak() {
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_timer(MachineTime)
        .with_target(false)
        .with_writer(std::io::stderr);
    // Every crate of the library has a name that begins so.
    let ours = Targets::new().with_target("windlass", LevelFilter::WARN);
    tracing_subscriber::registry().with(lines).with(ours).init();
}

type Mine = Data<Arc<Hands>>;

async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

async fn work(job: Work, context: Context, hands: Mine) {
    let attempt = hands.begin(&context);
    pass(job.ms).await;
    attempt.finish(&context).await;
}

async fn flaky(job: Flaky, context: Context, hands: Mine) -> Result<(), JobError> {
    let attempt = hands.begin(&context);
    pass(job.ms).await;
    attempt.finish(&context).await;
    if context.attempt() == 1 {
        return Err(JobError::new("not at\0the first attempt"));
    }
    Ok(())
}

async fn snoozy(_: Snoozy, context: Context, hands: Mine) -> Result<(), JobError> {
    let attempt = hands.begin(&context);
    attempt.finish(&context).await;
    if context.job().course.snoozes == 0 {
        return Err(JobError::snooze(Duration::from_millis(100)));
    }
    Ok(())
}

async fn rare(job: Rare, context: Context, hands: Mine) {
    let attempt = hands.begin(&context);
    pass(job.ms).await;
    attempt.finish(&context).await;
}

async fn doomed(_: Doomed, context: Context, hands: Mine) -> Result<(), JobError> {
    let attempt = hands.begin(&context);
    attempt.finish(&context).await;
    Err(JobError::permanent("as was planned"))
}

async fn tick(_: Tick, context: Context, hands: Mine) {
    let attempt = hands.begin(&context);
    attempt.finish(&context).await;
}

async fn poison(_: Poison, context: Context, hands: Mine) {
    let _attempt = hands.begin(&context);
    std::process::abort();
}

async fn steps(job: Steps, context: Context, hands: Mine) -> Result<(), JobError> {
    let attempt = hands.begin(&context);
    let (of, token) = (context.reference(), context.token());
    for position in 0..STEPS {
        pass(job.ms).await;
        // Who records differs by token: what is stored tells who was first.
        let mine = format!("{position} under {}", token.0);
        let step = NewStep {
            job: of.clone(),
            token,
            position,
            name: StepName::new(format!("step-{position}"))?,
            outcome: Payload::from(mine.clone()),
        };
        let (answer, outcome) = match context.client().backend().record_step(step).await {
            Ok(StepRecorded::Recorded) => (StepAnswer::Recorded, mine),
            Ok(StepRecorded::Existing(step)) => (
                StepAnswer::Existing,
                String::from_utf8_lossy(step.outcome.as_slice()).into_owned(),
            ),
            Ok(StepRecorded::StaleLease) => (StepAnswer::Stale, mine),
            Err(error) => {
                hands.history.note_failure("record_step", &error);
                return Err(error.into());
            }
        };
        hands.history.note(Fact::Step { job: of.id, token, position, answer, outcome });
    }
    attempt.finish(&context).await;
    Ok(())
}

async fn parent(job: Parent, context: Context, hands: Mine) -> Result<(), JobError> {
    let attempt = hands.begin(&context);
    pass(job.ms).await;
    let queue = &hands.queues.bulk;
    let key = format!("child-of-{}", context.id());
    match queue.enqueue(Work { ms: 1 }).key(&key).child_of(&context).await {
        Ok(child) => {
            let mut fact = Acknowledged::new(child.id(), queue.name());
            fact.key = Some(key);
            hands.history.note(Fact::Acknowledged(fact));
        }
        // The lease is lost, and somebody else does this.
        Err(Error::Refused(backend::Refusal::StaleParent(_))) => {}
        Err(error) => {
            hands.history.note_failure("enqueue child", &error);
            return Err(error.into());
        }
    }
    attempt.finish(&context).await;
    Ok(())
}
