//! Whether notices slow down the commits of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use windlass::postgres::sqlx::postgres::{PgConnection, PgListener, PgPoolOptions};
use windlass::postgres::sqlx::{Connection, Executor};
use windlass::{EnqueueInTransaction, Queue, Windlass};

use super::drain::{Tally, handle};
use crate::job::Noop;
use crate::options::Options;
use crate::report::{Report, per_second};
use crate::server::postgres as server;

/// How many write at once.
const WRITERS: usize = 16;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS notes (id bigint GENERATED ALWAYS AS IDENTITY, note text NOT NULL)
";

const WRITE: &str = "INSERT INTO notes (note) VALUES ('written by an application')";

/// What an application's transactions do besides writing a row.
#[derive(Clone)]
enum Besides {
    Nothing,
    /// They notify a channel that somebody listens to.
    Notify,
    /// They enqueue a job.
    Enqueue(Queue),
}

/// 16 writers: alone; enqueuing in their transactions, while a worker polls;
/// the same while it listens; and, for comparison, each notifying a listener by
/// itself. The rate is that of commits while a worker listens.
pub(crate) async fn run(options: &Options) -> Result<()> {
    ensure!(options.is_postgres(), "{}: has no notices of this kind", options.scheme());
    let mut conn = server::connect(&options.store).await?;
    conn.execute(SCHEMA).await?;

    let alone = write(options, &Besides::Nothing).await?;
    let (polling, polled) = beside_a_worker(options, "off").await?;
    let (listening, listened) = beside_a_worker(options, "on").await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(server::server(&options.store)?)
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen("notes").await?;
    let hears = tokio::spawn(async move { while listener.recv().await.is_ok() {} });
    let notifying = write(options, &Besides::Notify).await?;
    hears.abort();

    let rate = |commits: u64| per_second(commits as usize, options.time());
    Report::new(options)
        .rate(listening as usize, options.time())
        .with("writers", WRITERS)
        .with("alone_commits_per_s", rate(alone))
        .with("enqueuing_beside_polling_worker_commits_per_s", rate(polling))
        .with("enqueuing_beside_listening_worker_commits_per_s", rate(listening))
        .with("jobs_done_by_polling_worker", polled)
        .with("jobs_done_by_listening_worker", listened)
        .with("notifying_in_the_transaction_commits_per_s", rate(notifying))
        .print()
}

/// Writers that enqueue, a worker that does their jobs, and one task that
/// enqueues by plain calls, of which a listening worker is notified. Answers
/// the commits and how many jobs were done meanwhile.
async fn beside_a_worker(options: &Options, notices: &str) -> Result<(u64, usize)> {
    let separator = if options.store.contains('?') { '&' } else { '?' };
    let url = format!("{}{separator}notices={notices}", options.store);
    let windlass = Windlass::connect(&url).await?;
    let queue = windlass.queue(format!("notify-{notices}")).declare().await?;
    let tally = Arc::new(Tally::new(usize::MAX));
    let worker =
        windlass.worker().queue(&queue).data(Arc::clone(&tally)).handle(handle).start().await?;
    let (plain, payload) = (queue.clone(), options.payload);
    let enqueuing = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            if plain.enqueue(Noop::new(0, payload)).await.is_err() {
                return;
            }
        }
    });
    let commits = write(options, &Besides::Enqueue(queue)).await?;
    let done = tally.calls();
    ensure!(!enqueuing.is_finished(), "the plain calls failed");
    enqueuing.abort();
    worker.stop().await;
    Ok((commits, done))
}

/// How many transactions the writers commit in the time.
async fn write(options: &Options, besides: &Besides) -> Result<u64> {
    let commits = Arc::new(AtomicU64::new(0));
    let mut conns = Vec::new();
    for _ in 0..WRITERS {
        conns.push(server::connect(&options.store).await?);
    }
    let until = Instant::now() + options.time();
    let writers: Vec<_> = conns
        .into_iter()
        .map(|conn| {
            let task = one(conn, until, besides.clone(), Arc::clone(&commits), options.payload);
            tokio::spawn(task)
        })
        .collect();
    for writer in writers {
        writer.await??;
    }
    Ok(commits.load(Ordering::Relaxed))
}

async fn one(
    mut conn: PgConnection,
    until: Instant,
    besides: Besides,
    commits: Arc<AtomicU64>,
    payload: usize,
) -> Result<()> {
    while Instant::now() < until {
        let mut tx = conn.begin().await?;
        tx.execute(WRITE).await?;
        match &besides {
            Besides::Nothing => {}
            Besides::Notify => {
                tx.execute("SELECT pg_notify('notes', '')").await?;
            }
            Besides::Enqueue(queue) => {
                queue.enqueue(Noop::new(0, payload)).in_tx(&mut tx).await?;
            }
        }
        tx.commit().await?;
        commits.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
