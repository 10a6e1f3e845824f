//! Runs cases as the tests of a test binary.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::Builder;
use windlass_core::ErrorKind;

use super::case::{Case, all_cases};
use super::context::{Context, Hearing};
use super::stores::Stores;

/// The environment variable that turns an unreachable store from a failure
/// into ignored cases.
const ALLOW_MISSING: &str = "WINDLASS_ALLOW_MISSING_STORE";

/// The environment variable that has every notice dropped.
const DEAF: &str = "WINDLASS_DEAF";

/// The subject whose cases wait for a notice; the only ones that cannot pass
/// when all are dropped.
const NEEDS_NOTICES: &str = "notices";

/// The subject whose cases also run deaf each time.
const ALSO_DEAF: &str = "events";

/// After so long, in real time, a case counts as stuck.
const STUCK: Duration = Duration::from_secs(180);

/// Runs the suite on these stores as the whole of a test binary, and ends the
/// process: with 0 if every case that ran passed. Takes the command line of
/// the standard test harness.
pub fn main(stores: impl Stores) -> ! {
    let arguments = Arguments::from_args();
    // The trials own the stores, so that whatever these clean up when they are
    // dropped is cleaned up before the process ends.
    let conclusion = libtest_mimic::run(&arguments, trials(stores));
    conclusion.exit()
}

/// The suite on these stores as trials of `libtest-mimic`, for a test binary
/// that has more to run.
#[must_use]
pub fn trials(stores: impl Stores) -> Vec<Trial> {
    let stores: Arc<dyn Stores> = Arc::new(stores);
    let all_deaf = is_set(DEAF);
    let mut trials = Vec::new();
    for case in all_cases() {
        let hearing = if all_deaf { Hearing::Deaf } else { Hearing::Full };
        trials.push(trial(case.name(), case, &stores, hearing));
        if case.subject() == ALSO_DEAF && !all_deaf {
            let name = format!("deaf::{}", case.name());
            trials.push(trial(name, case, &stores, Hearing::Deaf));
        }
    }
    trials
}

fn trial(name: String, case: &'static Case, stores: &Arc<dyn Stores>, hearing: Hearing) -> Trial {
    let stores = Arc::clone(stores);
    Trial::ignorable_test(name, move || {
        if hearing == Hearing::Deaf && case.subject() == NEEDS_NOTICES {
            return Ok(Completion::ignored_with("every notice is dropped"));
        }
        run(case, stores, hearing)
    })
}

fn run(case: &Case, stores: Arc<dyn Stores>, hearing: Hearing) -> Result<Completion, Failed> {
    // Several threads, so that races are races. A store's own tasks live and
    // die with their case.
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    runtime.block_on(async {
        let context = match Context::fresh(stores, hearing).await {
            Ok(context) => context,
            Err(error) if error.kind() == ErrorKind::Unavailable && is_set(ALLOW_MISSING) => {
                return Ok(Completion::ignored_with(format!("no store: {error}")));
            }
            Err(error) => {
                return Err(format!("the store cannot be opened: {}", chain(&error)).into());
            }
        };
        if tokio::time::timeout(STUCK, case.run(&context)).await.is_err() {
            return Err(format!("stuck: not done after {STUCK:?}").into());
        }
        context.close().await;
        Ok(Completion::Completed)
    })
}

fn is_set(variable: &str) -> bool {
    env::var(variable).is_ok_and(|value| value == "1")
}

/// An error and everything behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
