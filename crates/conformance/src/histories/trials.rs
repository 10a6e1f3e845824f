//! Histories as the tests of a test binary.

use std::ops::Range;
use std::sync::Arc;

use libtest_mimic::{Completion, Failed, Trial};
use proptest::strategy::ValueTree;
use windlass_core::ErrorKind;

use super::watched::Notes;
use super::{Broken, HISTORIES, attempt, find, seeds, tree};
use crate::faults::{Fault, FaultyStores};
use crate::harness::{Stores, is_missing_allowed};

/// In how many parts histories are lived, side by side.
const PARTS: u64 = 4;

/// How many histories are searched for one that finds a planted fault.
const ENOUGH: u64 = 600;

/// Planted faults that histories find, whatever the cases do, each with the seed
/// to begin with: others take longer to find it. What histories are like changes
/// with `op.rs`.
pub(crate) const FOUND: &[(Fault, u64)] = &[
    (Fault::BatchReversed, 0),
    (Fault::JobKeyIgnored, 0),
    (Fault::DedupIgnored, 0),
    (Fault::HoldIgnored, 0),
    (Fault::PayloadAsText, 0),
    (Fault::ParentUnchecked, 1),
    (Fault::DependenciesIgnored, 1),
    (Fault::UnblockedForgotten, 9),
    (Fault::TiesById, 0),
    (Fault::RankIgnored, 0),
    (Fault::AgeingIgnored, 1),
    (Fault::DueIgnored, 1),
    (Fault::ExpiryIgnored, 0),
    (Fault::AgainNever, 1),
    (Fault::AgainLate, 1),
    (Fault::SameJobsAgain, 1),
    (Fault::TokenConstant, 6),
    (Fault::TokenUnchecked, 1),
    (Fault::VersionUnchecked, 1),
    (Fault::StaleExtends, 79),
    (Fault::ExtensionAddsUp, 1),
    (Fault::ExtensionRaisesVersion, 1),
    (Fault::LeaseEndsItself, 9),
    (Fault::RunOutUnchecked, 129),
    (Fault::StallUncounted, 6),
    (Fault::LostLeasesMissed, 6),
    (Fault::SweepBlind, 153),
    (Fault::CourseLost, 1),
    (Fault::PlaceLost, 6),
    (Fault::PlaceAlwaysKept, 1),
    (Fault::FirstFailureStops, 1),
    (Fault::LimitOffByOne, 0),
    (Fault::RateOffByOne, 2),
    (Fault::WindowTooShort, 2),
    (Fault::RateByBucket, 2),
    (Fault::SlotKept, 80),
    (Fault::SlotFreedTwice, 1),
    (Fault::LimitsFrozen, 1),
    (Fault::PartitionUnbounded, 0),
    (Fault::NoticeNeeded, 10),
    (Fault::PauseIgnored, 1),
    (Fault::FiresUnguarded, 9),
    (Fault::JobsBeforeGuard, 92),
    (Fault::CleanByEnqueue, 38),
    (Fault::CleanTakesNeeded, 38),
    (Fault::StepUnderStaleLease, 312),
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
    for (fault, seed) in FOUND {
        let name = format!("histories::{}_is_found", fault.name());
        let stores: Arc<dyn Stores> =
            Arc::new(FaultyStores { stores: Arc::clone(stores), fault: *fault });
        trials.push(Trial::ignorable_test(name, move || found(&stores, *seed)));
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

/// The test that some history finds what is wrong with a store, the one of this
/// seed or another.
fn found(stores: &Arc<dyn Stores>, seed: u64) -> Result<Completion, Failed> {
    for seed in std::iter::once(seed).chain(0..ENOUGH) {
        match attempt(stores, &tree(seed).1.current(), Notes::None) {
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
