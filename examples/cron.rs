//! Repeatables: every so often, and by cron in a time zone:
//! `cargo run --example cron`.

#![allow(clippy::print_stdout, reason = "a program, not a library")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::model::{Missed, Overlap};
use windlass::{Context, Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "report")]
struct Report {
    what: String,
}

async fn report(job: Report, context: Context) {
    println!("{}: {}", context.job().enqueued_at, job.what);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let windlass = Windlass::connect("memory:").await?;
    let reports = windlass.queue("reports").declare().await?;

    // On weekdays at half past six in the morning, in Berlin, summer and winter.
    let daily = reports
        .repeat("daily", Report { what: "sales of the day".into() })
        .cron("30 6 * * MON-FRI", "Europe/Berlin")
        .missed(Missed::RunOnce)
        .overlap(Overlap::Skip)
        .await?;
    println!("the next daily reports:");
    for moment in daily.upcoming(3).await? {
        println!("  {moment}");
    }

    let pulse = reports
        .repeat("pulse", Report { what: "still alive".into() })
        .every(Duration::from_millis(200))
        .count(5)
        .await?;
    let worker = windlass.worker().queue(&reports).handle(report);
    let worker = worker.sweep_interval(Duration::from_millis(50)).start().await?;
    while pulse.record().await?.is_some_and(|record| record.next.is_some()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    worker.stop().await;
    Ok(())
}
