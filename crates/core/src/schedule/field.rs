//! The fields of a cron expression and what may stand in each.

use super::error::{ScheduleError, ScheduleErrorKind, quoted};

/// A field of a cron expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Second,
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
}

impl Field {
    /// The six fields in the order in which they are written.
    pub(super) const ALL: [Self; 6] =
        [Self::Second, Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek];

    /// Checks the form of a field, in upper case, and leaves its values to the
    /// parser. The parser replaces names wherever it finds them (`1MON` would
    /// read as 11), skips empty list items and ignores what follows a `W`; a
    /// typing error must not become a schedule.
    pub(super) fn check_form(self, text: &str) -> Result<(), ScheduleError> {
        text.split(',').try_for_each(|item| self.check_item(text, item))?;
        // The parser keeps one flag for both, so one of them would be lost.
        let contains = |wanted| text.split(',').any(|item| item == wanted);
        if contains("L") && contains("LW") {
            return Err(self.error(text, "`L` and `LW` cannot be combined"));
        }
        Ok(())
    }

    /// The error for a field that is wrong for the given reason.
    pub(super) fn error(self, text: &str, reason: &str) -> ScheduleError {
        ScheduleError::new(
            ScheduleErrorKind::Field,
            format!(
                "the {} field {} is not valid: {reason}; allowed are {}",
                self.name(),
                quoted(text),
                self.allowed(),
            ),
        )
    }

    fn check_item(self, text: &str, item: &str) -> Result<(), ScheduleError> {
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some(step)),
            None => (item, None),
        };
        let is_range =
            base.split_once('-').is_some_and(|(from, to)| self.is_value(from) && self.is_value(to));
        if let Some(step) = step {
            let step = is_number(step).then(|| step.parse::<u32>().ok()).flatten();
            let Some(step) = step.filter(|step| *step > 0) else {
                return Err(self.error(text, "a step is a number from 1, as in `*/5`"));
            };
            if base != "*" && !is_range {
                return Err(self.error(
                    text,
                    "a step needs `*` or a range before it, as in `*/5` or `10-50/5`",
                ));
            }
            // Accepted elsewhere, and never what was meant: `*/90` minutes
            // would run once an hour.
            let (first, last) = self.range();
            if step > last - first + 1 {
                return Err(self.error(text, "the step is larger than the field's range"));
            }
            return Ok(());
        }
        if item.is_empty() {
            return Err(self.error(text, "an item of the list is empty"));
        }
        if base == "*" && text != "*" {
            return Err(self.error(text, "`*` without a step cannot be part of a list"));
        }
        if base == "*" || is_range || self.is_value(base) || self.is_extension(base) {
            return Ok(());
        }
        Err(self.error(text, &self.guess(item)))
    }

    /// Why a text is no item of this field, for the usual mistakes.
    fn guess(self, item: &str) -> String {
        if item.contains('?') {
            return "`?` is not supported, write `*` (and note that weekdays count from 0, Sunday)"
                .to_owned();
        }
        if item.starts_with('+') {
            return "`+` is not supported; when one of the two day fields begins with `*`, a day \
                    has to match both"
                .to_owned();
        }
        format!("{} is not understood", quoted(item))
    }

    fn is_value(self, text: &str) -> bool {
        is_number(text) || self.names().contains(&text)
    }

    /// The extensions to plain cron that are supported.
    fn is_extension(self, item: &str) -> bool {
        match self {
            Self::DayOfMonth => {
                matches!(item, "L" | "LW") || item.strip_suffix('W').is_some_and(is_number)
            }
            Self::DayOfWeek => {
                let last = item.strip_suffix("#L").or_else(|| item.strip_suffix('L'));
                let nth = item
                    .split_once('#')
                    .filter(|(_, nth)| matches!(*nth, "1" | "2" | "3" | "4" | "5"))
                    .map(|(day, _)| day);
                last.or(nth).is_some_and(|day| self.is_value(day))
            }
            Self::Second | Self::Minute | Self::Hour | Self::Month => false,
        }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &[
                "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
            ],
            Self::DayOfWeek => &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
            Self::Second | Self::Minute | Self::Hour | Self::DayOfMonth => &[],
        }
    }

    fn range(self) -> (u32, u32) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 7),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
        }
    }

    fn allowed(self) -> String {
        let (first, last) = self.range();
        let also = match self {
            Self::Second | Self::Minute | Self::Hour => "",
            Self::DayOfMonth => {
                ", L (the last day), LW (the last weekday), 15W (the weekday nearest to the 15th)"
            }
            Self::Month => " or JAN-DEC",
            Self::DayOfWeek => {
                " or SUN-SAT (0 and 7 are Sunday), 5#2 (the second Friday), 5#L (the last Friday)"
            }
        };
        format!(
            "{first}-{last}{also}, `*`, lists (1,2), rising ranges (1-5) and steps (*/2, 1-5/2)"
        )
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_field_is_checked_item_by_item() {
        let table: [(Field, &[&str], &[&str]); 5] = [
            (
                Field::Minute,
                &["*", "*/5", "0", "1,2", "1-5", "1-5/2", "*/5,3", "3,*/5", "1-5,10-20/3"],
                &[
                    "", ",", "1,", ",1", "1,,2", "*,5", "5/15", "/5", "*/0", "*/61", "*/", "*/a",
                    "1-", "-1", "1-2-3", "**", "L", "JAN", "1MON", "?", "+1", "-5", "1 2", "0x1",
                ],
            ),
            (
                Field::DayOfMonth,
                &["L", "LW", "15W", "1,L", "15W,LW"],
                &["LL", "WL", "W", "15W3", "15WW", "L-3", "1-5W", "L,LW", "L/2", "1#2", "5L", "?"],
            ),
            (
                Field::Month,
                &["JAN", "JAN-MAR", "1,FEB", "JAN-DEC/2"],
                &["MON", "JANFEB", "JANUARY", "L"],
            ),
            (
                Field::DayOfWeek,
                &["SUN", "MON-FRI", "7", "5#2", "FRI#1", "5L", "FRIL", "5#L", "1#1,1#3"],
                &[
                    "L", "5#0", "5#6", "5#", "#2", "MONDAY", "MONTUE", "1-5#2", "5#L#L", "+MON",
                    "JAN", "5#2#3",
                ],
            ),
            (Field::Hour, &["0-23", "*/24"], &["*/25", "MON", "1W"]),
        ];
        for (field, valid, invalid) in table {
            for text in valid {
                assert_eq!(field.check_form(text), Ok(()), "{field:?} {text}");
            }
            for text in invalid {
                assert!(field.check_form(text).is_err(), "{field:?} {text}");
            }
        }
    }
}
