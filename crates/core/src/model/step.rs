//! Recorded steps of durable jobs (rules L2, W1 and W4).
//!
//! A job's record is a list of steps by position. Its handler writes those from 0 on, in
//! the order of its code. What others tell it stands behind them: what the jobs came to
//! that it has spawned, from [`FIRST_RESULT`] on, and the messages that were sent to it,
//! from [`FIRST_MESSAGE`] on. A store only sorts them by their numbers.

use super::id::{JobRef, Token};
use super::name::StepName;
use super::payload::Payload;

/// The position from which on stands what spawned jobs came to: that of the step which
/// spawned them comes on top.
pub const FIRST_RESULT: u32 = 1 << 30;

/// The position from which on messages stand, in the order in which they came.
pub const FIRST_MESSAGE: u32 = 1 << 31;

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

impl NewStep {
    /// The step, as it is recorded.
    #[must_use]
    pub fn into_step(self) -> Step {
        Step { position: self.position, name: self.name, outcome: self.outcome }
    }
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
