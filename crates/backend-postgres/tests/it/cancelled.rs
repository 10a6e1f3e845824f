//! Calls that are given up half-way (F27).

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use windlass_core::backend::{Extend, Overdue, OverdueQuery, PutRepeatable};
use windlass_core::decide::{JobRequest, overdue, repeat};
use windlass_core::model::{
    JobId, JobTemplate, JobType, ManualClock, Missed, Overlap, Payload, Repeatable, RepeatableKey,
    State,
};
use windlass_core::schedule::Schedule;
use windlass_core::{Backend, Error};
use windlass_postgres::PostgresBackend;

use crate::fixture::*;

const CALLS: u64 = 10_000;
const TASKS: u64 = 20;

/// Polls a call so often and drops it. Answers what it came to, if it did.
async fn give_up_after<T>(polls: u64, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match call.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            // It is polled again when it can get further.
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn repeatable(number: u64, backend_now: windlass_core::model::Timestamp) -> PutRepeatable {
    let wanted = Repeatable {
        key: RepeatableKey::new(format!("r{number}")).unwrap(),
        queue: queue(),
        template: JobTemplate {
            job_type: JobType::new("t").unwrap(),
            payload: Payload::from("p"),
            options: windlass_core::model::JobOptions::default(),
            partition: None,
            tags: Vec::new(),
        },
        schedule: Schedule::every(Duration::from_secs(3600)).unwrap(),
        start: None,
        end: None,
        count: None,
        missed: Missed::RunOnce,
        overlap: Overlap::Allow,
    };
    let record = repeat::put(None, wanted, backend_now).expect("a new one");
    PutRepeatable { record, guard: None, jobs: jobs(1) }
}

/// Makes calls and drops them; answers the ids of those jobs whose enqueue was
/// acknowledged, and how many calls were dropped before they had answered.
async fn calls(backend: Arc<PostgresBackend>, task: u64) -> (Vec<JobId>, u64) {
    let mut dice = Dice::new(task + 1);
    let mut acknowledged = Vec::new();
    let mut dropped = 0;
    let now = backend.now().await.unwrap();
    for number in 0..CALLS / TASKS {
        let polls = dice.below(7);
        let ended: Option<Result<(), Error>> = match dice.below(8) {
            0 | 1 => {
                let batch = jobs(2);
                let ids: Vec<JobId> = batch.iter().map(|job| job.id).collect();
                let answer = give_up_after(polls, backend.enqueue(batch)).await;
                if matches!(answer, Some(Ok(_))) {
                    acknowledged.extend(ids);
                }
                answer.map(|answer| answer.map(drop))
            }
            2 => give_up_after(polls, backend.dequeue(ask(3))).await.map(|a| a.map(drop)),
            3 | 4 => {
                let leased = take(&backend, 2).await;
                let extend = leased
                    .iter()
                    .map(|job| Extend {
                        job: job.reference(),
                        token: job.lease.unwrap().token,
                        lease: LEASE,
                        progress: None,
                    })
                    .collect();
                let extended = give_up_after(polls, backend.extend(extend)).await;
                let ends = leased.iter().map(done).collect();
                let applied = give_up_after(polls, backend.apply(ends)).await;
                extended.map(|answer| answer.map(drop)).and(applied.map(|a| a.map(drop)))
            }
            5 => {
                let put = repeatable(task * CALLS + number, now);
                give_up_after(polls, backend.put_repeatable(put)).await.map(|a| a.map(drop))
            }
            6 => give_up_after(polls, backend.stats(&queue())).await.map(|a| a.map(drop)),
            _ => give_up_after(polls, backend.declare(&spec())).await.map(|a| a.map(drop)),
        };
        match ended {
            Some(Err(error)) => panic!("{error:#}"),
            Some(Ok(())) => {}
            None => dropped += 1,
        }
    }
    (acknowledged, dropped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_dropped_calls_leave_no_transaction_open_and_lose_no_job() {
    let home = Home::new();
    let clock = ManualClock::new();
    let mut config = home.config_by(&clock);
    config.connections = 4;
    let name = format!("windlass {}", home.schema);
    config.server = config.server.application_name(&name);
    let backend = Arc::new(PostgresBackend::connect(config).await.unwrap());
    backend.declare(&spec()).await.unwrap();
    let tasks: Vec<_> =
        (0..TASKS).map(|task| tokio::spawn(calls(Arc::clone(&backend), task))).collect();
    let mut acknowledged: HashSet<JobId> = HashSet::new();
    let mut dropped = 0;
    for task in tasks {
        let (ids, count) = task.await.unwrap();
        acknowledged.extend(ids);
        dropped += count;
    }
    assert!(dropped > CALLS / 10, "only {dropped} calls were dropped");
    assert!(!acknowledged.is_empty(), "no call came to its end");
    // A call waits for those that were dropped before it.
    backend.stats(&queue()).await.unwrap();
    let idle = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' \
         AND state LIKE 'idle in transaction%'"
    );
    assert_eq!(home.number(&idle).await, 0);

    // What was leased in answers that nobody got is taken over and runs.
    loop {
        clock.advance(LEASE * 2);
        let query =
            OverdueQuery { queue: queue(), what: Overdue::LostLeases, after: None, limit: 1000 };
        let page = backend.overdue(query).await.unwrap();
        let lost: Vec<_> = page
            .jobs
            .iter()
            .filter_map(|job| overdue(job, &spec(), Overdue::LostLeases, page.now))
            .collect();
        let leased = take(&backend, 1000).await;
        if lost.is_empty() && leased.is_empty() {
            break;
        }
        apply(&backend, lost).await;
        apply(&backend, leased.iter().map(done).collect()).await;
    }
    let stats = backend.stats(&queue()).await.unwrap();
    let stored = home.number("SELECT count(*) FROM windlass.jobs").await;
    assert_eq!(stats.count(State::Completed), stored.unsigned_abs());
    assert_eq!(home.number("SELECT count(*) FROM windlass.ended").await, stored);
    let fired = home.number("SELECT count(*) FROM windlass.repeatables").await;
    let mut lost = 0;
    for id in &acknowledged {
        let reference = windlass_core::model::JobRef { queue: queue(), id: *id };
        lost += usize::from(backend.job(&reference).await.unwrap().is_none());
    }
    assert_eq!(lost, 0, "acknowledged jobs are there");
    enqueue(&backend, vec![new_job(JobRequest { ..request() })]).await;
    eprintln!(
        "{dropped} of {CALLS} calls dropped: idle in transaction 0, lost 0 of {} acknowledged \
         ({stored} stored, {fired} repeatables)",
        acknowledged.len()
    );
}
