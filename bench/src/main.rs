//! Measures what a store does with every rule on, and what it does bare.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- WORKLOAD --store URL`
//! prints one line of JSON. `RESULTS.md` says what was measured where.

mod counting;
mod job;
mod options;
mod process;
mod report;
mod store;
mod workload;

use anyhow::Result;
use clap::Parser;

use options::Options;

fn main() -> Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(workload::run(&options))
}
