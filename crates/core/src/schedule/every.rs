//! A fixed period.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{ScheduleError, ScheduleErrorKind};
use crate::model::time::{Timestamp, micros};

/// A fixed period, counted from the repeatable's start in elapsed time. It
/// knows no time zone, so a clock change does not move it.
///
/// Stored as `{"period_us": 60000000}`; reading it back validates it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Every {
    period_us: i64,
}

impl Every {
    /// The shortest period: one millisecond.
    pub const SHORTEST: Duration = Duration::from_millis(1);
    /// The longest period: 36,525 days, a hundred years.
    pub const LONGEST: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

    /// A period between [`Every::SHORTEST`] and [`Every::LONGEST`]. What is
    /// finer than a microsecond is cut off, because that is how finely the
    /// store counts time.
    ///
    /// # Errors
    /// [`ScheduleErrorKind::PeriodTooShort`] (zero included) and
    /// [`ScheduleErrorKind::PeriodTooLong`].
    pub fn new(period: Duration) -> Result<Self, ScheduleError> {
        if period < Self::SHORTEST {
            return Err(ScheduleError::new(
                ScheduleErrorKind::PeriodTooShort,
                format!("a period of {period:?} is too short; the shortest is one millisecond"),
            ));
        }
        if period > Self::LONGEST {
            return Err(ScheduleError::new(
                ScheduleErrorKind::PeriodTooLong,
                format!("a period of {period:?} is too long; the longest is 36525 days"),
            ));
        }
        Ok(Self { period_us: micros(period) })
    }

    /// The period, in whole microseconds.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_micros(self.period_us.unsigned_abs())
    }

    /// The first moment strictly after `after` that is `anchor` plus a whole
    /// number of periods. The anchor itself is the first such moment; there is
    /// none before it. `None` when the next one would lie at or past
    /// [`Timestamp::MAX`].
    #[must_use]
    pub fn next(&self, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
        // The distance between two timestamps does not fit into 64 bits.
        let start = i128::from(anchor.as_micros());
        let passed = i128::from(after.as_micros()) - start;
        if passed < 0 {
            return (anchor < Timestamp::MAX).then_some(anchor);
        }
        let period = i128::from(self.period_us);
        let moment = i64::try_from(start + (passed / period + 1) * period).ok()?;
        (moment < Timestamp::MAX.as_micros()).then(|| Timestamp::from_micros(moment))
    }
}

/// How a period is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    period_us: u64,
}

impl From<Every> for Stored {
    fn from(every: Every) -> Self {
        Self { period_us: every.period_us.unsigned_abs() }
    }
}

impl TryFrom<Stored> for Every {
    type Error = ScheduleError;

    fn try_from(stored: Stored) -> Result<Self, ScheduleError> {
        Self::new(Duration::from_micros(stored.period_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn a_period_fires_at_the_anchor_and_at_whole_periods_from_it() {
        let every = Every::new(Duration::from_millis(10)).expect("a valid period");
        for (anchor, after, next) in [
            (500, -1_000_000, 500),
            (500, 499, 500),
            (500, 500, 10_500),
            (500, 10_499, 10_500),
            (500, 10_500, 20_500),
            (-25_000, -25_001, -25_000),
            (-25_000, -14_999, -5_000),
            (-25_000, 0, 5_000),
        ] {
            assert_eq!(every.next(at(anchor), at(after)), Some(at(next)), "{anchor} {after}");
        }
    }

    #[test]
    fn a_period_beyond_the_end_of_time_never_fires() {
        let every = Every::new(Duration::from_secs(1)).expect("a valid period");
        assert_eq!(every.next(Timestamp::EPOCH, Timestamp::MAX), None);
        assert_eq!(every.next(Timestamp::EPOCH, at(i64::MAX - 1)), None);
        assert_eq!(every.next(at(i64::MIN), Timestamp::MAX), None);
        assert_eq!(every.next(Timestamp::MAX, Timestamp::EPOCH), None);
        assert_eq!(every.next(at(i64::MIN), at(i64::MIN)), Some(at(i64::MIN + 1_000_000)));
    }

    #[test]
    fn periods_out_of_bounds_are_refused_and_the_bounds_are_not() {
        for (period, kind) in [
            (Duration::ZERO, ScheduleErrorKind::PeriodTooShort),
            (Duration::from_nanos(999_999), ScheduleErrorKind::PeriodTooShort),
            (Every::LONGEST + Duration::from_nanos(1), ScheduleErrorKind::PeriodTooLong),
            (Duration::MAX, ScheduleErrorKind::PeriodTooLong),
        ] {
            assert_eq!(Every::new(period).map_err(|error| error.kind()), Err(kind), "{period:?}");
        }
        for period in [Every::SHORTEST, Every::LONGEST] {
            assert_eq!(Every::new(period).map(|every| every.period()), Ok(period));
        }
    }
}
