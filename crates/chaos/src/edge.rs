//! A worker that dies at an edge: before or behind one of the calls that store something.
//!
//! Every run of the same durable jobs makes these calls in about the same order, so that one
//! run for each number dies at each of them: before and after each recorded step, each spawn,
//! each message, each suspension and each end (fault F11).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use windlass::{Client, Data, Durable, Job, JobError, Queue, Windlass};
use windlass_conformance::{Happening, Trouble, Troubled};

use crate::Failure;

/// How long a lease is of a worker that dies: what it held is taken over after that. And of
/// one that does not: on a machine with much else to do, a worker that lives must not lose
/// its lease, or it runs a step again that nobody's death explains.
const LEASES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The calls that store something.
const EDGES: &[&str] = &["enqueue", "apply", "record_steps"];

/// What an edge worker is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct Edge {
    /// The store.
    #[arg(long)]
    store: String,
    /// The queue.
    #[arg(long)]
    queue: String,
    /// At which call it dies, counted from 1; 0 for none.
    #[arg(long)]
    call: u64,
    /// Whether it dies when the call has taken effect, and not before.
    #[arg(long)]
    after: bool,
    /// Where steps write down that they were run.
    #[arg(long)]
    log: PathBuf,
}

/// The job that does everything once.
#[derive(Serialize, Deserialize, Job)]
#[job(name = "edge.all", retries = 0)]
pub(crate) struct All {
    /// Whom it sends a message.
    pub(crate) to: windlass::model::JobRef,
}

/// The job that it spawns.
#[derive(Serialize, Deserialize, Job)]
#[job(name = "edge.part", retries = 0)]
struct Part {
    number: u32,
}

/// The job that receives its message.
#[derive(Serialize, Deserialize, Job)]
#[job(name = "edge.receiver", retries = 0)]
pub(crate) struct Receiver;

/// Where steps write down that they were run.
struct Log(PathBuf);

impl Log {
    fn note(&self, what: &str) -> Result<String, JobError> {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.0)?;
        writeln!(file, "{what}")?;
        Ok(what.to_owned())
    }
}

/// What the job comes to.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Came {
    /// What its steps returned.
    pub(crate) steps: Vec<String>,
    /// What it received.
    pub(crate) messages: Vec<u32>,
    /// What its parts returned.
    pub(crate) parts: Vec<u32>,
    /// Two random numbers.
    pub(crate) random: (u64, u64),
}

async fn all(job: All, ctx: Durable, log: Data<Log>) -> Result<Came, JobError> {
    let first = ctx.step("first", || async { log.note("first") }).await?;
    let random = ctx.random().await?;
    let mut messages = vec![ctx.receive("number").await?];
    let parts = ctx.spawn_all("parts", (1..=2).map(|number| Part { number })).await?;
    let parts = parts.results().await?;
    ctx.send(job.to, "word", "hello").await?;
    ctx.sleep(Duration::from_millis(1)).await?;
    messages.push(ctx.receive("number").await?);
    let child = ctx.spawn("one more", Part { number: 3 }).await?;
    let last = child.result::<u32>().await?;
    let second = ctx.step("second", || async { log.note("second") }).await?;
    let came = Came {
        steps: vec![first, second],
        messages,
        parts: [parts, vec![last]].concat(),
        random: (random, ctx.random().await?),
    };
    Ok(came)
}

async fn part(job: Part, ctx: Durable, log: Data<Log>) -> Result<u32, JobError> {
    let name = format!("part {}", job.number);
    ctx.step(name.clone(), || async { log.note(&name) }).await?;
    Ok(job.number * 10)
}

async fn receive(_: Receiver, ctx: Durable) -> Result<String, JobError> {
    let word: String = ctx.receive("word").await?;
    // Should it come twice, it is here.
    match ctx.receive::<String>("word").timeout(Duration::from_millis(300)).await {
        Err(windlass::Error::NoMessage(_)) => Ok(word),
        other => Err(JobError::permanent(format!("and then {other:?}"))),
    }
}

fn die() {
    let this = rustix::process::getpid();
    let _ = rustix::process::kill_process(this, rustix::process::Signal::KILL);
    // The signal may take a moment, and nothing else is to happen.
    loop {
        std::thread::park();
    }
}

/// Works the queue until all that is there has ended.
pub(crate) async fn run(edge: Edge) -> Result<(), Failure> {
    let windlass = Windlass::connect(&edge.store).await?;
    let dies = Happening(die);
    let trouble = if edge.after { Trouble::After(dies) } else { Trouble::Before(dies) };
    let troubled = Troubled::new(Arc::clone(windlass.backend()), trouble, edge.call).only(EDGES);
    let troubled = Arc::new(troubled);
    let client = Client::new(Arc::clone(&troubled) as Arc<dyn windlass::backend::Backend>);
    let queue = client.open_queue(edge.queue.clone()).await?;
    let lease = if edge.call == 0 { LEASES.1 } else { LEASES.0 };
    let worker = client.worker().queue(&queue).lease(lease);
    let worker =
        worker.poll_interval(Duration::from_millis(200)).sweep_interval(Duration::from_millis(200));
    let worker = worker.data(Log(edge.log.clone())).handle(all).handle(part).handle(receive);
    let worker = worker.start().await?;
    while open(&queue).await? > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    worker.stop().await;
    println!("{}", troubled.calls());
    Ok(())
}

/// How many jobs of the queue have not ended.
async fn open(queue: &Queue) -> Result<u64, Failure> {
    use windlass::model::State;
    let stats = queue.stats().await?;
    Ok(State::ALL
        .into_iter()
        .filter(|state| !state.is_terminal())
        .map(|state| stats.count(state))
        .sum())
}
