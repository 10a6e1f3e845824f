//! Leases are exclusive, and what is written under a lost one is refused.

use std::collections::{HashMap, HashSet};

use windlass::Job;
use windlass::model::State;

use super::Check;
use super::ends::of_type;
use super::index::Index;
use crate::fact::{Accepted, Fact, StepAnswer};
use crate::jobs::{Parent, STEPS, Steps};

pub(super) fn checks(index: &Index<'_>) -> Vec<Check> {
    vec![
        exclusive(index),
        reasons(index),
        double_starts(index),
        stale(index),
        steps(index),
        children(index),
        identities(index),
    ]
}

/// Each lease is handed out once, and tokens rise with time (rule L1).
fn exclusive(index: &Index<'_>) -> Check {
    let mut check = Check::new("a lease is handed out once, under a rising token", &["F1", "F6"]);
    for (job, starts) in &index.by_job {
        for pair in starts.windows(2) {
            // A lease begins once the one before could be taken over, or was
            // settled; in either case not before it began.
            let holds = pair[0].token < pair[1].token && pair[0].at <= pair[1].at;
            check.look(holds, || {
                format!(
                    "job {job}: token {} at {} and token {} at {}",
                    pair[0].token.0, pair[0].at, pair[1].token.0, pair[1].at
                )
            });
        }
        check.looked_at += 1;
    }
    check
}

/// A job starts once, and once more for each lost lease, failure and snooze.
fn reasons(index: &Index<'_>) -> Check {
    let mut check = Check::new("every further start of a job has a reason", &["F1", "F21"]);
    for record in &index.evidence.records {
        let ending = &record.ending;
        let reasons = u64::from(ending.stalls)
            + u64::from(ending.failed_attempts)
            + u64::from(record.snoozes);
        let starts = index.starts_of(record.id).len() as u64;
        check.look(starts <= 1 + reasons, || {
            format!("job {} started {starts} times, with {reasons} reasons to", record.id)
        });
    }
    check
}

/// Double starts ≤ kills × concurrency. A process that was stopped, or found
/// the store slow, may have lost its leases as if it had been killed; and every
/// worker may have when the store was disturbed.
fn double_starts(index: &Index<'_>) -> Check {
    let mut check = Check::new("double starts are within kills × concurrency", &["F1"]);
    let (double, bound) = (double_start_count(index), double_start_bound(index));
    check.look(double <= bound, || format!("{double} double starts, at most {bound} expected"));
    check.looked_at = double;
    check
}

/// How many starts there were beyond those that failures and snoozes call for.
pub(super) fn double_start_count(index: &Index<'_>) -> u64 {
    let double = index.evidence.records.iter().map(|record| {
        let starts = index.starts_of(record.id).len() as u64;
        let planned = 1 + u64::from(record.ending.failed_attempts) + u64::from(record.snoozes);
        starts.saturating_sub(planned)
    });
    double.sum()
}

pub(super) fn double_start_bound(index: &Index<'_>) -> u64 {
    let incidents = &index.evidence.incidents;
    let away = index.facts().filter(|(_, fact)| matches!(fact, Fact::Away { .. })).count() as u64;
    let disturbed =
        index.evidence.disturbances.len() as u64 * u64::from(index.evidence.run.workers);
    let killed = incidents.workers_killed + incidents.aborts;
    let harmed = killed + incidents.workers_stopped + away + disturbed;
    harmed * index.evidence.terms.slots
}

/// Stale writes accepted = 0.
fn stale(index: &Index<'_>) -> Check {
    let mut check = Check::new("a write under a lost lease is refused", &["F2"]);
    for (process, fact) in index.facts() {
        if let Fact::Probed { job, token, write, occasion, accepted } = fact {
            check.look(*accepted == Accepted::No, || {
                let token = token.0;
                format!(
                    "{write:?} of job {job} under token {token} in {} ({occasion:?})",
                    process.name
                )
            });
        }
    }
    check
}

/// Recorded results per step = 1.
fn steps(index: &Index<'_>) -> Check {
    let mut check = Check::new("a step is recorded once", &["F11"]);
    let stored: HashMap<_, _> = of_type::<Steps>(index)
        .flat_map(|record| record.steps.iter().map(|(at, outcome)| ((record.id, *at), outcome)))
        .collect();
    let mut recorded = HashSet::new();
    for (process, fact) in index.facts() {
        let Fact::Step { job, position, answer, outcome, .. } = fact else { continue };
        if *answer == StepAnswer::Stale {
            continue;
        }
        let of = (*job, *position);
        let first = *answer == StepAnswer::Existing || recorded.insert(of);
        check.look(first, || format!("step {position} of job {job} was recorded twice"));
        let kept = stored.get(&of).map(|outcome| outcome.as_str());
        check.look(kept == Some(outcome), || {
            format!(
                "step {position} of job {job} was {outcome:?} in {} and is {kept:?}",
                process.name
            )
        });
    }
    for record in of_type::<Steps>(index).filter(|r| r.end() == Some(State::Completed)) {
        let mut positions: Vec<_> = record.steps.iter().map(|(position, _)| *position).collect();
        positions.sort_unstable();
        check.look(positions == (0..STEPS).collect::<Vec<_>>(), || {
            format!("job {} has steps {positions:?}", record.id)
        });
    }
    check
}

/// A handler that has lost its lease enqueues no child.
fn children(index: &Index<'_>) -> Check {
    let mut check = Check::new("a parent has one child, however often it ran", &["F2", "F16"]);
    let mut children: HashMap<_, u64> = HashMap::new();
    for parent in index.evidence.records.iter().filter_map(|record| record.parent) {
        *children.entry(parent).or_default() += 1;
    }
    for record in index.evidence.records.iter().filter(|record| record.job_type == Parent::NAME) {
        let count = children.remove(&record.id).unwrap_or_default();
        check.look(count == 1, || format!("job {} has {count} children", record.id));
    }
    for (parent, count) in children {
        check.look(false, || format!("job {parent} has {count} children it should not have"));
    }
    check
}

/// A restarted process does not take the name of the dead one.
fn identities(index: &Index<'_>) -> Check {
    let mut check = Check::new("no worker has the identity of another", &["F6"]);
    let mut seen = HashSet::new();
    for (process, fact) in index.facts() {
        if let Fact::Began { worker } = fact {
            check.look(seen.insert(worker), || format!("{} is {worker} too", process.name));
        }
    }
    check
}
