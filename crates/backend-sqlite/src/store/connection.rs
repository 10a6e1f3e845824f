//! Opening the file: settings, whose it is, migrations.

use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use windlass_core::{Error, ErrorKind};

use super::query::Query;
use crate::config::{Neighbours, SqliteConfig, Synchronous};
use crate::error::{Fail, Outcome, from_sqlite};

/// Marks a file that we created, for `file` and its like; "Wndl" in ASCII. It
/// is never required: where an application shares the file, the mark is its
/// own.
const APPLICATION_ID: i32 = 0x576e_646c;

/// The oldest library that is safe: earlier ones can damage a file in
/// write-ahead mode when a checkpoint and a writer on other connections meet.
const OLDEST_SQLITE: i32 = 3_051_003;

/// The steps from an empty file to the present schema, in order. A step that
/// was published is never changed.
pub(crate) const MIGRATIONS: &[(&str, &str)] =
    &[("0001_first", include_str!("../migrations/0001_first.sql"))];

/// How long a write that finds the file locked sleeps before it tries again.
/// SQLite's own waiting backs off to 100 ms, in which a lock that is held for
/// a millisecond at a time is seldom met when it is free.
const BUSY_NAP: Duration = Duration::from_micros(500);

/// How many naps a single statement takes before it reports "busy"; the writer
/// tries again up to its limit.
const BUSY_NAPS: i32 = 10_000;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The one that writes.
    Writer,
    /// One of those that read.
    Reader,
}

/// Opens a connection with the settings of its role.
pub(crate) fn open(config: &SqliteConfig, role: Role) -> Outcome<Connection> {
    check_library(rusqlite::version_number(), rusqlite::version())?;
    if config.path.is_dir() {
        let context = "it is a directory; name a file in it";
        return Err(Fail::Refused(Error::new(ErrorKind::Invalid, context)));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(&config.path, flags)?;
    conn.busy_handler(Some(|count| {
        std::thread::sleep(BUSY_NAP);
        count < BUSY_NAPS
    }))?;
    // Without this, a statement whose bounds are parameters is compiled anew
    // each time it is run, in case other values had a better plan.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Listings, and what is asked once per read; the rest is kept by number.
    conn.set_prepared_statement_cache_capacity(32);
    match role {
        Role::Writer => {
            // 8 MiB of pages for the writer, 1 MiB for each reader: enough to
            // keep the upper levels of the indexes at hand.
            conn.pragma_update(None, "cache_size", -8192)?;
            conn.pragma_update(None, "temp_store", "MEMORY")?;
            conn.pragma_update(None, "wal_autocheckpoint", 4000)?;
            // After a burst the log is cut back to 64 MiB.
            conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
            set_synchronous(&conn, config.synchronous)?;
        }
        Role::Reader => {
            conn.pragma_update(None, "cache_size", -1024)?;
            conn.pragma_update(None, "temp_store", "MEMORY")?;
            conn.pragma_update(None, "query_only", true)?;
        }
    }
    Ok(conn)
}

/// Refuses a library that can damage files.
fn check_library(number: i32, name: &str) -> Outcome<()> {
    if number >= OLDEST_SQLITE {
        return Ok(());
    }
    Err(refused(format!(
        "SQLite {name} can damage a file that several connections write to; version 3.51.3 or \
         newer is needed (the bundled one is)"
    )))
}

/// Says how hard commits are pushed towards the disk from now on.
pub(crate) fn set_synchronous(conn: &Connection, synchronous: Synchronous) -> Outcome<()> {
    Ok(conn.execute_batch(match synchronous {
        Synchronous::Full => "PRAGMA synchronous = FULL",
        Synchronous::Normal => "PRAGMA synchronous = NORMAL",
    })?)
}

/// Makes sure that the file is ours and has the present schema, and answers
/// the 16 bytes that tell it from any other.
pub(crate) fn prepare(conn: &mut Connection, config: &SqliteConfig) -> Outcome<Vec<u8>> {
    // Whose file it is is asked before anything of it is changed.
    patiently(config.busy_limit, || check_owner(conn, config))?;
    // SQLite opens what it cannot write to for reading, and says nothing before
    // the first write.
    if conn.is_readonly("main")? {
        return Err(Fail::Refused(Error::new(
            ErrorKind::Store,
            "the SQLite file or its directory cannot be written to; give this user the right to \
             write to both",
        )));
    }
    // Changing the mode takes the file for itself for a moment, and reports
    // "busy" at once if another process is about to do the same.
    patiently(config.busy_limit, || {
        let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode == "wal" {
            return Ok(());
        }
        Err(Fail::Refused(Error::new(
            ErrorKind::Store,
            format!(
                "the SQLite file stays in journal mode {mode:?}; write-ahead mode is needed: put \
                 the file on a local file system, as others may not allow it"
            ),
        )))
    })?;
    patiently(config.busy_limit, || migrate(conn, config))
}

/// Tries again while another process holds the file, up to a limit.
pub(crate) fn patiently<T>(limit: Duration, mut work: impl FnMut() -> Outcome<T>) -> Outcome<T> {
    let begin = Instant::now();
    loop {
        match work() {
            Err(Fail::Broken(error)) if is_busy(&error) && begin.elapsed() < limit => {
                std::thread::sleep(BUSY_NAP);
            }
            result => return result,
        }
    }
}

/// Whether another connection was in the way.
fn is_busy(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let code = source
        .and_then(|source| source.downcast_ref::<rusqlite::Error>())
        .and_then(rusqlite::Error::sqlite_error_code);
    matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn check_owner(conn: &Connection, config: &SqliteConfig) -> Outcome<()> {
    if exists(conn, Query::FindMetaTable)? || config.neighbours == Neighbours::Welcome {
        return Ok(());
    }
    let found: Option<String> =
        optional(conn.query_row(&Query::FindAnyTable.sql(), [], |row| row.get(0)))?;
    match found {
        None => Ok(()),
        Some(table) => Err(refused(format!(
            "{} is somebody else's database (it has a table {table:?}) and was left alone; name \
             another file, or allow the tables of this one to stand beside it with \
             Neighbours::Welcome (neighbours=welcome in a URL)",
            config.path.display()
        ))),
    }
}

fn migrate(conn: &mut Connection, config: &SqliteConfig) -> Outcome<Vec<u8>> {
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if exists(conn, Query::FindMetaTable)? {
        let (schema, store) = read_meta(conn)?;
        if schema == newest {
            return Ok(store);
        }
        if schema > newest {
            return Err(refused(format!(
                "{} has schema {schema}, and this program knows schemas up to {newest}; use a \
                 newer version of the program",
                config.path.display()
            )));
        }
    }
    // Another process may have been faster: under the lock, all is asked again.
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let fresh = !exists(&tx, Query::FindAnyTable)?;
    let schema = if exists(&tx, Query::FindMetaTable)? { read_meta(&tx)?.0 } else { 0 };
    for (number, (_, step)) in (1..).zip(MIGRATIONS) {
        if number > schema {
            tx.execute_batch(step)?;
            tx.execute(&Query::WriteSchema.sql(), [number])?;
        }
    }
    if fresh {
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    let (_, store) = read_meta(&tx)?;
    tx.commit()?;
    Ok(store)
}

/// Number of the last migration, and the 16 bytes of the store.
pub(crate) fn read_meta(conn: &Connection) -> Outcome<(i64, Vec<u8>)> {
    Ok(conn.query_row(&Query::ReadMeta.sql(), [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

fn exists(conn: &Connection, query: Query) -> Outcome<bool> {
    Ok(optional(conn.query_row(&query.sql(), [], |_| Ok(())))?.is_some())
}

/// A row that may not be there.
pub(crate) fn optional<T>(row: rusqlite::Result<T>) -> Outcome<Option<T>> {
    match row {
        Ok(value) => Ok(Some(value)),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
        Err(error) => Err(Fail::Broken(from_sqlite(error))),
    }
}

fn refused(context: String) -> Fail {
    Fail::Refused(Error::new(ErrorKind::Incompatible, context))
}

#[cfg(test)]
pub(crate) fn migrate_for_tests(conn: &Connection) {
    for (_, step) in MIGRATIONS {
        conn.execute_batch(step).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_can_damage_files_is_refused_with_what_is_needed() {
        for (number, name) in [(3_051_002, "3.51.2"), (3_007_000, "3.7.0"), (0, "")] {
            let error = check_library(number, name).unwrap_err().into_error();
            assert_eq!(error.kind(), ErrorKind::Incompatible);
            let text = error.to_string();
            assert!(text.starts_with(&format!("SQLite {name} can damage a file")), "{text}");
            assert!(text.contains("version 3.51.3 or newer is needed"), "{text}");
        }
        assert!(check_library(3_051_003, "3.51.3").is_ok());
        assert!(check_library(rusqlite::version_number(), rusqlite::version()).is_ok());
    }
}
