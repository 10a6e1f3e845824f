//! What follows when a lease ran out or a job did not start in time (rules L3
//! and R5).

use crate::backend::{LeaseGuard, Overdue, Place, Target, Transition};
use crate::model::{AttemptError, End, Event, FailureKind, Job, QueueSpec, State, Timestamp, When};

use super::finish::ended;
use super::{transition, unblocked};

/// What follows for a job that a backend found overdue at `now`. `None`:
/// nothing, it is not (any more), or [`unblocked`](super::unblocked) has to see more
/// than the job.
#[must_use]
pub fn overdue(job: &Job, spec: &QueueSpec, what: Overdue, now: Timestamp) -> Option<Transition> {
    match what {
        Overdue::LostLeases => lost_lease(job, spec, now),
        Overdue::Expired => expired(job, spec, now),
        Overdue::Unblocked => unblocked(job, None),
    }
}

/// A take-over counts a stall. More than the queue's `max_stalls` end the job
/// as failed; otherwise it goes back to its old place. Stalls do not count as
/// failed attempts.
fn lost_lease(job: &Job, spec: &QueueSpec, now: Timestamp) -> Option<Transition> {
    let lease = job.lease.filter(|lease| job.state == State::Active && lease.until <= now)?;
    let mut course = job.course.clone();
    course.stalls = course.stalls.saturating_add(1);
    let mut decided = if job.cancel_requested {
        ended(job, spec, End::Cancelled, None)
    } else if course.stalls > spec.max_stalls {
        course.remember(AttemptError {
            attempt: job.attempt(),
            started_at: job.started_at,
            kind: FailureKind::Stalled,
            message: format!(
                "the lease ran out {} times without a sign of life from the worker; at most {} \
                 are tolerated",
                course.stalls, spec.max_stalls
            ),
        });
        ended(job, spec, End::Failed, None)
    } else {
        let to = Target::Pending { due: When::Now, place: Place::Kept };
        transition(job, to, Event::Stalled)
    };
    decided.course = Some(course);
    // Its holder may extend or settle up to the very moment of the take-over.
    decided.guard.lease = LeaseGuard::RunOut(lease.token);
    Some(decided)
}

fn expired(job: &Job, spec: &QueueSpec, now: Timestamp) -> Option<Transition> {
    let pending = matches!(job.state, State::Blocked | State::Scheduled | State::Waiting);
    let passed = job.expires.is_some_and(|moment| moment <= now);
    (pending && passed && !job.has_started()).then(|| ended(job, spec, End::Expired, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::samples::{TOKEN, active, at, queue, waiting};
    use crate::model::Course;

    fn spec() -> QueueSpec {
        QueueSpec { max_stalls: 2, ..QueueSpec::new(queue()) }
    }

    #[test]
    fn a_lost_lease_is_a_stall_up_to_a_bound_and_then_a_failure() {
        let back = Target::Pending { due: When::Now, place: Place::Kept };
        let failed = Target::Ended { end: End::Failed, result: None };
        for (stalls, to) in [(0, back.clone()), (1, back), (2, failed)] {
            let course = Course { stalls, failed_attempts: 9, ..Course::default() };
            let job = Job { course, ..active() };
            let t = overdue(&job, &spec(), Overdue::LostLeases, at(900)).unwrap();
            let after = t.course.unwrap();
            assert_eq!((t.to, after.stalls, after.failed_attempts), (to, stalls + 1, 9));
            assert_eq!(t.guard.lease, LeaseGuard::RunOut(TOKEN));
            assert_eq!(after.errors.len(), usize::from(stalls == 2));
        }
    }

    #[test]
    fn a_lease_that_has_not_run_out_is_left_alone() {
        assert_eq!(overdue(&active(), &spec(), Overdue::LostLeases, at(899)), None);
        assert_eq!(overdue(&waiting(), &spec(), Overdue::LostLeases, at(900)), None);
    }

    #[test]
    fn a_lost_job_that_was_asked_to_stop_is_cancelled() {
        let job = Job { cancel_requested: true, ..active() };
        let t = overdue(&job, &spec(), Overdue::LostLeases, at(900)).unwrap();
        assert_eq!(t.to, Target::Ended { end: End::Cancelled, result: None });
    }

    #[test]
    fn a_job_expires_at_its_moment_unless_it_has_started() {
        let job = Job { expires: Some(at(500)), ..waiting() };
        let expired = |job: &Job, now| overdue(job, &spec(), Overdue::Expired, at(now));
        assert_eq!(expired(&job, 499), None);
        for state in [State::Blocked, State::Scheduled, State::Waiting] {
            let t = expired(&Job { state, ..job.clone() }, 500).unwrap();
            assert_eq!(t.to, Target::Ended { end: End::Expired, result: None });
        }
        assert_eq!(expired(&Job { started_at: Some(at(1)), ..job.clone() }, 500), None);
        assert_eq!(expired(&Job { state: State::Failed, ..job.clone() }, 500), None);
        assert_eq!(expired(&Job { expires: Some(at(500)), ..active() }, 500), None);
        assert_eq!(expired(&waiting(), 500), None);
    }
}
