//! What is recorded of each thing that a durable handler does.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use windlass_core::model::{Payload, Step, StepName, json};

use crate::encode::encode;
use crate::error::{Error, Result};

/// The kinds of what a durable handler does. Their names are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Step,
    /// A step that failed, and the handler went on.
    Failure,
    Sleep,
    Now,
    Random,
    Enqueue,
    Spawn,
    First,
    Deadline,
    Receive,
    Send,
    Value,
    Read,
    Version,
}

impl Kind {
    const fn text(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Failure => "failed step",
            Self::Sleep => "sleep",
            Self::Now => "now",
            Self::Random => "random",
            Self::Enqueue => "enqueue",
            Self::Spawn => "spawn",
            Self::First => "first",
            Self::Deadline => "receive with a time-out",
            Self::Receive => "receive",
            Self::Send => "send",
            Self::Value => "value",
            Self::Read => "read of a value",
            Self::Version => "version",
        }
    }

    /// What people are told of something of this kind.
    pub(super) fn shown(self, name: &str) -> String {
        format!("{} {name:?}", self.text())
    }
}

/// Why a step has failed, as it is recorded.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Reason {
    /// What it said.
    Said(String),
    /// Its result is larger than its queue takes.
    TooLarge { size: usize, max: usize },
    /// Its result cannot be written.
    Unwritten { problem: String },
}

impl Reason {
    /// `None`: that is no failure of the step.
    pub(super) fn of(error: &Error) -> Option<Self> {
        Some(match error {
            Error::Step { message, .. } => Self::Said(message.clone()),
            Error::ResultTooLarge { size, max } => Self::TooLarge { size: *size, max: *max },
            Error::Encode { message, .. } => Self::Unwritten { problem: message.clone() },
            _ => return None,
        })
    }

    /// The error, as it was.
    pub(super) fn error(self, step: &StepName) -> Error {
        match self {
            Self::Said(message) => Error::Step { name: step.as_str().to_owned(), message },
            Self::TooLarge { size, max } => Error::ResultTooLarge { size, max },
            Self::Unwritten { problem } => Error::Encode { what: OUTCOME, message: problem },
        }
    }
}

/// What errors call what is recorded here.
const OUTCOME: &str = "outcome of a step";

#[derive(Serialize)]
struct Written<'v, T> {
    #[serde(rename = "k")]
    kind: Kind,
    #[serde(rename = "v")]
    value: &'v T,
}

#[derive(Deserialize)]
struct Stored<'s> {
    #[serde(rename = "k")]
    kind: Kind,
    #[serde(rename = "v", borrow)]
    value: &'s RawValue,
}

pub(super) fn write<T: Serialize>(kind: Kind, value: &T) -> Result<Payload> {
    encode(OUTCOME, &Written { kind, value })
}

fn stored(step: &Step) -> Result<Stored<'_>> {
    serde_json::from_slice(step.outcome.as_slice()).map_err(|error| undecoded(&error))
}

/// The kind of a recorded step. `None`: it was not recorded by a handler.
pub(super) fn kind(step: &Step) -> Option<Kind> {
    stored(step).ok().map(|stored| stored.kind)
}

/// The value of a recorded step.
pub(super) fn read<T: DeserializeOwned>(step: &Step) -> Result<T> {
    serde_json::from_str(stored(step)?.value.get()).map_err(|error| undecoded(&error))
}

pub(super) fn undecoded(error: &serde_json::Error) -> Error {
    Error::Decode { what: OUTCOME, message: json::problem(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_can_be_read_again_with_its_kind() {
        let outcome = write(Kind::Sleep, &(1, "a")).unwrap();
        let step = Step { position: 0, name: StepName::new("s").unwrap(), outcome };
        assert_eq!(kind(&step), Some(Kind::Sleep));
        assert_eq!(read::<(i32, String)>(&step).unwrap(), (1, "a".to_owned()));
        assert!(matches!(read::<u8>(&step), Err(Error::Decode { .. })));
        assert_eq!(step.outcome.as_slice(), br#"{"k":"sleep","v":[1,"a"]}"#);
    }
}
