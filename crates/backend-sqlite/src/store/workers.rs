//! Workers that have been heard of.

use rusqlite::params;
use windlass_core::model::{Beat, Timestamp, WorkerSeen};

use super::Store;
use super::query::Query;
use crate::error::{Outcome, unreadable};
use crate::record::{bytes, json};

impl Store<'_> {
    /// Notes a worker's sign of life, and forgets those that are silent.
    pub(crate) fn beat(&mut self, beat: &Beat) -> Outcome<()> {
        match beat {
            Beat::Alive { worker, forget_after } => {
                let id = worker.id.as_bytes();
                let info = json(worker, "a worker")?;
                let now = self.now;
                self.statements.get(Query::PutWorker)?.execute(params![
                    id,
                    info,
                    now.as_micros()
                ])?;
                self.statements
                    .get(Query::ForgetWorkers)?
                    .execute(params![now.before(*forget_after).as_micros(), id])?;
            }
            Beat::Leaving(worker) => {
                self.statements.get(Query::DeleteWorker)?.execute([worker.as_bytes()])?;
            }
        }
        Ok(())
    }

    /// The workers that have been heard of, first come first.
    pub(crate) fn workers(&mut self) -> Outcome<Vec<WorkerSeen>> {
        let mut rows = self.statements.get(Query::ListWorkers)?.query([])?;
        let mut workers = Vec::new();
        while let Some(row) = rows.next()? {
            let info = bytes(row, 0)?.unwrap_or_default();
            workers.push(WorkerSeen {
                worker: serde_json::from_slice(info)
                    .map_err(|error| unreadable("a worker", &error))?,
                since: Timestamp::from_micros(row.get(1)?),
                beat_at: Timestamp::from_micros(row.get(2)?),
            });
        }
        Ok(workers)
    }
}
