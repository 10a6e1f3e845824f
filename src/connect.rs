//! From a URL to a client.

use std::ops::Deref;
use std::sync::Arc;

use windlass_runtime::backend::{Backend, Error as StoreError, ErrorKind};
use windlass_runtime::{Client, Result};

/// A client of a store that was chosen by URL. Derefs to [`Client`], which has
/// everything else; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Windlass(Client);

impl Windlass {
    /// Connects to a store.
    ///
    /// | URL | store | feature |
    /// |---|---|---|
    /// | `memory:` | this process, a fresh one each time | `memory` |
    /// | `sqlite:PATH`, `sqlite://PATH` | the file, created if it is missing | `sqlite` |
    /// | `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, `postgresql://…` | the database; its schema is created if it is missing | `postgres` |
    /// | `redis://USER:PASSWORD@HOST:PORT/DATABASE`, `rediss://…` with TLS | the server | `redis` |
    /// | `redis-cluster://USER:PASSWORD@HOST:PORT,HOST:PORT,…` | the cluster that these nodes are of | `redis` |
    /// | `redis-sentinel://USER:PASSWORD@HOST:PORT,…/MASTER` | the master that these sentinels know | `redis` |
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store): of kind [`ErrorKind::Unsupported`] if no compiled-in
    /// backend knows the scheme (the message names the missing feature),
    /// otherwise what the backend says. The URL itself, which may hold a
    /// password, is never quoted.
    pub async fn connect(url: &str) -> Result<Self> {
        let Some((scheme, _)) = url.split_once(':') else {
            let what =
                "this is not a store's URL: it has no scheme; use one such as sqlite:jobs.db";
            return Err(StoreError::new(ErrorKind::Invalid, what).into());
        };
        let backend = open(scheme, url).await?;
        Ok(Self(Client::new(backend)))
    }

    /// Uses a backend that was made by hand, one of ours or your own.
    #[must_use]
    pub fn new(backend: impl Backend) -> Self {
        Self(Client::new(Arc::new(backend)))
    }
}

impl Deref for Windlass {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl From<Windlass> for Client {
    fn from(windlass: Windlass) -> Self {
        windlass.0
    }
}

impl From<Client> for Windlass {
    fn from(client: Client) -> Self {
        Self(client)
    }
}

async fn open(scheme: &str, url: &str) -> Result<Arc<dyn Backend>> {
    match scheme {
        #[cfg(feature = "memory")]
        "memory" => Ok(Arc::new(windlass_memory::MemoryBackend::new())),
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let config = windlass_sqlite::SqliteConfig::parse(url)?;
            Ok(Arc::new(windlass_sqlite::SqliteBackend::open(config).await?))
        }
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            let config = windlass_postgres::PostgresConfig::parse(url)?;
            Ok(Arc::new(windlass_postgres::PostgresBackend::connect(config).await?))
        }
        #[cfg(feature = "redis")]
        "redis" | "rediss" | "redis-cluster" | "rediss-cluster" | "redis-sentinel"
        | "rediss-sentinel" => {
            let config = windlass_redis::RedisConfig::parse(url)?;
            Ok(Arc::new(windlass_redis::RedisBackend::connect(config).await?))
        }
        #[cfg(not(feature = "memory"))]
        "memory" => Err(missing("memory")),
        #[cfg(not(feature = "sqlite"))]
        "sqlite" => Err(missing("sqlite")),
        #[cfg(not(feature = "postgres"))]
        "postgres" | "postgresql" => Err(missing("postgres")),
        #[cfg(not(feature = "redis"))]
        "redis" | "rediss" | "redis-cluster" | "rediss-cluster" | "redis-sentinel"
        | "rediss-sentinel" => Err(missing("redis")),
        other => {
            let _ = url;
            let other: String = other.chars().take(32).collect();
            let what = format!(
                "no backend knows URLs that begin with {other:?}; use sqlite:PATH, postgres://…, \
                 redis://… or memory:"
            );
            Err(StoreError::new(ErrorKind::Unsupported, what).into())
        }
    }
}

#[cfg(not(all(feature = "memory", feature = "sqlite", feature = "postgres", feature = "redis")))]
fn missing(feature: &str) -> windlass_runtime::Error {
    let what = format!(
        "this program was built without the {feature} backend; add the feature {feature:?} to \
         its dependency on windlass"
    );
    StoreError::new(ErrorKind::Unsupported, what).into()
}
