//! Runs cases as the tests of a test binary.

use std::panic::resume_unwind;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Trial};

use super::attempt::{Attempt, Messages, attempt, is_set};
use super::case::{Case, all_cases};
use super::context::Hearing;
use super::stores::Stores;
use crate::faults::{Fault, FaultyStores, PLANTED};
use crate::histories;

/// The environment variable that has every notice dropped.
const DEAF: &str = "WINDLASS_DEAF";

/// The subject whose cases wait for a notice; the only ones that cannot pass
/// when all are dropped.
const NEEDS_NOTICES: &str = "notices";

/// The subject whose cases also run deaf each time.
const ALSO_DEAF: &str = "events";

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
        trials.push(judged(case.name(), case, &stores, hearing));
        if case.subject() == ALSO_DEAF && !all_deaf {
            let name = format!("deaf::{}", case.name());
            trials.push(judged(name, case, &stores, Hearing::Deaf));
        }
    }
    trials.extend(histories::trials(&stores));
    trials.extend(PLANTED.iter().map(|(fault, case)| planted(*fault, case, &stores)));
    trials
}

/// The test that a case passes.
fn judged(name: String, case: &'static Case, stores: &Arc<dyn Stores>, hearing: Hearing) -> Trial {
    let stores = Arc::clone(stores);
    Trial::ignorable_test(name, move || {
        if hearing == Hearing::Deaf && case.subject() == NEEDS_NOTICES {
            return Ok(Completion::ignored_with("every notice is dropped"));
        }
        match attempt(case, stores, hearing, Messages::Printed) {
            Attempt::Passed => Ok(Completion::Completed),
            Attempt::Failed(panic) => resume_unwind(panic),
            Attempt::Unjudged(why) => Err(why.into()),
            Attempt::Ignored(why) => Ok(Completion::ignored_with(why)),
        }
    })
}

/// The test that a case finds a planted fault.
fn planted(fault: Fault, case: &'static str, stores: &Arc<dyn Stores>) -> Trial {
    let stores = Arc::clone(stores);
    let name = format!("faults::{}_is_found", fault.name());
    Trial::ignorable_test(name, move || {
        let Some(finder) = all_cases().find(|known| known.name() == case) else {
            return Err(format!("there is no case {case}").into());
        };
        let faulty: Arc<dyn Stores> = Arc::new(FaultyStores { stores, fault });
        match attempt(finder, faulty, Hearing::Full, Messages::Swallowed) {
            Attempt::Failed(_) => Ok(Completion::Completed),
            Attempt::Passed => Err(format!("{case} does not notice").into()),
            Attempt::Unjudged(why) => Err(why.into()),
            Attempt::Ignored(why) => Ok(Completion::ignored_with(why)),
        }
    })
}
