//! Storing the simplest jobs, which are most of them.

use sqlx::Arguments;
use sqlx::postgres::PgArguments;
use windlass_core::Error;
use windlass_core::backend::{EnqueueAnswer, Enqueued};
use windlass_core::model::{NewJob, OrderMode, When};

use super::query::Query;
use super::{Store, first_moment};
use crate::config::Pooler;
use crate::error::{damaged, from_sqlx, is_taken};
use crate::record::uuid;

impl Store {
    /// Stores jobs that are new, due at once, of one queue, and known to nothing
    /// else. `None`: nothing was stored, for they are not all so, or there is no
    /// such queue, or an id of theirs is there already.
    pub(super) async fn enqueue_new(
        &self,
        jobs: &[NewJob],
    ) -> Result<Option<EnqueueAnswer>, Error> {
        // Behind a pooler each statement is planned anew, and that of a function is
        // planned in no time.
        if self.pooler != Pooler::None || !are_simple(jobs) {
            return Ok(None);
        }
        let mut arguments = PgArguments::default();
        add(&mut arguments, self.clock(), jobs).map_err(|error| damaged("a batch", error))?;
        match self.run(self.queries.get(Query::EnqueueNew), arguments).await {
            Ok(rows) if rows.is_empty() => Ok(None),
            Ok(rows) => Ok(Some(EnqueueAnswer::Stored {
                outcomes: jobs.iter().map(|_| Enqueued::Stored).collect(),
                unblocked: Vec::new(),
                now: first_moment(&rows)?,
            })),
            Err(error) if is_taken(&error) => Ok(None),
            Err(error) => Err(from_sqlx(error)),
        }
    }
}

/// Whether all are of the simplest kind. A name of its own makes it likely that a
/// job is there already.
fn are_simple(jobs: &[NewJob]) -> bool {
    jobs.iter().all(|job| {
        let NewJob {
            id: _,
            queue,
            job_type: _,
            payload: _,
            options: _,
            order,
            due,
            expires,
            key,
            dedup,
            partition,
            tags,
            depends_on,
            flow,
            parent,
        } = job;
        *queue == jobs[0].queue
            && order.mode != OrderMode::Aged
            && *due == When::Now
            && expires.is_none()
            && key.is_none()
            && dedup.is_none()
            && partition.is_none()
            && tags.is_empty()
            && depends_on.is_empty()
            && flow.is_none()
            && parent.is_none()
    })
}

/// Adds them in the order of the query's parameters.
fn add(
    arguments: &mut PgArguments,
    clock: Option<i64>,
    jobs: &[NewJob],
) -> Result<(), sqlx::error::BoxDynError> {
    arguments.add(clock)?;
    arguments.add(jobs[0].queue.as_str())?;
    arguments.add(jobs.iter().map(|job| uuid(job.id.as_bytes())).collect::<Vec<_>>())?;
    arguments.add(jobs.iter().map(|job| job.payload.as_slice()).collect::<Vec<_>>())?;
    let (same, each) = once_or_each(jobs.iter().map(|job| job.job_type.as_str()));
    arguments.add(same)?;
    arguments.add(each)?;
    let (same, each) = once_or_each(jobs.iter().map(|job| &job.options));
    arguments.add(same.and_then(|options| options.encode()))?;
    let each =
        each.map(|each| each.into_iter().map(|options| options.encode()).collect::<Vec<_>>());
    arguments.add(each)?;
    let (same, each) = once_or_each(jobs.iter().map(|job| job.order.base));
    arguments.add(same)?;
    arguments.add(each)
}

/// What is the same for all once, and everything else for each.
fn once_or_each<T: PartialEq>(
    values: impl Iterator<Item = T> + Clone,
) -> (Option<T>, Option<Vec<T>>) {
    let mut others = values.clone();
    match others.next() {
        Some(first) if others.all(|other| other == first) => (Some(first), None),
        _ => (None, Some(values.collect())),
    }
}
