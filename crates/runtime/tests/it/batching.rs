//! Many callers at once, on many threads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use windlass_runtime::model::State;

use crate::support::{Number, queue, worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_enqueue_of_many_tasks_is_answered_and_every_job_runs_once() {
    const TASKS: u64 = 64;
    const EACH: u64 = 50;
    let (queue, _) = queue().await;
    let sum = Arc::new(AtomicU64::new(0));
    let added = Arc::clone(&sum);
    let work = move |job: Number| {
        added.fetch_add(job.0, Ordering::SeqCst);
        async {}
    };
    let running = worker(&queue).handle(work).start().await.unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for n in 0..EACH {
                    ids.push(queue.enqueue(Number(task * EACH + n)).await.unwrap());
                }
                ids
            })
        })
        .collect();
    let mut ids = BTreeSet::new();
    for task in tasks {
        for handle in task.await.unwrap() {
            assert_eq!(handle.wait().await.unwrap().state, State::Completed);
            ids.insert(handle.id());
        }
    }
    let total = TASKS * EACH;
    assert_eq!(ids.len() as u64, total);
    assert_eq!(sum.load(Ordering::SeqCst), total * (total - 1) / 2);
    assert_eq!(running.stop().await.settled, total);
}
