//! Moments and lengths of time, as the store counts them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A moment: microseconds since the Unix epoch, UTC.
///
/// A timestamp is only ever made by a store (or by a [`ManualClock`] standing
/// in for one) or computed from such a moment. Arithmetic saturates, so that
/// an enormous duration means "never" and cannot panic.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// The last moment there is; stands for "never".
    pub const MAX: Self = Self(i64::MAX);

    /// A moment given in microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This moment plus a length of time, saturating at [`Timestamp::MAX`].
    #[must_use]
    pub fn after(self, length: Duration) -> Self {
        Self(self.0.saturating_add(micros(length)))
    }

    /// This moment less a length of time, saturating.
    #[must_use]
    pub fn before(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(micros(length)))
    }

    /// How long after `earlier` this moment is; zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    /// The moment of a wall-clock time, which may lie before the epoch.
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self::EPOCH.after(after),
            Err(before) => Self::EPOCH.before(before.duration()),
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Reads RFC 3339, such as `2024-02-29T12:00:00Z`.
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let moment: jiff::Timestamp = text.parse().map_err(InvalidTimestamp)?;
        Ok(Self(moment.as_microsecond()))
    }
}

/// A text that is not a moment.
#[derive(Clone, Debug, thiserror::Error)]
#[error("not a moment; use RFC 3339, such as 2024-02-29T12:00:00Z")]
pub struct InvalidTimestamp(#[source] jiff::Error);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => moment.fmt(f),
            Err(_) => f.write_str("never"),
        }
    }
}

/// A length of time in whole microseconds, saturating.
#[must_use]
pub fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

/// When something is to happen. The store resolves it, with its own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// At once.
    #[default]
    Now,
    /// So long after the store carries it out.
    After(Duration),
    /// At a given instant; one that has passed means [`When::Now`].
    At(Timestamp),
}

impl When {
    /// The moment this means at the store's `now`. Never before `now`: a job
    /// cannot have become ready before it was put in line.
    #[must_use]
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Now => now,
            Self::After(length) => now.after(length),
            Self::At(moment) => moment.max(now),
        }
    }
}

/// A clock that only moves when it is told to, for tests.
///
/// Clones share one time. It starts at a fixed moment, so that tests are
/// repeatable.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that stands at 2024-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        Self::starting_at(Timestamp::from_micros(1_704_067_200_000_000))
    }

    /// A clock that stands at `moment`.
    #[must_use]
    pub fn starting_at(moment: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(moment.as_micros())))
    }

    /// The moment it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    /// Moves it forward and returns the new moment.
    pub fn advance(&self, length: Duration) -> Timestamp {
        let by = micros(length);
        let before = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(now.saturating_add(by)))
            .unwrap_or_else(|now| now);
        Timestamp(before.saturating_add(by))
    }

    /// Sets it to `moment`, forward or back.
    pub fn set(&self, moment: Timestamp) {
        self.0.store(moment.as_micros(), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Whose time a backend goes by.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The store's own time: the database server's, or the machine's for an
    /// embedded store.
    #[default]
    Store,
    /// A clock that a test moves.
    Manual(ManualClock),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_in_the_past_means_now() {
        let now = Timestamp::from_micros(100);
        assert_eq!(When::Now.resolve(now), now);
        assert_eq!(When::At(Timestamp::from_micros(7)).resolve(now), now);
        assert_eq!(When::At(Timestamp::from_micros(101)).resolve(now).as_micros(), 101);
        assert_eq!(When::After(Duration::from_micros(5)).resolve(now).as_micros(), 105);
    }

    #[test]
    fn enormous_durations_mean_never_and_do_not_panic() {
        let now = Timestamp::from_micros(100);
        assert_eq!(When::After(Duration::MAX).resolve(now), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.after(Duration::MAX), Timestamp::MAX);
        assert_eq!(now.since(Timestamp::MAX), Duration::ZERO);
        assert_eq!(Timestamp::MAX.to_string(), "never");
    }

    #[test]
    fn a_moment_is_made_from_text_and_from_wall_clock_time() {
        let moment: Timestamp = "1970-01-01T00:00:01.5Z".parse().unwrap();
        assert_eq!(moment.as_micros(), 1_500_000);
        let second = Duration::from_secs(1);
        assert_eq!(Timestamp::from(SystemTime::UNIX_EPOCH + second).as_micros(), 1_000_000);
        assert_eq!(Timestamp::from(SystemTime::UNIX_EPOCH - second).as_micros(), -1_000_000);
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn clones_of_a_manual_clock_share_one_time() {
        let clock = ManualClock::new();
        let other = clock.clone();
        let moved = clock.advance(Duration::from_secs(1));
        assert_eq!(other.now(), moved);
        assert_eq!(moved.to_string(), "2024-01-01T00:00:01Z");
    }
}
