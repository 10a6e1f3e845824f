//! The same for what follows an enqueue (F31): leases and ends.

use std::collections::HashSet;
use std::time::Duration;

use windlass_core::Backend;
use windlass_core::backend::{Again, Applied, Extend, Extended, Overdue, OverdueQuery, Transition};
use windlass_core::decide::control::{Wish, control};
use windlass_core::decide::{Outcome, Retryable, overdue};
use windlass_core::model::{
    FailureKind, Job, JobId, Payload, Progress, QueueSpec, State, Token, When,
};

use crate::fixture::*;
use crate::lost_replies::Troubled;

/// Jobs that are leased.
pub(crate) async fn leased(t: &Troubled, number: usize) -> Vec<Job> {
    enqueue(&t.plain, jobs(number)).await;
    let leased = take(&t.plain, u32::try_from(number).unwrap()).await;
    assert_eq!(leased.len(), number);
    leased
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dequeue_answers_the_jobs_that_it_leased_and_leases_no_others() {
    let t = Troubled::new().await;
    let mut ran: HashSet<JobId> = HashSet::new();
    t.lose_each("dequeue", async || {
        let batch = jobs(5);
        let expected: Vec<JobId> = batch.iter().map(|job| job.id).collect();
        enqueue(&t.plain, batch).await;
        let found = dequeue(&t.through, 3).await;
        let ids: Vec<JobId> = found.jobs.iter().map(|job| job.id).collect();
        assert_eq!(ids, expected[..3]);
        assert_eq!(found.again, Again::Now);
        assert_eq!(found.spec.name, queue());
        for job in &found.jobs {
            assert_eq!(job.payload, Some(Payload::from("payload")));
            assert_eq!(job.version, 2, "leased once");
            assert_eq!(*job, look(&t.plain, &job.reference()).await);
        }
        assert_eq!(count(&t.plain, &queue(), State::Active).await, 3, "none is leased for nobody");
        let others = take(&t.plain, 10).await;
        assert_eq!(others.iter().map(|job| job.id).collect::<Vec<_>>(), expected[3..]);
        for job in found.jobs.iter().chain(&others) {
            assert!(ran.insert(job.id), "{} is leased twice", job.id);
        }
        apply(&t.plain, found.jobs.iter().chain(&others).map(done).collect()).await;
        assert_eq!(count(&t.plain, &queue(), State::Active).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dequeue_that_learns_late_what_it_leased_gets_no_lease_of_anybody_else() {
    let t = Troubled::new().await;
    enqueue(&t.plain, jobs(2)).await;
    // Its reply is lost, and it cannot ask again.
    t.proxy.swallow(0, 1);
    t.proxy.close();
    let lost = t.lost();
    let through = t.through.clone();
    let late = tokio::spawn(async move { take(&through, 2).await });
    until("the reply is lost", || async { t.lost() == lost + 1 }).await;
    // Meanwhile the leases run out, and one of the jobs is leased to another thread of
    // the same worker.
    t.clock.advance(LEASE * 2);
    let query = OverdueQuery { queue: queue(), what: Overdue::LostLeases, after: None, limit: 10 };
    let page = t.plain.overdue(query).await.unwrap();
    assert_eq!(page.jobs.len(), 2);
    let lost = page.jobs.iter().map(|job| overdue(job, &spec(), Overdue::LostLeases, page.now));
    apply(&t.plain, lost.map(|found| found.expect("it has run out")).collect()).await;
    let current = take(&t.plain, 1).await;
    t.proxy.open();
    assert_eq!(late.await.unwrap(), [], "a lease has one holder");
    apply(&t.plain, vec![done(&current[0])]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dequeue_under_bounds_counts_its_starts_once() {
    let t = Troubled::new().await;
    let mut bounded = QueueSpec::new(named("bounded"));
    bounded.limits.concurrency = Some(2);
    t.plain.declare(&bounded).await.unwrap();
    t.lose_each("dequeue under bounds", async || {
        let batch = (0..3).map(|_| {
            let request = request();
            windlass_core::decide::enqueue(&bounded, request).expect("a valid job")
        });
        enqueue(&t.plain, batch.collect()).await;
        let mut left = 3;
        while left > 0 {
            let found = t.through.dequeue(ask_of(&bounded.name, 10)).await.unwrap();
            assert_eq!(found.jobs.len(), left.min(2));
            left -= found.jobs.len();
            let active = count(&t.plain, &bounded.name, State::Active).await;
            assert_eq!(active, found.jobs.len() as u64);
            apply(&t.plain, found.jobs.iter().map(done).collect()).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_extended_and_what_the_job_told_is_kept() {
    let t = Troubled::new().await;
    t.lose_each("extend", async || {
        let job = leased(&t, 1).await.remove(0);
        t.clock.advance(Duration::from_secs(1));
        let progress = Progress { done: 7, ..Progress::default() };
        let of = |token| Extend {
            job: job.reference(),
            token,
            lease: LEASE * 2,
            progress: Some(progress.clone()),
        };
        let token = job.lease.unwrap().token;
        let (outcomes, now) =
            t.through.extend(vec![of(token), of(Token(token.0 + 1))]).await.unwrap();
        let until = now.after(LEASE * 2);
        assert_eq!(outcomes[0], Extended::Held { until, cancel_requested: false });
        assert_eq!(outcomes[1], Extended::Lost);
        let seen = look(&t.plain, &job.reference()).await;
        assert_eq!((seen.lease.unwrap().until, seen.progress), (until, Some(progress)));
        apply(&t.plain, vec![done(&job)]).await;
    })
    .await;
}

/// Applies on the way on which something is lost; each has happened once.
async fn applied(t: &Troubled, decided: Vec<(Transition, Option<State>)>) {
    let transitions: Vec<Transition> = decided.iter().map(|(one, _)| one.clone()).collect();
    let answer = t.through.apply(transitions).await.unwrap();
    for ((transition, state), outcome) in decided.iter().zip(&answer.outcomes) {
        assert!(matches!(outcome, Applied::Applied), "{:?}: {outcome:?}", transition.event);
        let found = t.plain.job(&transition.job).await.unwrap().map(|seen| seen.job);
        assert_eq!(found.as_ref().map(|job| job.state), *state, "{:?}", transition.event);
        let version = transition.guard.version + 1;
        assert!(found.is_none_or(|job| job.version == version), "{:?}", transition.event);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_is_applied_once_and_is_not_stale() {
    let t = Troubled::new().await;
    let failure =
        |retry| Outcome::Failure { kind: FailureKind::Error, message: "no".into(), retry };
    let decisions = async || {
        let leased = leased(&t, 6).await;
        let waiting = jobs(3);
        let later = Duration::from_secs(3600);
        enqueue(&t.plain, waiting.clone()).await;
        let mut seen = Vec::new();
        for job in &waiting {
            seen.push(look(&t.plain, &reference(job)).await);
        }
        let wish = |job, wish| control(job, wish).unwrap().expect("something changes");
        vec![
            (
                settle(&leased[0], Outcome::Success { result: Some(Payload::from("r")) }),
                State::Completed,
            ),
            (settle(&leased[1], failure(Retryable::No)), State::Failed),
            (settle(&leased[2], failure(Retryable::After(later))), State::Scheduled),
            (settle(&leased[3], Outcome::Snooze(When::After(later))), State::Scheduled),
            (settle(&leased[4], Outcome::Cancelled), State::Cancelled),
            (wish(&leased[5], Wish::Cancel), State::Active),
            (wish(&seen[0], Wish::Cancel), State::Cancelled),
            (wish(&seen[1], Wish::Delay(When::After(later))), State::Scheduled),
        ]
        .into_iter()
        .map(|(transition, state)| (transition, Some(state)))
        .chain([(wish(&seen[2], Wish::Remove), None)])
        .collect::<Vec<_>>()
    };
    t.lose_each("apply, all at once", async || applied(&t, decisions().await).await).await;
    for which in 0..9 {
        let what = format!("apply, {which}");
        t.lose_each(&what, async || {
            let one = decisions().await.swap_remove(which);
            applied(&t, vec![one]).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_counts_once_with_those_that_wait_for_it_in_any_queue() {
    let t = Troubled::new().await;
    let other = named("r");
    t.plain.declare(&QueueSpec::new(other.clone())).await.unwrap();
    t.lose_each("apply, with dependents", async || {
        let batch = jobs(2);
        let near = waiting_for(&queue(), &[&batch[0]]);
        let far = waiting_for(&other, &[&batch[0]]);
        let both = waiting_for(&other, &[&batch[0], &batch[1]]);
        enqueue(&t.plain, batch).await;
        enqueue(&t.plain, vec![near.clone(), far.clone(), both.clone()]).await;
        let leased = take(&t.plain, 10).await;
        let answer = t.through.apply(vec![done(&leased[0])]).await.unwrap();
        assert!(matches!(answer.outcomes[0], Applied::Applied), "{answer:?}");
        let unblocked: HashSet<JobId> = answer.unblocked.iter().map(|job| job.id).collect();
        assert_eq!(unblocked, HashSet::from([near.id, far.id]));
        assert_eq!(look(&t.plain, &reference(&both)).await.dependencies.open, 1);
        apply(&t.plain, vec![done(&leased[1])]).await;
        let found = [&near, &far, &both];
        for job in found {
            let seen = look(&t.plain, &reference(job)).await;
            assert_eq!((seen.dependencies.open, seen.dependencies.broken), (0, 0));
            let end = control(&seen, Wish::Cancel).unwrap().unwrap();
            apply(&t.plain, vec![end]).await;
        }
    })
    .await;
}
