//! Stores for the suite: a prefix of its own for each case.

use std::sync::Arc;

use windlass_conformance::{Stores, async_trait};
use windlass_core::model::Clock;
use windlass_core::{Backend, Error};
use windlass_redis::{RedisBackend, RedisConfig};

/// Prefixes on one server, or on one cluster.
pub(crate) struct Prefixes {
    url: String,
}

impl Prefixes {
    /// On the server whose URL is in this variable of the environment.
    pub(crate) fn on(variable: &str) -> Self {
        let url = std::env::var(variable)
            .unwrap_or_else(|_| panic!("{variable} is not set; see CONTRIBUTING.md"));
        Self { url }
    }
}

#[async_trait]
impl Stores for Prefixes {
    async fn open(&self, name: &str, clock: Clock) -> Result<Arc<dyn Backend>, Error> {
        let mut config = RedisConfig::parse(&self.url)?;
        config.prefix = format!("windlass_{name}");
        config.clock = clock;
        Ok(Arc::new(RedisBackend::connect(config).await?))
    }

    /// What a case has left is little, and goes with the server.
    async fn discard(&self, _name: &str) {}
}
