//! Calls that are given up half-way (F27): a call has happened whole or not at all, and
//! what was leased in an answer that nobody got is leased until its lease runs out.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use windlass_core::backend::{Extend, Overdue, OverdueQuery, PutRepeatable};
use windlass_core::decide::{overdue, repeat};
use windlass_core::model::{Filter, JobId, JobRef, ManualClock, State};
use windlass_core::{Backend, Error};
use windlass_redis::RedisBackend;

use crate::fixture::*;

const CALLS: u64 = 4000;
const TASKS: u64 = 20;
/// So many of them have to have been dropped.
const DROPPED: u64 = 1000;

/// Polls a call so often and drops it. Answers what it came to, if it did.
pub(crate) async fn give_up_after<T>(polls: u64, call: impl Future<Output = T>) -> Option<T> {
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

/// Makes calls and drops them; answers the ids of those jobs whose enqueue was
/// acknowledged, and how many calls were dropped before they had answered.
async fn calls(backend: RedisBackend, task: u64) -> (Vec<JobId>, u64) {
    let mut dice = Dice::new(task + 1);
    let mut acknowledged = Vec::new();
    let mut dropped = 0;
    let now = backend.now().await.unwrap();
    for number in 0..CALLS / TASKS {
        let polls = dice.below(5);
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
                let extend = leased.iter().map(|job| Extend {
                    job: job.reference(),
                    token: job.lease.unwrap().token,
                    lease: LEASE,
                    progress: None,
                });
                let extended = give_up_after(polls, backend.extend(extend.collect())).await;
                let ends = leased.iter().map(done).collect();
                let applied = give_up_after(polls, backend.apply(ends)).await;
                extended.map(|answer| answer.map(drop)).and(applied.map(|a| a.map(drop)))
            }
            5 => {
                let wanted = repeatable(&queue(), &format!("r{}", task * CALLS + number));
                let record = repeat::put(None, wanted, now).expect("a new one");
                let put = PutRepeatable { record, guard: None, jobs: jobs(1) };
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

/// Takes over what has lost its lease, and ends all that can be leased. Answers whether
/// every job has ended.
async fn drain(backend: &RedisBackend, clock: &ManualClock) -> bool {
    clock.advance(LEASE * 2);
    let query =
        OverdueQuery { queue: queue(), what: Overdue::LostLeases, after: None, limit: 1000 };
    let page = backend.overdue(query).await.unwrap();
    let lost: Vec<_> = page
        .jobs
        .iter()
        .filter_map(|job| overdue(job, &spec(), Overdue::LostLeases, page.now))
        .collect();
    // A call that was dropped may settle one of them first.
    backend.apply(lost).await.unwrap();
    apply(backend, take(backend, 1000).await.iter().map(done).collect()).await;
    let stats = backend.stats(&queue()).await.unwrap();
    stats.jobs.iter().sum::<u64>() == stats.count(State::Completed)
}

async fn thousands_of_calls_are_dropped(home: Home) {
    let clock = ManualClock::new();
    let mut handles = Vec::new();
    for _ in 0..4 {
        handles.push(home.open_by(&clock).await);
    }
    handles[0].declare(&spec()).await.unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| tokio::spawn(calls(handles[task as usize % handles.len()].clone(), task)))
        .collect();
    let mut acknowledged: HashSet<JobId> = HashSet::new();
    let mut dropped = 0;
    for task in tasks {
        let (ids, count) = task.await.unwrap();
        acknowledged.extend(ids);
        dropped += count;
    }
    assert!(dropped >= DROPPED, "only {dropped} calls were dropped");
    assert!(!acknowledged.is_empty(), "no call came to its end");
    let backend = &handles[0];
    // Calls that were dropped may come to their end a little later.
    until("every job has ended", || drain(backend, &clock)).await;
    let mut lost = 0;
    for id in &acknowledged {
        let reference = JobRef { queue: queue(), id: *id };
        lost += usize::from(backend.job(&reference).await.unwrap().is_none());
    }
    assert_eq!(lost, 0, "acknowledged jobs are there");
    let listed = list(backend, Filter::default()).await;
    let stored = count(backend, &queue(), State::Completed).await;
    assert_eq!(listed.len() as u64, stored, "what is listed is what is counted");
    enqueue(backend, jobs(1)).await;
    assert_eq!(take(backend, 10).await.len(), 1, "new jobs run");
    eprintln!(
        "{dropped} of {CALLS} calls dropped: leased for ever 0, lost 0 of {} acknowledged \
         ({stored} stored)",
        acknowledged.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_dropped_calls_lease_nothing_for_ever_and_lose_no_job() {
    thousands_of_calls_are_dropped(Home::single()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_dropped_calls_to_a_cluster_lease_nothing_for_ever_and_lose_no_job() {
    thousands_of_calls_are_dropped(Home::cluster()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_has_happened_whole_or_not_at_all() {
    let home = Home::single();
    let clock = ManualClock::new();
    let (backend, other) = (home.open_by(&clock).await, home.open_by(&clock).await);
    backend.declare(&spec()).await.unwrap();
    let (mut none, mut whole) = (0, 0);
    for round in 0..60 {
        let batch = jobs(3);
        let ids: Vec<JobId> = batch.iter().map(|job| job.id).collect();
        let ended = give_up_after(round % 4, backend.enqueue(batch)).await;
        let answered = ended.is_some_and(|answer| answer.is_ok());
        // Others see it as it is at any moment: nothing of it, or all.
        loop {
            let seen = list(&other, Filter::default()).await;
            let of_batch = seen.iter().filter(|job| ids.contains(&job.id)).count();
            assert!(of_batch == 0 || of_batch == 3, "{of_batch} of 3 are stored");
            assert!(!answered || of_batch == 3, "it was acknowledged");
            // A call on the same connection comes behind the one that was dropped.
            if backend.stats(&queue()).await.unwrap().jobs.iter().sum::<u64>() == seen.len() as u64
            {
                (none, whole) = (none + usize::from(of_batch == 0), whole + of_batch / 3);
                break;
            }
        }
        let leased = take(&other, 100).await;
        let ends = leased.iter().map(done).collect();
        give_up_after(round % 4, backend.apply(ends)).await.transpose().unwrap();
        until("every job has ended", || drain(&other, &clock)).await;
    }
    assert!(none > 0 && whole > 0, "{none} and {whole}");
    eprintln!("60 enqueues dropped at any point: {none} did not happen, {whole} whole, 0 in part");
}
