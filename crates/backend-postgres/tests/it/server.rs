//! The server that the tests use.

#![allow(dead_code, reason = "each test binary uses its own part of it")]

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use windlass_postgres::{PostgresConfig, sqlx};

/// The server that `DATABASE_URL` names.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    options: PgConnectOptions,
}

impl Server {
    /// Finds it. A missing server is a failure.
    pub(crate) fn find() -> Self {
        let url = std::env::var("DATABASE_URL").unwrap_or_else(|_| {
            panic!("DATABASE_URL names no Postgres server; run the tests by scripts/test")
        });
        Self::at(&url)
    }

    /// The server at this URL.
    pub(crate) fn at(url: &str) -> Self {
        Self { options: PgConnectOptions::from_str(url).expect("DATABASE_URL can be read") }
    }

    /// A superuser's way to the server that the tests were given: for what only an
    /// operator may do.
    pub(crate) fn admin() -> PgConnectOptions {
        let url = std::env::var("WINDLASS_TEST_ADMIN_URL").unwrap_or_else(|_| {
            panic!("WINDLASS_TEST_ADMIN_URL names no superuser; run the tests by scripts/test")
        });
        PgConnectOptions::from_str(&url).expect("WINDLASS_TEST_ADMIN_URL can be read")
    }

    /// A store in this schema.
    pub(crate) fn config(&self, schema: &str) -> PostgresConfig {
        let mut config = PostgresConfig::new(self.options.clone());
        config.schema = schema.to_owned();
        config
    }

    /// A connection that the store knows nothing of.
    pub(crate) async fn connect(&self) -> PgConnection {
        self.options.connect().await.expect("the server can be reached")
    }

    /// Empties every table of a schema but that of migrations.
    pub(crate) async fn empty(&self, schema: &str) -> Result<(), sqlx::Error> {
        let mut connection =
            self.options.clone().options([("synchronous_commit", "off")]).connect().await?;
        let tables = sqlx::query(
            "SELECT tablename FROM pg_tables WHERE schemaname = $1 AND tablename <> 'migrations'",
        )
        .bind(schema)
        .fetch_all(&mut connection)
        .await?;
        let emptied: String = tables
            .iter()
            .map(|row| format!("DELETE FROM {schema}.{};", row.get::<String, _>(0)))
            .collect();
        sqlx::raw_sql(AssertSqlSafe(emptied)).execute(&mut connection).await?;
        Ok(())
    }

    /// Drops a schema and all in it.
    pub(crate) async fn drop(&self, schema: &str) {
        let mut connection = self.connect().await;
        let drop = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await.expect("drop");
    }
}
