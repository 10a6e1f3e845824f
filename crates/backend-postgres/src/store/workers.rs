//! Workers that have been heard of.

use windlass_core::Error;
use windlass_core::model::{Beat, Timestamp, WorkerSeen, micros};

use super::Store;
use super::query::Query;
use crate::error::unreadable;
use crate::record::{get, json, uuid};

impl Store {
    /// Notes a worker's sign of life, and forgets those that are silent.
    pub(crate) async fn beat(&self, beat: &Beat) -> Result<(), Error> {
        match beat {
            Beat::Alive { worker, forget_after } => {
                let values = (
                    &self.clock(),
                    &uuid(worker.id.as_bytes()),
                    &json(worker, "a worker")?,
                    &micros(*forget_after),
                );
                self.call(Query::PutWorker, values).await?;
            }
            Beat::Leaving(worker) => {
                self.call(Query::DeleteWorker, (&uuid(worker.as_bytes()),)).await?;
            }
        }
        Ok(())
    }

    /// The workers that have been heard of, first come first.
    pub(crate) async fn workers(&self) -> Result<Vec<WorkerSeen>, Error> {
        let rows = self.call(Query::ListWorkers, ()).await?;
        rows.iter()
            .map(|row| {
                Ok(WorkerSeen {
                    worker: serde_json::from_str(get(row, 0)?)
                        .map_err(|error| unreadable("a worker", &error))?,
                    since: Timestamp::from_micros(get(row, 1)?),
                    beat_at: Timestamp::from_micros(get(row, 2)?),
                })
            })
            .collect()
    }
}
