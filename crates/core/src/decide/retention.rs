//! Which ended jobs may go, and when (rule Q4).

use crate::backend::{Clean, CleanWhich};
use crate::model::{End, Job, Keep, QueueSpec};
use std::time::Duration;

/// Whether a job that ends so is removed in the same step.
///
/// One that others depend on, or will, is not: they read its result. The cleaning takes
/// it once they have ended.
pub(super) fn removed_at_once(job: &Job, spec: &QueueSpec, end: End) -> bool {
    spec.retention.of(end) == Keep::Remove && !job.has_dependents && !job.options.awaited
}

/// What a keeper cleans in a queue, `limit` jobs at a time.
#[must_use]
pub fn cleaning(spec: &QueueSpec, limit: u32) -> Vec<Clean> {
    let mut all = Vec::new();
    for end in End::ALL {
        let older = |age| CleanWhich::OlderThan(age);
        let which = match spec.retention.of(end) {
            Keep::Forever => vec![],
            Keep::Remove => vec![older(Duration::ZERO)],
            Keep::For(age) => vec![older(age)],
            Keep::Newest(n) => vec![CleanWhich::BeyondNewest(n)],
            Keep::ForNewest(age, n) => vec![older(age), CleanWhich::BeyondNewest(n)],
        };
        all.extend(which.into_iter().map(|which| Clean {
            queue: spec.name.clone(),
            state: end.into(),
            which,
            limit,
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::samples::{active, queue};
    use crate::model::{Retention, State};

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn by_default_completed_jobs_are_kept_a_day_and_others_a_fortnight() {
        let cleaning = cleaning(&QueueSpec::new(queue()), 50);
        let ages: Vec<_> = cleaning.iter().map(|c| (c.state, c.which, c.limit)).collect();
        let fortnight = CleanWhich::OlderThan(HOUR * 24 * 14);
        assert_eq!(
            ages,
            [
                (State::Completed, CleanWhich::OlderThan(HOUR * 24), 50),
                (State::Failed, fortnight, 50),
                (State::Cancelled, fortnight, 50),
                (State::Expired, fortnight, 50),
            ]
        );
    }

    #[test]
    fn age_and_count_both_hold_where_both_are_given() {
        let retention = Retention { completed: Keep::ForNewest(HOUR, 7), other: Keep::Forever };
        let spec = QueueSpec { retention, ..QueueSpec::new(queue()) };
        let which: Vec<_> = cleaning(&spec, 1).into_iter().map(|c| c.which).collect();
        assert_eq!(which, [CleanWhich::OlderThan(HOUR), CleanWhich::BeyondNewest(7)]);
    }

    #[test]
    fn a_job_that_others_depend_on_outlives_its_end() {
        let retention = Retention { completed: Keep::Remove, other: Keep::Forever };
        let spec = QueueSpec { retention, ..QueueSpec::new(queue()) };
        let job = active();
        assert!(removed_at_once(&job, &spec, End::Completed));
        assert!(!removed_at_once(&job, &spec, End::Failed));
        let needed = Job { has_dependents: true, ..job };
        assert!(!removed_at_once(&needed, &spec, End::Completed));
    }
}
