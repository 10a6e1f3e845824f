//! The rules of a job, held to this store.

use std::sync::Arc;

use windlass_conformance::{Stores, async_trait};
use windlass_core::model::Clock;
use windlass_core::{Backend, Error};
use windlass_memory::{MemoryBackend, MemoryConfig};

struct Memory;

#[async_trait]
impl Stores for Memory {
    async fn open(&self, _name: &str, clock: Clock) -> Result<Arc<dyn Backend>, Error> {
        Ok(Arc::new(MemoryBackend::with(MemoryConfig { clock, ..MemoryConfig::default() })))
    }
}

fn main() {
    windlass_conformance::main(Memory)
}
