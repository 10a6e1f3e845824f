//! The rules of a job, held to this store: a prefix of its own for each case.

use std::sync::Arc;

use windlass_conformance::{Stores, async_trait, main as hold};
use windlass_core::model::Clock;
use windlass_core::{Backend, Error};
use windlass_redis::{RedisBackend, RedisConfig};

/// Prefixes on one server, or on one cluster.
struct Prefixes {
    url: String,
}

#[async_trait]
impl Stores for Prefixes {
    async fn open(&self, name: &str, clock: Clock) -> Result<Arc<dyn Backend>, Error> {
        let mut config = RedisConfig::parse(&self.url)?;
        config.prefix = format!("windlass_{name}");
        config.clock = clock;
        Ok(Arc::new(RedisBackend::connect(config).await?))
    }

    async fn discard(&self, _name: &str) {}
}

fn main() {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL; see CONTRIBUTING.md");
    hold(Prefixes { url });
}
