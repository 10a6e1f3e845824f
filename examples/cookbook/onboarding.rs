//! A process that takes days, as a function: its steps are recorded, so that it goes on where
//! it was after a crash, a deployment or a sleep.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::{Durable, Job, JobError, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "onboarding.start")]
struct Onboard {
    name: String,
    documents: Vec<String>,
}

#[derive(Serialize, Deserialize, Job)]
#[job(name = "onboarding.check")]
struct Check {
    document: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Account {
    number: u32,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Approval {
    by: String,
}

/// Stands for somebody else's service.
async fn create(name: &str) -> Result<Account, String> {
    Ok(Account { number: 42, name: name.to_owned() })
}

async fn check(job: Check) -> Result<bool, JobError> {
    Ok(!job.document.is_empty())
}

async fn onboard(job: Onboard, ctx: Durable) -> Result<Account, JobError> {
    let account = ctx.step("create account", || create(&job.name)).retries(3).await?;
    // A day, for a real one. It holds no worker and no slot.
    ctx.sleep(Duration::from_millis(10)).await?;
    let checks = job.documents.into_iter().map(|document| Check { document });
    let checks = ctx.spawn_all("checks", checks).await?;
    let results: Vec<bool> = checks.results().await?;
    if results.contains(&false) {
        return Err(JobError::permanent("a document is missing"));
    }
    ctx.set_value("stage", "waits for approval").await?;
    let days = Duration::from_secs(3 * 86_400);
    let approval: Approval = ctx.receive("approval").timeout(days).await?;
    ctx.set_value("stage", &format!("approved by {}", approval.by)).await?;
    Ok(account)
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.onboarding").concurrency(1).declare().await?;
    let worker = windlass.worker().queue(&queue).handle(onboard).handle(check).start().await?;
    let documents = vec!["passport".to_owned(), "contract".to_owned()];
    let handle = queue.enqueue(Onboard { name: "ada".to_owned(), documents }).await?;
    // From anywhere, whenever; also before the job waits for it.
    handle.send("approval", &Approval { by: "bob".to_owned() }).await?;
    let account: Account = handle.result().await?;
    assert_eq!(account, Account { number: 42, name: "ada".to_owned() });
    let stage: Option<String> = handle.value("stage").await?;
    worker.stop().await;
    Ok(format!("account {}, {}", account.number, stage.unwrap_or_default()))
}
