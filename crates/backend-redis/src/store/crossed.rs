//! What happens between the calls of somebody else: each test stops a caller at its worst
//! moment (rules N1, N5, Q1 and Q3).

use std::time::Duration;

use windlass_core::backend::{Applied, Clean, CleanWhich, EnqueueAnswer, Enqueued, Target};
use windlass_core::decide::control::{Wish, control};
use windlass_core::decide::{Dedup, JobRequest, OnDuplicate, Outcome, Retryable};
use windlass_core::model::{DedupKey, FailureKind, Job, NewJob, State};

use super::enqueue::{Batch, Noting};
use super::half_done::{Bench, job, name, reference, request, settle};
use super::{Arguments, Place, Script};

const HOUR: Duration = Duration::from_secs(3600);

fn success() -> Outcome {
    Outcome::Success { result: None }
}

fn failure() -> Outcome {
    Outcome::Failure { kind: FailureKind::Error, message: "no".into(), retry: Retryable::No }
}

/// A job of one queue that depends on one of another.
fn pair() -> (NewJob, NewJob) {
    let needed = job("q", request());
    let depends_on = vec![reference(&needed)];
    let dependent = job("other", JobRequest { depends_on, ..request() });
    (needed, dependent)
}

fn clean_completed() -> Clean {
    let which = CleanWhich::OlderThan(Duration::ZERO);
    Clean { queue: name("q"), state: State::Completed, which, limit: 100 }
}

impl Bench {
    async fn stored(&self, jobs: Vec<NewJob>) {
        let answer = self.store.enqueue(jobs).await.unwrap();
        assert!(matches!(answer, EnqueueAnswer::Stored { .. }), "{answer:?}");
    }

    async fn see(&self, job: &NewJob) -> Option<Job> {
        self.store.job(&reference(job)).await.unwrap().map(|(job, _)| job)
    }

    /// Runs the first job of a queue to this end.
    async fn run(&self, queue: &str, outcome: Outcome) -> Applied {
        let job = self.take(queue, 1).await.remove(0);
        self.store.apply(&[settle(&job, outcome)]).await.unwrap().outcomes.remove(0)
    }
}

#[tokio::test]
async fn what_a_job_of_the_batch_will_depend_on_does_not_go_before_that_is_stored() {
    let bench = Bench::new("promised").await;
    let (needed, dependent) = pair();
    let batch = [needed.clone(), dependent.clone()];
    let (around, _) = bench.store.look_around(&batch).await.unwrap().unwrap();
    let stored = bench.store.store_batch(&name("q"), &[&needed], &around[..1]).await.unwrap();
    assert!(matches!(stored, Batch::Stored { .. }));
    // It keeps nothing, and has ended before the other one is there.
    let leased = bench.take("q", 1).await.remove(0);
    let mut end = settle(&leased, success());
    end.to = Target::Removed;
    let outcome = bench.store.apply(&[end]).await.unwrap().outcomes.remove(0);
    let Applied::Stale(seen) = outcome else { panic!("{outcome:?}") };
    assert!(seen.has_dependents, "core decides anew, and keeps it");
    bench.store.apply(&[settle(&seen, success())]).await.unwrap();

    bench.stored(batch.to_vec()).await;
    let seen = bench.see(&dependent).await.unwrap();
    assert_eq!((seen.dependencies.open, seen.dependencies.broken), (0, 0));
}

#[tokio::test]
async fn how_a_dependency_stood_when_somebody_gave_up_does_not_count() {
    let bench = Bench::new("gave_up").await;
    let (needed, dependent) = pair();
    bench.stored(vec![needed.clone()]).await;
    bench.run("q", failure()).await;
    let link = [(needed.id, dependent.id)];
    bench.store.link_jobs(&name("q"), &name("other"), &link, Noting::Will).await.unwrap();
    // Whoever was to store the other one has gone; this one is tried again.
    let failed = bench.see(&needed).await.unwrap();
    let retry = control(&failed, Wish::Retry).unwrap().unwrap();
    bench.store.apply(&[retry]).await.unwrap();
    bench.stored(vec![dependent.clone()]).await;
    bench.run("q", success()).await;
    assert_eq!(bench.see(&dependent).await.unwrap().dependencies.open, 0);
}

#[tokio::test]
async fn a_dependent_that_is_stored_anew_is_not_forgotten_for_its_former_life() {
    let bench = Bench::new("anew").await;
    let (needed, dependent) = pair();
    bench.stored(vec![needed.clone(), dependent.clone()]).await;
    for wish in [Wish::Cancel, Wish::Remove] {
        let seen = bench.see(&dependent).await.unwrap();
        // What this one has to tell last is not told yet.
        if wish == Wish::Remove {
            *bench.store.fault.lock().unwrap() = Some((Script::Hear, 1));
        }
        bench.store.apply(&[control(&seen, wish).unwrap().unwrap()]).await.unwrap();
        *bench.store.fault.lock().unwrap() = None;
    }
    assert!(bench.see(&dependent).await.is_none());
    bench.stored(vec![dependent.clone()]).await;
    bench.store.sweep_graph(&name("other")).await.unwrap();
    bench.run("q", success()).await;
    assert_eq!(bench.see(&dependent).await.unwrap().dependencies.open, 0);
    // It reads the result when it runs.
    assert_eq!(bench.store.clean(&clean_completed()).await.unwrap(), []);
}

#[tokio::test]
async fn whoever_was_refused_takes_nothing_back_of_what_somebody_else_has_stored() {
    let bench = Bench::new("refused").await;
    let (needed, dependent) = pair();
    bench.stored(vec![needed.clone(), dependent.clone()]).await;
    let mut told = vec![b'n'];
    told.extend_from_slice(needed.id.as_bytes());
    told.extend_from_slice(dependent.id.as_bytes());
    told.extend_from_slice(b"u\0\0\0\0\0\0");
    let mut arguments = Arguments::default();
    arguments.add("other").add(told);
    bench.store.call(Place::Queue(&name("q")), Script::Hear, arguments).await.unwrap();
    bench.run("q", success()).await;
    assert_eq!(bench.see(&dependent).await.unwrap().dependencies.open, 0);
}

#[tokio::test]
async fn one_sweep_tells_all_however_many_there_are() {
    let bench = Bench::new("many").await;
    let needed = job("q", request());
    let depends_on = vec![reference(&needed)];
    let dependents: Vec<NewJob> = (0..2_500)
        .map(|_| job("other", JobRequest { depends_on: depends_on.clone(), ..request() }))
        .collect();
    bench.stored(vec![needed]).await;
    bench.stored(dependents.clone()).await;
    *bench.store.fault.lock().unwrap() = Some((Script::Hear, 1));
    bench.run("q", success()).await;
    *bench.store.fault.lock().unwrap() = None;
    bench.store.sweep_graph(&name("q")).await.unwrap();
    let ids: Vec<_> = dependents.iter().map(|job| job.id).collect();
    let seen = bench.store.read(&name("other"), &ids, false).await.unwrap().0;
    assert_eq!(seen.iter().filter(|job| job.dependencies.open == 0).count(), 2_500);
}

#[tokio::test]
async fn nobody_waits_for_a_queue_that_is_known_to_be_away() {
    let bench = Bench::new("away").await;
    let (needed, dependent) = pair();
    bench.stored(vec![needed, dependent.clone()]).await;
    let (away, other) = (bench.store.away.clone(), name("other"));
    let trying = away.enter(&other);
    bench.run("q", success()).await;
    assert_eq!(bench.see(&dependent).await.unwrap().dependencies.open, 1);
    drop(trying);
    bench.store.sweep_graph(&name("q")).await.unwrap();
    assert_eq!(bench.see(&dependent).await.unwrap().dependencies.open, 0);
}

#[tokio::test]
async fn what_was_seen_of_a_pause_does_not_undo_what_was_said_since() {
    let bench = Bench::new("pauses").await;
    let queue = name("q");
    let before = bench.store.look_at(&queue).await.unwrap().unwrap();
    assert_eq!(bench.store.set_paused(&queue, true, None).await.unwrap(), before.pauses + 1);
    bench.store.set_paused(&queue, false, Some(before.pauses)).await.unwrap();
    assert!(bench.store.look_at(&queue).await.unwrap().unwrap().paused);
    let (text, limits) = (Some(before.text), windlass_core::model::Limits::default());
    let (extent, pauses) = (before.extent, Some(before.pauses));
    let stored = bench
        .store
        .put_declaration(&queue, text, &before.spec, &limits, extent, pauses)
        .await
        .unwrap();
    assert!(!stored, "somebody has paused it since");
}

#[tokio::test]
async fn a_job_that_nobody_came_to_depend_on_is_cleaned_though_it_was_seen_to_be_needed() {
    let bench = Bench::new("abandoned").await;
    let (needed, dependent) = pair();
    bench.stored(vec![needed.clone()]).await;
    let link = [(needed.id, dependent.id)];
    bench.store.link_jobs(&name("q"), &name("other"), &link, Noting::Will).await.unwrap();
    let leased = bench.take("q", 1).await.remove(0);
    let mut end = settle(&leased, success());
    end.to = Target::Removed;
    let Applied::Stale(seen) = bench.store.apply(&[end]).await.unwrap().outcomes.remove(0) else {
        panic!("it is promised to somebody")
    };
    bench.store.apply(&[settle(&seen, success())]).await.unwrap();
    assert_eq!(bench.store.clean(&clean_completed()).await.unwrap(), []);
    bench.clock.advance(HOUR * 2);
    assert_eq!(bench.store.clean(&clean_completed()).await.unwrap(), [needed.id]);
}

#[tokio::test]
async fn two_that_clean_waiting_jobs_at_once_leave_as_many_as_one() {
    let bench = Bench::new("cleaning").await;
    bench.stored((0..100).map(|_| job("q", request())).collect()).await;
    let which = CleanWhich::BeyondNewest(50);
    let clean = Clean { queue: name("q"), state: State::Waiting, which, limit: 1_000 };
    let (one, other) = tokio::join!(bench.store.clean(&clean), bench.store.clean(&clean));
    assert_eq!(one.unwrap().len() + other.unwrap().len(), 50);
}

#[tokio::test]
async fn a_key_that_comes_free_in_the_middle_makes_no_dependency_unknown() {
    let bench = Bench::new("free").await;
    let key = || {
        let key = DedupKey::new("k").unwrap();
        Some(Dedup { key, on_duplicate: OnDuplicate::ReturnExisting, hold: None })
    };
    let needed = job("q", request());
    bench.stored(vec![needed.clone()]).await;
    for _ in 0..20 {
        bench.stored(vec![job("other", JobRequest { dedup: key(), ..request() })]).await;
        let holder = bench.take("other", 1).await.remove(0);
        let depends_on = vec![reference(&needed)];
        let next = job("other", JobRequest { depends_on, dedup: key(), ..request() });
        let end = [settle(&holder, success())];
        // The first call of the one is made before that of the other, and the rest behind it.
        let (answer, ended) =
            tokio::join!(bench.store.enqueue(vec![next.clone()]), bench.store.apply(&end));
        ended.unwrap();
        let answer = answer.unwrap();
        let EnqueueAnswer::Stored { outcomes, .. } = answer else { panic!("{answer:?}") };
        if outcomes == [Enqueued::Stored] {
            let seen = bench.see(&next).await.unwrap();
            assert_eq!(seen.dependencies.open, 1);
            let cancel = control(&seen, Wish::Cancel).unwrap().unwrap();
            bench.store.apply(&[cancel]).await.unwrap();
        }
    }
}
