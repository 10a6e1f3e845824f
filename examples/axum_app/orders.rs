//! Orders: the tables, and the job that confirms one.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::sqlite::rusqlite::{self, Connection, Transaction, TransactionBehavior};
use windlass::{CompleteInTransaction, Context, Data, EnqueueInTransaction, Job, JobError, Queue};

/// What a customer asks for.
#[derive(Debug, Deserialize)]
pub(crate) struct NewOrder {
    pub(crate) item: String,
    pub(crate) quantity: u32,
}

/// Confirms an order.
#[derive(Debug, Serialize, Deserialize, Job)]
#[job(name = "order.confirm", retries = 5, timeout = "30s")]
pub(crate) struct Confirm {
    order: i64,
}

/// Why an order was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("there is no such item, or not enough of it")]
    SoldOut,
    #[error(transparent)]
    Store(#[from] rusqlite::Error),
    #[error(transparent)]
    Jobs(#[from] windlass::Error),
}

/// The application's own tables.
#[derive(Clone, Debug)]
pub(crate) struct Shop(Arc<Mutex<Connection>>);

impl Shop {
    pub(crate) fn open(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        // Windlass writes to the same file; whoever comes second waits.
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS stock (
                 item TEXT PRIMARY KEY,
                 amount INTEGER NOT NULL
             );
             CREATE TABLE IF NOT EXISTS orders (
                 id INTEGER PRIMARY KEY,
                 item TEXT NOT NULL,
                 quantity INTEGER NOT NULL,
                 confirmed INTEGER NOT NULL DEFAULT 0
             );
             INSERT OR IGNORE INTO stock VALUES ('teapot', 3);",
        )?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Takes an order, and enqueues its confirmation, in one transaction. It
    /// blocks: call it where that harms nobody.
    pub(crate) fn order(&self, queue: &Queue, order: &NewOrder) -> Result<i64, Refused> {
        self.in_transaction(|tx| {
            tx.execute(
                "INSERT INTO orders (item, quantity) VALUES (?1, ?2)",
                (&order.item, order.quantity),
            )?;
            let id = tx.last_insert_rowid();
            queue.enqueue(Confirm { order: id }).key(job_key(id)).in_tx(tx)?;
            let taken = tx.execute(
                "UPDATE stock SET amount = amount - ?2 WHERE item = ?1 AND amount >= ?2",
                (&order.item, order.quantity),
            )?;
            // The transaction is rolled back by this, the order and its job
            // with it.
            if taken == 1 { Ok(id) } else { Err(Refused::SoldOut) }
        })
    }

    /// How many orders there are, and how many of them are confirmed.
    pub(crate) fn count(&self) -> rusqlite::Result<(i64, i64)> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = "SELECT count(*), coalesce(sum(confirmed), 0) FROM orders";
        connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn in_transaction<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // A panic has rolled its transaction back: nothing is half done.
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is going to write says so at once. It then waits for its
        // turn at the beginning, and not half-way, where waiting cannot help.
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&tx)?;
        tx.commit()?;
        Ok(done)
    }
}

/// The name of an order's job, by which it is found again.
pub(crate) fn job_key(order: i64) -> String {
    format!("order-{order}")
}

/// Confirms an order. What it writes and its completion are one transaction:
/// however often it is run, the order is confirmed once. It blocks; its worker
/// gives it a thread of its own.
pub(crate) fn confirm(job: Confirm, context: Context, shop: Data<Shop>) -> Result<(), JobError> {
    shop.in_transaction(|tx| {
        let sql = "UPDATE orders SET confirmed = confirmed + 1 WHERE id = ?1";
        tx.execute(sql, [job.order])?;
        context.complete_in(tx, &format!("order {} is confirmed", job.order))?;
        Ok(())
    })
}
