//! Add a job, add many in one step, and add some for later.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::model::State;
use windlass::{Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "mail.send", retries = 2)]
struct SendMail {
    to: String,
}

async fn send(job: SendMail) -> Result<String, String> {
    Ok(format!("sent to {}", job.to))
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let mails = windlass.queue("cookbook.adding").declare().await?;
    let to = |name: &str| SendMail { to: format!("{name}@example.org") };

    let one = mails.enqueue(to("ada")).await?;
    // All or none, in this order.
    let many = mails.enqueue_all(["bob", "cleo", "dan"].map(to)).await?;
    let later = mails.enqueue(to("eve")).delay(Duration::from_secs(3600)).await?;

    let worker = windlass.worker().queue(&mails).handle(send).start().await?;
    let said: String = one.result().await?;
    windlass.wait_all(&many).await?;
    assert_eq!(said, "sent to ada@example.org");
    assert_eq!(later.state().await?, State::Scheduled);
    // It need not wait: this lets it run now.
    later.promote().await?;
    later.wait().await?;
    worker.stop().await;
    Ok(format!("{said}, and {} others", many.len() + 1))
}
