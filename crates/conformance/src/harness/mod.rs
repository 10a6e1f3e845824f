//! How cases are listed, given a store and run.

mod attempt;
mod case;
mod context;
mod runner;
mod stores;

pub(crate) use attempt::{Messages, Ran, is_missing_allowed, on_a_thread};
pub use case::{Case, all_cases};
pub(crate) use context::{Context, fresh_name, spec};
pub use runner::{main, trials};
pub use stores::{Stores, opening};

pub(crate) use case::case_table;
