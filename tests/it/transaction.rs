//! Enqueuing and completing inside a transaction of one's own (E6, R6).

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use windlass::model::State;
use windlass::sqlite::rusqlite::Connection;
use windlass::{
    CompleteInTransaction, Context, Data, EnqueueInTransaction, Error, Job, JobError, Queue,
    Windlass,
};

#[derive(Serialize, Deserialize, Job)]
struct Charge {
    order: i64,
}

struct Shop {
    _folder: TempDir,
    path: PathBuf,
    windlass: Windlass,
    queue: Queue,
}

/// A shop whose orders and jobs are in one file.
async fn shop() -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let windlass = Windlass::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let queue = windlass.queue("charges").declare().await.unwrap();
    let orders = connection(&path);
    orders.execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY, paid INTEGER)").unwrap();
    orders.execute("INSERT INTO orders VALUES (1, 0)", []).unwrap();
    Shop { _folder: folder, path, windlass, queue }
}

fn connection(path: &PathBuf) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    connection
}

fn paid(path: &PathBuf) -> i64 {
    connection(path)
        .query_row("SELECT paid FROM orders WHERE id = 1", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn a_job_exists_if_and_only_if_its_transaction_commits() {
    let shop = shop().await;
    let mut orders = connection(&shop.path);

    let tx = orders.transaction().unwrap();
    let lost = shop.queue.enqueue(Charge { order: 1 }).in_tx(&tx).unwrap();
    tx.rollback().unwrap();
    assert!(matches!(lost.job().await.unwrap_err(), Error::Gone(_)));

    let tx = orders.transaction().unwrap();
    tx.execute("INSERT INTO orders VALUES (2, 0)", []).unwrap();
    let kept = shop.queue.enqueue(Charge { order: 2 }).key("charge-2").in_tx(&tx).unwrap();
    let again = shop.queue.enqueue(Charge { order: 3 }).key("charge-2").in_tx(&tx).unwrap();
    tx.commit().unwrap();
    assert_eq!(kept.id(), again.id());
    assert_eq!(kept.state().await.unwrap(), State::Waiting);
    assert_eq!(shop.queue.stats().await.unwrap().count(State::Waiting), 1);
}

#[tokio::test]
async fn a_duplicate_in_a_transaction_is_the_same_error_as_outside() {
    let shop = shop().await;
    let first = shop.queue.enqueue(Charge { order: 1 }).dedup("k").await.unwrap();
    let mut orders = connection(&shop.path);
    let tx = orders.transaction().unwrap();
    match shop.queue.enqueue(Charge { order: 1 }).dedup("k").in_tx(&tx).unwrap_err() {
        Error::Duplicate { existing, .. } => assert_eq!(existing, *first.reference()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn another_store_cannot_take_part() {
    let shop = shop().await;
    let memory = Windlass::connect("memory:").await.unwrap();
    let queue = memory.queue("charges").declare().await.unwrap();
    let mut orders = connection(&shop.path);
    let tx = orders.transaction().unwrap();
    let error = queue.enqueue(Charge { order: 1 }).in_tx(&tx).unwrap_err();
    assert!(error.to_string().contains("cannot take part"), "{error}");
}

#[tokio::test]
async fn effects_and_completion_commit_together_or_not_at_all() {
    async fn charge(
        job: Charge,
        context: Context,
        orders: Data<Arc<Mutex<Connection>>>,
    ) -> Result<String, JobError> {
        let mut orders = orders.lock().map_err(|_| "another handler panicked")?;
        let tx = orders.transaction()?;
        tx.execute("UPDATE orders SET paid = paid + 1 WHERE id = ?1", [job.order])?;
        context.complete_in(&tx, "paid")?;
        if context.attempt() == 1 {
            // Everything is undone, the completion too.
            drop(tx);
            return Ok("not paid".to_owned());
        }
        tx.commit()?;
        Ok("not read".to_owned())
    }
    let shop = shop().await;
    let orders = Arc::new(Mutex::new(connection(&shop.path)));
    let soon = windlass::model::Backoff::Fixed(std::time::Duration::from_millis(1));
    let handle = shop.queue.enqueue(Charge { order: 1 }).backoff(soon).await.unwrap();
    let worker = shop.windlass.worker().queue(&shop.queue).data(orders).handle(charge);
    let worker = worker.start().await.unwrap();
    assert_eq!(handle.result::<String>().await.unwrap(), "paid");
    worker.stop().await;
    let job = handle.job().await.unwrap();
    assert_eq!((job.state, job.course.failed_attempts), (State::Completed, 1));
    assert!(job.course.errors[0].message.contains("did not commit"));
    assert_eq!(paid(&shop.path), 1);
}
