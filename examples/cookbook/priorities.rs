//! What matters more runs first; what matters the same, in the order in which it came.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use windlass::{Data, Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "priorities.task")]
struct Task {
    name: String,
}

type Order = Arc<Mutex<Vec<String>>>;

async fn task(job: Task, order: Data<Order>) {
    order.lock().unwrap_or_else(PoisonError::into_inner).push(job.name);
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    // By default the smaller number goes first.
    let queue = windlass.queue("cookbook.priorities").concurrency(1).declare().await?;
    let task_of =
        |name: &str, priority| queue.enqueue(Task { name: name.to_owned() }).priority(priority);
    let batch = [("a", 10), ("b", 10), ("urgent", 1), ("c", 10), ("soon", 5)];
    let batch = batch.map(|(name, priority)| task_of(name, priority));
    let handles = windlass.enqueue_batch(batch).await?;
    let order = Order::default();
    let worker = windlass.worker().queue(&queue).data(Arc::clone(&order)).handle(task);
    let worker = worker.start().await?;
    windlass.wait_all(&handles).await?;
    worker.stop().await;
    let order = order.lock().unwrap_or_else(PoisonError::into_inner).join(", ");
    assert_eq!(order, "urgent, soon, a, b, c");
    Ok(order)
}
