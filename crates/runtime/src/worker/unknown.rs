//! Tells of jobs that no handler of this worker takes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use windlass_core::model::{JobId, JobType, QueueName};

/// How often a type that has no handler is told of at most. Its jobs come back
/// again and again; a line for each would bury everything else.
const EVERY: Duration = Duration::from_secs(60);

/// Beyond so many types, what was told is forgotten: somebody puts numbers into
/// their names.
const KEPT: usize = 1000;

/// What was told of the types without a handler.
#[derive(Debug, Default)]
pub(crate) struct UnknownTypes(Mutex<HashMap<JobType, Told>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    /// How many jobs were handed back since.
    since: u64,
}

impl UnknownTypes {
    /// Notes that a job was handed back, and tells of it if its type has not
    /// been told of for a while.
    pub(crate) fn note(&self, queue: &QueueName, job_type: &JobType, job: JobId) {
        if let Some(jobs) = self.count(job_type) {
            tracing::warn!(
                %queue,
                %job_type,
                %job,
                jobs,
                "no handler for jobs of this type; they are handed back and stay for a worker \
                 that has one: give this one a handler for the type, or take the queue from it"
            );
        }
    }

    /// How many jobs of this type are to be told of. `None`: not now.
    fn count(&self, job_type: &JobType) -> Option<u64> {
        let now = Instant::now();
        let mut types = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match types.get_mut(job_type) {
            Some(told) if now.duration_since(told.at) < EVERY => {
                told.since += 1;
                None
            }
            Some(told) => {
                let jobs = told.since + 1;
                *told = Told { at: now, since: 0 };
                Some(jobs)
            }
            None => {
                if types.len() >= KEPT {
                    types.clear();
                }
                types.insert(job_type.clone(), Told { at: now, since: 0 });
                Some(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_type_is_told_of_once_a_minute_with_how_many_jobs_came_since() {
        let (a, b) = (JobType::new("a").unwrap(), JobType::new("b").unwrap());
        let unknown = UnknownTypes::default();
        assert_eq!((unknown.count(&a), unknown.count(&b)), (Some(1), Some(1)));
        for _ in 0..7 {
            assert_eq!(unknown.count(&a), None);
        }
        tokio::time::advance(EVERY).await;
        assert_eq!((unknown.count(&a), unknown.count(&b)), (Some(8), Some(1)));
        assert_eq!(unknown.count(&a), None);
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_types_there_are_a_bounded_number_is_kept() {
        let unknown = UnknownTypes::default();
        for n in 0..10 * KEPT {
            unknown.count(&JobType::new(n.to_string()).unwrap());
        }
        assert!(unknown.0.lock().unwrap().len() <= KEPT);
    }
}
