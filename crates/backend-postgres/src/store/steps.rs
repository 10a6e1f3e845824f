//! Recorded steps of durable jobs.

use std::collections::HashSet;

use windlass_core::Error;
use windlass_core::model::{JobRef, NewStep, Payload, Step, StepName, StepRecorded};

use super::Store;
use super::enqueue::queues_of;
use super::query::Query;
use crate::error::damaged;
use crate::record::{get, signed, uuid};

impl Store {
    /// Records the outcomes of steps, each once, under its job's current lease.
    pub(crate) async fn record_steps(&self, steps: &[NewStep]) -> Result<Vec<StepRecorded>, Error> {
        let mut answers: Vec<Option<StepRecorded>> = vec![None; steps.len()];
        let mut left: Vec<usize> = (0..steps.len()).collect();
        // Two of one position have to see each other, and go one after the other.
        while !left.is_empty() {
            let mut seen = HashSet::with_capacity(left.len());
            let (mut batch, later): (Vec<usize>, Vec<usize>) =
                left.iter().partition(|at| seen.insert((steps[**at].job.id, steps[**at].position)));
            batch.sort_by_key(|at| steps[*at].job.id);
            self.record_batch(steps, &batch, &mut answers).await?;
            left = later;
        }
        let answers: Option<Vec<_>> = answers.into_iter().collect();
        answers.ok_or_else(|| damaged("a batch of steps", "one was not answered"))
    }

    async fn record_batch(
        &self,
        steps: &[NewStep],
        batch: &[usize],
        answers: &mut [Option<StepRecorded>],
    ) -> Result<(), Error> {
        let of: Vec<&NewStep> = batch.iter().map(|at| &steps[*at]).collect();
        let (names, which) = queues_of(of.iter().map(|step| &step.job.queue));
        let values = (
            &names,
            &which,
            &of.iter().map(|step| uuid(step.job.id.as_bytes())).collect::<Vec<_>>(),
            &of.iter().map(|step| signed(step.token.0)).collect::<Vec<_>>(),
            &of.iter().map(|step| i64::from(step.position)).collect::<Vec<_>>(),
            &of.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(),
            &of.iter().map(|step| step.outcome.as_slice()).collect::<Vec<_>>(),
        );
        let rows = self.call(Query::RecordSteps, values).await?;
        for at in batch {
            answers[*at] = Some(StepRecorded::Recorded);
        }
        for row in &rows {
            let number = usize::try_from(get::<i64>(row, 0)?).unwrap_or(0);
            let at = number.checked_sub(1).and_then(|number| batch.get(number));
            let at = *at.ok_or_else(|| damaged("a batch of steps", "there is no such step"))?;
            answers[at] = Some(match get(row, 1)? {
                0_i32 => StepRecorded::StaleLease,
                _ => StepRecorded::Existing(read(steps[at].position, get(row, 2)?, get(row, 3)?)?),
            });
        }
        Ok(())
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
