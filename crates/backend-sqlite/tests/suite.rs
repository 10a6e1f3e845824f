//! The rules of a job, held to this store: a file of its own for each case.

use std::sync::Arc;

use windlass_conformance::{Stores, async_trait};
use windlass_core::model::Clock;
use windlass_core::{Backend, Error};
use windlass_sqlite::{SqliteBackend, SqliteConfig};

struct Files(tempfile::TempDir);

#[async_trait]
impl Stores for Files {
    async fn open(&self, name: &str, clock: Clock) -> Result<Arc<dyn Backend>, Error> {
        let mut config = SqliteConfig::new(self.0.path().join(name));
        config.clock = clock;
        Ok(Arc::new(SqliteBackend::open(config).await?))
    }
}

fn main() {
    windlass_conformance::main(Files(tempfile::tempdir().expect("a folder")));
}
