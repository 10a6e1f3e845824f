//! Compares what processes wrote down, what was observed and what is stored.
//!
//! Everything is judged by leases as the store has them and by the store's
//! clock; how fast anything went is told, and judged by nobody.

mod check;
mod disturbances;
mod ends;
mod evidence;
mod figures;
mod flows;
mod house;
mod index;
mod leases;
mod limits;
mod lines;
mod said;
mod schedule;
mod unique;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub(crate) use check::{Check, Verdict};
pub(crate) use evidence::{
    Book, Died, Disturbance, Ending, Evidence, Incidents, Integrity, LeaseId, Observed, Places,
    Process, Record, Repeated, RunInfo,
};
pub(crate) use figures::Figures;

use index::Index;

/// Judges a run.
pub(crate) fn judge(evidence: &Evidence) -> Verdict {
    let index = Index::new(evidence);
    let groups = [
        ends::checks(&index),
        leases::checks(&index),
        limits::checks(&index),
        lines::checks(&index),
        schedule::checks(&index),
        unique::checks(&index),
        flows::checks(&index),
        house::checks(&index),
        disturbances::checks(&index),
    ];
    Verdict { checks: groups.into_iter().flatten().collect(), figures: figures::figures(&index) }
}
