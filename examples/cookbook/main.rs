//! Small recipes, each a file of its own, on any store:
//! `cargo run --example cookbook -- --store memory: partitions`; without a name, all of
//! them.
//!
//! The page "Coming from DBOS or AsyncMQ" of the guide says which recipe answers which of
//! their examples.

#![allow(clippy::print_stdout, reason = "a program, not a library")]

mod adding;
mod chain;
mod collect;
mod dedup;
mod elsewhere;
mod fan_out;
mod first_come;
mod handles;
mod housekeeping;
mod limit;
mod maintenance;
mod named;
mod onboarding;
mod partitions;
mod polling;
mod priorities;
mod rate;
mod release;
mod repeatable;
mod timeouts;
mod web_events;

use std::future::Future;
use std::pin::Pin;

use anyhow::Context as _;
use clap::Parser;
use windlass::Windlass;

/// Runs recipes of the cookbook.
#[derive(Parser)]
struct Arguments {
    /// Which store: memory:, sqlite:FILE, postgres://…, redis://…
    #[arg(long, default_value = "memory:")]
    store: String,
    /// Which recipes; all of them if none is named.
    recipes: Vec<String>,
}

type Running<'w> = Pin<Box<dyn Future<Output = anyhow::Result<String>> + 'w>>;
type Recipe = (&'static str, for<'w> fn(&'w Windlass) -> Running<'w>);

macro_rules! recipes {
    ($($name:ident,)*) => {
        const RECIPES: &[Recipe] = &[$((stringify!($name), |w| Box::pin($name::run(w))),)*];
    };
}

recipes! {
    adding,
    collect,
    first_come,
    limit,
    rate,
    web_events,
    named,
    priorities,
    partitions,
    dedup,
    release,
    polling,
    timeouts,
    elsewhere,
    repeatable,
    maintenance,
    housekeeping,
    chain,
    fan_out,
    handles,
    onboarding,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let known = |name: &&String| RECIPES.iter().any(|(recipe, _)| recipe == name);
    if let Some(unknown) = arguments.recipes.iter().find(|name| !known(name)) {
        let names: Vec<_> = RECIPES.iter().map(|(name, _)| *name).collect();
        anyhow::bail!("there is no recipe {unknown:?}; there are: {}", names.join(", "));
    }
    let windlass = Windlass::connect(&arguments.store).await?;
    for (name, run) in RECIPES {
        if arguments.recipes.is_empty() || arguments.recipes.iter().any(|one| one == name) {
            let said = run(&windlass).await.with_context(|| format!("recipe {name}"))?;
            println!("{name}: {said}");
        }
    }
    Ok(())
}
