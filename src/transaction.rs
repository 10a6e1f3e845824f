//! Enqueuing and completing inside a transaction of your own (rules E6 and
//! R6).

use std::any::Any;

use rusqlite::Transaction;
use serde::Serialize;
use windlass_runtime::backend::{Applied, EnqueueAnswer, Enqueued, Error as StoreError, ErrorKind};
use windlass_runtime::decide::unblocked;
use windlass_runtime::model::Job;
use windlass_runtime::{Client, Context, Enqueue, Error, JobHandle, Result};
use windlass_sqlite::SqliteBackend;

/// Enqueues a job inside a transaction of your own.
pub trait EnqueueInTransaction<J> {
    /// Enqueues the job: it exists if and only if the transaction commits. The
    /// transaction must be one on the file that the store is in.
    ///
    /// # Errors
    /// [`Error::Store`] of kind [`ErrorKind::Unsupported`] if the store is
    /// another one; otherwise as awaiting the builder. A debounce that finds
    /// its key taken answers with the existing job, unchanged.
    fn in_tx(self, tx: &Transaction<'_>) -> Result<JobHandle<J>>;
}

impl<J> EnqueueInTransaction<J> for Enqueue<J> {
    fn in_tx(self, tx: &Transaction<'_>) -> Result<JobHandle<J>> {
        let prepared = self.prepare()?;
        let client = prepared.client().clone();
        let backend = backend(&client)?;
        match backend.enqueue_in(tx, vec![prepared.job.clone()])? {
            EnqueueAnswer::Stored { mut outcomes, unblocked: open, .. } => {
                release(backend, tx, open)?;
                // One job, one outcome.
                prepared.answered(outcomes.pop().unwrap_or(Enqueued::Stored))
            }
            EnqueueAnswer::Refused { why, .. } => Err(why.into()),
        }
    }
}

/// Completes a running job inside a transaction of its handler.
pub trait CompleteInTransaction {
    /// Completes the job with this result, if and only if the transaction
    /// commits: its effects and its completion go together. The handler then
    /// returns as usual; if the transaction did not commit, the attempt counts
    /// as failed.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the job is no longer this handler's: roll back
    /// then. [`Error::ResultTooLarge`], [`Error::Encode`]; [`Error::Store`],
    /// of kind [`ErrorKind::Unsupported`] if the store is another one.
    fn complete_in<T: Serialize + ?Sized>(&self, tx: &Transaction<'_>, result: &T) -> Result<()>;
}

impl CompleteInTransaction for Context {
    fn complete_in<T: Serialize + ?Sized>(&self, tx: &Transaction<'_>, result: &T) -> Result<()> {
        let backend = backend(self.client())?;
        let mut seen: Option<Box<Job>> = None;
        loop {
            let transition = self.completion(result, seen.as_deref())?;
            let mut answer = backend.apply_in(tx, &[transition])?;
            match answer.outcomes.pop() {
                Some(Applied::Applied) => {
                    self.settled_elsewhere();
                    return release(backend, tx, answer.unblocked);
                }
                // Decided again with the job as it is now: if the lease is
                // lost, `completion` says so.
                Some(Applied::Stale(now)) => seen = Some(now),
                Some(Applied::Refused(error)) => return Err(error.into()),
                _ => return Err(Error::LeaseLost(self.id())),
            }
        }
    }
}

/// Decides about blocked jobs within the transaction, on down the graph.
fn release(backend: &SqliteBackend, tx: &Transaction<'_>, jobs: Vec<Job>) -> Result<()> {
    let mut jobs = jobs;
    loop {
        let decided: Vec<_> = jobs.iter().filter_map(unblocked).collect();
        if decided.is_empty() {
            return Ok(());
        }
        jobs = backend.apply_in(tx, &decided)?.unblocked;
    }
}

fn backend(client: &Client) -> Result<&SqliteBackend> {
    let backend: &dyn Any = &**client.backend();
    backend.downcast_ref().ok_or_else(|| {
        let what = "this store cannot take part in a SQLite transaction; use sqlite:PATH";
        StoreError::new(ErrorKind::Unsupported, what).into()
    })
}
