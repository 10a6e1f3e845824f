//! Real jobs on it, through the runtime: enqueued by one process and run by
//! another.

#![allow(clippy::print_stdout, reason = "a program, not a library")]

use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use windlass::model::{Detail, Direction, JobsQuery, State};
use windlass::{Job, Queue, Windlass};

use crate::backend::RedbBackend;

#[derive(Serialize, Deserialize, Job)]
#[job(name = "greet")]
struct Greet {
    whom: String,
}

async fn greet(job: Greet) -> Result<String, String> {
    Ok(format!("hello, {}", job.whom))
}

/// What follows `demo` on the command line: a file, and whom to greet.
#[tokio::main]
pub(crate) async fn run(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let file = arguments.next().context("which file? demo FILE [NAME...]")?;
    let windlass = Windlass::new(RedbBackend::open(Path::new(&file))?);
    let greetings = windlass.queue("greetings").declare().await?;
    let names: Vec<String> = arguments.collect();
    if names.is_empty() {
        return work(&windlass, &greetings).await;
    }
    for whom in names {
        // Its key makes it the same job, however often it is asked for.
        let handle = greetings.enqueue(Greet { whom: whom.clone() }).key(&whom).await?;
        println!("the job for {whom} is {}", handle.state().await?);
    }
    Ok(())
}

async fn work(windlass: &Windlass, greetings: &Queue) -> anyhow::Result<()> {
    let query = JobsQuery {
        filter: windlass::model::Filter {
            states: vec![State::Scheduled, State::Waiting, State::Active],
            ..greetings.filter()
        },
        direction: Direction::OldestFirst,
        after: None,
        limit: 1000,
        detail: Detail::Summary,
    };
    let jobs = windlass.jobs(query).await?.jobs;
    let worker = windlass.worker().queue(greetings).handle(greet).start().await?;
    for job in jobs {
        println!("{}", windlass.handle(job.reference()).result::<String>().await?);
    }
    let summary = worker.stop().await;
    println!("{summary:?}");
    Ok(())
}
