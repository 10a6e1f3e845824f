//! A prefix of its own for each run.

use std::time::Duration;

use anyhow::Result;
use windlass::redis::redis::aio::MultiplexedConnection;
use windlass::redis::redis::{self, Client, Value};
use windlass::redis::{RedisConfig, Servers};

use crate::options::Options;

/// A prefix on a Redis server that is there for one run.
#[derive(Debug)]
pub(crate) struct Prefix {
    server: String,
    name: String,
    url: String,
}

impl Prefix {
    /// One that nobody uses yet.
    pub(crate) fn new(url: &str) -> Self {
        let name = format!("windlass_bench_{}", std::process::id());
        let (server, options) = url.split_once('?').unwrap_or((url, ""));
        let and = if options.is_empty() { "" } else { "&" };
        let of_run = format!("{server}?{options}{and}prefix={name}");
        Self { server: server.to_owned(), name, url: of_run }
    }

    /// The URL with this prefix.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Removes all of it. In a cluster, whose nodes would each have to be asked, it
    /// stays.
    pub(crate) async fn remove(self) -> Result<()> {
        let Some(mut connection) = connect(&self.server).await? else { return Ok(()) };
        let mut cursor = 0_u64;
        loop {
            let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(format!("{{{}*", self.name))
                .arg("COUNT")
                .arg(1000)
                .query_async(&mut connection)
                .await?;
            if !keys.is_empty() {
                let _: Value = redis::cmd("UNLINK").arg(keys).query_async(&mut connection).await?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}

/// A connection to the server; none to a cluster.
pub(crate) async fn connect(url: &str) -> Result<Option<MultiplexedConnection>> {
    let Servers::Single(server) = RedisConfig::parse(url)?.servers else { return Ok(None) };
    Ok(Some(Client::open(server)?.get_multiplexed_async_connection().await?))
}

/// How many bytes a single Redis server uses, once it has freed what was removed before;
/// `None` for any other store.
pub(crate) async fn used_memory(options: &Options) -> Result<Option<i64>> {
    if !options.is_redis() {
        return Ok(None);
    }
    let Some(mut connection) = connect(&options.store).await? else { return Ok(None) };
    loop {
        let info: redis::InfoDict =
            redis::cmd("INFO").arg("memory").query_async(&mut connection).await?;
        if info.get("lazyfree_pending_objects") == Some(0_u64) {
            return Ok(info.get("used_memory"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
