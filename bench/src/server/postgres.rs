//! A database of its own for each run, so that runs do not see each other.

use anyhow::{Context, Result};
use windlass::postgres::PostgresConfig;
use windlass::postgres::sqlx::postgres::{PgConnectOptions, PgConnection};
use windlass::postgres::sqlx::{AssertSqlSafe, Connection, Executor};

/// A database on a Postgres server that is there for one run.
///
/// A database rather than a schema: statistics, snapshots that hold up vacuum,
/// and notices are a database's own.
#[derive(Debug)]
pub(crate) struct Database {
    server: PgConnectOptions,
    name: String,
    url: String,
}

impl Database {
    /// Makes one beside the database that the URL names.
    pub(crate) async fn create(url: &str) -> Result<Self> {
        let name = format!("windlass_bench_{}", std::process::id());
        let url = beside(url, &name).context("the URL of the store names no database")?;
        let database = Self { server: server(&url)?.database("postgres"), name, url };
        database.admin(format!("CREATE DATABASE {}", database.name)).await?;
        Ok(database)
    }

    /// Its own URL, with the options of the one that was given.
    pub(crate) fn url(&self) -> &str {
        &self.url
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

/// Connects to the database that the URL names, whatever else the URL says
/// about the store.
pub(crate) async fn connect(url: &str) -> Result<PgConnection> {
    Ok(PgConnection::connect_with(&server(url)?).await?)
}

/// Waits until vacuum has had its turn and what was written is on disk: both take
/// their share of two cores, however much there is in the store.
pub(crate) async fn settle(url: &str) -> Result<()> {
    let mut conn = connect(url).await?;
    conn.execute("VACUUM (ANALYZE)").await?;
    conn.execute("CHECKPOINT").await?;
    Ok(conn.close().await?)
}

pub(crate) fn server(url: &str) -> Result<PgConnectOptions> {
    Ok(PostgresConfig::parse(url)?.server)
}

/// The URL with another database's name.
fn beside(url: &str, name: &str) -> Option<String> {
    let (base, options) = url.split_once('?').unwrap_or((url, ""));
    let host = base.find("://")? + 3;
    let path = host + base[host..].find('/')?;
    Some(format!("{}/{name}?{options}", &base[..path]))
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn the_url_of_a_database_beside_keeps_all_but_the_name() {
        for (url, expected) in [
            ("postgres://me:pw@host:1/app", Some("postgres://me:pw@host:1/x?")),
            ("postgres://host/app?notices=off", Some("postgres://host/x?notices=off")),
            ("postgres://host", None),
        ] {
            assert_eq!(beside(url, "x").as_deref(), expected, "{url}");
        }
    }
}
