//! The rules of a job, held to this store.

use windlass_conformance::{main as hold, opening};
use windlass_memory::{MemoryBackend, MemoryConfig};

fn main() {
    hold(opening(|_, clock| async {
        Ok(MemoryBackend::with(MemoryConfig { clock, ..MemoryConfig::default() }))
    }));
}
