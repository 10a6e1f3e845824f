//! One task at a time for each user, in order; tasks of different users side by side, but no
//! more than five in all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use windlass::{Data, Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "partitions.task")]
struct Task {
    user: String,
    number: u32,
}

type Done = Arc<Mutex<BTreeMap<String, Vec<u32>>>>;

async fn task(job: Task, done: Data<Done>) {
    // Others have their turn.
    tokio::task::yield_now().await;
    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
    done.entry(job.user).or_default().push(job.number);
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    // Both bounds in one queue: the user's, and that of all.
    let queue =
        windlass.queue("cookbook.partitions").partitioned().concurrency(5).declare().await?;
    let users: Vec<String> = (1..=8).map(|n| format!("user-{n}")).collect();
    let tasks = (1..=4).flat_map(|number| users.iter().map(move |user| (number, user.clone())));
    let tasks = tasks
        .map(|(number, user)| queue.enqueue(Task { user: user.clone(), number }).partition(user));
    let handles = windlass.enqueue_batch(tasks).await?;
    let done = Done::default();
    let worker = windlass.worker().queue(&queue).data(Arc::clone(&done)).handle(task);
    let worker = worker.start().await?;
    windlass.wait_all(&handles).await?;
    worker.stop().await;
    let done = done.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(done.len(), users.len());
    assert!(done.values().all(|numbers| *numbers == [1, 2, 3, 4]), "{done:?}");
    Ok(format!("4 tasks of each of {} users, each user's in order", done.len()))
}
