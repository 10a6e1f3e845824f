//! What can go wrong for a caller.

use std::sync::Arc;

use windlass_core::backend::{ControlError, ErrorKind, Refusal};
use windlass_core::decide::{InvalidJob, InvalidQueue};
use windlass_core::model::{
    AttemptError, DedupKey, InvalidName, JobId, JobRef, QueueSpec, RepeatableKey, State,
};
use windlass_core::schedule::ScheduleError;

/// What can go wrong for a caller. Branch on the variant; report the whole
/// chain.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name or a key breaks its rule. The store was not touched.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A job breaks a rule of its queue. The store was not touched.
    #[error(transparent)]
    Job(#[from] InvalidJob),
    /// A declaration makes no sense. The store was not touched.
    #[error(transparent)]
    Queue(#[from] InvalidQueue),
    /// A schedule makes no sense. The store was not touched.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A value could not be turned into JSON.
    #[error("the {what} cannot be written as JSON: {message}")]
    Encode {
        /// What kind of value.
        what: &'static str,
        /// What the encoder said.
        message: String,
    },
    /// A value could not be read from JSON.
    #[error("the {what} is not what was asked for: {message}")]
    Decode {
        /// What kind of value.
        what: &'static str,
        /// What the decoder said.
        message: String,
    },
    /// Another live job has the deduplication key.
    #[error(
        "deduplication key {key:?} is taken by job {}; wait until it has ended, or say what a \
         second one is to do: debounce(…), throttle(…) or dedup_with(…)",
        existing.id
    )]
    Duplicate {
        /// The key.
        key: DedupKey,
        /// The job that has it.
        existing: JobRef,
    },
    /// The store refused a job; nothing of its batch was stored.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The queue was declared before with something else that cannot change.
    #[error(
        "queue {:?} was declared before with another priority mode, ageing or use of partitions \
         ({:?}, {:?}, partitioned: {}), which cannot change; declare it so, or use another name",
        .0.name, .0.priority, .0.aging, .0.partitions.is_some()
    )]
    QueueConflict(Box<QueueSpec>),
    /// The worker has no queue or no handler, or one of them twice.
    #[error("this worker cannot start: {0}")]
    Worker(String),
    /// A job type that names no queue was enqueued without one.
    #[error(
        "job type {0:?} names no queue; add queue = \"…\" to its #[job(…)], or enqueue it by way \
         of a Queue"
    )]
    NoQueue(&'static str),
    /// A repeatable was put without a schedule.
    #[error("repeatable {0:?} has no schedule; call every(…) or cron(…)")]
    NoSchedule(RepeatableKey),
    /// A repeatable was put that has no moment left to fire at.
    #[error(
        "repeatable {0:?} would never fire: no moment of its schedule lies between its start (or \
         now) and its end"
    )]
    NeverFires(RepeatableKey),
    /// A result is larger than its queue takes.
    #[error("the result has {size} bytes, more than the {max} that the queue takes; return less")]
    ResultTooLarge {
        /// How many bytes it has.
        size: usize,
        /// How many it may have.
        max: usize,
    },
    /// The lease of a running job is not the current one any more.
    #[error("the lease of job {0} has been lost; nothing that it does is recorded any more")]
    LeaseLost(JobId),
    /// The jobs of a test do not come to an end.
    #[error("{0} attempts in one drain: do its jobs enqueue each other without end?")]
    Endless(usize),
    /// The job ended in another way than completed.
    #[error("job {id} is {state}{}", last(error.as_deref()))]
    NotCompleted {
        /// Which.
        id: JobId,
        /// How it ended.
        state: State,
        /// Its last error, if it had one.
        error: Option<Box<AttemptError>>,
    },
    /// The code of a durable handler does something else than what is recorded of it (rule
    /// W5).
    #[error(
        "step {position} of job {id} is recorded as {recorded}, but the code asks for {asked}; \
         let it do what it did before, or mark the change with Durable::version"
    )]
    Diverged {
        /// The job.
        id: JobId,
        /// Where the step stands, from 0.
        position: u32,
        /// What is recorded.
        recorded: String,
        /// What the code asks for.
        asked: String,
    },
    /// A step of a durable handler failed, for good as far as its own retries go.
    #[error("step {name:?} failed: {message}")]
    Step {
        /// The step.
        name: String,
        /// What it said.
        message: String,
    },
    /// Something that is recorded, or waited for, was called within a step, where it can
    /// neither be found again nor be waited for.
    #[error("a step cannot contain another step, or wait; do that between the steps")]
    Nested,
    /// No message came in time.
    #[error("no message {0:?} came in time")]
    NoMessage(String),
    /// A job that has ended takes no messages.
    #[error("job {0} has ended and takes no messages any more")]
    Ended(JobId),
    /// There is no such job (any more).
    #[error("there is no job {0}; it may have been cleaned")]
    Gone(JobId),
    /// An operator's wish was not granted.
    #[error(transparent)]
    Control(Arc<ControlError>),
    /// The store failed.
    #[error(transparent)]
    Store(Arc<windlass_core::Error>),
}

fn last(error: Option<&AttemptError>) -> String {
    error.map_or_else(String::new, |e| {
        format!(": {} in attempt {}: {}", e.kind, e.attempt, e.message)
    })
}

impl From<windlass_core::Error> for Error {
    fn from(error: windlass_core::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<ControlError> for Error {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NotFound(id) => Self::Gone(id),
            ControlError::Store(error) => error.into(),
            other => Self::Control(Arc::new(other)),
        }
    }
}

impl Error {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind().is_transient())
    }

    /// The failure of a call that its runtime dropped.
    pub(crate) fn shut_down() -> Self {
        let context = "the runtime was shut down while the call was under way";
        windlass_core::Error::new(ErrorKind::Unavailable, context).into()
    }
}

/// What this crate's methods return.
pub type Result<T> = std::result::Result<T, Error>;
