//! Recorded steps of durable jobs (rules L2 and W1).

use std::collections::btree_map::Entry;

use windlass_core::model::{JobRef, NewStep, Step, StepRecorded};

use super::Store;

impl Store {
    pub(crate) fn record_step(&mut self, new: NewStep) -> StepRecorded {
        let held = self.holds(&new.job, new.token);
        let Some(slot) = self.find(&new.job).filter(|_| held) else {
            return StepRecorded::StaleLease;
        };
        match self.jobs[slot].extra_mut().steps.entry(new.position) {
            Entry::Occupied(step) => StepRecorded::Existing(step.get().clone()),
            Entry::Vacant(vacant) => {
                vacant.insert(Step {
                    position: new.position,
                    name: new.name,
                    outcome: new.outcome,
                });
                StepRecorded::Recorded
            }
        }
    }

    pub(crate) fn steps(&self, job: &JobRef) -> Vec<Step> {
        let slot = self.find(job);
        let extra = slot.and_then(|slot| self.jobs[slot].extra.as_deref());
        extra.map_or_else(Vec::new, |extra| extra.steps.values().cloned().collect())
    }
}
