//! Recorded steps of durable jobs (rules L2 and W1).

use serde::{Deserialize, Serialize};
use windlass::backend::Result;
use windlass::model::{JobId, JobRef, NewStep, Payload, Step, StepName, StepRecorded};

use super::Store;
use crate::keys::{Key, Space};

#[derive(Debug, Serialize, Deserialize)]
struct StepRow {
    position: u32,
    name: StepName,
    outcome: Payload,
}

impl From<StepRow> for Step {
    fn from(StepRow { position, name, outcome }: StepRow) -> Self {
        Self { position, name, outcome }
    }
}

impl Store<'_> {
    pub(crate) fn record_steps(&mut self, steps: Vec<NewStep>) -> Result<Vec<StepRecorded>> {
        steps.into_iter().map(|step| self.record_step(step)).collect()
    }

    fn record_step(&mut self, step: NewStep) -> Result<StepRecorded> {
        if !self.holds(&step.job, step.token)? {
            return Ok(StepRecorded::StaleLease);
        }
        let key = step_key(step.job.id, step.position);
        if let Some(existing) = self.pairs.read::<StepRow>(&key)? {
            return Ok(StepRecorded::Existing(existing.into()));
        }
        self.put_step(step.job.id, step.into_step())?;
        Ok(StepRecorded::Recorded)
    }

    /// Records what comes with a transition.
    pub(super) fn record_with(&mut self, job: JobId, steps: Vec<Step>) -> Result<()> {
        for step in steps {
            if self.pairs.read::<StepRow>(&step_key(job, step.position))?.is_none() {
                self.put_step(job, step)?;
            }
        }
        Ok(())
    }

    fn put_step(&mut self, job: JobId, step: Step) -> Result<()> {
        let Step { position, name, outcome } = step;
        self.pairs.write(&step_key(job, position), &StepRow { position, name, outcome })
    }

    pub(crate) fn steps(&self, job: &JobRef) -> Result<Vec<Step>> {
        match self.find(job)? {
            Some(record) => Ok(self.rows(record.id)?.into_iter().map(Step::from).collect()),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn forget_steps(&mut self, job: JobId) -> Result<()> {
        for row in self.rows(job)? {
            self.pairs.remove(&step_key(job, row.position))?;
        }
        Ok(())
    }

    fn rows(&self, job: JobId) -> Result<Vec<StepRow>> {
        self.pairs.read_all(Key::of_job(Space::Step, job).below())
    }
}

fn step_key(job: JobId, position: u32) -> Key {
    Key::of_job(Space::Step, job).number(position.into())
}
