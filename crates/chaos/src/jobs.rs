//! The job types of a run.

use serde::{Deserialize, Serialize};
use windlass::Job;

/// Takes a while and completes.
#[derive(Clone, Debug, Serialize, Deserialize, Job)]
#[job(name = "chaos.work")]
pub(crate) struct Work {
    pub(crate) ms: u64,
}

/// Fails at its first attempt, with a NUL in its message, and completes at the
/// second.
#[derive(Clone, Debug, Serialize, Deserialize, Job)]
#[job(name = "chaos.flaky")]
pub(crate) struct Flaky {
    pub(crate) ms: u64,
}

/// Puts itself off once and then completes.
#[derive(Clone, Debug, Serialize, Deserialize, Job)]
#[job(name = "chaos.snoozy")]
pub(crate) struct Snoozy;

/// Records steps.
#[derive(Clone, Debug, Serialize, Deserialize, Job)]
#[job(name = "chaos.steps")]
pub(crate) struct Steps {
    pub(crate) ms: u64,
}

/// How many steps it records.
pub(crate) const STEPS: u32 = 3;

/// Enqueues a child, named after itself.
#[derive(Clone, Debug, Serialize, Deserialize, Job)]
#[job(name = "chaos.parent")]
pub(crate) struct Parent {
    pub(crate) ms: u64,
}

/// Is known to some workers only.
#[derive(Clone, Debug, Serialize, Deserialize, Job)]
#[job(name = "chaos.rare")]
pub(crate) struct Rare {
    pub(crate) ms: u64,
}

/// Fails for good at its first attempt.
#[derive(Clone, Debug, Serialize, Deserialize, Job)]
#[job(name = "chaos.doomed")]
pub(crate) struct Doomed;

/// Kills the process that runs it.
#[derive(Clone, Debug, Serialize, Deserialize, Job)]
#[job(name = "chaos.poison")]
pub(crate) struct Poison;

/// Is fired by a repeatable.
#[derive(Clone, Debug, Serialize, Deserialize, Job)]
#[job(name = "chaos.tick")]
pub(crate) struct Tick;

/// The types whose jobs a check is about: without one of each, a run would say
/// nothing of what it checks.
pub(crate) const LOOKED_FOR: [&str; 7] =
    [Work::NAME, Flaky::NAME, Snoozy::NAME, Steps::NAME, Parent::NAME, Rare::NAME, Poison::NAME];
