//! The servers that the tests use, and room on them for one test.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use windlass::postgres::PostgresConfig;
use windlass::postgres::sqlx::postgres::{PgConnectOptions, PgConnection};
use windlass::postgres::sqlx::{AssertSqlSafe, ConnectOptions, raw_sql};

/// A schema of the test's own on the server that `DATABASE_URL` names, which is
/// a failure if it is missing. Dropped with this.
pub(crate) struct Schema {
    server: String,
    name: String,
}

impl Schema {
    pub(crate) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var("DATABASE_URL").unwrap_or_else(|_| {
            panic!("DATABASE_URL names no Postgres server; run the tests by scripts/test")
        });
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        Self { server, name: format!("it_{}_{made}", std::process::id()) }
    }

    /// Leads to a store in the schema.
    pub(crate) fn url(&self) -> String {
        let joint = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{joint}schema={}", self.server, self.name)
    }

    pub(crate) fn config(&self) -> PostgresConfig {
        PostgresConfig::parse(&self.url()).unwrap()
    }

    /// An application's own connection, whose tables go to the schema too.
    pub(crate) async fn connection(&self) -> PgConnection {
        connect(&self.server, &self.name).await
    }
}

/// A prefix of the test's own on the Redis server, or cluster, that a variable of the
/// environment names. What is stored under it is little, and goes with the server.
pub(crate) struct Prefix {
    server: String,
    name: String,
}

impl Prefix {
    pub(crate) fn on(variable: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var(variable).unwrap_or_else(|_| {
            panic!("{variable} names no Redis server; run the tests by scripts/test")
        });
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        Self { server, name: format!("windlass_it_{}_{made}", std::process::id()) }
    }

    /// Leads to a store under the prefix.
    pub(crate) fn url(&self) -> String {
        let joint = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{joint}prefix={}", self.server, self.name)
    }
}

async fn connect(server: &str, schema: &str) -> PgConnection {
    let options = PgConnectOptions::from_str(server).expect("DATABASE_URL can be read");
    options
        .options([("search_path", schema)])
        .connect()
        .await
        .expect("the server that DATABASE_URL names can be reached")
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A test has a runtime of its own, which cannot wait for itself.
        let drop = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let drop = format!("DROP SCHEMA IF EXISTS {name} CASCADE");
                raw_sql(AssertSqlSafe(drop)).execute(&mut connect(&server, &name).await).await
            })
        };
        let dropped = thread::spawn(drop).join();
        if !thread::panicking() {
            dropped.unwrap().unwrap();
        }
    }
}
