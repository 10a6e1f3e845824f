//! Compares a rule with the oracle.

use std::collections::HashMap;
use std::fmt;
use std::ops::AddAssign;

use windlass_core::model::time::Timestamp;
use windlass_core::schedule::Schedule;

use super::daemon::run;
use super::fields::Fields;
use super::plans::Plan;
use super::zones::Change;

const MICROS: i64 = 1_000_000;

/// From a moment to the next fire moment.
pub(crate) type Next = Box<dyn Fn(Timestamp) -> Option<Timestamp>>;

/// Makes a [`Next`] of an expression and a zone's name.
pub(crate) type Rule = fn(&str, &str) -> Next;

/// The rule under test.
pub(crate) fn right(expression: &str, zone: &str) -> Next {
    let schedule = Schedule::cron(expression, zone).expect("a valid schedule");
    Box::new(move |after| schedule.next(Timestamp::EPOCH, after))
}

/// A rule in one zone. Expressions are parsed once; around the changes of a
/// zone most of them return.
pub(crate) struct Subject {
    zone: &'static str,
    rule: Rule,
    parsed: HashMap<String, Next>,
}

impl Subject {
    pub(crate) fn new(zone: &'static str, rule: Rule) -> Self {
        Self { zone, rule, parsed: HashMap::new() }
    }

    fn next_of(&mut self, expression: &str) -> &Next {
        if !self.parsed.contains_key(expression) {
            let next = (self.rule)(expression, self.zone);
            self.parsed.insert(expression.to_owned(), next);
        }
        &self.parsed[expression]
    }
}

/// What was compared, and every difference.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) changes: usize,
    pub(crate) lists: usize,
    pub(crate) fires: usize,
    pub(crate) probes: usize,
    pub(crate) mismatches: Vec<String>,
}

/// Compares a rule with the oracle around one clock change: the complete list
/// of fires of each plan, and the next fire from moments near the change. The
/// plans share one tick, and so one walk of the oracle.
pub(crate) fn compare(change: &Change, plans: &[Plan], subject: &mut Subject) -> Comparison {
    let mut comparison = Comparison { changes: 1, ..Comparison::default() };
    let fields: Vec<Fields> = plans.iter().map(|plan| Fields::read(&plan.expression)).collect();
    let reach = plans.iter().map(|plan| plan.reach).max().expect("there are plans");
    let tick = plans[0].tick;
    assert!(plans.iter().all(|plan| plan.tick == tick));
    let walked = run(&change.rules, &fields, change.moment - reach, change.moment + reach, tick);
    for (plan, fires) in plans.iter().zip(walked) {
        let from = (change.moment - plan.reach) * MICROS;
        let to = (change.moment + plan.reach) * MICROS;
        let expected: Vec<i64> = fires
            .into_iter()
            .map(|second| second * MICROS)
            .filter(|fire| (from..=to).contains(fire))
            .collect();
        let next = subject.next_of(&plan.expression);
        let found = fires_between(next, from, to);
        comparison.lists += 1;
        comparison.fires += expected.len();
        if found != expected {
            comparison.differ(change, plan, "the fires", &found, &expected);
        }
        for after in probes(change) {
            let after_it = expected.partition_point(|fire| *fire <= after);
            // Outside the window nothing is known.
            let known = expected.get(after_it).filter(|_| from <= after);
            let Some(expected) = known else { continue };
            let found = next(Timestamp::from_micros(after)).map(Timestamp::as_micros);
            comparison.probes += 1;
            if found != Some(*expected) {
                comparison.differ(change, plan, "the next", &found, expected);
            }
        }
    }
    comparison
}

/// The fires from `from` to `to`, both included, in microseconds.
fn fires_between(next: &dyn Fn(Timestamp) -> Option<Timestamp>, from: i64, to: i64) -> Vec<i64> {
    let first = next(Timestamp::from_micros(from - 1));
    std::iter::successors(first, |fire| next(*fire))
        .map(Timestamp::as_micros)
        .take_while(|fire| *fire <= to)
        .collect()
}

/// Moments between fires from which the next one is asked for, in microseconds.
fn probes(change: &Change) -> impl Iterator<Item = i64> {
    let size = (change.new_clock - change.old_clock).abs();
    let near = [-size - 1, -size / 2, 0, size / 2, size, size + 1]
        .map(|seconds| (change.moment + seconds) * MICROS);
    let beside = [change.moment * MICROS - 1, change.moment * MICROS + 1];
    near.into_iter().chain(beside)
}

impl Comparison {
    fn differ(
        &mut self,
        change: &Change,
        plan: &Plan,
        what: &str,
        found: &dyn fmt::Debug,
        expected: &dyn fmt::Debug,
    ) {
        self.mismatches.push(format!(
            "{} {} `{}`: {what}: found {found:?}, expected {expected:?}",
            change.zone,
            Timestamp::from_micros(change.moment * MICROS),
            plan.expression,
        ));
    }
}

impl AddAssign for Comparison {
    fn add_assign(&mut self, other: Self) {
        self.changes += other.changes;
        self.lists += other.lists;
        self.fires += other.fires;
        self.probes += other.probes;
        self.mismatches.extend(other.mismatches);
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} changes, {} lists with {} fires, {} probes, {} mismatches",
            self.changes,
            self.lists,
            self.fires,
            self.probes,
            self.mismatches.len(),
        )
    }
}
