//! Enqueuing and completing inside a transaction of sqlx's (E6, R6).

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::timeout;
use windlass::backend::{Ask, ErrorKind, Extend, Extended};
use windlass::decide::{Attempt, Outcome, finish};
use windlass::model::{self, Backoff, Clock, ManualClock, State, WorkerId};
use windlass::postgres::PostgresBackend;
use windlass::postgres::sqlx::postgres::PgPoolOptions;
use windlass::postgres::sqlx::{Connection, PgConnection, query, query_scalar, raw_sql};
use windlass::sqlite::rusqlite;
use windlass::testing::Kit;
use windlass::{
    CompleteInTransaction, Context, Data, EnqueueInTransaction, Error, Job, JobError, Queue,
    Windlass,
};

use crate::server::Schema;

#[derive(Serialize, Deserialize, Job)]
struct Charge {
    order: i64,
}

/// A shop whose orders and jobs are in one database.
struct Shop {
    windlass: Windlass,
    queue: Queue,
    schema: Schema,
}

async fn shop() -> Shop {
    let schema = Schema::new();
    let windlass = Windlass::connect(&schema.url()).await.unwrap();
    let queue = windlass.queue("charges").declare().await.unwrap();
    raw_sql(
        "CREATE TABLE orders (id bigint PRIMARY KEY, paid bigint NOT NULL);
         INSERT INTO orders VALUES (1, 0)",
    )
    .execute(&mut schema.connection().await)
    .await
    .unwrap();
    Shop { windlass, queue, schema }
}

impl Shop {
    async fn waiting(&self) -> u64 {
        self.queue.stats().await.unwrap().count(State::Waiting)
    }
}

async fn paid(orders: &mut PgConnection, order: i64) -> Option<i64> {
    query_scalar("SELECT paid FROM orders WHERE id = $1")
        .bind(order)
        .fetch_optional(orders)
        .await
        .unwrap()
}

/// Charges an order, and completes within the same transaction, which is lost at
/// the first attempt.
async fn charge(
    job: Charge,
    context: Context,
    orders: Data<Arc<Mutex<PgConnection>>>,
) -> Result<String, JobError> {
    let mut orders = orders.lock().await;
    let mut tx = orders.begin().await?;
    query("UPDATE orders SET paid = paid + 1 WHERE id = $1")
        .bind(job.order)
        .execute(&mut *tx)
        .await?;
    context.complete_in(&mut tx, "paid").await?;
    if context.attempt() == 1 {
        // Everything is undone, the completion too.
        tx.rollback().await?;
        return Ok("not paid".to_owned());
    }
    tx.commit().await?;
    Ok("not read".to_owned())
}

#[tokio::test]
async fn a_job_exists_if_and_only_if_its_transaction_commits() {
    let shop = shop().await;
    let mut orders = shop.schema.connection().await;

    let mut tx = orders.begin().await.unwrap();
    let lost = shop.queue.enqueue(Charge { order: 1 }).in_tx(&mut tx).await.unwrap();
    tx.rollback().await.unwrap();
    assert!(matches!(lost.job().await.unwrap_err(), Error::Gone(_)));

    let mut tx = orders.begin().await.unwrap();
    query("INSERT INTO orders VALUES (2, 0)").execute(&mut *tx).await.unwrap();
    let kept = shop.queue.enqueue(Charge { order: 2 }).key("charge-2").in_tx(&mut tx).await;
    let again = shop.queue.enqueue(Charge { order: 3 }).key("charge-2").in_tx(&mut tx).await;
    let (kept, again) = (kept.unwrap(), again.unwrap());
    assert_eq!(kept.id(), again.id());
    // Nobody sees it yet.
    assert!(matches!(kept.job().await.unwrap_err(), Error::Gone(_)));
    tx.commit().await.unwrap();
    assert_eq!(kept.state().await.unwrap(), State::Waiting);
    assert_eq!(shop.waiting().await, 1);
}

#[tokio::test]
async fn a_committed_job_runs() {
    let shop = shop().await;
    let pool = PgPoolOptions::new().max_connections(1).connect_with(shop.schema.config().server);
    // A transaction of a pool's, which names no connection.
    let mut tx = pool.await.unwrap().begin().await.unwrap();
    let handle = shop.queue.enqueue(Charge { order: 7 }).in_tx(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let worker = shop
        .windlass
        .worker()
        .queue(&shop.queue)
        .handle(|job: Charge| async move { Ok::<_, JobError>(job.order * 2) });
    let worker = worker.start().await.unwrap();
    assert_eq!(handle.result::<i64>().await.unwrap(), 14);
    worker.stop().await;
}

#[tokio::test]
async fn a_connection_on_which_a_transaction_has_begun_will_do_and_no_other() {
    let shop = shop().await;
    let mut orders = shop.schema.connection().await;
    let error = shop.queue.enqueue(Charge { order: 1 }).in_tx(&mut orders).await.unwrap_err();
    assert!(error.to_string().contains("in no transaction"), "{error}");
    for (end, expected) in [("ROLLBACK", 0), ("COMMIT", 1)] {
        raw_sql("BEGIN ISOLATION LEVEL SERIALIZABLE").execute(&mut orders).await.unwrap();
        shop.queue.enqueue(Charge { order: 1 }).in_tx(&mut orders).await.unwrap();
        raw_sql(end).execute(&mut orders).await.unwrap();
        assert_eq!(shop.waiting().await, expected, "{end}");
    }
}

#[tokio::test]
async fn a_duplicate_in_a_transaction_is_the_same_error_as_outside_and_harms_nothing() {
    let shop = shop().await;
    let first = shop.queue.enqueue(Charge { order: 1 }).dedup("k").await.unwrap();
    let mut orders = shop.schema.connection().await;
    let mut tx = orders.begin().await.unwrap();
    match shop.queue.enqueue(Charge { order: 2 }).dedup("k").in_tx(&mut tx).await.unwrap_err() {
        Error::Duplicate { existing, .. } => assert_eq!(existing, *first.reference()),
        other => panic!("{other}"),
    }
    // Of the debounced one too, the payload stays.
    let debounced = shop.queue.enqueue(Charge { order: 3 }).debounce("k", None).in_tx(&mut tx);
    assert_eq!(debounced.await.unwrap().id(), first.id());
    // A second one within the transaction.
    let fresh = shop.queue.enqueue(Charge { order: 4 }).dedup("l").in_tx(&mut tx).await.unwrap();
    match shop.queue.enqueue(Charge { order: 5 }).dedup("l").in_tx(&mut tx).await.unwrap_err() {
        Error::Duplicate { existing, .. } => assert_eq!(existing, *fresh.reference()),
        other => panic!("{other}"),
    }
    query("INSERT INTO orders VALUES (2, 0)").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(paid(&mut orders, 2).await, Some(0));
    assert_eq!(shop.waiting().await, 2);
    let payload = first.job().await.unwrap().payload.unwrap();
    assert_eq!(payload.as_slice(), br#"{"order":1}"#);
}

#[tokio::test]
async fn effects_and_completion_commit_together_or_not_at_all() {
    let shop = shop().await;
    let orders = Arc::new(Mutex::new(shop.schema.connection().await));
    let soon = Backoff::Fixed(Duration::from_millis(1));
    let handle = shop.queue.enqueue(Charge { order: 1 }).backoff(soon).await.unwrap();
    let worker = shop.windlass.worker().queue(&shop.queue).data(Arc::clone(&orders)).handle(charge);
    let worker = worker.start().await.unwrap();
    assert_eq!(handle.result::<String>().await.unwrap(), "paid");
    worker.stop().await;
    let job = handle.job().await.unwrap();
    assert_eq!((job.state, job.course.failed_attempts), (State::Completed, 1));
    assert!(job.course.errors[0].message.contains("did not commit"));
    assert_eq!(paid(&mut *orders.lock().await, 1).await, Some(1));
}

#[tokio::test]
async fn who_waits_for_a_job_is_released_with_its_completion_on_down_the_graph() {
    let shop = shop().await;
    let orders = Arc::new(Mutex::new(shop.schema.connection().await));
    let soon = Backoff::Fixed(Duration::from_millis(1));
    let first = shop.queue.enqueue(Charge { order: 1 }).backoff(soon.clone()).await.unwrap();
    let second = shop.queue.enqueue(Charge { order: 1 }).backoff(soon.clone());
    let second = second.after(&first).await.unwrap();
    assert_eq!(second.state().await.unwrap(), State::Blocked);
    let worker = shop.windlass.worker().queue(&shop.queue).data(Arc::clone(&orders)).handle(charge);
    let worker = worker.start().await.unwrap();
    assert_eq!(second.result::<String>().await.unwrap(), "paid");
    worker.stop().await;

    let mut orders = orders.lock().await;
    assert_eq!(paid(&mut orders, 1).await, Some(2));
    // One that is met already does not block; one that is broken cancels, on
    // down the graph.
    let lost = shop.queue.enqueue(Charge { order: 1 }).await.unwrap();
    lost.cancel().await.unwrap();
    let mut tx = orders.begin().await.unwrap();
    let free = shop.queue.enqueue(Charge { order: 1 }).after(&second).in_tx(&mut tx).await;
    let broken = shop.queue.enqueue(Charge { order: 1 }).after(&lost).in_tx(&mut tx).await;
    let broken = broken.unwrap();
    let further = shop.queue.enqueue(Charge { order: 1 }).after(&broken).in_tx(&mut tx).await;
    tx.commit().await.unwrap();
    assert_eq!(free.unwrap().state().await.unwrap(), State::Waiting);
    assert_eq!(broken.state().await.unwrap(), State::Cancelled);
    assert_eq!(further.unwrap().state().await.unwrap(), State::Cancelled);
}

#[tokio::test]
async fn an_uncommitted_completion_lets_others_keep_their_leases() {
    let shop = shop().await;
    let backend = shop.windlass.backend();
    for _ in 0..3 {
        shop.queue.enqueue(Charge { order: 1 }).await.unwrap();
    }
    let ask = Ask {
        queue: shop.queue.name().clone(),
        worker: WorkerId::from_bytes([1; 16]),
        max: 3,
        lease: Duration::from_secs(60),
    };
    let jobs = backend.dequeue(ask).await.unwrap().jobs;
    let attempt = |job: &model::Job| Attempt {
        token: job.lease.unwrap().token,
        outcome: Outcome::Success { result: None },
    };
    let spec = shop.queue.spec();
    let mut orders = shop.schema.connection().await;
    let mut tx = orders.begin().await.unwrap();
    let postgres: &dyn Any = &**backend;
    let postgres: &PostgresBackend = postgres.downcast_ref().unwrap();
    let done = finish(&jobs[1], spec, &attempt(&jobs[1])).unwrap();
    postgres.apply_in(&mut tx, &[done]).await.unwrap();

    let leases = jobs.iter().map(|job| Extend {
        job: job.reference(),
        token: job.lease.unwrap().token,
        lease: Duration::from_secs(3600),
        progress: None,
    });
    // It must come back while the transaction is open, however long that takes.
    let extended = timeout(Duration::from_secs(60), backend.extend(leases.collect()));
    let (extended, now) = extended.await.expect("it does not wait for the transaction").unwrap();
    let hour = now.after(Duration::from_secs(1800));
    let held = |extended: &Extended| match extended {
        Extended::Held { until, .. } => *until > hour,
        Extended::Lost => panic!("it is held until the transaction commits"),
    };
    assert_eq!(extended.iter().map(held).collect::<Vec<_>>(), [true, false, true]);
    tx.commit().await.unwrap();
    assert_eq!(shop.queue.stats().await.unwrap().count(State::Completed), 1);
}

/// What a handler needs that loses its lease.
struct Slow {
    schema: Schema,
    clock: ManualClock,
}

#[tokio::test]
async fn a_handler_that_lost_its_lease_is_told_and_completes_nothing() {
    async fn too_late(
        job: Charge,
        context: Context,
        slow: Data<Arc<Slow>>,
    ) -> Result<String, JobError> {
        let mut orders = slow.schema.connection().await;
        if context.job().course.stalls > 0 {
            let mut tx = orders.begin().await?;
            context.complete_in(&mut tx, "in time").await?;
            tx.commit().await?;
            return Ok("not read".to_owned());
        }
        // Its lease runs out, and somebody takes over.
        slow.clock.advance(Duration::from_secs(3600));
        let client = context.client();
        let queue = client.open_queue("charges").await?;
        let other = Kit::new(Arc::clone(client.backend()), slow.clock.clone());
        queue.pause().await?;
        other.drain(|worker| worker.queue(&queue).handle(|_: Charge| async {})).await?;
        queue.resume().await?;

        let mut tx = orders.begin().await?;
        query("UPDATE orders SET paid = 99 WHERE id = $1")
            .bind(job.order)
            .execute(&mut *tx)
            .await?;
        let error = context.complete_in(&mut tx, "too late").await.unwrap_err();
        assert!(matches!(error, Error::LeaseLost(id) if id == context.id()), "{error}");
        // The transaction can go on; it is for the handler to end it.
        assert_eq!(paid(&mut tx, job.order).await, Some(99));
        tx.rollback().await?;
        Err(error.into())
    }
    let shop = shop().await;
    let clock = ManualClock::new();
    let mut config = shop.schema.config();
    config.clock = Clock::Manual(clock.clone());
    let backend = Arc::new(PostgresBackend::connect(config).await.unwrap());
    let kit = Kit::new(backend, clock.clone());
    let queue = kit.client().open_queue("charges").await.unwrap();
    let handle = queue.enqueue(Charge { order: 1 }).await.unwrap();
    let slow = Arc::new(Slow { schema: shop.schema, clock });
    kit.drain(|worker| worker.queue(&queue).data(Arc::clone(&slow)).handle(too_late))
        .await
        .unwrap();
    assert_eq!(handle.result::<String>().await.unwrap(), "in time");
    assert_eq!(handle.job().await.unwrap().course.failed_attempts, 0);
    assert_eq!(paid(&mut slow.schema.connection().await, 1).await, Some(0));
}

#[tokio::test]
async fn a_store_takes_part_in_transactions_of_its_own_kind_only() {
    let unsupported = |error: Error, expected: &str| match error {
        Error::Store(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(expected), "{error}");
        }
        other => panic!("{other}"),
    };
    let shop = shop().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let sqlite = Windlass::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let memory = Windlass::connect("memory:").await.unwrap();
    let mut orders = shop.schema.connection().await;
    let mut tx = orders.begin().await.unwrap();
    for other in [sqlite, memory] {
        let queue = other.queue("charges").declare().await.unwrap();
        let error = queue.enqueue(Charge { order: 1 }).in_tx(&mut tx).await.unwrap_err();
        unsupported(error, "use postgres://");
    }
    let mut file = rusqlite::Connection::open(&path).unwrap();
    let tx = file.transaction().unwrap();
    let error = shop.queue.enqueue(Charge { order: 1 }).in_tx(&tx).unwrap_err();
    unsupported(error, "use sqlite:PATH");
}
