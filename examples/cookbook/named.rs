//! A job with a name runs once: asked for again, also after it has ended, it is the same job
//! with the same result.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};
use windlass::{Data, Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "named.charge")]
struct Charge {
    cents: u32,
}

async fn charge(job: Charge, charges: Data<Arc<AtomicU32>>) -> Result<String, String> {
    let number = charges.fetch_add(1, Ordering::SeqCst) + 1;
    Ok(format!("charge {number}: {} cents", job.cents))
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.named").declare().await?;
    let worker = windlass.worker().queue(&queue).data(Arc::new(AtomicU32::new(0))).handle(charge);
    let worker = worker.start().await?;
    let first = queue.enqueue(Charge { cents: 995 }).key("order-7").await?;
    let said: String = first.result().await?;
    // The customer was impatient; even another amount changes nothing.
    let again = queue.enqueue(Charge { cents: 1990 }).key("order-7").await?;
    assert_eq!(again.id(), first.id());
    assert_eq!(again.result::<String>().await?, said);
    // And anybody who knows the name finds it.
    let found = windlass.handle_by_key("cookbook.named", "order-7")?;
    assert_eq!(found.result::<String>().await?, said);
    worker.stop().await;
    Ok(said)
}
