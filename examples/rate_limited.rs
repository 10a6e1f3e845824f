//! Limits over all processes: at most 5 starts in every window of a second,
//! and 2 at once: `cargo run --example rate_limited`.

#![allow(clippy::print_stdout, reason = "a program, not a library")]

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use windlass::{Data, Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "api.call")]
struct CallApi {
    number: u32,
}

async fn call(job: CallApi, begin: Data<Instant>) {
    println!("{:>6.0?}  call {}", begin.elapsed(), job.number);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let windlass = Windlass::connect("memory:").await?;
    let period = Duration::from_secs(1);
    let calls = windlass.queue("calls").concurrency(2).rate(5, period).declare().await?;
    let handles = calls.enqueue_all((1..=15).map(|number| CallApi { number })).await?;

    let begin = Instant::now();
    let worker = windlass.worker().queue(&calls).data(begin).handle(call).start().await?;
    for handle in handles {
        handle.wait().await?;
    }
    worker.stop().await;
    println!("15 calls, 5 a second, took {:.1?}", begin.elapsed());
    Ok(())
}
