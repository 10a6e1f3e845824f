//! What a handler may return.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use windlass_core::decide::{Outcome, Retryable};
use windlass_core::model::{FailureKind, Payload, Timestamp, When};

use crate::encode::encode;
use crate::error::Result;

/// Why a handler did not succeed, and what should follow.
///
/// Anything that can be displayed turns into one with `?`: the attempt failed
/// and the job is retried as its policy says. The other ways are made by name.
#[derive(Debug)]
pub struct JobError(Outcome);

impl JobError {
    /// The attempt failed; the job is retried as its policy says.
    pub fn new(message: impl fmt::Display) -> Self {
        Self::failure(message, Retryable::Yes)
    }

    /// The attempt failed, and no other one will help: the job fails.
    pub fn permanent(message: impl fmt::Display) -> Self {
        Self::failure(message, Retryable::No)
    }

    /// The attempt failed; the job is retried after this long instead of its
    /// backoff, if it has attempts left.
    pub fn retry_after(wait: Duration, message: impl fmt::Display) -> Self {
        Self::failure(message, Retryable::After(wait))
    }

    /// Not now: the job comes again after this long, and no attempt is used
    /// (rule R3).
    #[must_use]
    pub fn snooze(wait: Duration) -> Self {
        Self(Outcome::Snooze(When::After(wait)))
    }

    /// Not now: the job comes again at this moment, and no attempt is used.
    #[must_use]
    pub fn snooze_until(moment: Timestamp) -> Self {
        Self(Outcome::Snooze(When::At(moment)))
    }

    pub(crate) fn of_kind(kind: FailureKind, message: impl fmt::Display, retry: Retryable) -> Self {
        // The alternate form shows the whole chain of errors that can.
        Self(Outcome::Failure { kind, message: format!("{message:#}"), retry })
    }

    fn failure(message: impl fmt::Display, retry: Retryable) -> Self {
        Self::of_kind(FailureKind::Error, message, retry)
    }

    pub(crate) fn into_outcome(self) -> Outcome {
        self.0
    }

    pub(crate) fn from_outcome(outcome: Outcome) -> Self {
        Self(outcome)
    }
}

impl<E: fmt::Display> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

/// What a handler may return: `()`, or a `Result` whose value can be written
/// as JSON and whose error turns into a [`JobError`].
pub trait IntoOutcome {
    /// What came of the attempt.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Success { result: None }
    }
}

impl<T: Serialize, E: Into<JobError>> IntoOutcome for std::result::Result<T, E> {
    fn into_outcome(self) -> Outcome {
        match self.map_err(Into::into) {
            Ok(value) => match encode_result(&value) {
                Ok(result) => Outcome::Success { result },
                Err(error) => {
                    JobError::of_kind(FailureKind::Result, error, Retryable::No).into_outcome()
                }
            },
            Err(error) => error.into_outcome(),
        }
    }
}

/// A result as it is stored; `()` needs no storing.
pub(crate) fn encode_result<T: Serialize + ?Sized>(value: &T) -> Result<Option<Payload>> {
    let result = encode("result", value)?;
    Ok((result.as_slice() != b"null").then_some(result))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(error: impl Into<JobError>) -> (String, Retryable) {
        match error.into().into_outcome() {
            Outcome::Failure { message, retry, .. } => (message, retry),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_can_be_displayed_is_a_failure_that_is_retried() {
        assert_eq!(failed("no"), ("no".to_owned(), Retryable::Yes));
        assert_eq!(failed(std::fmt::Error).1, Retryable::Yes);
        assert_eq!(failed(JobError::permanent("no")), ("no".to_owned(), Retryable::No));
    }

    #[test]
    fn values_are_json_and_nothing_is_nothing() {
        assert_eq!(().into_outcome(), Outcome::Success { result: None });
        let ok: std::result::Result<(), String> = Ok(());
        assert_eq!(ok.into_outcome(), Outcome::Success { result: None });
        let ok: std::result::Result<_, String> = Ok(vec![1, 2]);
        let result = Some(Payload::from("[1,2]"));
        assert_eq!(ok.into_outcome(), Outcome::Success { result });
    }
}
