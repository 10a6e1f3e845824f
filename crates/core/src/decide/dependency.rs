//! What follows for a blocked job when what it waits for has ended (rules N1,
//! N2 and N5).

use crate::backend::{Place, Target, Transition};
use crate::model::{Dependency, End, Event, Job, OnBrokenDependency, State, When};

use super::durable::{cancels, is_open_gate, needs_dependencies};
use super::transition;

/// What follows for a blocked job. `None`: it goes on waiting, or is not
/// blocked at all.
///
/// How its dependencies stand has to be known where [`needs_dependencies`] says so, and of
/// a gate, whose parent has been told of them before; without it nothing follows.
/// [`BackendExt::release`](crate::backend::BackendExt::release) does all of that.
#[must_use]
pub fn unblocked(job: &Job, dependencies: Option<&[Dependency]>) -> Option<Transition> {
    if job.state != State::Blocked {
        return None;
    }
    if job.options.gate.is_some() {
        let opens = is_open_gate(job) && dependencies.is_some();
        return opens.then(|| transition(job, Target::Removed, Event::Removed));
    }
    let broken = job.dependencies.broken > 0;
    let cancelled = if needs_dependencies(job) {
        cancels(job, dependencies?)
    } else {
        broken && job.options.on_broken_dependency == OnBrokenDependency::Cancel
    };
    if cancelled {
        let to = Target::Ended { end: End::Cancelled, result: None };
        Some(transition(job, to, Event::Cancelled))
    } else if job.dependencies.open == 0 {
        // Its own moment was resolved at the enqueue; one that has passed
        // means now.
        let to = Target::Pending { due: When::At(job.due), place: Place::AtDue };
        Some(transition(job, to, Event::Unblocked))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::decide::samples::{at, waiting};
    use crate::model::{Dependencies, JobOptions};

    #[test]
    fn a_blocked_job_goes_on_cancelled_or_waits_as_its_dependencies_stand() {
        let pending = Some(Target::Pending { due: When::At(at(200)), place: Place::AtDue });
        let cancelled = Some(Target::Ended { end: End::Cancelled, result: None });
        let (cancel, run) = (OnBrokenDependency::Cancel, OnBrokenDependency::Run);
        let table = [
            (cancel, 0, 0, pending.clone()),
            (cancel, 1, 0, None),
            (cancel, 1, 1, cancelled.clone()),
            (cancel, 0, 1, cancelled),
            (run, 0, 0, pending.clone()),
            (run, 1, 1, None),
            (run, 0, 2, pending),
        ];
        for (on_broken_dependency, open, broken, expected) in table {
            let options = JobOptions { on_broken_dependency, ..JobOptions::default() };
            let job = Job {
                state: State::Blocked,
                options: Arc::new(options),
                dependencies: Dependencies { open, broken },
                ..waiting()
            };
            let to = unblocked(&job, None).map(|t| t.to);
            assert_eq!(to, expected, "{on_broken_dependency:?} {open} {broken}");
        }
    }

    #[test]
    fn a_job_that_is_not_blocked_is_left_alone() {
        for state in State::ALL.into_iter().filter(|s| *s != State::Blocked) {
            assert_eq!(unblocked(&Job { state, ..waiting() }, None), None);
        }
    }
}
