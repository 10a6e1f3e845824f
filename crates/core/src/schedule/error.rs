//! Why a schedule is refused.

use thiserror::Error;

/// Why a schedule is refused. The message says what is wrong and what would be
/// right; the [kind](ScheduleError::kind) is for code that branches on it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ScheduleError {
    kind: ScheduleErrorKind,
    message: String,
}

/// What part of a schedule is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScheduleErrorKind {
    /// The period is shorter than [`Every::SHORTEST`](super::Every::SHORTEST).
    PeriodTooShort,
    /// The period is longer than [`Every::LONGEST`](super::Every::LONGEST).
    PeriodTooLong,
    /// The cron expression has more than
    /// [`Cron::MAX_EXPRESSION_BYTES`](super::Cron::MAX_EXPRESSION_BYTES) bytes.
    ExpressionTooLong,
    /// The cron expression has neither five nor six fields.
    FieldCount,
    /// A field of the cron expression is malformed or out of its range.
    Field,
    /// A nickname such as `@reboot` that is not supported.
    Nickname,
    /// The time zone is not in the IANA database.
    Zone,
}

impl ScheduleError {
    /// What part of the schedule is wrong.
    #[must_use]
    pub fn kind(&self) -> ScheduleErrorKind {
        self.kind
    }

    pub(super) fn new(kind: ScheduleErrorKind, message: String) -> Self {
        Self { kind, message }
    }
}

/// The text as it can stand in a message: on one line and of bounded length,
/// whatever a caller passed in.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 64;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_quoted_text_is_short_and_on_one_line() {
        assert_eq!(quoted("*/5"), "`*/5`");
        assert_eq!(quoted("a\nb"), "`a\\nb`");
        assert_eq!(quoted(&"é".repeat(65)), format!("`{}…`", "é".repeat(64)));
    }
}
