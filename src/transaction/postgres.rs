//! Inside a transaction of sqlx's, or on a connection on which one has begun.
//! The calls are awaited.

use std::future::Future;
use std::pin::Pin;

use serde::Serialize;
use windlass_postgres::PostgresBackend;
use windlass_postgres::sqlx::{PgConnection, Postgres, Transaction};
use windlass_runtime::{Client, Context, Enqueue, JobHandle, Result};

use super::{CompleteInTransaction, Completing, EnqueueInTransaction, Enqueuing, release};

type Answer<'t, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 't>>;

impl<'t, J: 'static> EnqueueInTransaction<&'t mut PgConnection> for Enqueue<J> {
    type Answer = Answer<'t, JobHandle<J>>;

    fn in_tx(self, connection: &'t mut PgConnection) -> Self::Answer {
        Box::pin(async move {
            let prepared = self.prepare()?;
            let backend = backend(prepared.client())?.clone();
            let answer = backend.enqueue_in(connection, vec![prepared.job.clone()]).await?;
            let (handle, mut wanted) = Enqueuing(prepared).answered(answer)?;
            while !wanted.is_empty() {
                wanted = release(&backend.apply_in(connection, &wanted).await?.unblocked);
            }
            Ok(handle)
        })
    }
}

impl<'t, J: 'static> EnqueueInTransaction<&'t mut Transaction<'_, Postgres>> for Enqueue<J> {
    type Answer = Answer<'t, JobHandle<J>>;

    fn in_tx(self, tx: &'t mut Transaction<'_, Postgres>) -> Self::Answer {
        self.in_tx(&mut **tx)
    }
}

impl<'t> CompleteInTransaction<&'t mut PgConnection> for Context {
    type Answer = Answer<'t, ()>;

    fn complete_in<T: Serialize + ?Sized>(
        &self,
        connection: &'t mut PgConnection,
        result: &T,
    ) -> Self::Answer {
        // Encoded before the future is made, which may outlive the result.
        let begun = Completing::begin(self, result);
        let context = self.clone();
        Box::pin(async move {
            let backend = backend(context.client())?;
            let (mut completing, mut wanted) = begun?;
            while !wanted.is_empty() {
                wanted = completing.next(backend.apply_in(connection, &wanted).await?)?;
            }
            Ok(())
        })
    }
}

impl<'t> CompleteInTransaction<&'t mut Transaction<'_, Postgres>> for Context {
    type Answer = Answer<'t, ()>;

    fn complete_in<T: Serialize + ?Sized>(
        &self,
        tx: &'t mut Transaction<'_, Postgres>,
        result: &T,
    ) -> Self::Answer {
        self.complete_in(&mut **tx, result)
    }
}

fn backend(client: &Client) -> Result<&PostgresBackend> {
    let otherwise = "this store cannot take part in a Postgres transaction; use postgres://…";
    super::backend(client, otherwise)
}
