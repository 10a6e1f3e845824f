//! The store's books, its file, errors that reach a user, and processes.

use windlass::model::State;

use super::index::Index;
use super::{Check, Died, Integrity};
use crate::fact::Fact;

pub(super) fn checks(index: &Index<'_>) -> Vec<Check> {
    vec![drained(index), books(index), integrity(index), errors(index), processes(index)]
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

fn integrity(index: &Index<'_>) -> Check {
    let mut check = Check::new("the store's file is sound", &["F39"]);
    match &index.evidence.integrity {
        Integrity::NotChecked => {}
        Integrity::Sound => check.look(true, String::new),
        Integrity::Broken(how) => check.look(false, || how.clone()),
    }
    check
}

/// Nothing here takes the store away, so no call has a reason to fail. What
/// the library warns of counts too: it would reach an operator.
fn errors(index: &Index<'_>) -> Check {
    let mut check = Check::new("no error reaches a user", &["F26", "F40"]);
    check.looked_at = index.evidence.processes.len() as u64;
    for (process, fact) in index.facts() {
        if let Fact::Failed { call, error } = fact {
            check.violations.push(format!("{}: {call}: {error}", process.name));
        }
    }
    for process in &index.evidence.processes {
        let told = process.said.iter().filter(|line| is_trouble(line));
        check.violations.extend(told.map(|line| format!("{}: {line}", process.name)));
    }
    check
        .violations
        .extend(index.evidence.observed.failures.iter().map(|f| format!("observer: {f}")));
    check
}

/// Whether a line that a process said tells of an error, rather than of a lost
/// lease or an unknown job type: those are what is going on here.
fn is_trouble(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && (!line.starts_with("WARN") || line.contains("error="))
}

fn processes(index: &Index<'_>) -> Check {
    let mut check = Check::new("processes end when they are told to, and not before", &["F9"]);
    for process in &index.evidence.processes {
        check.look(process.died != Died::Unexpected, || format!("{} did not", process.name));
    }
    check
}
