//! Random histories: any sequence of calls is answered as the rules say.
//!
//! A history is drawn from a seed: three queues, and up to ninety operations on
//! them, over the whole of [`Backend`](windlass_core::Backend). It is lived on
//! a fresh store, and after each operation the answers, and everything that can
//! be seen of the store, are compared with a model that works them out the long
//! way.
//!
//! A history that fails is shrunk to the operations that it takes, and printed
//! with its seed. The same seed is the same history, on every store.
//!
//! | environment variable | |
//! |---|---|
//! | `WINDLASS_HISTORIES` | how many histories; 200 unless it says otherwise, 1 if a seed is given |
//! | `WINDLASS_HISTORY` | the seed of the first one; 0 unless it says otherwise |

mod drafting;
mod life;
mod model;
mod op;
mod trials;
mod watched;

use std::env;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use life::live;
use op::{History, histories};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tokio::runtime::Builder;
use watched::Notes;
use windlass_core::ErrorKind;
use windlass_core::model::{Clock, ManualClock};

use crate::harness::{Messages, Ran, Stores, fresh_name, on_a_thread};

pub(crate) use trials::{FOUND, trials};

/// How many histories are lived unless the environment says otherwise.
const HISTORIES: u64 = 200;

/// How often a failing history is tried with less in it, at most.
const SHRINKS: u32 = 3000;

/// The seeds of the histories that the environment asks for; `usual` of them,
/// from 0 on, if it says nothing.
///
/// # Panics
/// If a variable is not a number.
#[must_use]
pub fn seeds(usual: u64) -> Range<u64> {
    let number = |variable: &str| {
        let text = env::var(variable).ok()?;
        let number = text.parse::<u64>();
        Some(number.unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
    };
    let first = number("WINDLASS_HISTORY");
    let count = number("WINDLASS_HISTORIES").unwrap_or(if first.is_some() { 1 } else { usual });
    let first = first.unwrap_or(0);
    first..first.saturating_add(count)
}

/// Lives each history on both of these stores, and compares what they answer,
/// byte for byte, with each other: all that the contract fixes.
///
/// # Panics
/// At the first history on which they differ, or one of them breaks a rule;
/// says what is wrong and what it takes.
pub fn agree(one: impl Stores, other: impl Stores, seeds: Range<u64>) {
    let (one, other): (Arc<dyn Stores>, Arc<dyn Stores>) = (Arc::new(one), Arc::new(other));
    for seed in seeds {
        let differ = |history: &History| {
            let first = attempt(&one, history, Notes::Taken)?;
            let second = attempt(&other, history, Notes::Taken)?;
            match first.iter().zip(&second).find(|(a, b)| a != b) {
                Some((a, b)) => Err(Broken::Rule(format!("one answered\n{a}\nthe other\n{b}"))),
                None if first.len() == second.len() => Ok(()),
                None => Err(Broken::Rule("one answered more often than the other".to_owned())),
            }
        };
        if let Err(broken) = find(seed, differ) {
            panic!("{broken}");
        }
    }
}

/// Why a history could not be lived to its end.
#[derive(Clone, Debug)]
enum Broken {
    /// The store broke a rule.
    Rule(String),
    /// There is no store.
    NoStore { kind: ErrorKind, why: String },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(why) => f.write_str(why),
            Self::NoStore { why, .. } => write!(f, "the store cannot be opened: {why}"),
        }
    }
}

/// The history of a seed.
fn tree(seed: u64) -> (TestRunner, impl ValueTree<Value = History>) {
    let config =
        Config { failure_persistence: None, max_shrink_iters: SHRINKS, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let tree = histories().new_tree(&mut runner).expect("a strategy without filters");
    (runner, tree)
}

/// Lives the history of a seed; if it fails, shrinks it and says what is wrong.
fn find(seed: u64, live: impl Fn(&History) -> Result<(), Broken>) -> Result<(), Broken> {
    let (mut runner, tree) = tree(seed);
    // Tried once beforehand, so that a store that is away is not shrunk.
    match live(&tree.current()) {
        Ok(()) => return Ok(()),
        Err(Broken::Rule(_)) => {}
        Err(away) => return Err(away),
    }
    let shrunk = runner.run_one(tree, |history| {
        live(&history).map_err(|broken| TestCaseError::fail(broken.to_string()))
    });
    let what = match shrunk {
        Err(TestError::Fail(why, history)) => {
            let (queues, ops) = (&history.queues, &history.ops);
            format!("{why}\nin this history:\n{queues:#?}\n{}", numbered(ops))
        }
        Err(TestError::Abort(why)) => why.to_string(),
        Ok(_) => "it fails at one time and not at another".to_owned(),
    };
    Err(Broken::Rule(format!("{what}\nagain: WINDLASS_HISTORY={seed}")))
}

fn numbered(ops: &[op::Op]) -> String {
    let lines = ops.iter().enumerate().map(|(at, op)| format!("{at}: {op:?}\n"));
    lines.collect()
}

/// Lives a history on a fresh store.
fn attempt(
    stores: &Arc<dyn Stores>,
    history: &History,
    notes: Notes,
) -> Result<Vec<String>, Broken> {
    let (stores, history) = (Arc::clone(stores), history.clone());
    let run = move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Broken::Rule(format!("no runtime: {error}")))?;
        runtime.block_on(async {
            let (name, clock) = (fresh_name(), ManualClock::new());
            let backend = stores.open(&name, Clock::Manual(clock.clone())).await;
            let backend = backend.map_err(|error| Broken::NoStore {
                kind: error.kind(),
                why: format!("{error:#}"),
            })?;
            let lived = live(backend, clock, &history, notes).await.map_err(Broken::Rule);
            stores.discard(&name).await;
            lived
        })
    };
    match on_a_thread("history".to_owned(), Messages::Swallowed, run) {
        Ran::Done(lived) => lived,
        Ran::Panicked(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Broken::Rule(format!("it panicked: {}", text.unwrap_or_default())))
        }
        Ran::Stuck(why) => Err(Broken::Rule(why)),
    }
}
