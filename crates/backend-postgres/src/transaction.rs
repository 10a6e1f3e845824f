//! Enqueuing and settling inside the caller's own transaction (rules E6 and
//! R6).

use sqlx::PgConnection;
use windlass_core::Error;
use windlass_core::backend::{ApplyAnswer, EnqueueAnswer, Transition};
use windlass_core::model::NewJob;

use crate::PostgresBackend;

impl PostgresBackend {
    /// Stores new jobs inside a transaction that the caller began on a connection
    /// of its own to the same database: they exist if and only if that
    /// transaction commits.
    ///
    /// Any isolation level will do. What collides with others is tried again at READ
    /// COMMITTED, the default, and is
    /// [`Unavailable`](windlass_core::ErrorKind::Unavailable) at the others. What it did is undone if it fails; the rest of
    /// the transaction is not touched. Nobody is notified: nothing may slow the
    /// caller's commit down, and workers find the jobs at their next poll.
    /// Deduplication keys and job keys that the batch takes make others who want
    /// the same ones wait until the transaction ends.
    ///
    /// # Errors
    /// As [`Backend::enqueue`](windlass_core::Backend::enqueue);
    /// [`Incompatible`](windlass_core::ErrorKind::Incompatible) if the store's
    /// schema is not in the database of the connection.
    pub async fn enqueue_in(
        &self,
        connection: &mut PgConnection,
        jobs: Vec<NewJob>,
    ) -> Result<EnqueueAnswer, Error> {
        self.store().enqueue_in(connection, jobs).await
    }

    /// Carries out transitions inside a transaction that the caller began on a
    /// connection of its own to the same database: what a handler wrote and the
    /// completion of its job thus commit together or not at all.
    ///
    /// What is said at [`PostgresBackend::enqueue_in`] about transactions holds
    /// here too, but for one thing: at REPEATABLE READ and SERIALIZABLE the transaction
    /// goes by the lease as it was at its first statement, so that a completion, and a
    /// child of the job, is refused as [`Unavailable`](windlass_core::ErrorKind::Unavailable)
    /// once a heartbeat has extended it. A handler that may outlast a heartbeat keeps to
    /// READ COMMITTED. Jobs that the answer names as unblocked may be left to the sweep.
    ///
    /// # Errors
    /// As [`Backend::apply`](windlass_core::Backend::apply).
    pub async fn apply_in(
        &self,
        connection: &mut PgConnection,
        transitions: &[Transition],
    ) -> Result<ApplyAnswer, Error> {
        self.store().apply_in(connection, transitions).await
    }
}
