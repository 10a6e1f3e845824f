//! Jobs that come again and again: every so often, and by a cron expression in a time zone.
//! They can be listed, paused, resumed, run now and removed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::{Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "repeatable.beat")]
struct Beat;

#[derive(Serialize, Deserialize, Job)]
#[job(name = "repeatable.report")]
struct Report;

async fn beat(_: Beat) {}

async fn report(_: Report) -> Result<&'static str, String> {
    Ok("reported")
}

pub(crate) async fn run(windlass: &Windlass) -> anyhow::Result<String> {
    let queue = windlass.queue("cookbook.repeatable").declare().await?;
    // Putting one again under its key replaces it: so this can stand where a program begins.
    let beats = queue.repeat("beat", Beat).every(Duration::from_millis(50)).count(3).await?;
    let reports = queue.repeat("report", Report).cron("0 9 * * mon-fri", "Europe/Oslo").await?;
    let keys: Vec<String> =
        queue.repeatables().await?.iter().map(|r| r.spec.key.as_str().to_owned()).collect();
    assert_eq!(keys, ["beat", "report"]);
    assert_eq!(reports.upcoming(5).await?.len(), 5);

    reports.pause().await?;
    reports.resume().await?;
    let worker = windlass.worker().queue(&queue).handle(beat).handle(report).start().await?;
    let now = reports.run_now().await?;
    let now = now.ok_or_else(|| anyhow::anyhow!("there is nothing to run"))?;
    let said: String = now.result().await?;
    while beats.record().await?.is_some_and(|record| record.fired < 3) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.stop().await;
    reports.remove().await?;
    beats.remove().await?;
    Ok(format!("{said}, and the heart has beaten 3 times"))
}
