//! Recorded steps of durable jobs (rules L2 and W1).

use std::collections::BTreeMap;

use futures_util::future::join_all;
use windlass_core::Error;
use windlass_core::model::{JobRef, NewStep, Payload, QueueName, Step, StepName, StepRecorded};

use super::encode::{to_number, token};
use super::{Arguments, Place, Script, Store};
use crate::error::damaged;

/// How many steps go in one call.
const AT_ONCE: usize = 1_000;

impl Store {
    /// Records the outcomes of steps, each once, under its job's current lease: a call for
    /// each queue.
    pub(crate) async fn record_steps(&self, steps: &[NewStep]) -> Result<Vec<StepRecorded>, Error> {
        let mut places: BTreeMap<&QueueName, Vec<usize>> = BTreeMap::new();
        for (index, step) in steps.iter().enumerate() {
            places.entry(&step.job.queue).or_default().push(index);
        }
        let calls = places.into_iter().map(|(queue, indexes)| async move {
            let mut answers = Vec::with_capacity(indexes.len());
            for part in indexes.chunks(AT_ONCE) {
                let of_part: Vec<&NewStep> = part.iter().map(|index| &steps[*index]).collect();
                answers.append(&mut self.record_in(queue, &of_part).await?);
            }
            Ok::<_, Error>((indexes, answers))
        });
        let mut all: Vec<Option<StepRecorded>> = vec![None; steps.len()];
        for answer in join_all(calls).await {
            let (indexes, answers) = answer?;
            for (index, answer) in indexes.into_iter().zip(answers) {
                all[index] = Some(answer);
            }
        }
        let all: Option<Vec<_>> = all.into_iter().collect();
        all.ok_or_else(|| damaged("an answer", "it ends too early"))
    }

    async fn record_in(
        &self,
        queue: &QueueName,
        steps: &[&NewStep],
    ) -> Result<Vec<StepRecorded>, Error> {
        let mut arguments = Arguments::with_room_for(3 * steps.len());
        for step in steps {
            let mut which = Vec::with_capacity(26);
            which.extend_from_slice(step.job.id.as_bytes());
            which.extend_from_slice(&token(step.token));
            which.extend_from_slice(&step.position.to_be_bytes());
            arguments.add(which).add(step.name.as_str()).add(step.outcome.as_slice());
        }
        let mut reply = self.call(Place::Queue(queue), Script::RecordSteps, arguments).await?;
        let letters = reply.bytes()?;
        let mut told = reply.list()?;
        let mut answers = Vec::with_capacity(steps.len());
        for (letter, step) in letters.into_iter().zip(steps) {
            answers.push(match letter {
                b'r' => StepRecorded::Recorded,
                b's' => StepRecorded::StaleLease,
                _ => StepRecorded::Existing(Step {
                    position: step.position,
                    name: name(&told.bytes()?)?,
                    outcome: Payload::from(told.bytes()?),
                }),
            });
        }
        Ok(answers)
    }

    /// The recorded steps of a job.
    pub(crate) async fn steps(&self, job: &JobRef) -> Result<Vec<Step>, Error> {
        let mut arguments = Arguments::default();
        arguments.add(job.id.as_bytes());
        let mut reply = self.call(Place::Queue(&job.queue), Script::ReadSteps, arguments).await?;
        reply.moment()?;
        let short = || damaged("a step", "it is too short");
        reply
            .all_bytes()?
            .into_iter()
            .map(|bytes| {
                let (position, rest) = bytes.split_at_checked(4).ok_or_else(short)?;
                let (size, rest) = rest.split_at_checked(2).ok_or_else(short)?;
                let size = usize::try_from(to_number(size)).unwrap_or(usize::MAX);
                let (text, outcome) = rest.split_at_checked(size).ok_or_else(short)?;
                Ok(Step {
                    position: u32::try_from(to_number(position)).unwrap_or(u32::MAX),
                    name: name(text)?,
                    outcome: Payload::copy_of(outcome),
                })
            })
            .collect()
    }
}

fn name(bytes: &[u8]) -> Result<StepName, Error> {
    let text = String::from_utf8_lossy(bytes);
    StepName::new(&*text).map_err(|error| damaged("the name of a step", error))
}
