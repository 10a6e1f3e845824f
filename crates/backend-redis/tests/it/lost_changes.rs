//! The same for all else that changes (F31): queues, repeatables, what is cleaned, steps,
//! workers.

use std::time::Duration;

use windlass_core::Backend;
use windlass_core::backend::{
    BackendExt, Clean, CleanWhich, Declared, PutRepeatable, RepeatablePut, RepeatablesQuery,
};
use windlass_core::decide::repeat;
use windlass_core::model::{
    Beat, NewStep, Payload, QueueSpec, State, StepName, StepRecorded, WorkerId, WorkerInfo,
};

use crate::fixture::*;
use crate::lost_ends::leased;
use crate::lost_replies::Troubled;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_are_declared_and_paused_once() {
    let t = Troubled::new().await;
    let mut number = 0;
    t.lose_each("declare", async || {
        number += 1;
        let mut spec = QueueSpec::new(named(&format!("c{number}")));
        assert_eq!(t.through.declare(&spec).await.unwrap(), Declared::Created);
        spec.limits.concurrency = Some(number);
        assert_eq!(t.through.declare(&spec).await.unwrap(), Declared::Updated);
        assert_eq!(t.through.declare(&spec).await.unwrap(), Declared::Unchanged);
        let known = t.plain.queues().await.unwrap();
        assert_eq!(known.iter().filter(|queue| queue.spec == spec).count(), 1);
    })
    .await;
    let paused = async || {
        let queues = t.plain.queues().await.unwrap();
        queues.iter().find(|found| found.spec.name == queue()).unwrap().paused
    };
    t.lose_each("pause", async || {
        t.through.pause(&queue()).await.unwrap();
        assert!(paused().await);
        t.through.resume(&queue()).await.unwrap();
        assert!(!paused().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeatable_is_stored_fires_and_is_removed_once() {
    let t = Troubled::new().await;
    let mut number = 0;
    t.lose_each("repeatables", async || {
        number += 1;
        let wanted = repeatable(&queue(), &format!("r{number}"));
        let key = wanted.key.clone();
        let one = RepeatablesQuery::One(queue(), key.clone());
        let before = count(&t.plain, &queue(), State::Waiting).await;
        let record = repeat::put(None, wanted, t.clock.now()).unwrap();
        let put = PutRepeatable { record: record.clone(), guard: None, jobs: jobs(1) };
        let answer = t.through.put_repeatable(put).await.unwrap();
        assert_eq!(answer, RepeatablePut::Stored);
        t.clock.advance(Duration::from_secs(3600));
        let fired = repeat::fire(&record, &spec(), t.clock.now(), repeat::Previous::Ended);
        let fired = fired.unwrap().expect("it is due");
        assert_eq!(fired.jobs.len(), 1);
        let answer = t.through.put_repeatable(fired.clone()).await.unwrap();
        assert_eq!(answer, RepeatablePut::Stored);
        assert_eq!(t.plain.repeatables(one.clone()).await.unwrap().records, [fired.record]);
        assert_eq!(count(&t.plain, &queue(), State::Waiting).await, before + 2);
        assert!(t.through.remove_repeatable(&queue(), &key).await.unwrap(), "there was one");
        assert!(t.plain.repeatables(one).await.unwrap().records.is_empty());
        assert!(!t.through.remove_repeatable(&queue(), &key).await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleaning_counts_what_it_removed_once() {
    let t = Troubled::new().await;
    let clean = |state, which, limit| Clean { queue: queue(), state, which, limit };
    t.lose_each("clean, ended", async || {
        // More than go in one piece.
        let ended = leased(&t, 700).await;
        apply(&t.plain, ended.iter().map(done).collect()).await;
        enqueue(&t.plain, jobs(1)).await;
        let older = CleanWhich::OlderThan(Duration::ZERO);
        let kept = clean(State::Completed, CleanWhich::BeyondNewest(100), 1000);
        assert_eq!(t.through.clean(kept).await.unwrap(), 600);
        assert_eq!(t.through.clean(clean(State::Completed, older, 1000)).await.unwrap(), 100);
        assert_eq!(t.through.clean(clean(State::Waiting, older, 1000)).await.unwrap(), 1);
        assert_eq!(t.plain.stats(&queue()).await.unwrap().jobs, [0; 8]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_are_recorded_and_workers_noted_once() {
    let t = Troubled::new().await;
    t.lose_each("record a step", async || {
        let job = leased(&t, 1).await.remove(0);
        let step = NewStep {
            job: job.reference(),
            token: job.lease.unwrap().token,
            position: 0,
            name: StepName::new("charge").unwrap(),
            outcome: Payload::from("42"),
        };
        let recorded = t.through.record_step(step.clone()).await.unwrap();
        assert_eq!(recorded, StepRecorded::Recorded);
        assert_eq!(t.plain.steps(&job.reference()).await.unwrap().len(), 1);
        let again = t.through.record_step(step).await.unwrap();
        assert!(matches!(again, StepRecorded::Existing(_)), "{again:?}");
        apply(&t.plain, vec![done(&job)]).await;
    })
    .await;
    t.lose_each("beat", async || {
        let worker = WorkerInfo {
            id: WorkerId::from_bytes([9; 16]),
            host: t.prefix().to_owned(),
            pid: 1,
            queues: vec![queue()],
            concurrency: 3,
            running: 1,
        };
        let alive = Beat::Alive { worker: worker.clone(), forget_after: LEASE };
        t.through.beat(alive).await.unwrap();
        let seen = t.plain.workers().await.unwrap();
        assert_eq!(seen.iter().map(|seen| &seen.worker).collect::<Vec<_>>(), [&worker]);
        t.through.beat(Beat::Leaving(worker.id)).await.unwrap();
        assert!(t.plain.workers().await.unwrap().is_empty());
    })
    .await;
}
