//! What a check comes to.

use serde::Serialize;

use super::Figures;

/// What one check has come to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    /// What must hold.
    pub(crate) name: &'static str,
    /// The numbers of the faults that it is about.
    pub(crate) faults: &'static [&'static str],
    /// How many cases it has looked at.
    pub(crate) looked_at: u64,
    /// Where it does not hold.
    pub(crate) violations: Vec<String>,
}

impl Check {
    /// A check that has looked at nothing yet.
    pub(crate) fn new(name: &'static str, faults: &'static [&'static str]) -> Self {
        Self { name, faults, looked_at: 0, violations: Vec::new() }
    }

    /// Looks at one case; `wrong` says what is wrong with it, if it is.
    pub(crate) fn look(&mut self, holds: bool, wrong: impl FnOnce() -> String) {
        self.looked_at += 1;
        if !holds {
            self.violations.push(wrong());
        }
    }
}

/// What a run has come to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) checks: Vec<Check>,
    pub(crate) figures: Figures,
}

impl Verdict {
    /// Whether nothing was violated.
    pub(crate) fn is_clean(&self) -> bool {
        self.checks.iter().all(|check| check.violations.is_empty())
    }
}
