//! Recorded steps of durable jobs (rules L2 and W1).

use windlass_core::Error;
use windlass_core::model::{JobRef, NewStep, Payload, Step, StepName, StepRecorded};

use super::encode::{to_number, token};
use super::{Arguments, Place, Script, Store};
use crate::error::damaged;

impl Store {
    /// Records the outcome of a step, once, under the job's current lease.
    pub(crate) async fn record_step(&self, new: &NewStep) -> Result<StepRecorded, Error> {
        let mut which = Vec::with_capacity(26);
        which.extend_from_slice(new.job.id.as_bytes());
        which.extend_from_slice(&token(new.token));
        which.extend_from_slice(&new.position.to_be_bytes());
        let mut arguments = Arguments::with_room_for(3);
        arguments.add(which).add(new.name.as_str()).add(new.outcome.as_slice());
        let place = Place::Queue(&new.job.queue);
        let mut reply = self.call(place, Script::RecordStep, arguments).await?;
        Ok(match reply.bytes()?.as_slice() {
            b"r" => StepRecorded::Recorded,
            b"s" => StepRecorded::StaleLease,
            _ => StepRecorded::Existing(Step {
                position: new.position,
                name: name(&reply.bytes()?)?,
                outcome: Payload::from(reply.bytes()?),
            }),
        })
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
