//! The judge can fail: every violation is planted once, by hand, in a run in
//! which nothing else went wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use windlass::model::{JobId, State, Timestamp, Token};

use super::sample::{LEASE, NOTED_AFTER, at, id, job, queue, sound};
use super::{Died, Evidence, Integrity, Record, judge};
use crate::fact::{Accepted, Acknowledged, Fact, Nature, Noted, Start, StepAnswer};
use crate::plan::RATE;

fn record(evidence: &mut Evidence, nth: u8) -> &mut Record {
    evidence.records.iter_mut().find(|record| record.id == id(nth)).unwrap()
}

fn facts(evidence: &mut Evidence) -> impl Iterator<Item = &mut Fact> {
    let processes = evidence.processes.iter_mut();
    processes.flat_map(|process| &mut process.facts).map(|noted| &mut noted.fact)
}

fn start(evidence: &mut Evidence, nth: u8, token: u64) -> &mut Start {
    let found = facts(evidence).find_map(|fact| match fact {
        Fact::Started(start) if start.job == id(nth) && start.token == Token(token) => Some(start),
        _ => None,
    });
    found.unwrap()
}

fn acknowledged(evidence: &mut Evidence, nth: u8) -> &mut Acknowledged {
    let found = facts(evidence).find_map(|fact| match fact {
        Fact::Acknowledged(known) if known.job == id(nth) => Some(known),
        _ => None,
    });
    found.unwrap()
}

/// Moves a start, and with it the lease.
fn move_start(evidence: &mut Evidence, nth: u8, to: Timestamp) {
    let start = start(evidence, nth, 1);
    (start.at, start.until) = (to, to.after(LEASE));
}

fn remove(evidence: &mut Evidence, nth: u8) {
    evidence.records.retain(|record| record.id != id(nth));
    evidence.observed.ended.remove(&id(nth));
}

/// Stores a copy of a job under another id.
fn copy(evidence: &mut Evidence, nth: u8, as_id: u8) -> &mut Record {
    let copied = Record { id: id(as_id), ..record(evidence, nth).clone() };
    evidence.records.push(copied);
    evidence.records.last_mut().unwrap()
}

fn add(evidence: &mut Evidence, fact: Fact) {
    evidence.processes[0].facts.push(Noted { noted: at(NOTED_AFTER), fact });
}

/// Adds an error that a caller got so long after the store was disturbed.
fn add_error(evidence: &mut Evidence, after: Duration, nature: Nature) {
    let (call, error) = ("enqueue".to_owned(), "busy".to_owned());
    add(evidence, Fact::Failed { call, error, nature });
    let added = evidence.processes[0].facts.last_mut().unwrap();
    added.noted = added.noted.after(after);
}

/// Adds a line that the library says so long after the store was disturbed.
fn add_line(evidence: &mut Evidence, after: Duration, line: &str) {
    let line = format!("{}  {line}", at(NOTED_AFTER).after(after).as_micros());
    evidence.processes[0].said.push(line);
}

const A_MINUTE: Duration = Duration::from_secs(60);
const WARNING: &str = "WARN the store gives no jobs; asking again error=\"busy\"";

fn start_again(evidence: &mut Evidence, nth: u8, token: u64, begin: Timestamp) {
    let again = Start {
        token: Token(token),
        at: begin,
        until: begin.after(LEASE),
        ..start(evidence, nth, 1).clone()
    };
    add(evidence, Fact::Started(again));
}

type Plant = fn(&mut Evidence);

/// What is planted, and the check that has to see it.
const PLANTED: &[(&str, &str, Plant)] = &[
    ("an acknowledged job is not stored", "no acknowledged job is lost", |e| {
        remove(e, job::PLAIN);
    }),
    ("an acknowledged job never ends", "no acknowledged job is lost", |e| {
        record(e, job::PLAIN).ending.state = State::Waiting;
    }),
    ("a job that nobody was told of never ends", "every stored job has exactly one end", |e| {
        let stray = copy(e, job::PLAIN, 200);
        (stray.ending.state, stray.ending.finished_at) = (State::Active, None);
    }),
    ("a job is listed twice", "every stored job has exactly one end", |e| {
        copy(e, job::PLAIN, job::PLAIN);
    }),
    ("a job has ended at no time", "every stored job has exactly one end", |e| {
        record(e, job::PLAIN).ending.finished_at = None;
    }),
    ("a job ends a second time", "a job that has ended does not change", |e| {
        record(e, job::PLAIN).ending.finished_at = Some(at(900));
    }),
    ("the result of an ended job changes", "a job that has ended does not change", |e| {
        record(e, job::PLAIN).ending.result = Some(b"\"stale\"".to_vec());
    }),
    ("the version of an ended job rises", "a job that has ended does not change", |e| {
        record(e, job::PLAIN).ending.version += 1;
    }),
    ("an ended job is removed", "a job that has ended does not change", |e| {
        e.records.retain(|record| record.id != id(job::PLAIN));
    }),
    ("an ended job was seen live again", "a job that has ended does not change", |e| {
        e.observed.changed.push("completed, then waiting".to_owned());
    }),
    ("a job starts after it has ended", "a job that has ended does not change", |e| {
        start_again(e, job::PLAIN, 2, at(201));
    }),
    ("a job fails that should complete", "jobs end as their kind says", |e| {
        record(e, job::PLAIN).ending.state = State::Failed;
    }),
    (
        "the rescuer discards what it does not know",
        "a job of a type that a worker does not know is not discarded",
        |e| record(e, job::RARE).ending.state = State::Failed,
    ),
    (
        "a poison job goes on for ever",
        "a job that kills its worker fails after a bound of stalls",
        |e| start_again(e, job::POISON, 9, at(5500)),
    ),
    (
        "a poison job fails for another reason",
        "a job that kills its worker fails after a bound of stalls",
        |e| record(e, job::POISON).last_failure = None,
    ),
    ("one lease, two runs", "a lease is handed out once, under a rising token", |e| {
        start_again(e, job::PLAIN, 1, at(150));
    }),
    (
        "a later lease has a smaller token",
        "a lease is handed out once, under a rising token",
        |e| {
            start(e, job::FLAKY, 2).token = Token(0);
        },
    ),
    ("a job starts twice for no reason", "every further start of a job has a reason", |e| {
        start_again(e, job::PLAIN, 2, at(150));
    }),
    (
        "more double starts than kills explain",
        "double starts are within kills × concurrency",
        |e| {
            e.incidents.workers_killed = 0;
        },
    ),
    ("a stale write is accepted", "a write under a lost lease is refused", |e| {
        for fact in facts(e) {
            if let Fact::Probed { accepted, .. } = fact {
                *accepted = Accepted::Yes;
            }
        }
    }),
    ("a step is recorded by two", "a step is recorded once", |e| {
        let (job, token, position) = (id(job::STEPS), Token(1), 1);
        let (answer, outcome) = (StepAnswer::Recorded, "under 2".to_owned());
        add(e, Fact::Step { job, token, position, answer, outcome });
    }),
    ("a recorded step is overwritten", "a step is recorded once", |e| {
        record(e, job::STEPS).steps[0].1 = "under 2".to_owned();
    }),
    ("a recorded step is gone", "a step is recorded once", |e| {
        record(e, job::STEPS).steps.pop();
    }),
    (
        "a stale parent enqueues a second child",
        "a parent has one child, however often it ran",
        |e| {
            copy(e, job::CHILD, 200).key = None;
        },
    ),
    ("a parent completes without its child", "a parent has one child, however often it ran", |e| {
        remove(e, job::CHILD);
    }),
    ("a worker takes the name of a dead one", "no worker has the identity of another", |e| {
        let began = e.processes[0].facts[0].clone();
        e.processes[1].facts.push(began);
    }),
    (
        "the store counts a lease too many",
        "live leases are within the limit, as the store counts",
        |e| {
            e.observed.most_leases.insert(queue("limited"), 5);
        },
    ),
    ("five run where four may", "live leases are within the limit, as handlers saw", |e| {
        move_start(e, job::LIMITED[4], at(199));
    }),
    ("one start too many in a window", "starts in every sliding window are within the rate", |e| {
        move_start(e, job::RATED + u8::try_from(RATE).unwrap(), at(1099));
    }),
    (
        "the store counts a start too many",
        "starts in every sliding window are within the rate",
        |e| {
            e.observed.most_starts.insert(queue("rated"), u64::from(RATE) + 1);
        },
    ),
    ("a slot has leaked", "no lease is left when all has ended", |e| e.books[0].leases = 1),
    ("two of a partition run at once", "a partition runs one job at a time", |e| {
        move_start(e, job::LINE[1], at(199));
    }),
    (
        "the second of a partition overtakes the first",
        "the jobs of a partition run in order",
        |e| {
            move_start(e, job::LINE[0], at(300));
            let first = &mut record(e, job::LINE[0]).ending;
            (first.started_at, first.finished_at) = (Some(at(300)), Some(at(400)));
        },
    ),
    ("a moment is fired twice", "each moment of a repeatable is fired once", |e| {
        copy(e, job::TICKS[1], 200);
    }),
    ("a moment is missed", "each moment of a repeatable is fired once", |e| {
        remove(e, job::TICKS[1]);
    }),
    ("a moment is fired that is none", "each moment of a repeatable is fired once", |e| {
        let key = format!("repeat:tick-0:{}", at(2100).as_micros());
        copy(e, job::TICKS[1], 200).key = Some(key);
    }),
    ("a repeatable counts wrong", "each moment of a repeatable is fired once", |e| {
        e.repeatables[0].fired = 4;
    }),
    ("a repeatable does not end", "each moment of a repeatable is fired once", |e| {
        e.repeatables[0].next = Some(at(9000));
    }),
    ("a delayed job starts early", "no job starts before its moment", |e| {
        move_start(e, job::DELAYED, at(1999));
    }),
    ("a fired job starts early", "no job starts before its moment", |e| {
        move_start(e, job::TICKS[1], at(2199));
    }),
    ("two live jobs have one key", "a deduplication key has one live job", |e| {
        record(e, job::UNIQUE[1]).enqueued_at = at(150);
    }),
    ("two live jobs with one key are seen", "a deduplication key has one live job", |e| {
        e.observed.twins.push("d0".to_owned());
    }),
    (
        "a duplicate is refused for a job without the key",
        "a deduplication key has one live job",
        |e| {
            add(e, Fact::Duplicate { key: "d0".to_owned(), existing: id(job::PLAIN) });
        },
    ),
    ("a key is never freed", "a deduplication key is free when its job has ended", |e| {
        e.dangling.push("d0".to_owned());
    }),
    ("a job key names two jobs", "a job key names one job", |e| {
        copy(e, job::CHILD, 200).parent = None;
    }),
    ("two are told of different jobs for one key", "a job key names one job", |e| {
        acknowledged(e, job::PLAIN).key = Some("child-of-4".to_owned());
    }),
    ("a dependent starts too soon", "a dependent starts after its dependencies have ended", |e| {
        move_start(e, job::FLOW[2], at(199));
    }),
    ("a dependent is never released", "a dependent ends as its dependencies allow", |e| {
        record(e, job::FLOW[3]).ending.state = State::Blocked;
    }),
    ("a dependent of a failed job runs", "a dependent ends as its dependencies allow", |e| {
        record(e, job::CANCELLED).ending.state = State::Completed;
    }),
    ("a cancelled dependent has run", "a dependent ends as its dependencies allow", |e| {
        let start = Start { job: id(job::CANCELLED), ..start(e, job::PLAIN, 1).clone() };
        add(e, Fact::Started(start));
    }),
    (
        "a dependent that should run anyway does not",
        "a dependent ends as its dependencies allow",
        |e| {
            record(e, job::RUN_ANYWAY).ending.state = State::Cancelled;
        },
    ),
    ("the workers do not come to an end", "the workers finish what is left", |e| {
        e.run.drained = None;
    }),
    ("a counter has drifted", "the counters say what a full listing says", |e| {
        e.books[0].jobs[usize::from(State::Waiting.code())] = 1;
    }),
    ("the file is damaged", "the store's file is sound", |e| {
        e.integrity = Integrity::Broken("row missing from index".to_owned());
    }),
    ("an enqueue fails for no reason", "no error reaches a user", |e| {
        add_error(e, A_MINUTE, Nature::Passing);
    }),
    ("an enqueue fails before there is a reason", "no error reaches a user", |e| {
        e.disturbances[0].begin = at(NOTED_AFTER + 1);
        add_error(e, Duration::ZERO, Nature::Passing);
    }),
    ("an enqueue fails for ever", "no error reaches a user", |e| {
        add_error(e, Duration::ZERO, Nature::Lasting);
    }),
    ("the library warns of a store that fails for no reason", "no error reaches a user", |e| {
        add_line(e, A_MINUTE, WARNING);
    }),
    ("the library tells of an error that is not over by itself", "no error reaches a user", |e| {
        add_line(e, Duration::ZERO, "ERROR a job cannot be settled");
    }),
    ("a process panics", "no error reaches a user", |e| {
        e.processes[0].said.push("thread 'main' panicked at src/main.rs:1:1:".to_owned());
    }),
    ("the observer's calls fail", "no error reaches a user", |e| {
        let (call, error, nature) = ("look".to_owned(), "busy".to_owned(), Nature::Lasting);
        let fact = Fact::Failed { call, error, nature };
        e.observed.failures.push(Noted { noted: at(NOTED_AFTER), fact });
    }),
    ("nothing happens after a disturbance", "work goes on after the store was disturbed", |e| {
        e.disturbances[0].end = at(NOTED_AFTER + 1);
    }),
    ("a process ends by itself", "processes end when they are told to, and not before", |e| {
        e.processes[0].died = Died::Unexpected;
    }),
];

fn violated(evidence: &Evidence) -> BTreeSet<&'static str> {
    let checks = judge(evidence).checks;
    checks.iter().filter(|check| !check.violations.is_empty()).map(|check| check.name).collect()
}

#[test]
fn a_sound_run_is_clean_and_every_check_looks_at_something() {
    let verdict = judge(&sound());
    for check in &verdict.checks {
        assert_eq!(check.violations, Vec::<String>::new(), "{}", check.name);
        assert!(check.looked_at > 0, "{} looks at nothing", check.name);
    }
    assert!(verdict.is_clean());
}

#[test]
fn every_planted_violation_is_seen_by_its_check() {
    for (planted, check, plant) in PLANTED {
        let mut evidence = sound();
        plant(&mut evidence);
        let violated = violated(&evidence);
        assert!(violated.contains(check), "{planted}: seen by {violated:?} only");
        assert!(!judge(&evidence).is_clean(), "{planted}");
    }
}

#[test]
fn every_check_has_a_violation_planted_for_it() {
    let planted: BTreeSet<_> = PLANTED.iter().map(|(_, check, _)| *check).collect();
    let checks: BTreeSet<_> = judge(&sound()).checks.iter().map(|check| check.name).collect();
    assert_eq!(planted, checks);
}

#[test]
fn what_a_lease_allows_is_no_violation() {
    // A handler that goes on after its lease could have been taken over proves
    // nothing about two at once.
    let mut evidence = sound();
    let late = |fact: &mut Fact, job: JobId, to: Timestamp| {
        if let Fact::Finished { job: of, at, .. } = fact
            && *of == job
        {
            *at = to;
        }
    };
    let after = at(100).after(LEASE);
    facts(&mut evidence).for_each(|fact| late(fact, id(job::LIMITED[0]), after.after(LEASE)));
    record(&mut evidence, job::LIMITED[0]).ending.finished_at = Some(after.after(LEASE));
    evidence.observed.ended.remove(&id(job::LIMITED[0]));
    move_start(&mut evidence, job::LIMITED[4], after);
    let moved = after.after(Duration::from_millis(1));
    facts(&mut evidence).for_each(|fact| late(fact, id(job::LIMITED[4]), moved));
    record(&mut evidence, job::LIMITED[4]).ending.finished_at = Some(moved);
    evidence.observed.ended.remove(&id(job::LIMITED[4]));
    assert_eq!(violated(&evidence), BTreeSet::new());
}

#[test]
fn a_handler_of_unknown_end_proves_nothing_about_two_at_once() {
    let one_at_a_time = "a partition runs one job at a time";
    let mut evidence = sound();
    move_start(&mut evidence, job::LINE[1], at(199));
    assert!(violated(&evidence).contains(one_at_a_time));
    for fact in facts(&mut evidence) {
        if let Fact::Finished { job, token, .. } = fact
            && *job == id(job::LINE[0])
        {
            *fact = Fact::Dropped { job: *job, token: *token };
        }
    }
    assert!(!violated(&evidence).contains(one_at_a_time));
}

#[test]
fn what_is_over_by_itself_may_fail_for_a_while_after_a_disturbance() {
    let mut evidence = sound();
    let soon = Duration::from_secs(20);
    add_error(&mut evidence, Duration::ZERO, Nature::Passing);
    add_error(&mut evidence, soon, Nature::Passing);
    add_line(&mut evidence, soon, WARNING);
    assert_eq!(violated(&evidence), BTreeSet::new());
    let errors = judge(&evidence).figures.errors_while_disturbed;
    assert_eq!(errors, BTreeMap::from([("enqueue".to_owned(), 2), ("warning".to_owned(), 1)]));

    // Where nothing was done to the store, nothing explains them.
    evidence.disturbances.clear();
    let verdict = judge(&evidence);
    let violations: usize = verdict.checks.iter().map(|check| check.violations.len()).sum();
    assert_eq!(violations, 3, "{:?}", verdict.checks);
}

#[test]
fn a_job_that_was_not_stored_yet_is_in_nobodys_way() {
    // Enqueued first, and there only when the second has begun.
    let mut evidence = sound();
    let first = id(job::LINE[0]);
    move_start(&mut evidence, job::LINE[0], at(300));
    for process in &mut evidence.processes {
        for noted in &mut process.facts {
            match &mut noted.fact {
                Fact::Acknowledged(known) if known.job == first => {
                    noted.noted = noted.noted.after(Duration::from_millis(200));
                }
                Fact::Finished { job, at: end, .. } if *job == first => *end = at(400),
                _ => {}
            }
        }
    }
    let ending = &mut record(&mut evidence, job::LINE[0]).ending;
    (ending.started_at, ending.finished_at) = (Some(at(300)), Some(at(400)));
    evidence.observed.ended.remove(&first);
    // The leases of both were live at once for no moment.
    let second = &mut record(&mut evidence, job::LINE[1]).ending;
    assert!(second.finished_at <= Some(at(300)));
    assert_eq!(violated(&evidence), BTreeSet::new());
}

#[test]
fn a_first_dependent_raises_the_version_of_an_ended_job_by_one() {
    let mut evidence = sound();
    let ending = &mut record(&mut evidence, job::FLOW[0]).ending;
    (ending.version, ending.has_dependents) = (ending.version + 1, true);
    assert_eq!(violated(&evidence), BTreeSet::new());
    record(&mut evidence, job::FLOW[0]).ending.version += 1;
    assert_eq!(violated(&evidence).len(), 1);
}
