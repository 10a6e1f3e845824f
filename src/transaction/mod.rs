//! Enqueuing and completing inside a transaction of your own (rules E6 and
//! R6).
//!
//! What is asked of a store, and what follows from its answers, is the same for
//! all of them and stands here. A backend's file only does the asking: one
//! blocks, another one is awaited.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::any::Any;

use serde::Serialize;
use windlass_runtime::backend::{
    Applied, ApplyAnswer, Backend, EnqueueAnswer, Enqueued, Error as StoreError, ErrorKind,
    Transition,
};
use windlass_runtime::decide::unblocked;
use windlass_runtime::model::{Job, Payload};
use windlass_runtime::{Client, Context, Error, JobHandle, Prepared, Result};

/// Enqueues a job inside a transaction of your own.
///
/// | store | `Tx` | `Answer` |
/// |---|---|---|
/// | SQLite | `&rusqlite::Transaction` | a [`Result`] of the handle: the call blocks |
/// | Postgres | `&mut sqlx::Transaction<Postgres>`, or `&mut PgConnection` on which one has begun | a future of it |
pub trait EnqueueInTransaction<Tx> {
    /// The job's handle, or a future of it.
    type Answer;

    /// Enqueues the job: it exists if and only if the transaction commits. The
    /// transaction must be one on the file or the database that the store is
    /// in.
    ///
    /// # Errors
    /// [`Error::Store`] of kind [`ErrorKind::Unsupported`] if the store is
    /// another one; otherwise as awaiting the builder. A debounce that finds
    /// its key taken answers with the existing job, unchanged.
    fn in_tx(self, tx: Tx) -> Self::Answer;
}

/// Completes a running job inside a transaction of its handler. `Tx` is what
/// [`EnqueueInTransaction`] takes.
pub trait CompleteInTransaction<Tx> {
    /// A [`Result`], or a future of it.
    type Answer;

    /// Completes the job with this result, if and only if the transaction
    /// commits: its effects and its completion go together. The handler then
    /// returns as usual; if the transaction did not commit, the attempt counts
    /// as failed.
    ///
    /// Commit soon afterwards: others who want to change the job wait for the
    /// end of the transaction.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the job is no longer this handler's: roll back
    /// then. [`Error::ResultTooLarge`], [`Error::Encode`]; [`Error::Store`],
    /// of kind [`ErrorKind::Unsupported`] if the store is another one.
    fn complete_in<T: Serialize + ?Sized>(&self, tx: Tx, result: &T) -> Self::Answer;
}

/// A job that is being enqueued.
struct Enqueuing<J>(Prepared<J>);

impl<J> Enqueuing<J> {
    /// What the store's answer means for the caller, and what is to be applied
    /// besides.
    fn answered(self, answer: EnqueueAnswer) -> Result<(JobHandle<J>, Vec<Transition>)> {
        match answer {
            EnqueueAnswer::Stored { mut outcomes, unblocked, .. } => {
                // One job, one outcome.
                let handle = self.0.answered(outcomes.pop().unwrap_or(Enqueued::Stored))?;
                Ok((handle, release(&unblocked)))
            }
            EnqueueAnswer::Refused { why, .. } => Err(why.into()),
        }
    }
}

/// A job that is being completed.
struct Completing {
    context: Context,
    result: Option<Payload>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The job's own transition has not been carried out yet.
    Settling,
    /// It has been; those who waited for the job are released.
    Releasing,
}

impl Completing {
    /// What is to be applied first.
    fn begin<T: Serialize + ?Sized>(
        context: &Context,
        result: &T,
    ) -> Result<(Self, Vec<Transition>)> {
        let result = context.encode_result(result)?;
        let first = context.completion(result.clone(), None)?;
        let this = Self { context: context.clone(), result, stage: Stage::Settling };
        Ok((this, vec![first]))
    }

    /// What is to be applied next, given the last answer. Nothing: it is done.
    fn next(&mut self, answer: ApplyAnswer) -> Result<Vec<Transition>> {
        let ApplyAnswer { mut outcomes, unblocked, .. } = answer;
        if self.stage == Stage::Settling {
            match outcomes.pop() {
                Some(Applied::Applied) => {
                    self.context.settled_elsewhere();
                    self.stage = Stage::Releasing;
                }
                // Decided again with the job as it is now: if the lease is
                // lost, `completion` says so.
                Some(Applied::Stale(now)) => {
                    return Ok(vec![self.context.completion(self.result.clone(), Some(&now))?]);
                }
                Some(Applied::Refused(error)) => return Err(error.into()),
                _ => return Err(Error::LeaseLost(self.context.id())),
            }
        }
        Ok(release(&unblocked))
    }
}

/// Decides about jobs that wait for nothing any more. What is applied may bring
/// forth further ones, on down the graph.
fn release(jobs: &[Job]) -> Vec<Transition> {
    // Gates, and jobs whose edges have different policies, are left to the sweep.
    jobs.iter().filter_map(|job| unblocked(job, None)).collect()
}

/// The backend of a client, if it is this one.
fn backend<'c, B: Backend>(client: &'c Client, otherwise: &'static str) -> Result<&'c B> {
    let backend: &dyn Any = &**client.backend();
    backend.downcast_ref().ok_or_else(|| StoreError::new(ErrorKind::Unsupported, otherwise).into())
}
