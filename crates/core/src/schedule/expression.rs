//! Cron expressions over civil time: which local times match.

use std::fmt;
use std::sync::Arc;

use croner::parser::{CronParser, Seconds, Year};
use croner::{CronPattern, Direction, TimeComponent, Weekday};
use jiff::civil::{DateTime, Time};

use super::error::{ScheduleError, ScheduleErrorKind};
use super::field::Field;
use super::notation::fields;

/// A cron expression: which civil times match, without any time zone.
///
/// Parsing and the matching of days are the `croner` crate's. Its search over
/// time is not used: it takes lists of times for wildcards when the clock
/// changes, and it walks to the year 5000 for a date that does not exist.
#[derive(Clone)]
pub(super) struct Expression {
    text: String,
    timing: Timing,
    pattern: Arc<CronPattern>,
}

/// How an expression behaves when the clock changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timing {
    /// Named times of day: each happens once, even if the clock skips or
    /// repeats it.
    Fixed,
    /// An interval: the minute or the hour field begins with `*`. It follows
    /// elapsed time.
    Wildcard,
}

impl Expression {
    pub(super) const MAX_BYTES: usize = 256;

    /// Parses five or six fields, or a nickname.
    pub(super) fn parse(input: &str) -> Result<Self, ScheduleError> {
        if input.len() > Self::MAX_BYTES {
            return Err(ScheduleError::new(
                ScheduleErrorKind::ExpressionTooLong,
                format!(
                    "a cron expression of {} bytes is too long; the longest has {}",
                    input.len(),
                    Self::MAX_BYTES,
                ),
            ));
        }
        let fields = fields(input)?;
        let named = || Field::ALL.into_iter().skip(6 - fields.len()).zip(&fields);
        named().try_for_each(|(field, text)| field.check_form(text))?;

        let text = fields.join(" ");
        let begins_with_star =
            |wanted: Field| named().any(|(field, text)| field == wanted && text.starts_with('*'));
        // Vixie cron's rule: a day has to match one of the day fields if both
        // are restricted, and both if either begins with `*`. The parser by
        // itself takes only a bare `*` for unrestricted.
        let both_days = begins_with_star(Field::DayOfMonth) || begins_with_star(Field::DayOfWeek);
        let timing = if begins_with_star(Field::Minute) || begins_with_star(Field::Hour) {
            Timing::Wildcard
        } else {
            Timing::Fixed
        };
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .dom_and_dow(both_days)
            .build();
        match parser.parse(&text) {
            Ok(cron) => Ok(Self { text, timing, pattern: Arc::new(cron.pattern) }),
            Err(reason) => Err(culprit(&parser, named(), &reason.to_string())),
        }
    }

    /// The expression in its standard form: upper case, single spaces, no
    /// nickname.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn timing(&self) -> Timing {
        self.timing
    }

    /// The first civil time in `from..to` that matches, to the second. `from`
    /// must be a whole second. The cost grows with the days in between.
    pub(super) fn first_in(&self, from: DateTime, to: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        let mut earliest = from.time();
        while date.to_datetime(earliest) < to {
            let (year, month, day) = (date.year().into(), number(date.month()), number(date.day()));
            if !self.pattern.month_match(month).ok()? {
                date = date.last_of_month().tomorrow().ok()?;
                earliest = Time::midnight();
                continue;
            }
            let weekday = number(date.weekday().to_sunday_zero_offset());
            let weekday = Weekday::from_days_from_sunday(weekday);
            if self.pattern.day_match(year, month, day, weekday).ok()?
                && let Some(time) = self.time_from(earliest)
            {
                let matching = date.to_datetime(time);
                return (matching < to).then_some(matching);
            }
            date = date.tomorrow().ok()?;
            earliest = Time::midnight();
        }
        None
    }

    /// The first time of day at or after `earliest` that matches.
    fn time_from(&self, earliest: Time) -> Option<Time> {
        let next = |component, from| {
            self.pattern.find_match_in_component(from, component, Direction::Forward).ok()?
        };
        let next_hour = |from| next(TimeComponent::Hour, from);
        let next_minute = |from| next(TimeComponent::Minute, from);
        let next_second = |from| next(TimeComponent::Second, from);

        let hour = number(earliest.hour());
        let minute = number(earliest.minute());
        let second = number(earliest.second());
        let hour_fits = next_hour(hour) == Some(hour);
        let minute_fits = hour_fits && next_minute(minute) == Some(minute);

        // The smallest unit that can move decides; those below it start over.
        let in_this_minute = || {
            let second = minute_fits.then(|| next_second(second)).flatten()?;
            Some((hour, minute, second))
        };
        let in_this_hour = || {
            let minute = hour_fits.then(|| next_minute(minute + 1)).flatten()?;
            Some((hour, minute, next_second(0)?))
        };
        let later = || Some((next_hour(hour + 1)?, next_minute(0)?, next_second(0)?));
        let (hour, minute, second) = in_this_minute().or_else(in_this_hour).or_else(later)?;
        let small = |value| i8::try_from(value).ok();
        Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The parsed pattern would fill pages.
        write!(f, "Expression({:?}, {:?})", self.text, self.timing)
    }
}

/// The error for the field that the parser does not accept. The parser does
/// not say which one it is, so each is tried alone.
fn culprit<'a>(
    parser: &CronParser,
    fields: impl Iterator<Item = (Field, &'a String)>,
    reason: &str,
) -> ScheduleError {
    for (field, text) in fields {
        let alone = Field::ALL.map(|other| if other == field { text.as_str() } else { "*" });
        if let Err(error) = parser.parse(&alone.join(" ")) {
            return field.error(text, &without_stop(&error.to_string()));
        }
    }
    ScheduleError::new(
        ScheduleErrorKind::Field,
        format!("the cron expression is not valid: {}", without_stop(reason)),
    )
}

/// The parser's reason as it reads inside a sentence.
fn without_stop(reason: &str) -> String {
    let reason = reason.strip_prefix("Component error: ").unwrap_or(reason);
    let mut characters = reason.trim_end_matches('.').chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

/// A calendar number, none of which is negative.
fn number(value: i8) -> u32 {
    u32::from(value.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(expression: &str, from: &str) -> Option<String> {
        let expression = Expression::parse(expression).expect("a valid expression");
        let from = from.parse().expect("a civil time");
        expression.first_in(from, DateTime::MAX).map(|time| time.to_string())
    }

    #[test]
    fn a_match_at_the_starting_time_counts_and_the_end_does_not() {
        let expression = Expression::parse("30 2 * * *").expect("a valid expression");
        let from: DateTime = "2024-05-06T02:30:00".parse().expect("a civil time");
        assert_eq!(expression.first_in(from, DateTime::MAX), Some(from));
        assert_eq!(expression.first_in(from, from), None);
    }

    #[test]
    fn the_next_time_carries_into_minutes_hours_days_months_and_years() {
        for (expression, from, expected) in [
            ("* * * * *", "2024-05-06T07:08:00", "2024-05-06T07:08:00"),
            ("* * * * *", "2024-05-06T07:08:01", "2024-05-06T07:09:00"),
            ("* * * * *", "2024-05-06T07:59:59", "2024-05-06T08:00:00"),
            ("*/20 * * * * *", "2024-05-06T07:59:41", "2024-05-06T08:00:00"),
            ("*/20 5,10 * * * *", "2024-05-06T07:05:39", "2024-05-06T07:05:40"),
            ("*/20 5,10 * * * *", "2024-05-06T07:05:41", "2024-05-06T07:10:00"),
            ("30 7 * * *", "2024-05-06T07:30:01", "2024-05-07T07:30:00"),
            ("30 7 * * *", "2024-02-29T08:00:00", "2024-03-01T07:30:00"),
            ("0 0 1 1 *", "2024-01-01T00:00:01", "2025-01-01T00:00:00"),
            ("0 0 29 2 *", "2096-02-29T00:00:01", "2104-02-29T00:00:00"),
            ("0 9 * * MON-FRI", "2024-05-03T10:00:00", "2024-05-06T09:00:00"),
            ("0 9 * * 7", "2024-05-03T10:00:00", "2024-05-05T09:00:00"),
            ("0 9 * * SAT-SUN", "2024-05-04T10:00:00", "2024-05-05T09:00:00"),
        ] {
            assert_eq!(first(expression, from).as_deref(), Some(expected), "{expression} {from}");
        }
    }

    #[test]
    fn two_restricted_day_fields_match_either_and_a_star_makes_it_both() {
        for (expression, from, expected) in [
            // The 13th or any Friday.
            ("0 0 13 * 5", "2024-05-09T00:00:00", "2024-05-10T00:00:00"),
            ("0 0 13 * 5", "2024-05-11T00:00:00", "2024-05-13T00:00:00"),
            // Odd days that are Fridays.
            ("0 0 */2 * 5", "2024-05-04T00:00:00", "2024-05-17T00:00:00"),
            ("0 0 13 * */5", "2024-05-01T00:00:00", "2024-09-13T00:00:00"),
        ] {
            assert_eq!(first(expression, from).as_deref(), Some(expected), "{expression} {from}");
        }
    }

    #[test]
    fn last_days_nearest_weekdays_and_nth_weekdays_are_supported() {
        for (expression, from, expected) in [
            ("0 0 L * *", "2024-02-01T00:00:00", "2024-02-29T00:00:00"),
            ("0 0 LW * *", "2024-03-01T00:00:00", "2024-03-29T00:00:00"),
            ("0 0 15W * *", "2024-06-01T00:00:00", "2024-06-14T00:00:00"),
            ("0 0 1W * *", "2024-06-01T00:00:00", "2024-06-03T00:00:00"),
            ("0 0 * * FRI#2", "2024-05-01T00:00:00", "2024-05-10T00:00:00"),
            ("0 0 * * 5L", "2024-05-01T00:00:00", "2024-05-31T00:00:00"),
            ("0 0 * * SUN#L", "2024-05-01T00:00:00", "2024-05-26T00:00:00"),
            ("0 0 * * 7#1", "2024-05-01T00:00:00", "2024-05-05T00:00:00"),
        ] {
            assert_eq!(first(expression, from).as_deref(), Some(expected), "{expression} {from}");
        }
    }

    #[test]
    fn a_star_at_the_start_of_minutes_or_hours_makes_a_wildcard() {
        for (expression, timing) in [
            ("* * * * *", Timing::Wildcard),
            ("*/15 2 * * *", Timing::Wildcard),
            ("30 * * * *", Timing::Wildcard),
            ("30 */24 * * *", Timing::Wildcard),
            ("*/30,7 2 * * *", Timing::Wildcard),
            ("@hourly", Timing::Wildcard),
            ("7,*/30 2 * * *", Timing::Fixed),
            ("0-59 0-23 * * *", Timing::Fixed),
            ("30 2 * * *", Timing::Fixed),
            ("* 30 2 * * *", Timing::Fixed),
            ("0 */30 2 * * *", Timing::Wildcard),
            ("@daily", Timing::Fixed),
        ] {
            let parsed = Expression::parse(expression).map(|expression| expression.timing());
            assert_eq!(parsed, Ok(timing), "{expression}");
        }
    }
}
