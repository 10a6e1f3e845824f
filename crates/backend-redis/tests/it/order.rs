//! The order where a queue's main line is interrupted by so many others that one look does
//! not reach over them.

use std::time::Duration;

use windlass_core::Backend;
use windlass_core::decide::JobRequest;
use windlass_core::model::{JobId, When};

use crate::fixture::*;

/// More than one script looks over.
const BETWEEN: usize = 70_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worse_job_does_not_come_before_one_that_stands_far_behind_in_the_line() {
    let home = Home::single();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    let later = || JobRequest { due: When::After(Duration::from_secs(86_400)), ..request() };
    let worse = JobRequest { priority: Some(1), ..request() };
    let (first, behind, worst) = (new_job(request()), new_job(request()), new_job(worse));
    let expected = [first.id, behind.id, worst.id];
    enqueue(&backend, vec![first]).await;
    for from in (0..BETWEEN).step_by(10_000) {
        let count = (BETWEEN - from).min(10_000);
        enqueue(&backend, (0..count).map(|_| new_job(later())).collect()).await;
    }
    enqueue(&backend, vec![behind]).await;
    enqueue(&backend, vec![worst]).await;
    let mut taken: Vec<JobId> = Vec::new();
    while taken.len() < expected.len() {
        let some = take(&backend, 10).await;
        assert!(!some.is_empty(), "{taken:?} of {expected:?}");
        taken.extend(some.iter().map(|job| job.id));
    }
    assert_eq!(taken, expected);
}
