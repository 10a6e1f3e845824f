//! Recorded steps of durable jobs.

use rusqlite::{Row, params};
use windlass_core::model::{JobRef, NewStep, Payload, Step, StepName, StepRecorded};

use super::Store;
use super::lane::hook;
use super::query::Query;
use crate::error::{Outcome, damaged};

impl Store<'_> {
    /// Records the outcomes of steps, each once, under its job's current lease.
    pub(crate) fn record_steps(&mut self, steps: &[NewStep]) -> Outcome<Vec<StepRecorded>> {
        steps.iter().map(|step| self.record_step(step)).collect()
    }

    fn record_step(&mut self, step: &NewStep) -> Outcome<StepRecorded> {
        if !self.is_current(&step.job, step.token.0)? {
            return Ok(StepRecorded::StaleLease);
        }
        let Some(seq) = self.probe_in_queue(&step.job)? else {
            return Ok(StepRecorded::StaleLease);
        };
        if self.insert_step(seq, step.position, &step.name, &step.outcome)? {
            self.statements.get(Query::AddHook)?.execute([seq, hook::STEPS])?;
            return Ok(StepRecorded::Recorded);
        }
        let (name, outcome): (String, Vec<u8>) = self
            .statements
            .get(Query::FindStep)?
            .query_row(params![seq, step.position], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(StepRecorded::Existing(self::step(step.position, name, outcome)?))
    }

    /// Records what comes with a transition.
    pub(super) fn record_with(&mut self, seq: i64, hooks: i64, steps: &[Step]) -> Outcome<()> {
        for step in steps {
            self.insert_step(seq, step.position, &step.name, &step.outcome)?;
        }
        if !steps.is_empty() && hooks & hook::STEPS == 0 {
            self.statements.get(Query::AddHook)?.execute([seq, hook::STEPS])?;
        }
        Ok(())
    }

    /// Answers whether it is the first at its position.
    fn insert_step(
        &mut self,
        seq: i64,
        position: u32,
        name: &StepName,
        outcome: &Payload,
    ) -> Outcome<bool> {
        let values = params![seq, position, name.as_str(), outcome.as_slice()];
        Ok(self.statements.get(Query::InsertStep)?.execute(values)? > 0)
    }

    /// The recorded steps of a job, by position.
    pub(crate) fn steps(&mut self, job: &JobRef) -> Outcome<Vec<Step>> {
        let Some(seq) = self.probe_in_queue(job)? else {
            return Ok(Vec::new());
        };
        let mut rows = self.statements.get(Query::ListSteps)?.query([seq])?;
        let mut steps = Vec::new();
        while let Some(row) = rows.next()? {
            steps.push(read_step(row)?);
        }
        Ok(steps)
    }
}

fn read_step(row: &Row<'_>) -> Outcome<Step> {
    step(row.get(0)?, row.get(1)?, row.get(2)?)
}

fn step(position: u32, name: String, outcome: Vec<u8>) -> Outcome<Step> {
    Ok(Step {
        position,
        name: StepName::new(name).map_err(|error| damaged("the name of a step", error))?,
        outcome: Payload::from(outcome),
    })
}
