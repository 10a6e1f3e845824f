//! What a role has by default does not weaken what the store promises.

use sqlx::Connection;
use windlass_core::Backend;
use windlass_postgres::{PostgresBackend, sqlx};

use crate::fixture::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_holds_for_a_role_whose_transactions_keep_their_snapshot_by_default() {
    for level in ["serializable", "repeatable read"] {
        let home = Home::new();
        let plain = home.open().await;
        let mut bounded = spec();
        bounded.limits.concurrency = Some(1);
        plain.declare(&bounded).await.unwrap();
        let name = format!("windlass {}", home.schema);
        let mut config = home.config();
        config.server = config.server.application_name(&name);
        config.server = config.server.options([("default_transaction_isolation", level)]);
        let backend = PostgresBackend::connect(config).await.unwrap();
        enqueue(&backend, vec![with_priority(5)]).await;

        // One dequeue has leased, and is about to commit; meanwhile a better job
        // comes, and another dequeue begins.
        let mut connection = home.connection().await;
        let mut first = connection.begin().await.unwrap();
        let text = "SELECT count(*) FROM windlass.dequeue(NULL, 'q', \
                    '00000000-0000-0000-0000-000000000001', 1, 60000000)";
        let rows: i64 = sqlx::query_scalar(home.sql(text)).fetch_one(&mut *first).await.unwrap();
        assert_eq!(rows, 2, "a job and a head");
        enqueue(&plain, vec![with_priority(1)]).await;
        let second = tokio::spawn(async move { take(&backend, 1).await });
        let waits = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' \
             AND wait_event_type = 'Lock'"
        );
        until("it waits for the first", || async { home.number(&waits).await == 1 }).await;
        first.commit().await.unwrap();
        assert!(second.await.unwrap().is_empty(), "{level}: the only slot is taken");
    }
}
