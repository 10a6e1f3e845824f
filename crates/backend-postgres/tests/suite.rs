//! The rules of a job, held to this store: a schema of its own for each case.

#[path = "it/server.rs"]
mod server;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use server::Server;
use windlass_conformance::{Stores, async_trait, main as hold};
use windlass_core::model::Clock;
use windlass_core::{Backend, Error};
use windlass_postgres::PostgresBackend;

/// Schemas on one server. Making one takes longer than most cases: one that a
/// case is done with is emptied and given to the next.
struct Schemas {
    server: Server,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    made: usize,
    /// Which schema each store that is in use has.
    used: HashMap<String, String>,
    free: Vec<String>,
}

impl Schemas {
    fn of(&self, name: &str) -> String {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schema) = inner.used.get(name) {
            return schema.clone();
        }
        let schema = inner.free.pop().unwrap_or_else(|| {
            inner.made += 1;
            format!("suite_{}_{}", std::process::id(), inner.made)
        });
        inner.used.insert(name.to_owned(), schema.clone());
        schema
    }
}

#[async_trait]
impl Stores for Schemas {
    async fn open(&self, name: &str, clock: Clock) -> Result<Arc<dyn Backend>, Error> {
        let mut config = self.server.config(&self.of(name));
        config.clock = clock;
        // What is acknowledged need not outlive the server here.
        config.server = config.server.options([("synchronous_commit", "off")]);
        Ok(Arc::new(PostgresBackend::connect(config).await?))
    }

    async fn discard(&self, name: &str) {
        let used = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.used.remove(name)
        };
        if let Some(schema) = used {
            // One that could not be emptied is not used again.
            if self.server.empty(&schema).await.is_ok() {
                self.inner.lock().unwrap_or_else(PoisonError::into_inner).free.push(schema);
            }
        }
    }
}

fn main() {
    hold(Schemas { server: Server::find(), inner: Mutex::default() });
}
