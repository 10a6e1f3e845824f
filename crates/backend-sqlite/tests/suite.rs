//! The rules of a job, held to this store: a file of its own for each case.

use std::sync::Arc;

use tempfile::TempDir;
use windlass_conformance::{Stores, async_trait, main as hold};
use windlass_core::model::Clock;
use windlass_core::{Backend, Error};
use windlass_sqlite::{SqliteBackend, SqliteConfig};

/// Files in a folder that goes with them.
struct Files(TempDir);

#[async_trait]
impl Stores for Files {
    async fn open(&self, name: &str, clock: Clock) -> Result<Arc<dyn Backend>, Error> {
        let mut config = SqliteConfig::new(self.0.path().join(name));
        config.clock = clock;
        Ok(Arc::new(SqliteBackend::open(config).await?))
    }

    async fn discard(&self, name: &str) {
        for suffix in ["", "-wal", "-shm"] {
            // The last two are gone already once nobody has the file open.
            let _ = std::fs::remove_file(self.0.path().join(format!("{name}{suffix}")));
        }
    }
}

fn main() {
    hold(Files(tempfile::tempdir().expect("a folder for the files")));
}
