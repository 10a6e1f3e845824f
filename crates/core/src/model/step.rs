//! Recorded steps of durable jobs (rules L2 and W1).

use super::id::{JobRef, Token};
use super::name::StepName;
use super::payload::Payload;

/// A step whose outcome is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStep {
    /// The job.
    pub job: JobRef,
    /// Its current lease.
    pub token: Token,
    /// Where the step stands in the order of the job's steps, from 0.
    pub position: u32,
    /// Its name.
    pub name: StepName,
    /// What it came to.
    pub outcome: Payload,
}

/// A recorded step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it stands in the order of the job's steps, from 0.
    pub position: u32,
    /// Its name.
    pub name: StepName,
    /// What it came to.
    pub outcome: Payload,
}

/// What became of recording a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepRecorded {
    /// It is recorded.
    Recorded,
    /// A step was recorded at this position before; nothing changed.
    Existing(Step),
    /// The lease is not the current one; nothing changed.
    StaleLease,
}
