//! What has become of a job so far, as far as only core needs to know.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::StepName;
use super::time::Timestamp;

/// How many errors a job remembers: those of its last attempts (rule R1).
pub const MAX_ERRORS: usize = 10;

/// The longest error message that is kept, in bytes (rule R1).
pub const MAX_ERROR_BYTES: usize = 8 * 1024;

/// The failures a job has behind it. Written by decisions only; a backend
/// keeps it as the opaque bytes of [`Course::encode`] and never looks inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Course {
    /// Attempts that failed since the enqueue or the last operator's retry.
    pub failed_attempts: u32,
    /// Leases that ran out since then.
    pub stalls: u32,
    /// How often the job put itself off since then.
    pub snoozes: u32,
    /// How often others have told the job something: what those came to that it spawned,
    /// and messages.
    #[serde(skip_serializing_if = "is_zero")]
    pub told: u32,
    /// What the job waits for, while it is suspended (rule W2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaits: Option<Awaits>,
    /// The last errors, oldest first, at most [`MAX_ERRORS`]. An operator's
    /// retry keeps them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<AttemptError>,
}

/// What wakes a suspended job before its moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Awaits {
    /// The positions at which it is still to be told what spawned jobs came to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<u32>,
    /// Whether the first of them wakes it, and not the last.
    #[serde(skip_serializing_if = "is_false")]
    pub first: bool,
    /// The topics of which a message wakes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<StepName>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(b: &bool) -> bool {
    !*b
}

/// Why an attempt did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// The attempt, counted from 1.
    pub attempt: u32,
    /// When the attempt had started, by the store's clock.
    pub started_at: Option<Timestamp>,
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// What it said: at most [`MAX_ERROR_BYTES`], without NUL.
    pub message: String,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The handler returned an error.
    Error,
    /// The handler panicked.
    Panic,
    /// The attempt took longer than its time-out.
    Timeout,
    /// The payload did not decode into what the handler takes.
    Decode,
    /// The result is larger than the queue takes, or did not encode.
    Result,
    /// The lease ran out: the worker died, or was away for too long.
    Stalled,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::Decode => "decode",
            Self::Result => "result",
            Self::Stalled => "stalled",
        })
    }
}

impl Course {
    /// The stored form; `None` for a job without a past.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        // Serialising numbers and strings into memory cannot fail.
        (*self != Self::default()).then(|| serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads the stored form back.
    ///
    /// # Errors
    /// If the bytes are not what [`Course::encode`] made.
    pub fn decode(stored: Option<&[u8]>) -> Result<Self, serde_json::Error> {
        stored.map_or_else(|| Ok(Self::default()), serde_json::from_slice)
    }

    /// Adds an error, cut and cleaned, and forgets the oldest beyond the last
    /// [`MAX_ERRORS`].
    pub(crate) fn remember(&mut self, mut error: AttemptError) {
        error.message = clean(&error.message, MAX_ERROR_BYTES);
        self.errors.push(error);
        let excess = self.errors.len().saturating_sub(MAX_ERRORS);
        self.errors.drain(..excess);
    }
}

/// A text without NUL and of at most so many bytes, cut between characters.
pub(crate) fn clean(text: &str, max_bytes: usize) -> String {
    let mut kept = String::with_capacity(text.len().min(max_bytes));
    for c in text.chars() {
        // A NUL cannot be stored as text everywhere; the replacement
        // character shows that something stood there.
        let c = if c == '\0' { char::REPLACEMENT_CHARACTER } else { c };
        if kept.len() + c.len_utf8() > max_bytes {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(attempt: u32, message: &str) -> AttemptError {
        AttemptError {
            attempt,
            started_at: Some(Timestamp::from_micros(5)),
            kind: FailureKind::Error,
            message: message.to_owned(),
        }
    }

    #[test]
    fn only_the_last_ten_errors_are_kept() {
        let mut course = Course::default();
        for attempt in 1..=25 {
            course.remember(error(attempt, "no"));
        }
        let kept: Vec<_> = course.errors.iter().map(|e| e.attempt).collect();
        assert_eq!(kept, (16..=25).collect::<Vec<_>>());
        assert_eq!(Course::decode(course.encode().as_deref()).unwrap(), course);
        assert_eq!(Course::default().encode(), None);
    }

    #[test]
    fn an_error_is_cut_between_characters_and_loses_its_nul() {
        let mut course = Course::default();
        course.remember(error(1, &"é".repeat(MAX_ERROR_BYTES)));
        course.remember(error(2, "a\0b"));
        assert_eq!(course.errors[0].message.len(), MAX_ERROR_BYTES);
        assert_eq!(course.errors[1].message, "a\u{fffd}b");
        assert!(clean(&"\0".repeat(9000), MAX_ERROR_BYTES).len() <= MAX_ERROR_BYTES);
    }
}
