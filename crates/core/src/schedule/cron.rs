//! A cron expression in a time zone.

use std::hash::{Hash, Hasher};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::error::ScheduleError;
use super::expression::{Expression, Timing};
use super::stretch::Stretch;
use super::zone::Zone;
use crate::model::time::Timestamp;

/// How far ahead a fire is looked for. Every combination of leap year and
/// first weekday returns within 40 years (12 or 40 across a century that is no
/// leap year), so what does not match in 41 years matches never.
const HORIZON: SignedDuration = SignedDuration::from_hours(41 * 366 * 24);

const MICROS_PER_SECOND: i64 = 1_000_000;

/// A cron expression in a time zone. [The module](super) says which
/// expressions there are and what happens when the clock changes.
///
/// Two are equal if their expressions read alike, apart from case, spaces and
/// nicknames, and their zones have the same name.
///
/// Stored as `{"expression": "0 3 * * *", "zone": "Europe/Berlin"}`; reading
/// it back validates it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Cron {
    expression: Expression,
    zone: Zone,
}

impl Cron {
    /// The longest expression that is accepted, in bytes.
    pub const MAX_EXPRESSION_BYTES: usize = Expression::MAX_BYTES;

    /// A cron expression of five or six fields, or a nickname, in a zone given
    /// by its IANA name in any case.
    ///
    /// # Errors
    /// [`ScheduleErrorKind`](super::ScheduleErrorKind) tells the expression's
    /// errors from the zone's.
    pub fn new(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        Ok(Self { expression: Expression::parse(expression)?, zone: Zone::named(zone)? })
    }

    /// The expression in its standard form: upper case, single spaces,
    /// nicknames written out.
    #[must_use]
    pub fn expression(&self) -> &str {
        self.expression.text()
    }

    /// The zone's name as the IANA database spells it.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.name()
    }

    /// The first fire moment strictly after `after`, at a whole second.
    /// `None` if there is none: a date that does not exist, a wildcard inside
    /// a gap of every year, or a moment past the year 9999. The search is
    /// bounded by 41 years.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let second = after.as_micros().div_euclid(MICROS_PER_SECOND) + 1;
        let second = second.max(jiff::Timestamp::MIN.as_second());
        let mut from = jiff::Timestamp::from_second(second).ok()?;
        let horizon = from.saturating_add(HORIZON).unwrap_or(jiff::Timestamp::MAX);
        let mut stretch = Stretch::containing(from, self.zone.rules());
        loop {
            if let Some(moment) = self.first_fire(&stretch, from, horizon) {
                return Some(Timestamp::from_micros(moment.as_microsecond()));
            }
            if stretch.end >= horizon {
                return None;
            }
            stretch = stretch.following(self.zone.rules());
            from = stretch.start;
        }
    }

    /// The first fire at or after `from` within a stretch that contains it.
    ///
    /// This is Vixie cron's rule. Its daemon keeps a virtual clock, which is
    /// how far the local clock has ever come, and runs a fixed time when the
    /// virtual clock passes it, but a wildcard when the local clock shows it.
    fn first_fire(
        &self,
        stretch: &Stretch,
        from: jiff::Timestamp,
        horizon: jiff::Timestamp,
    ) -> Option<jiff::Timestamp> {
        let mut begin = stretch.local(from);
        if self.expression.timing() == Timing::Fixed {
            let skips_one = || self.expression.first_in(stretch.reached, begin).is_some();
            if from == stretch.start && skips_one() {
                return Some(from);
            }
            begin = begin.max(stretch.reached);
        }
        let end = stretch.local(stretch.end.min(horizon));
        stretch.moment(self.expression.first_in(begin, end)?)
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        (self.expression(), self.zone()) == (other.expression(), other.zone())
    }
}

impl Eq for Cron {}

impl Hash for Cron {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.expression(), self.zone()).hash(state);
    }
}

/// How a cron schedule is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    expression: String,
    zone: String,
}

impl From<Cron> for Stored {
    fn from(cron: Cron) -> Self {
        Self { expression: cron.expression().to_owned(), zone: cron.zone().to_owned() }
    }
}

impl TryFrom<Stored> for Cron {
    type Error = ScheduleError;

    fn try_from(stored: Stored) -> Result<Self, ScheduleError> {
        Self::new(&stored.expression, &stored.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, zone: &str, after: &str) -> Option<String> {
        let cron = Cron::new(expression, zone).expect("a valid schedule");
        let after: jiff::Timestamp = after.parse().expect("a moment");
        let next = cron.next(Timestamp::from_micros(after.as_microsecond()));
        next.map(|moment| moment.to_string())
    }

    #[test]
    fn the_next_moment_is_strictly_later_to_the_microsecond() {
        for (after, expected) in [
            ("2024-05-06T06:59:59.999999Z", "2024-05-06T07:00:00Z"),
            ("2024-05-06T07:00:00Z", "2024-05-07T07:00:00Z"),
            ("2024-05-06T07:00:00.000001Z", "2024-05-07T07:00:00Z"),
            ("1969-12-31T23:59:59.5Z", "1970-01-01T07:00:00Z"),
            ("1969-12-30T07:00:00.5Z", "1969-12-31T07:00:00Z"),
        ] {
            assert_eq!(next("0 7 * * *", "UTC", after).as_deref(), Some(expected), "{after}");
        }
    }

    #[test]
    fn a_date_that_does_not_exist_never_fires() {
        for expression in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 */31 * 1#2"] {
            assert_eq!(next(expression, "Europe/Berlin", "2024-01-01T00:00:00Z"), None);
        }
    }

    #[test]
    fn a_wildcard_that_only_lies_in_gaps_never_fires() {
        let zone = "America/New_York";
        assert_eq!(next("* 2 * 3 0#2", zone, "2024-01-01T00:00:00Z"), None);
        let fixed = next("0 2 * 3 0#2", zone, "2024-01-01T00:00:00Z");
        assert_eq!(fixed.as_deref(), Some("2024-03-10T07:00:00Z"));
    }

    #[test]
    fn the_rarest_date_is_found_across_forty_years() {
        // A fifth Monday in February is a leap day; 2100 is no leap year.
        let next = next("0 0 * 2 1#5", "UTC", "2072-02-29T00:00:00Z");
        assert_eq!(next.as_deref(), Some("2112-02-29T00:00:00Z"));
    }

    #[test]
    fn the_schedule_ends_with_the_calendar_and_begins_with_it() {
        let daily = Cron::new("0 0 * * *", "Pacific/Kiritimati").expect("a valid schedule");
        assert_eq!(daily.next(Timestamp::MAX), None);
        assert_eq!(daily.next(Timestamp::from_micros(253_402_207_200_000_000)), None);
        let first = daily.next(Timestamp::from_micros(i64::MIN)).map(|moment| moment.to_string());
        assert!(
            first.as_deref().is_some_and(|first| first.starts_with("-009999-01-0")),
            "{first:?}"
        );
    }
}
