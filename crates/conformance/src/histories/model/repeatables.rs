//! Repeatables (rules S1, S2 and S6), and workers.

use windlass_core::backend::{PutRepeatable, RepeatablePut, Repeatables};
use windlass_core::model::{
    Beat, QueueName, RepeatableKey, RepeatableRecord, Timestamp, WorkerSeen,
};

use super::{Check, Model, ensure};

impl Model {
    fn repeatable(&self, queue: &QueueName, key: &RepeatableKey) -> Option<&RepeatableRecord> {
        self.repeatables
            .iter()
            .find(|record| record.spec.queue == *queue && record.spec.key == *key)
    }

    pub(in super::super) fn put_repeatable(
        &mut self,
        put: &PutRepeatable,
        answer: &RepeatablePut,
    ) -> Check {
        let (queue, key) = (&put.record.spec.queue, &put.record.spec.key);
        let stored = self.repeatable(queue, key);
        if stored.map(|record| record.version) != put.guard {
            let expected = RepeatablePut::Stale(stored.cloned().map(Box::new));
            ensure!(*answer == expected, "putting answered {answer:?}, not {expected:?}");
            return Ok(());
        }
        ensure!(*answer == RepeatablePut::Stored, "putting answered {answer:?}");
        self.repeatables.retain(|record| record.spec.queue != *queue || record.spec.key != *key);
        self.repeatables.push(put.record.clone());
        self.store_fired(&put.jobs);
        Ok(())
    }

    pub(in super::super) fn remove_repeatable(
        &mut self,
        queue: &QueueName,
        key: &RepeatableKey,
        answer: bool,
    ) -> Check {
        let there = self.repeatable(queue, key).is_some();
        ensure!(answer == there, "removing a repeatable answered {answer}");
        self.repeatables.retain(|record| record.spec.queue != *queue || record.spec.key != *key);
        Ok(())
    }

    pub(in super::super) fn one_repeatable(
        &self,
        queue: &QueueName,
        key: &RepeatableKey,
        answer: &Repeatables,
    ) -> Check {
        self.is_now(answer.now)?;
        let expected: Vec<_> = self.repeatable(queue, key).cloned().into_iter().collect();
        ensure!(answer.records == expected, "{:?} are stored, not {expected:?}", answer.records);
        Ok(())
    }

    pub(in super::super) fn repeatables_of(
        &self,
        queue: &QueueName,
        answer: &Repeatables,
    ) -> Check {
        self.is_now(answer.now)?;
        let of = |record: &&RepeatableRecord| record.spec.queue == *queue;
        let mut expected: Vec<_> = self.repeatables.iter().filter(of).cloned().collect();
        expected.sort_by(|a, b| a.spec.key.cmp(&b.spec.key));
        ensure!(answer.records == expected, "{:?} are stored, not {expected:?}", answer.records);
        Ok(())
    }

    /// Of several that are due at one moment, any may come first.
    pub(in super::super) fn due_repeatables(&self, limit: u32, answer: &Repeatables) -> Check {
        self.is_now(answer.now)?;
        let mut due: Vec<Timestamp> = self.repeatables.iter().filter_map(|r| r.due()).collect();
        due.sort_unstable();
        let ready = due.iter().filter(|moment| **moment <= self.now()).count();
        let shown = ready.min(limit as usize);
        let moments: Vec<_> = answer.records.iter().filter_map(RepeatableRecord::due).collect();
        ensure!(moments == due[..shown], "due are {moments:?}, not {:?}", &due[..shown]);
        let unknown = answer.records.iter().find(|record| !self.repeatables.contains(record));
        ensure!(unknown.is_none(), "{unknown:?} is not stored so");
        let next = due.get(shown).copied();
        ensure!(answer.next_due == next, "the next is due at {:?}, not {next:?}", answer.next_due);
        Ok(())
    }

    pub(in super::super) fn beat(&mut self, beat: &Beat) {
        let now = self.now();
        match beat {
            Beat::Leaving(id) => self.workers.retain(|seen| seen.worker.id != *id),
            Beat::Alive { worker, .. } => {
                match self.workers.iter_mut().find(|seen| seen.worker.id == worker.id) {
                    Some(seen) => {
                        seen.worker = worker.clone();
                        seen.beat_at = now;
                    }
                    None => {
                        let worker = worker.clone();
                        self.workers.push(WorkerSeen { worker, since: now, beat_at: now });
                    }
                }
            }
        }
    }

    /// Of several that were first heard of at one moment, any may come first.
    pub(in super::super) fn workers(&self, answer: &[WorkerSeen]) -> Check {
        let known = answer.iter().all(|seen| self.workers.contains(seen));
        let sorted = answer.is_sorted_by_key(|seen| seen.since);
        let whole = answer.len() == self.workers.len();
        ensure!(known && sorted && whole, "workers are {answer:?}, not {:?}", self.workers);
        Ok(())
    }
}
