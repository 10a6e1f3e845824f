//! One live job for each user: a second one is an error that says which job is there.

use serde::{Deserialize, Serialize};
use windlass::decide::OnDuplicate;
use windlass::{Error, Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "dedup.export")]
struct Export {
    user: u32,
}

async fn export(job: Export) -> Result<String, String> {
    Ok(format!("export of user {}", job.user))
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.dedup").declare().await?;
    let first = queue.enqueue(Export { user: 7 }).dedup("user-7").await?;
    let existing = match queue.enqueue(Export { user: 7 }).dedup("user-7").await {
        Err(Error::Duplicate { existing, .. }) => existing,
        other => anyhow::bail!("expected a duplicate, not {other:?}"),
    };
    assert_eq!(&existing, first.reference());
    // Or, by choice, the one that is there is the answer.
    let same = queue.enqueue(Export { user: 7 });
    let same = same.dedup_with("user-7", OnDuplicate::ReturnExisting, None).await?;
    assert_eq!(same.id(), first.id());

    let worker = windlass.worker().queue(&queue).handle(export).start().await?;
    let said: String = windlass.handle(existing).result().await?;
    // It has ended: the key is free again.
    let next = queue.enqueue(Export { user: 7 }).dedup("user-7").await?;
    assert_ne!(next.id(), first.id());
    next.wait().await?;
    worker.stop().await;
    Ok(said)
}
