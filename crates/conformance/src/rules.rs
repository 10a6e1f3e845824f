//! The rules of a job, as this suite holds stores to them.

use crate::harness::{Case, all_cases};

/// A rule, in one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its number: a letter for the subject, and a digit.
    pub number: &'static str,
    /// What it says.
    pub text: &'static str,
    /// Where it is held to, apart from this suite's cases.
    pub held: Held,
}

/// Where a rule is held to, apart from this suite's cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nowhere else: it must have a case here.
    Here,
    /// In part elsewhere, as the text says; it must have a case here too.
    HereAnd(&'static str),
    /// Elsewhere, as the text says.
    Elsewhere(&'static str),
    /// In a later release.
    Planned,
}

const fn rule(number: &'static str, text: &'static str) -> Rule {
    Rule { number, text, held: Held::Here }
}

impl Rule {
    const fn held(self, held: Held) -> Self {
        Self { held, ..self }
    }

    /// The cases that hold a store to it.
    #[must_use]
    pub fn cases(&self) -> Vec<&'static Case> {
        all_cases().filter(|case| case.rules().contains(&self.number)).collect()
    }

    /// Whether it ought to have a case and has none.
    #[must_use]
    pub fn is_uncovered(&self) -> bool {
        match self.held {
            Held::Here | Held::HereAnd(_) => self.cases().is_empty(),
            Held::Elsewhere(_) | Held::Planned => false,
        }
    }
}

/// What a backend with the capability `transactions` tests by itself.
const IN_TRANSACTIONS: Held =
    Held::Elsewhere("the own tests of each backend with the capability `transactions`");

/// Every rule.
pub const RULES: &[Rule] = &[
    // Enqueue
    rule("E1", "An enqueue that was acknowledged survives, and its job will be run whatever process stops."),
    rule("E2", "A batch is stored whole or not at all, is answered in order, and stands in the queue in order."),
    rule("E3", "A job key names one job in its queue, in whatever state, until that job is removed."),
    rule("E4", "A deduplication key belongs to one live job in its queue; reject, return, debounce and throttle say what a second one meets."),
    rule("E5", "Names, keys and payloads within the stated bounds come back unchanged; others are refused before the store is touched."),
    rule("E6", "Where the store has transactions, a job can be enqueued inside the caller's own.").held(IN_TRANSACTIONS),
    // Order
    rule("O1", "Ready jobs start by priority, then by the moment they became ready, then by the order of enqueue."),
    rule("O2", "A queue says whether small or large numbers go first, or that there are no priorities, once and for all."),
    rule("O3", "With ageing, a worse priority waits for a bounded time, by a key that is fixed at enqueue."),
    rule("O4", "A delayed job is leasable from its moment on and never before, and an empty answer says when to look again."),
    // Lease
    rule("L1", "A lease is exclusive, has an end, and carries a token larger than any before it on that job."),
    rule("L2", "Whatever is done under a lease takes effect with the current token only, in one step."),
    rule("L3", "A lease that ran out can be taken over, which counts a stall; too many of those fail the job."),
    rule("L4", "Any process takes over, page by page, and no job that cannot be helped holds the others up."),
    rule("L5", "A worker's identity is drawn anew at each start and fences nothing.")
        .held(Held::HereAnd("that it is drawn: crates/runtime/tests/it/handlers.rs")),
    // Outcome
    rule("R1", "Success keeps its result; failure is tried again until its attempts are used up, and the last errors are kept."),
    rule("R2", "The wait before another attempt follows the job's policy exactly, with jitter that can be repeated."),
    rule("R3", "Snoozing puts a job off and uses no attempt."),
    rule("R4", "A time-out or a panic is a failure of its own kind and harms nothing else.")
        .held(Held::HereAnd("the time-out and the panic themselves: crates/runtime/tests/it/failing.rs")),
    rule("R5", "A job that has not started by its expiry ends as expired and is never leased."),
    rule("R6", "Where the store has transactions, a job can be completed inside its handler's own.").held(IN_TRANSACTIONS),
    rule("R7", "One settle that fails does not fail the others of its batch."),
    // Control
    rule("D1", "A scheduled or waiting job can be moved to another moment, or to now."),
    rule("C1", "Cancelling ends a job that does not run at once, tells one that runs, and rules out another attempt.")
        .held(Held::HereAnd("the grace period: crates/runtime/tests/it/control.rs")),
    rule("C2", "An ended job can be retried: attempts start afresh and the history stays."),
    rule("C3", "Cancel, retry and remove have forms that take a filter and report how many."),
    // Limits
    rule("G1", "A queue's bounds on live leases and on starts in every sliding window hold over all processes."),
    rule("G2", "The slot is the lease: it cannot leak and cannot be given back twice."),
    rule("G3", "Bounds are stored with the queue, can be changed at any time, and hold from the next dequeue on."),
    rule("G4", "A dequeue that a bound stopped says exactly when to look again."),
    rule("G5", "Jobs that come back pass the same bounds as new ones."),
    // Partitions
    rule("P1", "In a partitioned queue every job has a partition, and each partition runs within its own bounds, by default one job at a time."),
    rule("P2", "A partition that runs one job at a time runs them strictly in order, and waits for one that is to be tried again unless told to go on."),
    rule("P3", "Neither many partitions nor many jobs behind a busy one hide a job that can run."),
    rule("P4", "Partitions are served first come first served over the queue, or by weight.")
        .held(Held::HereAnd("weights are planned for a later release")),
    // Dependencies and flows
    rule("N1", "A job stays blocked until everything it depends on has completed, and then goes by its own moment."),
    rule("N2", "A dependency that does not complete cancels its dependents down the graph, or is waited for all the same, by choice."),
    rule("N3", "A dependent can read what its dependencies returned."),
    rule("N4", "A flow is stored whole, and can be looked at and cancelled whole."),
    rule("N5", "What a live job depends on is never cleaned, and a release that got lost is found again."),
    // Repeatables
    rule("S1", "A repeatable is stored under its key, replaced by another, and untouched by an equal one."),
    rule("S2", "Each moment of a repeatable has at most one job, over all processes."),
    rule("S3", "Missed moments are made up for by one job, by none, or by a bounded number, by choice."),
    rule("S4", "A moment that comes while the previous job is live fires, or is passed over, by choice."),
    rule("S5", "Clock changes are handled as in Vixie cron.")
        .held(Held::HereAnd("every clock change of every zone: crates/core/tests/it/schedule_changes.rs")),
    rule("S6", "Repeatables can be listed with their next moments, paused, resumed, run at once and removed."),
    // Queue control
    rule("Q1", "A pause is stored and stops every dequeue, and nothing else, until the queue is resumed."),
    rule("Q2", "A queue's figures agree with its jobs at any time."),
    rule("Q3", "Cleaning removes the jobs of one state by age or by count, up to a bound, and never an active one."),
    rule("Q4", "Ended jobs are kept by age and by count as their queue says, and a queue that keeps nothing keeps nothing."),
    rule("Q5", "Jobs are listed by any mixture of filters, in stable pages, both ways."),
    rule("Q6", "Notices are hints: everything works when all of them are lost."),
    rule("Q7", "A queue with several shards loses no job, keeps the order of each partition and its bounds, and can be given more or fewer."),
    // Durable execution
    rule("W1", "The first outcome of a step is recorded under the lease, and later attempts find it.")
        .held(Held::HereAnd("that a step is not run again: the runtime's tests")),
    rule("W2", "A job that sleeps or waits gives its lease back and goes on when it is due."),
    rule("W3", "A child's identity derives from its parent and its place, so that a replay finds it."),
    rule("W4", "Messages to a job are kept in order and consumed once each.")
        .held(Held::HereAnd("that each is consumed once: the runtime's tests")),
    rule("W5", "A replay that strays from the record is an error that names both.")
        .held(Held::Elsewhere("the runtime's tests: a store has no part in it")),
];

/// Everything that is wrong with the table: rules without a case, and cases
/// of rules that do not exist.
#[must_use]
pub fn problems() -> Vec<String> {
    let mut problems: Vec<String> = RULES
        .iter()
        .filter(|rule| rule.is_uncovered())
        .map(|rule| format!("rule {} has no case", rule.number))
        .collect();
    for case in all_cases() {
        for number in case.rules() {
            if !RULES.iter().any(|rule| rule.number == *number) {
                problems.push(format!(
                    "case {} names rule {number}, which does not exist",
                    case.name()
                ));
            }
        }
    }
    problems
}

/// The table, for people to read: each rule, where it is held to, its cases.
#[must_use]
pub fn table() -> String {
    let mut table = String::new();
    for rule in RULES {
        let Rule { number, text, .. } = rule;
        let mut lines = vec![format!("{number}  {text}")];
        match rule.held {
            Held::Here => {}
            Held::HereAnd(place) | Held::Elsewhere(place) => lines.push(format!("      + {place}")),
            Held::Planned => lines.push("      planned for a later release".to_owned()),
        }
        lines.extend(rule.cases().iter().map(|case| format!("      {}", case.name())));
        if rule.is_uncovered() {
            lines.push("      NO CASE".to_owned());
        }
        table.push_str(&lines.join("\n"));
        table.push('\n');
    }
    let promises = all_cases().filter(|case| case.rules().is_empty());
    table.push_str("\nPromises of the trait's documentation that no rule speaks of\n");
    for case in promises {
        table.push_str(&format!("      {}\n", case.name()));
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_has_a_case_and_every_case_a_rule_that_exists() {
        assert_eq!(problems(), [] as [String; 0]);
    }

    #[test]
    fn every_rule_from_enqueue_to_durable_execution_is_listed_once() {
        let subjects = [
            ("E", 6),
            ("O", 4),
            ("L", 5),
            ("R", 7),
            ("D", 1),
            ("C", 3),
            ("G", 5),
            ("P", 4),
            ("N", 5),
            ("S", 6),
            ("Q", 7),
            ("W", 5),
        ];
        let expected: Vec<String> = subjects
            .into_iter()
            .flat_map(|(letter, count)| (1..=count).map(move |n| format!("{letter}{n}")))
            .collect();
        let listed: Vec<_> = RULES.iter().map(|rule| rule.number).collect();
        assert_eq!(listed, expected);
    }

    #[test]
    fn no_two_cases_have_the_same_name() {
        let mut names = BTreeSet::new();
        for case in all_cases() {
            assert!(names.insert(case.name()), "{} is there twice", case.name());
        }
    }
}
