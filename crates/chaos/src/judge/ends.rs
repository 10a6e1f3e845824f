//! Every job comes to one end, and to the right one.

use std::collections::HashSet;

use windlass::Job;
use windlass::model::{FailureKind, State};

use super::index::Index;
use super::{Check, Record};
use crate::jobs::{Doomed, Poison, Rare};
use crate::observer::is_same;
use crate::plan::MAX_STALLS;

pub(super) fn checks(index: &Index<'_>) -> Vec<Check> {
    vec![
        lost(index),
        one_end(index),
        unchanged(index),
        right_end(index),
        rare(index),
        poison(index),
    ]
}

/// What was acknowledged exists and has ended: lost = 0.
fn lost(index: &Index<'_>) -> Check {
    let mut check = Check::new("no acknowledged job is lost", &["F1", "F28", "F42"]);
    for job in index.acknowledged.keys() {
        let state = index.records.get(job).map(|record| record.ending.state);
        check.look(state.is_some_and(State::is_terminal), || match state {
            None => format!("job {job} was acknowledged and is not stored"),
            Some(state) => format!("job {job} was acknowledged and is still {state}"),
        });
    }
    check
}

/// Jobs that nobody got an acknowledgement for have to end too.
fn one_end(index: &Index<'_>) -> Check {
    let mut check = Check::new("every stored job has exactly one end", &["F1", "F8"]);
    let mut seen = HashSet::new();
    for record in &index.evidence.records {
        let (id, ending) = (record.id, &record.ending);
        check.look(seen.insert(id), || format!("job {id} is stored twice"));
        let holds =
            record.end().is_some() == ending.finished_at.is_some() && record.end().is_some();
        check.look(holds, || {
            format!("job {id} is {} and ended at {:?}", ending.state, ending.finished_at)
        });
    }
    check
}

/// Terminal rows changed = 0: seen twice, compared with the end, and no lease
/// begins once a job has ended.
fn unchanged(index: &Index<'_>) -> Check {
    let mut check = Check::new("a job that has ended does not change", &["F2", "F3"]);
    let observed = &index.evidence.observed;
    check.violations.extend(observed.changed.iter().cloned());
    for (id, then) in &observed.ended {
        let now = index.records.get(id).map(|record| &record.ending);
        check.look(now.is_some_and(|now| is_same(then, now)), || {
            format!("job {id} was {then:?} and is {now:?}")
        });
    }
    for (start, process) in &index.starts {
        let ended = index.records.get(&start.job).and_then(|record| record.ending.finished_at);
        check.look(ended.is_none_or(|ended| start.at <= ended), || {
            format!(
                "job {} ended at {ended:?} and started after that, in {}",
                start.job, process.name
            )
        });
    }
    check
}

/// Jobs end as their kind says. Those of flows depend on others, and have a
/// check of their own.
fn right_end(index: &Index<'_>) -> Check {
    let mut check = Check::new("jobs end as their kind says", &["F9", "F10"]);
    for record in &index.evidence.records {
        let wanted = match record.job_type.as_str() {
            Poison::NAME | Doomed::NAME => State::Failed,
            _ if record.queue.as_str() == "flows" => continue,
            _ => State::Completed,
        };
        check.look(record.end() == Some(wanted), || {
            format!(
                "job {} of type {} in queue {} is {} after {} stalls and {} failures",
                record.id,
                record.job_type,
                record.queue,
                record.ending.state,
                record.ending.stalls,
                record.ending.failed_attempts
            )
        });
    }
    check
}

/// Wrongly discarded = 0: rescued by workers that do not know its type, too.
fn rare(index: &Index<'_>) -> Check {
    let name = "a job of a type that a worker does not know is not discarded";
    let mut check = Check::new(name, &["F5"]);
    for record in of_type::<Rare>(index) {
        check.look(record.end() == Some(State::Completed), || {
            format!("job {} is {}", record.id, record.ending.state)
        });
    }
    check
}

/// Crashes ≤ bound, and then it fails for that reason.
fn poison(index: &Index<'_>) -> Check {
    let name = "a job that kills its worker fails after a bound of stalls";
    let mut check = Check::new(name, &["F9"]);
    let bound = MAX_STALLS as usize + 1;
    for record in of_type::<Poison>(index) {
        let crashes = index.starts_of(record.id).len();
        let holds = crashes <= bound
            && record.ending.stalls == MAX_STALLS + 1
            && record.end() == Some(State::Failed)
            && record.last_failure == Some(FailureKind::Stalled);
        check.look(holds, || {
            format!(
                "job {} started {crashes} times (at most {bound}), stalled {} times and is {}",
                record.id, record.ending.stalls, record.ending.state
            )
        });
    }
    check
}

pub(super) fn of_type<'i, J: Job>(
    index: &Index<'i>,
) -> impl Iterator<Item = &'i Record> + use<'i, J> {
    index.evidence.records.iter().filter(|record| record.job_type == J::NAME)
}
