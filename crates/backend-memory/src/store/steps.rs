//! Recorded steps of durable jobs (rules L2 and W1).

use std::collections::btree_map::Entry;

use windlass_core::model::{JobRef, NewStep, Step, StepRecorded};

use super::Store;
use super::slab::Slot;

impl Store {
    pub(crate) fn record_steps(&mut self, new: Vec<NewStep>) -> Vec<StepRecorded> {
        new.into_iter().map(|step| self.record_step(step)).collect()
    }

    fn record_step(&mut self, new: NewStep) -> StepRecorded {
        let held = self.holds(&new.job, new.token);
        let Some(slot) = self.find(&new.job).filter(|_| held) else {
            return StepRecorded::StaleLease;
        };
        match self.jobs[slot].extra_mut().steps.entry(new.position) {
            Entry::Occupied(step) => StepRecorded::Existing(step.get().clone()),
            Entry::Vacant(vacant) => {
                vacant.insert(new.into_step());
                StepRecorded::Recorded
            }
        }
    }

    /// Records what comes with a transition.
    pub(super) fn record_with(&mut self, slot: Slot, steps: Vec<Step>) {
        for step in steps {
            self.jobs[slot].extra_mut().steps.entry(step.position).or_insert(step);
        }
    }

    pub(crate) fn steps(&self, job: &JobRef) -> Vec<Step> {
        let slot = self.find(job);
        let extra = slot.and_then(|slot| self.jobs[slot].extra.as_deref());
        extra.map_or_else(Vec::new, |extra| extra.steps.values().cloned().collect())
    }
}
