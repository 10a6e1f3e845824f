//! One table with one partial index.

use anyhow::Result;
use windlass::sqlite::SqliteConfig;
use windlass::sqlite::rusqlite::{Connection, params};

use super::{Bare, OUTCOME};
use crate::options::Options;

const SCHEMA: &str = "
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY, state INTEGER NOT NULL DEFAULT 0, priority INTEGER NOT NULL,
        due INTEGER NOT NULL, until INTEGER, payload TEXT NOT NULL
    ) STRICT;
    CREATE INDEX ready ON jobs (priority, due) WHERE state = 0;
    CREATE TABLE steps (
        job INTEGER NOT NULL, step INTEGER NOT NULL, outcome BLOB NOT NULL,
        PRIMARY KEY (job, step)
    ) STRICT, WITHOUT ROWID;
";

const LEASE: &str = "
    UPDATE jobs SET state = 1, until = ?2
    WHERE id IN (SELECT id FROM jobs WHERE state = 0 ORDER BY priority, due LIMIT ?1)
    RETURNING id, payload
";

/// One table with one partial index, in a file beside the store's.
pub(super) struct Queue {
    conn: Connection,
    leased: Vec<i64>,
}

impl Queue {
    pub(super) fn create(options: &Options, batch: usize) -> Result<Self> {
        let path = SqliteConfig::parse(&options.store)?.path;
        let conn = Connection::open(path.with_extension(format!("floor-{batch}")))?;
        conn.pragma_update(None, "journal_mode", "wal")?;
        conn.pragma_update(None, "synchronous", "full")?;
        conn.execute_batch(SCHEMA)?;
        Ok(Self { conn, leased: Vec::new() })
    }
}

impl Bare for Queue {
    fn enqueue(&mut self, from: usize, count: usize, payload: &str) -> Result<()> {
        let tx = self.conn.transaction()?;
        {
            let sql = "INSERT INTO jobs (priority, due, payload) VALUES (0, ?1, ?2)";
            let mut insert = tx.prepare_cached(sql)?;
            for n in from..from + count {
                insert.execute(params![n as i64, payload])?;
            }
        }
        Ok(tx.commit()?)
    }

    fn turn(&mut self, count: usize) -> Result<usize> {
        let tx = self.conn.transaction()?;
        {
            let mut done = tx.prepare_cached("UPDATE jobs SET state = 2 WHERE id = ?1")?;
            for id in self.leased.drain(..) {
                done.execute([id])?;
            }
            let mut lease = tx.prepare_cached(LEASE)?;
            let rows = lease.query_map(params![count as i64, 30_000_000_i64], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?;
            for row in rows {
                self.leased.push(row?.0);
            }
        }
        tx.commit()?;
        Ok(self.leased.len())
    }

    fn record(&mut self, step: usize, at_once: usize) -> Result<()> {
        for ids in self.leased.chunks(at_once) {
            let tx = self.conn.transaction()?;
            {
                let sql = "INSERT INTO steps (job, step, outcome) VALUES (?1, ?2, ?3)";
                let mut insert = tx.prepare_cached(sql)?;
                for id in ids {
                    insert.execute(params![id, step as i64, OUTCOME])?;
                }
            }
            tx.commit()?;
        }
        Ok(())
    }
}
