//! Workers that have been heard of: for people to look at.

use serde::{Deserialize, Serialize};
use windlass::backend::Result;
use windlass::model::{Beat, Timestamp, WorkerId, WorkerInfo, WorkerSeen};

use super::Store;
use crate::keys::{Key, Space};

#[derive(Debug, Serialize, Deserialize)]
struct WorkerRow {
    /// In which order they were first heard of.
    order: u64,
    info: WorkerInfo,
    since: Timestamp,
    beat_at: Timestamp,
}

impl Store<'_> {
    pub(crate) fn beat(&mut self, beat: Beat) -> Result<()> {
        let now = self.now;
        match beat {
            Beat::Alive { worker: info, forget_after } => {
                for row in self.worker_rows()? {
                    if row.info.id != info.id && now.since(row.beat_at) >= forget_after {
                        self.pairs.remove(&worker_key(row.info.id))?;
                    }
                }
                let key = worker_key(info.id);
                let row = match self.pairs.read::<WorkerRow>(&key)? {
                    Some(known) => WorkerRow { info, beat_at: now, ..known },
                    None => {
                        WorkerRow { order: self.next("worker")?, info, since: now, beat_at: now }
                    }
                };
                self.pairs.write(&key, &row)
            }
            Beat::Leaving(id) => self.pairs.remove(&worker_key(id)).map(drop),
        }
    }

    pub(crate) fn workers(&self) -> Result<Vec<WorkerSeen>> {
        let mut rows = self.worker_rows()?;
        rows.sort_unstable_by_key(|row| row.order);
        let seen = |row: WorkerRow| {
            let WorkerRow { info: worker, since, beat_at, .. } = row;
            WorkerSeen { worker, since, beat_at }
        };
        Ok(rows.into_iter().map(seen).collect())
    }

    fn worker_rows(&self) -> Result<Vec<WorkerRow>> {
        self.pairs.read_all(Key::new(Space::Worker).below())
    }
}

fn worker_key(id: WorkerId) -> Key {
    Key::new(Space::Worker).text(&id.to_string())
}
