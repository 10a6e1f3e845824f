//! The suite can fail: planted faults, each with a case that must find it.
//!
//! A suite that passes says little unless it is known to fail. So each run on
//! a store also puts that store behind a wrapper that does one thing wrong, as
//! a store might, and checks that the case named here notices.

mod fault;
mod faulty;
mod quiet;

use std::sync::Arc;

use async_trait::async_trait;
pub(crate) use fault::{Fault, PLANTED};
use faulty::Faulty;
pub(crate) use quiet::quietly;
use windlass_core::model::Clock;
use windlass_core::{Backend, Error};

use crate::harness::Stores;

/// Other stores with one thing wrong.
pub(crate) struct FaultyStores {
    pub(crate) stores: Arc<dyn Stores>,
    pub(crate) fault: Fault,
}

#[async_trait]
impl Stores for FaultyStores {
    async fn open(&self, name: &str, clock: Clock) -> Result<Arc<dyn Backend>, Error> {
        let backend = self.stores.open(name, clock).await?;
        Ok(Arc::new(Faulty::new(backend, self.fault)))
    }

    async fn discard(&self, name: &str) {
        self.stores.discard(name).await;
    }
}
