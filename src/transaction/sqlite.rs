//! Inside a transaction of rusqlite's. The calls block, as all of rusqlite's
//! do.

use rusqlite::Transaction;
use serde::Serialize;
use windlass_runtime::{Client, Context, Enqueue, JobHandle, Result};
use windlass_sqlite::SqliteBackend;

use super::{CompleteInTransaction, Completing, EnqueueInTransaction, Enqueuing};

impl<J> EnqueueInTransaction<&Transaction<'_>> for Enqueue<J> {
    type Answer = Result<JobHandle<J>>;

    fn in_tx(self, tx: &Transaction<'_>) -> Self::Answer {
        let prepared = self.prepare()?;
        let backend = backend(prepared.client())?.clone();
        let answer = backend.enqueue_in(tx, vec![prepared.job.clone()])?;
        let (handle, mut wanted) = Enqueuing(prepared).answered(answer)?;
        while !wanted.is_empty() {
            wanted = super::release(&backend.apply_in(tx, &wanted)?.unblocked);
        }
        Ok(handle)
    }
}

impl CompleteInTransaction<&Transaction<'_>> for Context {
    type Answer = Result<()>;

    fn complete_in<T: Serialize + ?Sized>(&self, tx: &Transaction<'_>, result: &T) -> Result<()> {
        let backend = backend(self.client())?;
        let (mut completing, mut wanted) = Completing::begin(self, result)?;
        while !wanted.is_empty() {
            wanted = completing.next(backend.apply_in(tx, &wanted)?)?;
        }
        Ok(())
    }
}

fn backend(client: &Client) -> Result<&SqliteBackend> {
    let otherwise = "this store cannot take part in a SQLite transaction; use sqlite:PATH";
    super::backend(client, otherwise)
}
