//! Measures what a store does with every rule on, and what it does bare.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- WORKLOAD --store URL`
//! prints one line of JSON. `RESULTS.md` says what was measured where.

mod counting;
mod job;
mod meter;
mod options;
mod process;
mod report;
mod server;
mod store;
mod workload;

use anyhow::Result;
use clap::Parser;

use options::Options;
use server::postgres::Database;
use server::redis::Prefix;

fn main() -> Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(run(options))
}

/// On a server the whole run has a database, or a prefix, of its own, which its parts
/// in other processes are told of.
async fn run(mut options: Options) -> Result<()> {
    if options.is_redis() && !options.workload.is_part() {
        let prefix = Prefix::new(&options.store);
        options.store = prefix.url().to_owned();
        let outcome = workload::run(&options).await;
        prefix.remove().await?;
        return outcome;
    }
    if !options.is_postgres() || options.workload.is_part() {
        return workload::run(&options).await;
    }
    let database = Database::create(&options.store).await?;
    options.store = database.url().to_owned();
    let outcome = workload::run(&options).await;
    database.remove().await?;
    outcome
}
