//! Workers that have been heard of.

use windlass_core::model::{Beat, Timestamp, WorkerSeen};

use super::Store;

impl Store {
    pub(crate) fn beat(&mut self, beat: Beat, now: Timestamp) {
        match beat {
            Beat::Alive { worker, forget_after } => {
                self.workers.retain(|seen| {
                    seen.worker.id == worker.id || now.since(seen.beat_at) < forget_after
                });
                let known = self.workers.iter_mut().find(|w| w.worker.id == worker.id);
                match known {
                    Some(seen) => {
                        seen.worker = worker;
                        seen.beat_at = now;
                    }
                    None => self.workers.push(WorkerSeen { worker, since: now, beat_at: now }),
                }
            }
            Beat::Leaving(id) => self.workers.retain(|seen| seen.worker.id != id),
        }
    }

    pub(crate) fn workers(&self) -> Vec<WorkerSeen> {
        self.workers.clone()
    }
}
