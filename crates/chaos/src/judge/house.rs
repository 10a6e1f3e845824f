//! The store's books, its file, errors that reach a user, and processes.

use windlass::model::State;

use super::disturbances::is_explained;
use super::index::Index;
use super::said::Line;
use super::{Check, Died, Integrity};
use crate::fact::Fact;

pub(super) fn checks(index: &Index<'_>) -> Vec<Check> {
    let mut checks = vec![drained(index), books(index), errors(index), processes(index)];
    checks.extend(integrity(index));
    checks
}

fn drained(index: &Index<'_>) -> Check {
    let mut check = Check::new("the workers finish what is left", &["F4", "F7", "F13"]);
    check.look(index.evidence.run.drained.is_some(), || {
        let live: Vec<_> = index
            .evidence
            .books
            .iter()
            .flat_map(|book| {
                let live = State::ALL.into_iter().filter(|state| !state.is_terminal());
                live.map(|state| (book.queue.as_str(), state, book.jobs[usize::from(state.code())]))
            })
            .filter(|(_, _, count)| *count > 0)
            .collect();
        format!("not within the time they had; left: {live:?}")
    });
    check
}

/// Jobs in no state = 0: what the store counts is what it has.
fn books(index: &Index<'_>) -> Check {
    let mut check = Check::new("the counters say what a full listing says", &["F8"]);
    for book in &index.evidence.books {
        let mut listed = [0; 8];
        for record in index.evidence.records.iter().filter(|r| r.queue == book.queue) {
            listed[usize::from(record.ending.state.code())] += 1;
        }
        check.look(listed == book.jobs, || {
            format!("queue {}: counted {:?}, listed {listed:?}", book.queue, book.jobs)
        });
    }
    check
}

/// A store without a file of its own has none to be looked at.
fn integrity(index: &Index<'_>) -> Option<Check> {
    let mut check = Check::new("the store's file is sound", &["F39"]);
    match &index.evidence.integrity {
        Integrity::NotChecked => return None,
        Integrity::Sound => check.look(true, String::new),
        Integrity::Broken(how) => check.look(false, || how.clone()),
    }
    Some(check)
}

/// Where nothing takes the store away, no call has a reason to fail; where
/// something does, what is over by itself may fail for a while. What the library
/// warns of counts too: it would reach an operator.
fn errors(index: &Index<'_>) -> Check {
    let mut check = Check::new("no error reaches a user", &["F26", "F28", "F40"]);
    check.looked_at = index.evidence.processes.len() as u64;
    let observed = index.evidence.observed.failures.iter().map(|noted| ("observer", noted));
    let noted = index.noted().map(|(process, noted)| (process.name.as_str(), noted));
    for (name, noted) in noted.chain(observed) {
        if let Fact::Failed { call, error, nature } = &noted.fact
            && !is_explained(index, Some(noted.noted), *nature)
        {
            check.violations.push(format!("{name}: {call}: {error}"));
        }
    }
    for process in &index.evidence.processes {
        for line in process.said.iter().filter_map(|line| Line::read(line)) {
            if let Some(nature) = line.trouble()
                && !is_explained(index, line.at, nature)
            {
                check.violations.push(format!("{}: {}", process.name, line.text));
            }
        }
    }
    check
}

fn processes(index: &Index<'_>) -> Check {
    let mut check = Check::new("processes end when they are told to, and not before", &["F9"]);
    for process in &index.evidence.processes {
        check.look(process.died != Died::Unexpected, || format!("{} did not", process.name));
    }
    check
}
