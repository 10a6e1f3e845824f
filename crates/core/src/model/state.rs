//! The states of a job.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a job stands in its life.
///
/// ```text
/// enqueue ─▶ blocked ─▶ scheduled ─▶ waiting ─▶ active ─▶ completed
///               │            ▲           ▲         ├─────▶ failed
///               │            │           │         ├─────▶ cancelled
///               │            └─ retry, snooze, delay┘
///               └─▶ cancelled               waiting ─▶ expired, cancelled
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum State {
    /// Waits for other jobs (or, inside durable execution, for a child or a
    /// signal).
    Blocked = 0,
    /// Waits for its moment.
    Scheduled = 1,
    /// Ready: its moment has come.
    Waiting = 2,
    /// Leased to a worker.
    Active = 3,
    /// Ended well.
    Completed = 4,
    /// Ended with its attempts used up: a dead letter.
    Failed = 5,
    /// Ended by wish of an operator, or because a dependency did.
    Cancelled = 6,
    /// Ended because it had not started by its `expires` moment.
    Expired = 7,
}

impl State {
    /// Every state, in the order of a job's life.
    pub const ALL: [Self; 8] = [
        Self::Blocked,
        Self::Scheduled,
        Self::Waiting,
        Self::Active,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The number a store keeps. It never changes its meaning.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The state with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Whether a job leaves this state only by an operator's retry.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Expired)
    }

    /// Its name in lower case, as it stands in stored data and on the command
    /// line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Scheduled => "scheduled",
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a job can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// See [`State::Completed`].
    Completed,
    /// See [`State::Failed`].
    Failed,
    /// See [`State::Cancelled`].
    Cancelled,
    /// See [`State::Expired`].
    Expired,
}

impl End {
    /// Every end.
    pub const ALL: [Self; 4] = [Self::Completed, Self::Failed, Self::Cancelled, Self::Expired];
}

impl From<End> for State {
    fn from(end: End) -> Self {
        match end {
            End::Completed => Self::Completed,
            End::Failed => Self::Failed,
            End::Cancelled => Self::Cancelled,
            End::Expired => Self::Expired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_tell_states_apart() {
        for (code, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(state.code()), code);
            assert_eq!(State::from_code(state.code()), Some(state));
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
        }
        assert_eq!(State::from_code(8), None);
    }

    #[test]
    fn the_four_ends_are_the_terminal_states() {
        let terminal: Vec<_> = State::ALL.into_iter().filter(|s| s.is_terminal()).collect();
        assert_eq!(terminal, End::ALL.map(State::from));
    }
}
