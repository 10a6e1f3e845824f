//! What follows when a job suspends itself, and when others tell it something (rules W2 to
//! W4).
//!
//! A suspended job is scheduled: for the end of its sleep or of its patience, or for a
//! moment so far away that somebody will have told it something before. What others tell
//! it is recorded with it in the same step that wakes it, so that neither is lost without
//! the other.
//!
//! What spawned jobs came to is told by a *gate*, a job that depends on them and that no
//! worker runs: when it is unblocked, its parent is told, and then it goes. If the process
//! that does so dies in between, the sweep finds the gate unblocked and does it again.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::backend::{CancelRequest, Place, Target, Transition};
use crate::model::{
    Awaits, Dependency, Event, FIRST_MESSAGE, FIRST_RESULT, Gate, Job, JobRef, JobType,
    OnBrokenDependency, Payload, State, Step, StepName, When,
};

use super::transition;

/// For how long a job is suspended that waits for nothing but to be told: a hundred years.
pub const UNTIL_TOLD: Duration = Duration::from_secs(100 * 365 * 86_400);

/// After how long a job that waits for jobs it has spawned looks by itself. Only an
/// operator who removes or cancels the gate can make that necessary.
pub const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// The type of a gate.
pub const GATE: &str = "windlass.gate";

/// What a handler asks for when it suspends its job.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspend {
    /// The moment at which it goes on at the latest.
    pub until: When,
    /// What wakes it before.
    pub awaits: Awaits,
    /// How much it had been told when it was leased, by [`Course::told`].
    ///
    /// [`Course::told`]: crate::model::Course::told
    pub told: u32,
    /// What is recorded with it.
    pub steps: Vec<Step>,
}

/// What others tell a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A message.
    Message {
        /// Its topic.
        topic: StepName,
        /// By which it is known, where it may be sent again.
        id: Option<String>,
        /// What it says, as JSON.
        body: Payload,
    },
    /// What the jobs came to that it spawned.
    Results {
        /// The position of the step that spawned them.
        position: u32,
        /// What they came to, as [`outcomes`] writes it.
        outcomes: Payload,
    },
}

/// The suspension of a job by the handler that has its lease; its guard is set by the
/// caller. Whoever was told something since it was leased goes on at once: that may be
/// what it wants to wait for.
pub(super) fn suspend(job: &Job, suspend: &Suspend) -> Transition {
    let mut course = job.course.clone();
    let news = course.told != suspend.told;
    course.awaits = (!news).then(|| suspend.awaits.clone());
    // It has come so far: leases that ran out before that say nothing about what follows.
    course.stalls = 0;
    let due = if news { When::Now } else { suspend.until };
    // In a partition it gives up its place: what it waits for may stand behind it.
    let to = Target::Pending { due, place: Place::AtDue };
    Transition {
        course: Some(course),
        steps: suspend.steps.clone(),
        ..transition(job, to, Event::Suspended)
    }
}

/// What follows when a job is told something. `None`: nothing, it has ended and takes no
/// messages. What its spawned jobs came to is recorded all the same: it may be retried.
#[must_use]
pub fn tell(job: &Job, mut told: Vec<Told>) -> Option<Transition> {
    if job.state.is_terminal() {
        told.retain(|one| matches!(one, Told::Results { .. }));
        if told.is_empty() {
            return None;
        }
    }
    let mut course = job.course.clone();
    let mut awaits = course.awaits.take();
    let (mut steps, mut wakes) = (Vec::with_capacity(told.len()), false);
    for one in told {
        let (position, name, outcome) = match one {
            Told::Message { topic, id, body } => {
                wakes |= awaits.as_ref().is_some_and(|awaits| awaits.topics.contains(&topic));
                let message = Message { id, body: raw(&body).unwrap_or(RawValue::NULL) };
                (FIRST_MESSAGE.saturating_add(course.told), topic, json(&message))
            }
            Told::Results { position, outcomes } => {
                wakes |= awaits.as_mut().is_some_and(|awaits| is_enough(awaits, position));
                (FIRST_RESULT.saturating_add(position), results_name(), outcomes)
            }
        };
        course.told = course.told.saturating_add(1);
        steps.push(Step { position, name, outcome });
    }
    // One that runs finds out when it wants to suspend itself; one that was woken by
    // something else is about to.
    let to = if wakes && job.state == State::Scheduled {
        Target::Pending { due: When::Now, place: Place::AtDue }
    } else {
        course.awaits = awaits;
        Target::Stay { cancel: CancelRequest::Unchanged }
    };
    Some(Transition { course: Some(course), steps, ..transition(job, to, Event::Told) })
}

/// Notes that the results of a position have come. Answers whether they were the last, or
/// the first, that was waited for.
fn is_enough(awaits: &mut Awaits, position: u32) -> bool {
    let before = awaits.results.len();
    awaits.results.retain(|awaited| *awaited != position);
    awaits.results.len() < before && (awaits.first || awaits.results.is_empty())
}

fn results_name() -> StepName {
    StepName::new("results").unwrap_or_else(|_| unreachable!("a valid name"))
}

/// The type of a gate.
#[must_use]
pub fn gate_type() -> JobType {
    JobType::new(GATE).unwrap_or_else(|_| unreachable!("a valid name"))
}

/// The job that a gate tells, and at which position of which of its lives. `None`: it is no
/// gate.
#[must_use]
pub fn gate_of(job: &Job) -> Option<(&JobRef, Gate)> {
    Some((job.parent.as_ref()?, job.options.gate?))
}

/// Whether a blocked job is a gate whose parent is to be told now.
#[must_use]
pub fn is_open_gate(job: &Job) -> bool {
    job.state == State::Blocked && job.options.gate.is_some() && job.dependencies.open == 0
}

/// How one of the jobs ended that a gate depends on.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChildEnd<'a> {
    /// Its state; `None` if it is not there any more.
    #[serde(rename = "s")]
    pub state: Option<State>,
    /// What it returned, as JSON.
    #[serde(rename = "r", borrow, default, skip_serializing_if = "Option::is_none")]
    pub result: Option<&'a RawValue>,
    /// Whether it returned something that is not told here.
    #[serde(rename = "l", default, skip_serializing_if = "std::ops::Not::not")]
    pub left_out: bool,
}

/// What the jobs came to that a gate depends on, as its parent is told it: a list, in
/// their order. A result that is not JSON is left out.
#[must_use]
pub fn outcomes(dependencies: &[Dependency]) -> Payload {
    let ends: Vec<_> = dependencies
        .iter()
        .map(|of| {
            let result = of.result.as_ref().and_then(raw);
            ChildEnd { state: of.state, result, left_out: of.result.is_some() && result.is_none() }
        })
        .collect();
    json(&ends)
}

/// The same without any result, where all of them are too much in one piece.
#[must_use]
pub fn without_results(dependencies: &[Dependency]) -> Payload {
    let ends: Vec<_> = dependencies
        .iter()
        .map(|of| ChildEnd { state: of.state, result: None, left_out: of.result.is_some() })
        .collect();
    json(&ends)
}

/// What was JSON before can be written again.
fn json<T: Serialize>(value: &T) -> Payload {
    Payload::from(serde_json::to_vec(value).unwrap_or_default())
}

fn raw(payload: &Payload) -> Option<&RawValue> {
    serde_json::from_slice(payload.as_slice()).ok()
}

/// A message, as it is recorded.
#[derive(Debug, Serialize, Deserialize)]
pub struct Message<'a> {
    /// By which it is known, where it may be sent again.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it says.
    #[serde(rename = "b", borrow)]
    pub body: &'a RawValue,
}

/// What of this the job was not told before, going by what is recorded of it.
#[must_use]
pub fn untold(steps: &[Step], told: &[Told]) -> Vec<Told> {
    let known: HashSet<(&StepName, String)> = steps
        .iter()
        .filter(|step| step.position >= FIRST_MESSAGE)
        .filter_map(|step| {
            let message: Message<'_> = serde_json::from_slice(step.outcome.as_slice()).ok()?;
            Some((&step.name, message.id?))
        })
        .collect();
    let is_new = |one: &&Told| match one {
        Told::Message { topic, id: Some(id), .. } => !known.contains(&(topic, id.clone())),
        _ => true,
    };
    told.iter().filter(is_new).cloned().collect()
}

/// Whether core has to see how a job's dependencies ended before it can decide about it:
/// they have different policies, and one did not complete.
#[must_use]
pub fn needs_dependencies(job: &Job) -> bool {
    job.state == State::Blocked
        && job.dependencies.broken > 0
        && !job.options.other_edges.is_empty()
}

/// Whether a dependency that ended in another way than completed cancels its dependent.
pub(super) fn cancels(job: &Job, dependencies: &[Dependency]) -> bool {
    let others: HashSet<usize> = job.options.other_edges.iter().map(|at| *at as usize).collect();
    dependencies.iter().enumerate().any(|(at, dependency)| {
        let ended = dependency.state.is_none_or(State::is_terminal);
        let broken = ended && dependency.state != Some(State::Completed);
        let other = others.contains(&at);
        let runs = (job.options.on_broken_dependency == OnBrokenDependency::Run) != other;
        broken && !runs
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::decide::samples::{active, at, queue, waiting};
    use crate::decide::{Attempt, Outcome, finish, unblocked};
    use crate::model::{Course, JobId, JobOptions, QueueSpec};

    fn topic(text: &str) -> StepName {
        StepName::new(text).unwrap()
    }

    fn message(text: &str) -> Told {
        Told::Message { topic: topic(text), id: None, body: Payload::from("1") }
    }

    fn results(position: u32) -> Told {
        Told::Results { position, outcomes: Payload::from("[]") }
    }

    fn suspended(awaits: Awaits) -> Job {
        let course = Course { told: 4, awaits: Some(awaits), ..Course::default() };
        Job { state: State::Scheduled, course, started_at: Some(at(150)), ..waiting() }
    }

    const NOW: Target = Target::Pending { due: When::Now, place: Place::AtDue };
    const STAY: Target = Target::Stay { cancel: CancelRequest::Unchanged };

    fn suspend_with(job: &Job, told: u32) -> Transition {
        let outcome = Outcome::Suspend(Box::new(Suspend {
            until: When::At(at(5_000)),
            awaits: Awaits { topics: vec![topic("a")], ..Awaits::default() },
            told,
            steps: Vec::new(),
        }));
        let token = job.lease.unwrap().token;
        finish(job, &QueueSpec::new(queue()), &Attempt { token, outcome }).unwrap()
    }

    #[test]
    fn a_job_is_suspended_until_its_moment_unless_it_was_told_something_meanwhile() {
        let told = Course { told: 2, ..Course::default() };
        let job = Job { course: told, ..active() };
        let t = suspend_with(&job, 2);
        assert_eq!(t.to, Target::Pending { due: When::At(at(5_000)), place: Place::AtDue });
        assert_eq!(t.course.unwrap().awaits.unwrap().topics, [topic("a")]);
        let t = suspend_with(&job, 1);
        assert_eq!((t.to, t.course.unwrap().awaits), (NOW, None));
    }

    #[test]
    fn a_job_that_was_asked_to_stop_is_not_suspended() {
        let t = suspend_with(&Job { cancel_requested: true, ..active() }, 0);
        assert!(matches!(t.to, Target::Ended { .. }));
    }

    #[test]
    fn a_suspended_job_is_woken_by_what_it_waits_for_only() {
        let results_of =
            |list: &[u32], first| Awaits { results: list.to_vec(), first, ..Awaits::default() };
        let on_topic = Awaits { topics: vec![topic("a")], ..Awaits::default() };
        let table = [
            (on_topic.clone(), vec![message("a")], NOW),
            (on_topic.clone(), vec![message("b")], STAY),
            (on_topic.clone(), vec![message("b"), message("a")], NOW),
            (on_topic, vec![results(0)], STAY),
            (results_of(&[3, 5], false), vec![results(3)], STAY),
            (results_of(&[3, 5], false), vec![results(3), results(5)], NOW),
            (results_of(&[3, 5], false), vec![results(5), results(3)], NOW),
            (results_of(&[3, 5], true), vec![results(5)], NOW),
            (results_of(&[3, 5], true), vec![results(4)], STAY),
            // Asleep: nothing but the clock.
            (Awaits::default(), vec![message("a"), results(1)], STAY),
        ];
        for (awaits, told, to) in table {
            let t = tell(&suspended(awaits.clone()), told.clone()).unwrap();
            assert_eq!(t.to, to, "{awaits:?} {told:?}");
            assert_eq!(t.course.as_ref().unwrap().told, 4 + u32::try_from(told.len()).unwrap());
            assert_eq!(t.course.unwrap().awaits.is_none(), to == NOW);
        }
    }

    #[test]
    fn what_a_job_is_told_by_and_by_is_remembered() {
        let awaits = Awaits { results: vec![3, 5], ..Awaits::default() };
        let t = tell(&suspended(awaits), vec![results(3)]).unwrap();
        let job = Job { course: t.course.unwrap(), ..suspended(Awaits::default()) };
        assert_eq!(tell(&job, vec![results(5)]).unwrap().to, NOW);
    }

    #[test]
    fn messages_stand_in_the_order_in_which_they_came_and_results_at_their_step() {
        let t = tell(&active(), vec![message("a"), results(7), message("b")]).unwrap();
        let positions: Vec<_> = t.steps.iter().map(|step| step.position).collect();
        assert_eq!(positions, [FIRST_MESSAGE, FIRST_RESULT + 7, FIRST_MESSAGE + 2]);
        assert_eq!(t.to, STAY);
    }

    #[test]
    fn a_job_that_has_ended_takes_no_messages_but_is_told_results() {
        for state in State::ALL.into_iter().filter(|state| state.is_terminal()) {
            let job = Job { state, ..waiting() };
            assert_eq!(tell(&job, vec![message("a")]), None);
            let told = tell(&job, vec![message("a"), results(2)]).unwrap();
            assert_eq!((told.to, told.steps.len()), (STAY, 1));
        }
    }

    #[test]
    fn a_message_with_a_name_is_told_once() {
        let named = |id: &str| Told::Message {
            topic: topic("a"),
            id: Some(id.to_owned()),
            body: Payload::from(r#"{"x":[1]}"#),
        };
        let steps = tell(&active(), vec![message("a"), named("one")]).unwrap().steps;
        let read: Message<'_> = serde_json::from_slice(steps[1].outcome.as_slice()).unwrap();
        assert_eq!((read.id.as_deref(), read.body.get()), (Some("one"), r#"{"x":[1]}"#));
        let elsewhere = Told::Message {
            topic: topic("b"),
            id: Some("one".to_owned()),
            body: Payload::from("1"),
        };
        let told = [named("one"), message("a"), named("two"), elsewhere];
        assert_eq!(untold(&steps, &told), told[1..]);
    }

    fn ended(state: Option<State>, result: Option<&'static str>) -> Dependency {
        let job = JobRef { queue: queue(), id: JobId::from_bytes([1; 16]) };
        Dependency { job, state, result: result.map(Payload::from) }
    }

    #[test]
    fn the_outcomes_of_children_can_be_read_again() {
        let told = outcomes(&[
            ended(Some(State::Completed), Some(r#"{"a": 1}"#)),
            ended(Some(State::Failed), None),
            ended(None, None),
            ended(Some(State::Completed), Some("no json")),
        ]);
        let read: Vec<ChildEnd<'_>> = serde_json::from_slice(told.as_slice()).unwrap();
        assert!(read[3].left_out && !read[1].left_out);
        let read: Vec<_> =
            read.iter().map(|end| (end.state, end.result.map(RawValue::get))).collect();
        assert_eq!(
            read,
            [
                (Some(State::Completed), Some(r#"{"a": 1}"#)),
                (Some(State::Failed), None),
                (None, None),
                (Some(State::Completed), None),
            ]
        );
    }

    #[test]
    fn a_gate_is_no_job_for_a_worker_and_goes_when_it_opens() {
        let options = JobOptions {
            gate: Some(Gate { position: 3, life: at(100) }),
            on_broken_dependency: OnBrokenDependency::Run,
            ..JobOptions::default()
        };
        let gate = Job {
            state: State::Blocked,
            options: Arc::new(options),
            parent: Some(JobRef { queue: queue(), id: JobId::from_bytes([2; 16]) }),
            ..waiting()
        };
        assert!(is_open_gate(&gate));
        assert_eq!(gate_of(&gate).unwrap().1.position, 3);
        assert_eq!(unblocked(&gate, Some(&[])).unwrap().to, Target::Removed);
        // Its parent was not told.
        assert_eq!(unblocked(&gate, None), None);
        let mut closed = gate;
        closed.dependencies.open = 1;
        closed.dependencies.broken = 1;
        assert!(!is_open_gate(&closed));
        assert_eq!(unblocked(&closed, Some(&[])), None);
    }

    #[test]
    fn each_edge_has_its_own_policy() {
        let completed = ended(Some(State::Completed), None);
        let failed = ended(Some(State::Failed), None);
        let open = ended(Some(State::Waiting), None);
        let (cancel, run) = (OnBrokenDependency::Cancel, OnBrokenDependency::Run);
        let table = [
            (cancel, vec![], [&completed, &failed], true),
            (cancel, vec![1], [&completed, &failed], false),
            (cancel, vec![0], [&completed, &failed], true),
            (cancel, vec![1], [&failed, &failed], true),
            (run, vec![], [&failed, &failed], false),
            (run, vec![0], [&failed, &completed], true),
            (run, vec![0], [&open, &failed], false),
        ];
        for (on_broken_dependency, other_edges, states, expected) in table {
            let options = JobOptions { on_broken_dependency, other_edges, ..JobOptions::default() };
            let job = Job { options: Arc::new(options), ..waiting() };
            assert_eq!(cancels(&job, &states.map(Clone::clone)), expected, "{states:?}");
        }
    }
}
