//! Enqueuing and settling inside the caller's own transaction (rules E6 and
//! R6).

use rusqlite::{Connection, Transaction};
use windlass_core::backend::{ApplyAnswer, EnqueueAnswer, Transition};
use windlass_core::model::NewJob;
use windlass_core::{Error, ErrorKind};

use crate::SqliteBackend;
use crate::error::{Fail, Outcome};
use crate::store::connection;
use crate::store::query::Query;
use crate::store::{Since, Store};

impl SqliteBackend {
    /// Stores new jobs inside a transaction that the caller began on a
    /// connection of its own to the same file: they exist if and only if that
    /// transaction commits.
    ///
    /// Begin the transaction as `IMMEDIATE`; one that has read before it first
    /// writes fails if somebody else has written in between. While it is open,
    /// nobody else writes to the file. Workers learn of the jobs a few
    /// milliseconds after the commit.
    ///
    /// The call blocks as any use of the connection does. What it did is undone
    /// if it fails; the rest of the transaction is not touched.
    ///
    /// # Errors
    /// As [`Backend::enqueue`](windlass_core::Backend::enqueue);
    /// [`ErrorKind::Invalid`] if the connection is to another file.
    pub fn enqueue_in(
        &self,
        transaction: &Transaction<'_>,
        jobs: Vec<NewJob>,
    ) -> Result<EnqueueAnswer, Error> {
        let batch = self.within(transaction, |store| store.enqueue(&jobs))?;
        Ok(batch.answer(|| jobs))
    }

    /// Carries out transitions inside a transaction that the caller began on a
    /// connection of its own to the same file: what a handler wrote and the
    /// completion of its job thus commit together or not at all.
    ///
    /// What is said at [`SqliteBackend::enqueue_in`] about transactions holds
    /// here too. Jobs that the answer names as unblocked may be left to the
    /// sweep.
    ///
    /// # Errors
    /// As [`Backend::apply`](windlass_core::Backend::apply);
    /// [`ErrorKind::Invalid`] if the connection is to another file.
    pub fn apply_in(
        &self,
        transaction: &Transaction<'_>,
        transitions: &[Transition],
    ) -> Result<ApplyAnswer, Error> {
        self.within(transaction, |store| store.apply(transitions))
    }

    fn within<T>(
        &self,
        conn: &Connection,
        work: impl FnOnce(&mut Store<'_>) -> Outcome<T>,
    ) -> Result<T, Error> {
        let sqlite = |error| Fail::from(error).into_error();
        conn.execute_batch("SAVEPOINT windlass").map_err(sqlite)?;
        let done = self.lock(conn).and_then(|()| carry_out(Store::new(conn, self.clock()), work));
        // If SQLite has rolled back the whole transaction by itself, there is
        // no savepoint left to go back to, and what it said first tells why.
        let end = match done {
            Ok(_) => conn.execute_batch("RELEASE windlass"),
            Err(_) => conn.execute_batch("ROLLBACK TO windlass; RELEASE windlass"),
        };
        let result = done.map_err(Fail::into_error)?;
        end.map_err(sqlite)?;
        Ok(result)
    }

    /// Takes the write lock, and makes sure that it is that of the file of this backend.
    /// It comes first: SQLite waits for the lock only where nothing was read before.
    fn lock(&self, conn: &Connection) -> Outcome<()> {
        let locked =
            conn.prepare_cached(&Query::LockStore.sql()).and_then(|mut lock| lock.execute([]));
        let asked = locked.map_err(Fail::from).and_then(|_| connection::read_meta(conn));
        let ours = match asked {
            Ok((_, store)) => store == self.store_id(),
            // Without our tables the question itself is an error; it must not
            // hide one that the file really has.
            Err(Fail::Broken(error)) if error.kind() == ErrorKind::Store => false,
            Err(fail) => return Err(fail),
        };
        if ours {
            return Ok(());
        }
        Err(Fail::Refused(Error::new(
            ErrorKind::Invalid,
            "the transaction is on another file than the jobs; open both on the same file, with \
             Neighbours::Welcome if the application's tables were there first",
        )))
    }
}

fn carry_out<T>(
    mut store: Store<'_>,
    work: impl FnOnce(&mut Store<'_>) -> Outcome<T>,
) -> Outcome<T> {
    store.begin(Since::Unknown);
    let result = work(&mut store)?;
    store.flush()?;
    Ok(result)
}
