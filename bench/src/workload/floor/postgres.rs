//! One table with one partial index.

use anyhow::Result;
use windlass::postgres::sqlx::postgres::{PgConnection, PgListener, PgPoolOptions};
use windlass::postgres::sqlx::{self, Executor};

use super::OUTCOME;
use super::server::{self, Done};
use crate::server::postgres::{connect, server as options_of};

/// On which notices go.
const CHANNEL: &str = "floor";

const SCHEMA: &str = "
    DROP TABLE IF EXISTS jobs;
    CREATE TABLE jobs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state smallint NOT NULL DEFAULT 0,
        priority int NOT NULL, due bigint NOT NULL, until bigint, payload bytea NOT NULL
    );
    CREATE INDEX ready ON jobs (priority, due, id) WHERE state = 0;
    DROP TABLE IF EXISTS steps;
    CREATE TABLE steps (
        job bigint NOT NULL, step int NOT NULL, outcome bytea NOT NULL, PRIMARY KEY (job, step)
    );
";

/// What a planner that knows the table would do anyway, from the first row on.
const PLANS: &str = "
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;
    SET plan_cache_mode = force_generic_plan;
";

const ENQUEUE: &str = "
    INSERT INTO jobs (priority, due, payload)
    SELECT 0, due, payload FROM unnest($1::bigint[], $2::bytea[]) AS new (due, payload)
";

const ENQUEUE_AND_NOTIFY: &str = "
    WITH new AS (INSERT INTO jobs (priority, due, payload) VALUES (0, $1, $2))
    SELECT pg_notify('floor', '')
";

const LEASE: &str = "
    UPDATE jobs SET state = 1, until = 30000000
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM jobs WHERE state = 0 ORDER BY priority, due, id
        LIMIT $1 FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, payload
";

const KEEP: &str = "UPDATE jobs SET state = 2 WHERE id = ANY ($1)";

const REMOVE: &str = "DELETE FROM jobs WHERE id = ANY ($1)";

const RECORD: &str = "INSERT INTO steps SELECT job, $2, $3 FROM unnest($1::bigint[]) AS job";

/// A connection to the table.
pub(super) struct Queue {
    conn: PgConnection,
}

impl server::Queue for Queue {
    type Ear = PgListener;

    /// Makes the table anew.
    async fn create(url: &str) -> Result<Self> {
        let mut queue = Self::open(url).await?;
        queue.conn.execute(SCHEMA).await?;
        queue.settle().await?;
        Ok(queue)
    }

    async fn open(url: &str) -> Result<Self> {
        let mut conn = connect(url).await?;
        conn.execute(PLANS).await?;
        Ok(Self { conn })
    }

    async fn settle(&mut self) -> Result<()> {
        self.conn.execute("CHECKPOINT").await?;
        Ok(())
    }

    async fn enqueue(&mut self, from: usize, count: usize, payload: &[u8]) -> Result<()> {
        let due: Vec<i64> = (from..from + count).map(|n| n as i64).collect();
        let payloads = vec![payload; count];
        sqlx::query(ENQUEUE).bind(due).bind(payloads).execute(&mut self.conn).await?;
        Ok(())
    }

    async fn enqueue_and_notify(&mut self, n: usize, payload: &[u8]) -> Result<()> {
        let query = sqlx::query(ENQUEUE_AND_NOTIFY).bind(n as i64).bind(payload);
        query.execute(&mut self.conn).await?;
        Ok(())
    }

    /// Leases up to so many jobs and answers their ids.
    async fn lease(&mut self, count: usize) -> Result<Vec<i64>> {
        let query = sqlx::query_as::<_, (i64, Vec<u8>)>(LEASE).bind(count as i64);
        let rows = query.fetch_all(&mut self.conn).await?;
        Ok(rows.into_iter().map(|(id, _)| id).collect())
    }

    async fn acknowledge(&mut self, ids: &[i64], done: Done) -> Result<()> {
        let sql = match done {
            Done::Kept => KEEP,
            Done::Removed => REMOVE,
        };
        sqlx::query(sql).bind(ids).execute(&mut self.conn).await?;
        Ok(())
    }

    async fn record(&mut self, ids: &[i64], step: usize) -> Result<()> {
        let query = sqlx::query(RECORD).bind(ids).bind(i32::try_from(step)?).bind(OUTCOME);
        query.execute(&mut self.conn).await?;
        Ok(())
    }

    async fn listen(url: &str) -> Result<PgListener> {
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options_of(url)?).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }

    async fn hear(ear: &mut PgListener) -> Result<()> {
        ear.recv().await?;
        Ok(())
    }
}
