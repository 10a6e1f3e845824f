//! What a server did while something was measured: Postgres tells of rows and its log,
//! Redis of its memory.

use anyhow::Result;
use windlass::postgres::sqlx::postgres::{PgConnection, PgRow};
use windlass::postgres::sqlx::{self, Executor, FromRow, Row};

use crate::options::Options;
use crate::report::Report;
use crate::server::{postgres as server, redis};

/// Counts since the statistics of the database began.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    commits: i64,
    inserted: i64,
    updated: i64,
    deleted: i64,
    dead: i64,
    vacuums: i64,
    analyzes: i64,
}

impl FromRow<'_, PgRow> for Counts {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            commits: row.try_get("commits")?,
            inserted: row.try_get("inserted")?,
            updated: row.try_get("updated")?,
            deleted: row.try_get("deleted")?,
            dead: row.try_get("dead")?,
            vacuums: row.try_get("vacuums")?,
            analyzes: row.try_get("analyzes")?,
        })
    }
}

const COUNTS: &str = "
    SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database())
               AS commits,
           coalesce(sum(n_tup_ins), 0)::bigint AS inserted,
           coalesce(sum(n_tup_upd), 0)::bigint AS updated,
           coalesce(sum(n_tup_del), 0)::bigint AS deleted,
           coalesce(sum(n_dead_tup), 0)::bigint AS dead,
           coalesce(sum(vacuum_count + autovacuum_count), 0)::bigint AS vacuums,
           coalesce(sum(analyze_count + autoanalyze_count), 0)::bigint AS analyzes
    FROM pg_stat_user_tables
";

/// Nobody's counts are complete before its connection ends: a server process
/// hands them in once a second at most, and idle ones not for ten.
const END_OTHERS: &str = "
    SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
        AND pid <> pg_backend_pid()
";

/// Watches the server while something is measured; on other stores, nothing.
#[derive(Debug)]
pub(crate) struct Meter {
    on: Option<Running>,
    /// Bytes that a Redis server used before.
    memory: Option<i64>,
}

#[derive(Debug)]
struct Running {
    conn: PgConnection,
    before: Counts,
    wal: i64,
    analyzed: bool,
}

impl Meter {
    /// Begins, after a checkpoint: a page's first change after one is logged as
    /// a whole, so that runs that begin elsewhere in it do not compare.
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        if !options.is_postgres() {
            return Ok(Self { on: None, memory: redis::used_memory(options).await? });
        }
        let mut conn = server::connect(&options.store).await?;
        if options.analyze {
            conn.execute("ANALYZE").await?;
        }
        conn.execute("CHECKPOINT").await?;
        let before = sqlx::query_as(COUNTS).fetch_one(&mut conn).await?;
        let wal = wal(&mut conn).await?;
        let running = Running { conn, before, wal, analyzed: options.analyze };
        Ok(Self { on: Some(running), memory: None })
    }

    /// What was measured is over, and so many jobs were in it.
    pub(crate) async fn stop(self, options: &Options, jobs: usize) -> Result<Metered> {
        let Some(mut on) = self.on else {
            let now = redis::used_memory(options).await?;
            let grown = now.zip(self.memory).map(|(now, before)| now - before);
            return Ok(Metered { jobs, of: None, grown });
        };
        let wal = wal(&mut on.conn).await? - on.wal;
        Ok(Metered { jobs, of: Some((on, wal)), grown: None })
    }
}

/// What was metered, once its log has been read off.
#[derive(Debug)]
pub(crate) struct Metered {
    jobs: usize,
    of: Option<(Running, i64)>,
    /// By how many bytes a Redis server has grown.
    grown: Option<i64>,
}

impl Metered {
    /// Ends every connection to the database, and reports what they have done.
    pub(crate) async fn report(self, report: Report) -> Result<Report> {
        let per_job = |count: i64| (count as f64 / self.jobs as f64 * 1000.0).round() / 1000.0;
        let Some((mut on, wal)) = self.of else {
            return Ok(match self.grown {
                Some(grown) => report.with("memory_bytes_per_job", per_job(grown).round()),
                None => report,
            });
        };
        sqlx::query(END_OTHERS).fetch_one(&mut on.conn).await?;
        let now: Counts = sqlx::query_as(COUNTS).fetch_one(&mut on.conn).await?;
        let before = on.before;
        Ok(report
            .with("before", if on.analyzed { "analyze, checkpoint" } else { "checkpoint" })
            .with("wal_bytes_per_job", per_job(wal).round())
            .with("commits_per_job", per_job(now.commits - before.commits))
            .with("rows_inserted_per_job", per_job(now.inserted - before.inserted))
            .with("rows_updated_per_job", per_job(now.updated - before.updated))
            .with("rows_deleted_per_job", per_job(now.deleted - before.deleted))
            .with("dead_rows_at_end", now.dead)
            .with("vacuums", now.vacuums - before.vacuums)
            .with("analyzes", now.analyzes - before.analyzes))
    }
}

/// How far the log has come.
async fn wal(conn: &mut PgConnection) -> Result<i64> {
    let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";
    Ok(sqlx::query_scalar(sql).fetch_one(conn).await?)
}
