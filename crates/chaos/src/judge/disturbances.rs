//! What was done to the store: work goes on after it, and errors that it explains
//! are told apart from others.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use windlass::model::Timestamp;

use super::Check;
use super::figures::ms;
use super::index::Index;
use super::said::Line;
use crate::fact::{Fact, Nature};

/// For how long after a disturbance calls may fail for it: a call, or a process
/// that is stopped, may take a while to notice. Who fails later does not recover.
const EXPLAINS: Duration = Duration::from_secs(30);

/// No checks where nothing was done.
pub(super) fn checks(index: &Index<'_>) -> Vec<Check> {
    if index.evidence.disturbances.is_empty() { Vec::new() } else { vec![goes_on(index)] }
}

/// Work resumes after every disturbance.
fn goes_on(index: &Index<'_>) -> Check {
    let mut check = Check::new("work goes on after the store was disturbed", &["F25", "F28"]);
    let (enqueues, starts) = (enqueues(index), starts(index));
    for disturbance in &index.evidence.disturbances {
        for (what, times) in [("enqueued", &enqueues), ("started", &starts)] {
            check.look(times.last().is_some_and(|last| *last >= disturbance.end), || {
                format!("no job was {what} after {}", disturbance.command)
            });
        }
    }
    check
}

/// Whether a disturbance is what an error comes from.
pub(super) fn is_explained(index: &Index<'_>, at: Option<Timestamp>, nature: Nature) -> bool {
    let Some(at) = at.filter(|_| nature == Nature::Passing) else { return false };
    let mut disturbances = index.evidence.disturbances.iter();
    disturbances.any(|done| done.begin <= at && at <= done.end.after(EXPLAINS))
}

/// When jobs were acknowledged, by this machine's clock.
fn enqueues(index: &Index<'_>) -> Vec<Timestamp> {
    times(index, |fact| matches!(fact, Fact::Acknowledged(_)))
}

/// When handlers began.
fn starts(index: &Index<'_>) -> Vec<Timestamp> {
    times(index, |fact| matches!(fact, Fact::Started(_)))
}

fn times(index: &Index<'_>, which: fn(&Fact) -> bool) -> Vec<Timestamp> {
    let which = index.noted().filter(|(_, noted)| which(&noted.fact));
    let mut times: Vec<_> = which.map(|(_, noted)| noted.noted).collect();
    times.sort_unstable();
    times
}

/// What a disturbance has cost. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Disturbed {
    pub(crate) command: String,
    /// When it began, from when processes began to be harmed.
    pub(crate) after: u64,
    /// How long the command took.
    pub(crate) took: u64,
    /// The longest time around it in which no enqueue was acknowledged: from
    /// the last one before it to the first one after it.
    pub(crate) without_enqueue: Option<u64>,
    /// The same for starts of jobs.
    pub(crate) without_start: Option<u64>,
}

pub(super) fn disturbed(index: &Index<'_>) -> Vec<Disturbed> {
    let (enqueues, starts) = (enqueues(index), starts(index));
    let evidence = index.evidence;
    let tell = |done: &super::Disturbance| Disturbed {
        command: done.command.clone(),
        after: ms(done.begin.since(evidence.run.begin)),
        took: ms(done.end.since(done.begin)),
        without_enqueue: longest_gap(&enqueues, done.begin, done.end).map(ms),
        without_start: longest_gap(&starts, done.begin, done.end).map(ms),
    };
    evidence.disturbances.iter().map(tell).collect()
}

/// The longest time between two of these moments, from the last one before
/// `begin` to the first one after `end`; if there are such.
fn longest_gap(times: &[Timestamp], begin: Timestamp, end: Timestamp) -> Option<Duration> {
    let first = times.partition_point(|time| *time <= begin).checked_sub(1)?;
    let last = times.partition_point(|time| *time < end);
    let around = times.get(first..=last)?;
    around.windows(2).map(|pair| pair[1].since(pair[0])).max()
}

/// How many calls failed for disturbances, by call. What the library warned of
/// is counted as one kind of call.
pub(super) fn explained_errors(index: &Index<'_>) -> BTreeMap<String, u64> {
    let mut errors: BTreeMap<String, u64> = BTreeMap::new();
    let observed = &index.evidence.observed.failures;
    for noted in index.noted().map(|(_, noted)| noted).chain(observed) {
        if let Fact::Failed { call, nature, .. } = &noted.fact
            && is_explained(index, Some(noted.noted), *nature)
        {
            *errors.entry(call.clone()).or_default() += 1;
        }
    }
    let said = index.evidence.processes.iter().flat_map(|process| &process.said);
    for line in said.filter_map(|line| Line::read(line)) {
        if line.trouble().is_some_and(|nature| is_explained(index, line.at, nature)) {
            *errors.entry("warning".to_owned()).or_default() += 1;
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_looked_for_around_a_disturbance() {
        let at = |ms| Timestamp::EPOCH.after(Duration::from_millis(ms));
        let times = [0, 900, 1000, 1300, 1310, 2000, 9000].map(at);
        for (begin, end, gap) in [
            // Within, before its beginning, and after its end.
            (950, 1310, Some(300)),
            (1301, 1305, Some(10)),
            (1305, 1400, Some(690)),
            (1305, 2000, Some(690)),
            (1305, 2001, Some(7000)),
            // None before, or none after.
            (2000, 9001, None),
        ] {
            let found = longest_gap(&times, at(begin), at(end));
            assert_eq!(found, gap.map(Duration::from_millis), "{begin} {end}");
        }
        assert_eq!(longest_gap(&times[1..], at(100), at(950)), None);
        assert_eq!(longest_gap(&[], at(100), at(950)), None);
    }
}
