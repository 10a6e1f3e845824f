//! Creating the schema, and refusing one that another version wrote.

use std::borrow::Cow;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqlSafeStr};
use windlass_core::{Error, ErrorKind};

use super::BEGIN;
use super::query::{Queries, Query, in_schema};
use crate::error::from_sqlx;

/// The tables.
const TABLES: &str = include_str!("../migrations/0001_tables.sql");

macro_rules! functions {
    ($($file:literal,)*) => {
        /// The functions, each behind those that it uses.
        const FUNCTIONS: &[(&str, &str)] =
            &[$(($file, include_str!(concat!("../functions/", $file, ".sql"))),)*];
    };
}

functions! {
    "answer",
    "clock",
    "queue_numbers",
    "look",
    "checkpoint",
    "keep_house",
    "announce",
    "mend",
    "judge",
    "release",
    "take",
    "set_aside",
    "take_from_lines",
    "live_leases",
    "dequeue",
    "hold",
    "leave",
    "arrive",
    "note",
    "tell_dependents",
    "raise_version",
    "forget",
    "undecided",
    "enqueue_plain",
    "enqueue",
    "apply",
    "extend",
    "record_steps",
    "lost_leases",
    "stats",
    "declare",
    "set_paused",
    "clean",
}

/// The number of the last migration.
const CURRENT: i64 = 2;

/// The server's oldest version, as it numbers them.
const OLDEST_SERVER: i32 = 130_000;

/// Creates what is missing. Several processes may do so at once: they wait for
/// each other.
///
/// All of it is one transaction, so that a pooler may stand between.
pub(crate) async fn create(
    connection: &mut PgConnection,
    schema: &str,
    queries: &Queries,
) -> Result<(), Error> {
    let mut transaction = connection.begin_with(BEGIN).await.map_err(from_sqlx)?;
    check_server(&mut transaction, queries).await?;
    if version(&mut transaction, schema).await? != Some(CURRENT) {
        // A lock that ends with the transaction; by a number that nobody else has
        // reason to use.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext('windlass.migrations'), hashtext($1))")
            .persistent(false)
            .bind(schema)
            .execute(&mut *transaction)
            .await
            .map_err(from_sqlx)?;
        migrator(schema)
            .run_direct(None, &mut *transaction, false)
            .await
            .map_err(|error| refused(error, schema))?;
        // The migrator leaves prepared statements behind, and a pooler gives the
        // session to others.
        sqlx::raw_sql("DEALLOCATE ALL").execute(&mut *transaction).await.map_err(from_sqlx)?;
    }
    transaction.commit().await.map_err(from_sqlx)
}

/// The number of the last migration that was run. `None`: there is none, or it
/// cannot be seen.
async fn version(connection: &mut PgConnection, schema: &str) -> Result<Option<i64>, Error> {
    let table: Option<bool> = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .persistent(false)
        .bind(format!("{schema}.migrations"))
        .fetch_one(&mut *connection)
        .await
        .map_err(from_sqlx)?;
    if table != Some(true) {
        return Ok(None);
    }
    let text = in_schema("SELECT max(version) FROM windlass.migrations WHERE success", schema);
    sqlx::query_scalar(AssertSqlSafe(text))
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(from_sqlx)
}

async fn check_server(connection: &mut PgConnection, queries: &Queries) -> Result<(), Error> {
    let row = sqlx::query(queries.get(Query::ReadEncoding))
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(from_sqlx)?;
    let (encoding, version): (String, i32) = (row.get(0), row.get(1));
    if version < OLDEST_SERVER {
        return Err(Error::new(
            ErrorKind::Incompatible,
            format!("this server is Postgres {}; use version 13 or a newer one", version / 10_000),
        ));
    }
    if encoding != "UTF8" {
        return Err(Error::new(
            ErrorKind::Incompatible,
            format!("the database is encoded in {encoding}; use one that is encoded in UTF8"),
        ));
    }
    Ok(())
}

fn migrator(schema: &str) -> Migrator {
    let functions: String = FUNCTIONS.iter().map(|(_, text)| *text).collect();
    let step = |number, name: &'static str, text: &str| {
        let text = AssertSqlSafe(in_schema(text, schema)).into_sql_str();
        Migration::new(number, Cow::Borrowed(name), MigrationType::Simple, text, false)
    };
    let mut migrator = Migrator::with_migrations(vec![
        step(1, "tables", TABLES),
        step(CURRENT, "functions", &functions),
    ]);
    migrator.set_locking(false);
    migrator.create_schema(schema.to_owned());
    migrator.dangerous_set_table_name(format!("{schema}.migrations"));
    migrator
}

/// The texts of the functions' files.
#[cfg(test)]
pub(crate) fn functions() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(_, text)| *text)
}

fn refused(error: MigrateError, schema: &str) -> Error {
    let what = match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            return from_sqlx(error);
        }
        MigrateError::VersionMissing(number) => format!(
            "the schema {schema:?} was written by a newer version of this program (migration \
             {number}); use that version or a newer one"
        ),
        MigrateError::VersionMismatch(number) => format!(
            "the schema {schema:?} was made by another build of this program (migration \
             {number}); use that one, or another schema"
        ),
        _ => format!("the schema {schema:?} cannot be brought up to date"),
    };
    Error::new(ErrorKind::Incompatible, what)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_function_file_is_used_and_says_what_it_is_for() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/functions");
        let on_disk: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let used: BTreeSet<String> = FUNCTIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(on_disk, used);
        for (name, text) in FUNCTIONS {
            assert!(text.starts_with("-- "), "{name} has no header");
        }
    }
}
