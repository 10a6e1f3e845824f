//! Lets workers die at each edge of durable jobs, one after the other, and judges what came
//! of the jobs (fault F11).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::process::Command;
use tokio::sync::Semaphore;
use windlass::model::{FIRST_MESSAGE, FIRST_RESULT, Filter, Job as JobRecord, JobsQuery, State};
use windlass::{JobHandle, Queue, Windlass};

use crate::Failure;
use crate::edge::{All, Came, Receiver};

/// How long the jobs may take, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a run of edges is like.
#[derive(Args, Clone, Debug)]
pub(crate) struct Edges {
    /// The store; queues of their own are made in it.
    #[arg(long)]
    store: String,
    /// How many of the runs go side by side.
    #[arg(long, default_value_t = 4)]
    at_once: usize,
}

/// What came of all runs.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// How many calls an undisturbed run makes that store something.
    calls: u64,
    /// How many workers died at one of them.
    deaths: u64,
    /// Steps that were run, and died before they were recorded.
    run_twice: u64,
    violations: Vec<String>,
}

/// Runs the jobs once for each edge. Answers whether nothing was violated.
pub(crate) async fn run(options: Edges) -> Result<bool, Failure> {
    let windlass = Windlass::connect(&options.store).await?;
    let folder = tempfile::tempdir()?;
    let undisturbed = one(&windlass, &options.store, folder.path(), 0, false).await?;
    let calls = undisturbed.calls.ok_or("an undisturbed worker died")?;
    let mut summary = Summary { calls, ..Summary::default() };
    summary.violations.extend(undisturbed.violations);
    let side_by_side = Arc::new(Semaphore::new(options.at_once.max(1)));
    // What goes together in one call depends on who is quicker.
    let runs =
        (1..=calls + 3).flat_map(|call| [(call, false), (call, true)]).map(|(call, after)| {
            let (windlass, store, side_by_side) =
                (windlass.clone(), options.store.clone(), Arc::clone(&side_by_side));
            let folder = folder.path().to_owned();
            tokio::spawn(async move {
                let _turn = side_by_side.acquire().await?;
                one(&windlass, &store, &folder, call, after).await
            })
        });
    let runs: Vec<_> = runs.collect();
    for run in runs {
        let run = run.await??;
        summary.deaths += u64::from(run.calls.is_none());
        summary.run_twice += run.run_twice;
        summary.violations.extend(run.violations);
    }
    println!("{}", serde_json::to_string_pretty(&summary)?);
    Ok(summary.violations.is_empty() && summary.deaths >= calls)
}

/// What came of one run.
struct Run {
    /// How many calls the first worker made; `None`: it died.
    calls: Option<u64>,
    run_twice: u64,
    violations: Vec<String>,
}

/// Lets a worker die at a call, and another one do the rest.
async fn one(
    windlass: &Windlass,
    store: &str,
    folder: &Path,
    call: u64,
    after: bool,
) -> Result<Run, Failure> {
    let when = if after { "after" } else { "before" };
    let name = format!("edge-{}-{when}-{call}", std::process::id());
    let queue = windlass.queue(&name).declare().await?;
    let receiver = queue.enqueue(Receiver).await?;
    let all = queue.enqueue(All { to: receiver.reference().clone() }).await?;
    for number in 1..=2 {
        all.send("number", &number).await?;
    }
    let log = folder.join(&name);
    let calls = worker(store, &name, call, after, &log).await?;
    if calls.is_none() {
        let second = worker(store, &name, 0, after, &log).await?;
        second.ok_or("a worker died that was not to")?;
    }
    let (mut violations, run_twice) = judge(windlass, &queue, &all, &receiver, &log).await?;
    for violation in &mut violations {
        *violation = format!("died {when} call {call}: {violation}");
    }
    Ok(Run { calls, run_twice, violations })
}

/// Runs a worker until the jobs have ended. `None`: it was killed.
async fn worker(
    store: &str,
    queue: &str,
    call: u64,
    after: bool,
    log: &Path,
) -> Result<Option<u64>, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["edge", "--store", store, "--queue", queue, "--call", &call.to_string()]);
    command.arg("--log").arg(log).stdin(Stdio::null()).stderr(Stdio::inherit());
    if after {
        command.arg("--after");
    }
    let output = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output()).await;
    let output = output.map_err(|_| format!("the jobs of {queue} do not end"))??;
    if output.status.success() {
        return Ok(Some(String::from_utf8(output.stdout)?.trim().parse()?));
    }
    // By a signal, and not by itself.
    match output.status.code() {
        None => Ok(None),
        Some(_) => Err(format!("a worker failed with {}", output.status).into()),
    }
}

/// What is wrong with what is stored, and how many steps were run twice.
async fn judge(
    windlass: &Windlass,
    queue: &Queue,
    all: &JobHandle<All>,
    receiver: &JobHandle<Receiver>,
    log: &Path,
) -> Result<(Vec<String>, u64), Failure> {
    let mut wrong = Vec::new();
    let mut check = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    let came: Result<Came, _> = all.result().await;
    match &came {
        Ok(came) => {
            let results = (&came.steps[..], &came.messages[..], &came.parts[..]);
            let steps = ["first".to_owned(), "second".to_owned()];
            check(results == (&steps, &[1, 2], &[10, 20, 30]), format!("it came to {came:?}"));
        }
        Err(error) => check(false, format!("it did not complete: {error:#}")),
    }
    let heard: Result<String, _> = receiver.result().await;
    check(heard.as_deref().ok() == Some("hello"), format!("the receiver heard {heard:?}"));

    let steps = windlass.backend().steps(all.reference()).await?;
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    let expected = [
        "first", "random", "number", "parts", "word", "sleep", "number", "one more", "second",
        "random", "results", "results", "number", "number",
    ];
    check(names == expected, format!("its record is {names:?}"));
    let results = steps.iter().filter(|s| (FIRST_RESULT..FIRST_MESSAGE).contains(&s.position));
    check(results.count() == 2, format!("it was told other results: {steps:?}"));
    let told = windlass.backend().steps(receiver.reference()).await?;
    let messages = told.iter().filter(|step| step.position >= FIRST_MESSAGE).count();
    check(messages == 1, format!("the receiver was sent {messages} messages"));

    let jobs = windlass.jobs(JobsQuery::of(queue.filter())).await?.jobs;
    let parent = Some(all.reference().clone());
    let children = windlass.jobs(JobsQuery::of(Filter { parent, ..queue.filter() })).await?.jobs;
    check(
        jobs.len() == 5 && children.len() == 3,
        format!("{} jobs, {} children", jobs.len(), children.len()),
    );
    let sound = |job: &JobRecord| job.state == State::Completed && job.course.failed_attempts == 0;
    check(jobs.iter().all(sound), format!("not all have completed: {jobs:?}"));

    let mut runs: BTreeMap<String, u64> = BTreeMap::new();
    for line in std::fs::read_to_string(log)?.lines() {
        *runs.entry(line.to_owned()).or_default() += 1;
    }
    // Between a step's end and its record the process can die, once.
    check(runs.len() == 5 && runs.values().all(|count| *count <= 2), format!("steps ran {runs:?}"));
    let twice = runs.values().filter(|count| **count == 2).count() as u64;
    check(twice <= 3, format!("steps ran {runs:?}"));
    Ok((wrong, twice))
}
