//! What follows an attempt (rules R1 to R4, P2 and C1).

use std::time::Duration;

use crate::backend::{Expiry, Guard, LeaseGuard, Place, Target, Transition};
use crate::model::{
    AttemptError, Course, End, Event, FailureKind, Job, Payload, QueueSpec, Token, When,
};

use super::durable::{Suspend, suspend};
use super::retention::removed_at_once;
use super::transition;

/// The longest a job of a type that its worker does not know is put off before
/// it is offered again.
pub const MAX_UNKNOWN_TYPE_DELAY: Duration = Duration::from_secs(60);

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The handler succeeded.
    Success {
        /// What it returned.
        result: Option<Payload>,
    },
    /// The attempt failed.
    Failure {
        /// What kind of failure.
        kind: FailureKind,
        /// What it said; cut and cleaned before it is kept.
        message: String,
        /// Whether another attempt may help.
        retry: Retryable,
    },
    /// The handler wants to be called again later; no attempt is used.
    Snooze(When),
    /// The handler waits for something, and gives the lease back meanwhile; no
    /// attempt is used.
    Suspend(Box<Suspend>),
    /// The worker hands the job back without having tried it.
    Release,
    /// The worker has no handler for this type of job.
    UnknownType,
    /// The job was asked to stop, and the handler was dropped.
    Cancelled,
}

/// Whether another attempt may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retryable {
    /// It may, after the backoff.
    Yes,
    /// It may, after this wait instead of the backoff.
    After(Duration),
    /// It will not.
    No,
}

/// An attempt that has come to an end.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The lease under which it ran.
    pub token: Token,
    /// What came of it.
    pub outcome: Outcome,
}

/// What follows an attempt. `None`: nothing, because its lease is not the
/// current one of the job as it is now.
#[must_use]
pub fn finish(job: &Job, spec: &QueueSpec, attempt: &Attempt) -> Option<Transition> {
    if job.lease.map(|lease| lease.token) != Some(attempt.token) {
        return None;
    }
    let mut decided = match &attempt.outcome {
        Outcome::Success { result } => success(job, spec, result.clone()),
        // A job that was asked to stop never starts again.
        _ if job.cancel_requested => ended(job, spec, End::Cancelled, None),
        Outcome::Failure { kind, message, retry } => failure(job, spec, *kind, message, *retry),
        Outcome::Snooze(due) => snooze(job, spec, *due),
        Outcome::Suspend(wish) => suspend(job, wish),
        Outcome::Release => {
            let to = Target::Pending { due: When::Now, place: Place::Kept };
            transition(job, to, Event::Released)
        }
        Outcome::UnknownType => unknown_type(job, spec),
        Outcome::Cancelled => ended(job, spec, End::Cancelled, None),
    };
    decided.guard = Guard { version: job.version, lease: LeaseGuard::Held(attempt.token) };
    Some(decided)
}

/// The end of a job: kept, or removed at once where its queue keeps nothing.
pub(super) fn ended(job: &Job, spec: &QueueSpec, end: End, result: Option<Payload>) -> Transition {
    let to = if removed_at_once(job, spec, end) {
        Target::Removed
    } else {
        Target::Ended { end, result }
    };
    let event = match end {
        End::Completed => Event::Completed,
        End::Failed => Event::Failed,
        End::Cancelled => Event::Cancelled,
        End::Expired => Event::Expired,
    };
    transition(job, to, event)
}

fn success(job: &Job, spec: &QueueSpec, result: Option<Payload>) -> Transition {
    match result {
        Some(result) if result.len() > spec.max_payload => {
            let message = format!(
                "the result has {} bytes, more than the {} that queue {:?} takes; return less, \
                 or declare the queue with a larger max_payload",
                result.len(),
                spec.max_payload,
                spec.name
            );
            // Trying again would not make it smaller, and would repeat the
            // work.
            failure(job, spec, FailureKind::Result, &message, Retryable::No)
        }
        result => ended(job, spec, End::Completed, result),
    }
}

fn failure(
    job: &Job,
    spec: &QueueSpec,
    kind: FailureKind,
    message: &str,
    retry: Retryable,
) -> Transition {
    let mut course = awake(job);
    course.remember(AttemptError {
        attempt: job.attempt(),
        started_at: job.started_at,
        kind,
        message: message.to_owned(),
    });
    course.failed_attempts = job.attempt();
    let policy = &job.options.retry;
    let wait = match retry {
        Retryable::No => None,
        _ if course.failed_attempts >= policy.max_attempts => None,
        Retryable::Yes => Some(policy.wait(job.id, course.failed_attempts)),
        Retryable::After(wait) => Some(wait),
    };
    let decided = match wait {
        Some(wait) => put_off(job, spec, When::After(wait), Event::Retried),
        None => ended(job, spec, End::Failed, None),
    };
    with_course(decided, course)
}

fn snooze(job: &Job, spec: &QueueSpec, due: When) -> Transition {
    let mut course = awake(job);
    course.snoozes = course.snoozes.saturating_add(1);
    with_course(put_off(job, spec, due, Event::Snoozed), course)
}

/// A job that this worker cannot run is for another one, perhaps of a newer
/// version that is being rolled out. It is put off, longer each time, so that
/// it neither spins nor stands in the way.
fn unknown_type(job: &Job, spec: &QueueSpec) -> Transition {
    let mut course = awake(job);
    let wait = Duration::from_secs(1).saturating_mul(1 << course.snoozes.min(10));
    course.snoozes = course.snoozes.saturating_add(1);
    let due = When::After(wait.min(MAX_UNKNOWN_TYPE_DELAY));
    with_course(put_off(job, spec, due, Event::Released), course)
}

/// What is behind a job that waits for nothing any more but its moment.
fn awake(job: &Job) -> Course {
    Course { awaits: None, ..job.course.clone() }
}

fn put_off(job: &Job, spec: &QueueSpec, due: When, event: Event) -> Transition {
    let keeps_place = spec.partitions.as_ref().is_some_and(|p| p.keep_order());
    let place = if keeps_place { Place::Kept } else { Place::AtDue };
    transition(job, Target::Pending { due, place }, event)
}

fn with_course(decided: Transition, course: Course) -> Transition {
    Transition { course: Some(course), expiry: Expiry::Unchanged, ..decided }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::samples::{TOKEN, active, queue};
    use crate::model::{Keep, Limits, OnRetry, Partitions, Retention};

    fn decide(job: &Job, spec: &QueueSpec, outcome: Outcome) -> Transition {
        finish(job, spec, &Attempt { token: TOKEN, outcome }).unwrap()
    }

    fn error(retry: Retryable) -> Outcome {
        Outcome::Failure { kind: FailureKind::Error, message: "no\0".to_owned(), retry }
    }

    fn failed_before(failed_attempts: u32) -> Job {
        let course = Course { failed_attempts, stalls: 2, snoozes: 1, ..Course::default() };
        Job { course, ..active() }
    }

    const fn pending(due: When) -> Target {
        Target::Pending { due, place: Place::AtDue }
    }

    const fn secs(n: u64) -> When {
        When::After(Duration::from_secs(n))
    }

    const fn end(end: End) -> Target {
        Target::Ended { end, result: None }
    }

    #[test]
    fn each_outcome_leads_where_its_rule_says() {
        let result = Some(Payload::from("42"));
        let table = [
            (
                0,
                Outcome::Success { result: result.clone() },
                Target::Ended { end: End::Completed, result },
                Event::Completed,
            ),
            (0, error(Retryable::Yes), pending(secs(1)), Event::Retried),
            (1, error(Retryable::Yes), pending(secs(2)), Event::Retried),
            (2, error(Retryable::Yes), end(End::Failed), Event::Failed),
            (0, error(Retryable::No), end(End::Failed), Event::Failed),
            (0, error(Retryable::After(Duration::from_secs(9))), pending(secs(9)), Event::Retried),
            (2, error(Retryable::After(Duration::from_secs(9))), end(End::Failed), Event::Failed),
            (0, Outcome::Snooze(secs(7)), pending(secs(7)), Event::Snoozed),
            (
                0,
                Outcome::Release,
                Target::Pending { due: When::Now, place: Place::Kept },
                Event::Released,
            ),
            (0, Outcome::UnknownType, pending(secs(2)), Event::Released),
            (0, Outcome::Cancelled, end(End::Cancelled), Event::Cancelled),
        ];
        for (failed, outcome, to, event) in table {
            let t = decide(&failed_before(failed), &QueueSpec::new(queue()), outcome.clone());
            assert_eq!((&t.to, t.event), (&to, event), "{outcome:?} after {failed}");
            assert_eq!(t.guard, Guard { version: 11, lease: LeaseGuard::Held(TOKEN) });
        }
    }

    #[test]
    fn only_a_failure_uses_an_attempt() {
        let spec = QueueSpec::new(queue());
        let after = |outcome| {
            let course = decide(&failed_before(1), &spec, outcome).course;
            course.map(|c| (c.failed_attempts, c.stalls, c.snoozes))
        };
        assert_eq!(after(error(Retryable::Yes)), Some((2, 2, 1)));
        assert_eq!(after(Outcome::Snooze(When::Now)), Some((1, 2, 2)));
        assert_eq!(after(Outcome::Release), None);
        assert_eq!(after(Outcome::UnknownType), Some((1, 2, 2)));
    }

    #[test]
    fn the_error_is_remembered_with_its_attempt_and_without_nul() {
        let t = decide(&failed_before(1), &QueueSpec::new(queue()), error(Retryable::Yes));
        let errors = t.course.unwrap().errors;
        assert_eq!((errors[0].attempt, errors[0].message.as_str()), (2, "no\u{fffd}"));
    }

    #[test]
    fn what_is_put_off_waits_for_its_moment_only() {
        let awaits = Some(crate::model::Awaits { results: vec![1], ..Default::default() });
        let job = Job { course: Course { awaits, ..Course::default() }, ..active() };
        for outcome in [error(Retryable::Yes), Outcome::Snooze(secs(9)), Outcome::UnknownType] {
            let course = decide(&job, &QueueSpec::new(queue()), outcome).course.unwrap();
            assert_eq!(course.awaits, None);
        }
    }

    #[test]
    fn a_stale_lease_decides_nothing() {
        let attempt = Attempt { token: Token(3), outcome: Outcome::Success { result: None } };
        assert_eq!(finish(&active(), &QueueSpec::new(queue()), &attempt), None);
        let attempt = Attempt { token: TOKEN, ..attempt };
        let taken_over = Job { lease: None, ..active() };
        assert_eq!(finish(&taken_over, &QueueSpec::new(queue()), &attempt), None);
    }

    #[test]
    fn a_job_that_was_asked_to_stop_completes_or_is_cancelled_but_never_retries() {
        let job = Job { cancel_requested: true, ..active() };
        let spec = QueueSpec::new(queue());
        let success = Outcome::Success { result: None };
        assert_eq!(decide(&job, &spec, success).to, end(End::Completed));
        for outcome in [error(Retryable::Yes), Outcome::Snooze(When::Now), Outcome::Release] {
            assert_eq!(decide(&job, &spec, outcome).to, end(End::Cancelled));
        }
    }

    #[test]
    fn in_a_one_at_a_time_partition_a_job_that_is_put_off_keeps_its_place_unless_it_yields() {
        let kept = |concurrency, on_retry| {
            let limits = Limits { concurrency, rate: None };
            let partitions = Some(Partitions { limits, on_retry });
            let spec = QueueSpec { partitions, ..QueueSpec::new(queue()) };
            match decide(&active(), &spec, error(Retryable::Yes)).to {
                Target::Pending { place, .. } => place,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(kept(Some(1), OnRetry::Hold), Place::Kept);
        assert_eq!(kept(Some(1), OnRetry::Yield), Place::AtDue);
        assert_eq!(kept(Some(2), OnRetry::Hold), Place::AtDue);
        assert_eq!(kept(None, OnRetry::Hold), Place::AtDue);
    }

    #[test]
    fn a_queue_that_keeps_nothing_removes_its_jobs_as_they_end() {
        let retention = Retention { completed: Keep::Remove, other: Keep::Forever };
        let spec = QueueSpec { retention, ..QueueSpec::new(queue()) };
        let t = decide(&active(), &spec, Outcome::Success { result: None });
        assert_eq!((t.to, t.event), (Target::Removed, Event::Completed));
        assert_eq!(decide(&active(), &spec, error(Retryable::No)).to, end(End::Failed));
    }

    #[test]
    fn a_result_that_is_too_large_fails_the_job_for_good() {
        let spec = QueueSpec { max_payload: 3, ..QueueSpec::new(queue()) };
        let success = |n| Outcome::Success { result: Some(Payload::from(vec![b'x'; n])) };
        assert!(matches!(
            decide(&active(), &spec, success(3)).to,
            Target::Ended { end: End::Completed, .. }
        ));
        let t = decide(&active(), &spec, success(4));
        assert_eq!(t.to, end(End::Failed));
        assert_eq!(t.course.unwrap().errors[0].kind, FailureKind::Result);
    }
}
