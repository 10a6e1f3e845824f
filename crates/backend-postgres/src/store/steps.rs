//! Recorded steps of durable jobs.

use windlass_core::Error;
use windlass_core::model::{JobRef, NewStep, Payload, Step, StepName, StepRecorded};

use super::query::Query;
use super::{Store, first};
use crate::error::damaged;
use crate::record::{get, signed, uuid};

impl Store {
    /// Records the outcome of a step, once, under the current lease.
    pub(crate) async fn record_step(&self, step: &NewStep) -> Result<StepRecorded, Error> {
        let position = i64::from(step.position);
        let values = (
            &step.job.queue.as_str(),
            &uuid(step.job.id.as_bytes()),
            &signed(step.token.0),
            &position,
            &step.name.as_str(),
            &step.outcome.as_slice(),
        );
        let rows = self.call(Query::RecordStep, values).await?;
        let row = first(&rows)?;
        match get(row, 0)? {
            0_i32 => Ok(StepRecorded::StaleLease),
            1 => Ok(StepRecorded::Recorded),
            _ => Ok(StepRecorded::Existing(read(step.position, get(row, 1)?, get(row, 2)?)?)),
        }
    }

    /// The recorded steps of a job, by position.
    pub(crate) async fn steps(&self, job: &JobRef) -> Result<Vec<Step>, Error> {
        let values = (&job.queue.as_str(), &uuid(job.id.as_bytes()));
        let rows = self.call(Query::ListSteps, values).await?;
        rows.iter()
            .map(|row| {
                let position = u32::try_from(get::<i64>(row, 0)?).unwrap_or(0);
                read(position, get(row, 1)?, get(row, 2)?)
            })
            .collect()
    }
}

fn read(position: u32, name: &str, outcome: &[u8]) -> Result<Step, Error> {
    Ok(Step {
        position,
        name: StepName::new(name).map_err(|error| damaged("the name of a step", error))?,
        outcome: Payload::copy_of(outcome),
    })
}
