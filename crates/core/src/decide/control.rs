//! What follows an operator's wish (rules D1, C1 and C2).

use crate::backend::{CancelRequest, Expiry, Place, Target, Transition};
use crate::model::{Course, End, Event, Job, State, When};

use super::transition;

/// A wish that a job in this state cannot be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {state} cannot be {wish}; it would have to be {takes}")]
pub struct NotPossible {
    state: State,
    wish: &'static str,
    takes: &'static str,
}

impl NotPossible {
    /// The state that the job is in.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }
}

/// What an operator can want of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// That it does not run, or stops.
    Cancel,
    /// That it runs at another moment.
    Delay(When),
    /// That it runs now.
    Promote,
    /// That it starts afresh although it has ended.
    Retry,
    /// That it is removed for good.
    Remove,
}

/// What follows a wish. `Ok(None)`: it is fulfilled already.
///
/// # Errors
/// [`NotPossible`] if the job's state does not allow it.
pub fn control(job: &Job, wish: Wish) -> Result<Option<Transition>, NotPossible> {
    match wish {
        Wish::Cancel => cancel(job),
        Wish::Delay(due) => match job.state {
            State::Scheduled | State::Waiting => {
                let to = Target::Pending { due, place: Place::AtDue };
                Ok(Some(transition(job, to, Event::Changed)))
            }
            state => Err(NotPossible { state, wish: "delayed", takes: "scheduled or waiting" }),
        },
        Wish::Promote => promote(job),
        Wish::Retry => retry(job),
        Wish::Remove => match job.state {
            State::Active | State::Blocked => Err(NotPossible {
                state: job.state,
                wish: "removed",
                takes: "ended, scheduled or waiting",
            }),
            _ => Ok(Some(transition(job, Target::Removed, Event::Removed))),
        },
    }
}

/// A job that is not active is cancelled at once. An active one is asked to
/// stop; its worker settles it.
fn cancel(job: &Job) -> Result<Option<Transition>, NotPossible> {
    match job.state {
        State::Active if job.cancel_requested => Ok(None),
        State::Active => {
            let to = Target::Stay { cancel: CancelRequest::Requested };
            Ok(Some(transition(job, to, Event::CancelRequested)))
        }
        State::Blocked | State::Scheduled | State::Waiting => {
            let to = Target::Ended { end: End::Cancelled, result: None };
            Ok(Some(transition(job, to, Event::Cancelled)))
        }
        State::Cancelled => Ok(None),
        state => Err(NotPossible { state, wish: "cancelled", takes: "one that has not ended" }),
    }
}

fn promote(job: &Job) -> Result<Option<Transition>, NotPossible> {
    match job.state {
        State::Waiting => Ok(None),
        State::Scheduled => {
            // One that kept its place while it was put off still keeps it.
            let place =
                if job.place < job.due && job.has_started() { Place::Kept } else { Place::AtDue };
            let to = Target::Pending { due: When::Now, place };
            Ok(Some(transition(job, to, Event::Changed)))
        }
        state => Err(NotPossible { state, wish: "promoted", takes: "scheduled or waiting" }),
    }
}

/// Attempts, stalls and snoozes start afresh; the history of errors stays, and so do
/// recorded steps, from which a durable job goes on. The old expiry does not count
/// again: it would end the job at once.
fn retry(job: &Job) -> Result<Option<Transition>, NotPossible> {
    if !job.state.is_terminal() {
        return Err(NotPossible { state: job.state, wish: "retried", takes: "one that has ended" });
    }
    if job.options.gate.is_some() {
        // No worker could run it; its parent puts up another one.
        let takes = "a job for a worker, and no gate";
        return Err(NotPossible { state: job.state, wish: "retried", takes });
    }
    let to = Target::Pending { due: When::Now, place: Place::AtDue };
    Ok(Some(Transition {
        course: Some(Course {
            errors: job.course.errors.clone(),
            told: job.course.told,
            ..Course::default()
        }),
        expiry: Expiry::Dropped,
        ..transition(job, to, Event::Retried)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::samples::{active, at, waiting};
    use crate::model::{AttemptError, FailureKind};

    fn target(state: State, wish: Wish) -> Option<Option<Target>> {
        let job = if state == State::Active { active() } else { Job { state, ..waiting() } };
        control(&job, wish).ok().map(|t| t.map(|t| t.to))
    }

    #[test]
    fn each_wish_is_granted_in_its_states_only() {
        use State::{Active, Blocked, Cancelled, Completed, Expired, Failed, Scheduled, Waiting};
        let now = Target::Pending { due: When::Now, place: Place::AtDue };
        let later = When::At(at(777));
        let moved = Target::Pending { due: later, place: Place::AtDue };
        let cancelled = Target::Ended { end: End::Cancelled, result: None };
        let asked = Target::Stay { cancel: CancelRequest::Requested };
        let terminal = [Completed, Failed, Cancelled, Expired];
        for state in State::ALL {
            let expected = match state {
                Blocked | Scheduled | Waiting => Some(Some(cancelled.clone())),
                Active => Some(Some(asked.clone())),
                Cancelled => Some(None),
                _ => None,
            };
            assert_eq!(target(state, Wish::Cancel), expected, "cancel {state}");
            let pending = matches!(state, Scheduled | Waiting);
            let expected = pending.then(|| Some(moved.clone()));
            assert_eq!(target(state, Wish::Delay(later)), expected, "delay {state}");
            let expected = pending.then(|| (state == Scheduled).then(|| now.clone()));
            assert_eq!(target(state, Wish::Promote), expected, "promote {state}");
            let expected = terminal.contains(&state).then(|| Some(now.clone()));
            assert_eq!(target(state, Wish::Retry), expected, "retry {state}");
            let removable = !matches!(state, Active | Blocked);
            let expected = removable.then_some(Some(Target::Removed));
            assert_eq!(target(state, Wish::Remove), expected, "remove {state}");
        }
    }

    #[test]
    fn asking_an_active_job_to_stop_twice_changes_nothing() {
        let job = Job { cancel_requested: true, ..active() };
        assert_eq!(control(&job, Wish::Cancel), Ok(None));
    }

    #[test]
    fn a_retry_starts_afresh_and_keeps_the_history() {
        let errors = vec![AttemptError {
            attempt: 3,
            started_at: None,
            kind: FailureKind::Error,
            message: "no".to_owned(),
        }];
        let course = Course {
            failed_attempts: 3,
            stalls: 2,
            snoozes: 1,
            told: 6,
            errors: errors.clone(),
            ..Course::default()
        };
        let job = Job { state: State::Failed, course, ..waiting() };
        let t = control(&job, Wish::Retry).unwrap().unwrap();
        assert_eq!(t.course, Some(Course { errors, told: 6, ..Course::default() }));
        assert_eq!(t.expiry, Expiry::Dropped);
    }

    #[test]
    fn a_promoted_job_that_kept_its_place_keeps_it() {
        let held =
            Job { state: State::Scheduled, place: at(50), started_at: Some(at(60)), ..waiting() };
        let t = control(&held, Wish::Promote).unwrap().unwrap();
        assert_eq!(t.to, Target::Pending { due: When::Now, place: Place::Kept });
    }

    #[test]
    fn a_refusal_says_what_it_would_take() {
        let job = Job { state: State::Failed, ..waiting() };
        assert_eq!(
            control(&job, Wish::Promote).unwrap_err().to_string(),
            "a job that is failed cannot be promoted; it would have to be scheduled or waiting"
        );
    }
}
