//! The suite can fail: planted faults, each with a case that must find it.
//!
//! A suite that passes says little unless it is known to fail. So each run on
//! a store also puts that store behind a wrapper that does one thing wrong, as
//! a store might, and checks that the case named here notices.
//! `cargo run -p windlass-conformance --bin faults` prints which.

mod fault;
mod faulty;
mod ledger;
mod misreading;
mod quiet;
mod recording;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
pub(crate) use fault::{Fault, PLANTED};
use faulty::Faulty;
pub(crate) use quiet::quietly;
use windlass_core::model::Clock;
use windlass_core::{Backend, Error};

use crate::harness::{Stores, all_cases};
use crate::histories::FOUND;

/// Everything that is wrong with the table: cases that do not exist.
#[must_use]
pub fn problems() -> Vec<String> {
    let names: BTreeSet<String> = all_cases().map(|case| case.name()).collect();
    let unknown = PLANTED.iter().filter(|(_, case)| !names.contains(*case));
    unknown
        .map(|(fault, case)| {
            format!("{} is to be found by {case}, which does not exist", fault.name())
        })
        .collect()
}

/// The table, for people to read: each fault, the case that finds it, and
/// whether random histories do as well.
#[must_use]
pub fn table() -> String {
    let width = PLANTED.iter().map(|(fault, _)| fault.name().len()).max().unwrap_or(0);
    let row = |(fault, case): &(Fault, &str)| {
        let too = if FOUND.iter().any(|(found, _)| found == fault) { " and histories" } else { "" };
        format!("{:width$}  {case}{too}\n", fault.name())
    };
    PLANTED.iter().map(row).collect()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_a_case_that_exists() {
        assert_eq!(problems(), [] as [String; 0]);
    }
}
