//! The same random histories on two stores, whose answers must be the same.

use std::sync::Arc;

use tempfile::TempDir;
use windlass::backend::{Backend, Error};
use windlass::model::Clock;
use windlass_conformance::{Stores, async_trait, histories, opening};
use windlass_memory::{MemoryBackend, MemoryConfig};
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
        // What is left beside it is small, and goes with the folder.
        let _ = std::fs::remove_file(self.0.path().join(name));
    }
}

#[test]
fn two_stores_answer_any_history_alike() {
    let memory = opening(|_, clock| async {
        Ok(MemoryBackend::with(MemoryConfig { clock, ..MemoryConfig::default() }))
    });
    let files = Files(tempfile::tempdir().unwrap());
    histories::agree(memory, files, histories::seeds(100));
}
