//! Histories as the tests of a test binary.

use std::ops::Range;
use std::sync::Arc;

use libtest_mimic::{Completion, Failed, Trial};
use windlass_core::ErrorKind;

use super::watched::Notes;
use super::{Broken, HISTORIES, attempt, find, seeds, tree};
use crate::faults::{Fault, FaultyStores};
use crate::harness::{Stores, is_missing_allowed};

/// In how many parts histories are lived, side by side.
const PARTS: u64 = 4;

/// How many histories find a planted fault at the latest.
const ENOUGH: u64 = 600;

/// Planted faults that histories find, whatever the cases do.
pub(crate) const FOUND: &[Fault] = &[
    Fault::BatchReversed,
    Fault::JobKeyIgnored,
    Fault::DedupIgnored,
    Fault::HoldIgnored,
    Fault::PayloadAsText,
    Fault::ParentUnchecked,
    Fault::DependenciesIgnored,
    Fault::UnblockedForgotten,
    Fault::TiesById,
    Fault::RankIgnored,
    Fault::AgeingIgnored,
    Fault::DueIgnored,
    Fault::ExpiryIgnored,
    Fault::AgainNever,
    Fault::AgainLate,
    Fault::SameJobsAgain,
    Fault::TokenConstant,
    Fault::TokenUnchecked,
    Fault::VersionUnchecked,
    Fault::StaleExtends,
    Fault::ExtensionAddsUp,
    Fault::ExtensionRaisesVersion,
    Fault::LeaseEndsItself,
    Fault::RunOutUnchecked,
    Fault::StallUncounted,
    Fault::LostLeasesMissed,
    Fault::SweepBlind,
    Fault::CourseLost,
    Fault::PlaceLost,
    Fault::PlaceAlwaysKept,
    Fault::FirstFailureStops,
    Fault::LimitOffByOne,
    Fault::RateOffByOne,
    Fault::WindowTooShort,
    Fault::RateByBucket,
    Fault::SlotKept,
    Fault::SlotFreedTwice,
    Fault::LimitsFrozen,
    Fault::PartitionUnbounded,
    Fault::NoticeNeeded,
    Fault::PauseIgnored,
    Fault::FiresUnguarded,
    Fault::JobsBeforeGuard,
    Fault::CleanByEnqueue,
    Fault::CleanTakesNeeded,
    Fault::StepUnderStaleLease,
];

/// Histories on these stores, and the proof that they find faults.
pub(crate) fn trials(stores: &Arc<dyn Stores>) -> Vec<Trial> {
    let all = seeds(HISTORIES);
    let length = all.end - all.start;
    let parts = PARTS.min(length);
    let mut trials = Vec::new();
    for part in 0..parts {
        let seeds = all.start + length * part / parts..all.start + length * (part + 1) / parts;
        let name = format!("histories::any_history_is_answered_as_the_rules_say_{}", part + 1);
        let stores = Arc::clone(stores);
        trials.push(Trial::ignorable_test(name, move || judge(&stores, seeds)));
    }
    for fault in FOUND {
        let name = format!("histories::{}_is_found", fault.name());
        let stores: Arc<dyn Stores> =
            Arc::new(FaultyStores { stores: Arc::clone(stores), fault: *fault });
        trials.push(Trial::ignorable_test(name, move || found(&stores)));
    }
    trials
}

/// The test that a store answers these histories as the rules say.
fn judge(stores: &Arc<dyn Stores>, seeds: Range<u64>) -> Result<Completion, Failed> {
    for seed in seeds {
        match find(seed, |history| attempt(stores, history, Notes::None).map(drop)) {
            Ok(()) => {}
            Err(broken) => return unless_missing(&broken),
        }
    }
    Ok(Completion::Completed)
}

/// The test that some history finds what is wrong with a store.
fn found(stores: &Arc<dyn Stores>) -> Result<Completion, Failed> {
    for seed in 0..ENOUGH {
        let (_, tree) = tree(seed);
        let history = proptest::strategy::ValueTree::current(&tree);
        match attempt(stores, &history, Notes::None) {
            Ok(_) => {}
            Err(Broken::Rule(_)) => return Ok(Completion::Completed),
            Err(away) => return unless_missing(&away),
        }
    }
    Err(format!("none of {ENOUGH} histories notices").into())
}

fn unless_missing(broken: &Broken) -> Result<Completion, Failed> {
    match broken {
        Broken::NoStore { kind: ErrorKind::Unavailable, why } if is_missing_allowed() => {
            Ok(Completion::ignored_with(format!("no store: {why}")))
        }
        broken => Err(broken.to_string().into()),
    }
}
