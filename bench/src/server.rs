//! A database of its own for each run, so that runs do not see each other.

use anyhow::{Context, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

/// A database on a Postgres server that is there for one run.
///
/// A database rather than a schema: statistics, snapshots that hold up vacuum,
/// and notices are a database's own.
#[derive(Debug)]
pub(crate) struct Database {
    server: PgConnectOptions,
    name: String,
}

impl Database {
    /// Makes one beside the database that the URL names.
    pub(crate) async fn create(url: &str) -> Result<Self> {
        let server: PgConnectOptions = url.parse().context("the URL of the store")?;
        let name = format!("windlass_bench_{}", std::process::id());
        let database = Self { server, name };
        database.admin(format!("CREATE DATABASE {}", database.name)).await?;
        Ok(database)
    }

    /// Its own URL.
    pub(crate) fn url(&self) -> String {
        self.server.clone().database(&self.name).to_url_lossy().into()
    }

    /// Removes it, whoever is still connected.
    pub(crate) async fn remove(self) -> Result<()> {
        self.admin(format!("DROP DATABASE {} WITH (FORCE)", self.name)).await
    }

    async fn admin(&self, sql: String) -> Result<()> {
        let mut conn = PgConnection::connect_with(&self.server).await?;
        // The only thing put into it is a name of our own.
        conn.execute(AssertSqlSafe(sql)).await?;
        Ok(conn.close().await?)
    }
}
