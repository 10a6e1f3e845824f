//! What is stored comes back byte for byte (F30).

use windlass_core::Backend;
use windlass_core::BackendExt;
use windlass_core::backend::EnqueueAnswer;
use windlass_core::decide::{JobRequest, Outcome, Retryable};
use windlass_core::model::{FailureKind, JobRef, NewStep, Payload, State, StepName, StepRecorded};

use crate::fixture::*;

/// Bytes that text, JSON or a wire format could trip over.
fn awkward() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        vec![0],
        b"{\"a\":\"nul \0 inside\"}".to_vec(),
        br#"{"a":"\u0000","b":"\ud83e\udd80","lone":"\ud800"}"#.to_vec(),
        b"\\x00 \\000 \\N {} {NULL} \"\"".to_vec(),
        (0..=255).collect(),
        vec![0xff, 0xfe, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf8],
        b"{ \"kept\" :  1.000,\n\t\"kept\":2}".to_vec(),
        (0..1024 * 1024_u32).map(|n| n.to_le_bytes()[0] ^ n.to_be_bytes()[2]).collect(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_results_and_steps_come_back_byte_for_byte() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    let all = awkward();
    let batch = all
        .iter()
        .map(|bytes| new_job(JobRequest { payload: Payload::from(bytes.clone()), ..request() }))
        .collect();
    enqueue(&backend, batch).await;
    let leased = take(&backend, 100).await;
    assert_eq!(leased.len(), all.len());
    for (job, bytes) in leased.iter().zip(&all) {
        assert_eq!(job.payload.as_ref().unwrap().as_slice(), bytes);
        let step = NewStep {
            job: job.reference(),
            token: job.lease.unwrap().token,
            position: 0,
            name: StepName::new("step").unwrap(),
            outcome: Payload::from(bytes.clone()),
        };
        assert_eq!(backend.record_step(step).await.unwrap(), StepRecorded::Recorded);
    }
    let ends = leased.iter().zip(&all).map(|(job, bytes)| {
        settle(job, Outcome::Success { result: Some(Payload::from(bytes.clone())) })
    });
    apply(&backend, ends.collect()).await;
    let mut same = 0;
    for (job, bytes) in leased.iter().zip(&all) {
        let seen = backend.job(&job.reference()).await.unwrap().unwrap().job;
        assert_eq!(seen.state, State::Completed);
        assert_eq!(seen.payload.unwrap().as_slice(), bytes);
        assert_eq!(seen.result.unwrap().as_slice(), bytes);
        let steps = backend.steps(&job.reference()).await.unwrap();
        assert_eq!(steps[0].outcome.as_slice(), bytes);
        same += 1;
    }
    eprintln!("came back identical: {same} of {} payloads, results and steps", all.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_with_nul_and_half_a_character_is_recorded_without_harm_to_its_siblings() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    enqueue(&backend, jobs(3)).await;
    let leased = take(&backend, 3).await;
    let message = format!("nul \0, {}", "é".repeat(10_000));
    let failure = settle(
        &leased[1],
        Outcome::Failure { kind: FailureKind::Error, message, retry: Retryable::No },
    );
    apply(&backend, vec![done(&leased[0]), failure, done(&leased[2])]).await;
    let states: Vec<State> = {
        let mut states = Vec::new();
        for job in &leased {
            states.push(backend.job(&job.reference()).await.unwrap().unwrap().job.state);
        }
        states
    };
    assert_eq!(states, [State::Completed, State::Failed, State::Completed]);
    let seen = backend.job(&leased[1].reference()).await.unwrap().unwrap().job;
    let kept = &seen.course.errors[0].message;
    assert!(kept.starts_with("nul ") && !kept.contains('\0') && kept.len() <= 8 * 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_goes_with_the_users_transaction_comes_back_too() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    let mut connection = home.connection().await;
    let mut transaction = sqlx::Connection::begin(&mut connection).await.unwrap();
    let all = awkward();
    let mut references = Vec::new();
    for bytes in &all {
        let job = new_job(JobRequest { payload: Payload::from(bytes.clone()), ..request() });
        references.push(JobRef { queue: job.queue.clone(), id: job.id });
        let answer = backend.enqueue_in(&mut transaction, vec![job]).await.unwrap();
        assert!(matches!(answer, EnqueueAnswer::Stored { .. }));
    }
    transaction.commit().await.unwrap();
    for (reference, bytes) in references.iter().zip(&all) {
        let seen = backend.job(reference).await.unwrap().unwrap().job;
        assert_eq!(seen.payload.unwrap().as_slice(), bytes);
    }
}
