//! The oracle's own reading of a cron expression: five or six fields of
//! numbers, `*`, ranges, steps and lists.

use super::daemon::Local;

/// A field as the set of its values, and whether it began with `*`.
#[derive(Clone, Copy)]
struct Field {
    values: u64,
    star: bool,
}

impl Field {
    fn read(text: &str, first: usize, last: usize) -> Self {
        let mut values = 0;
        for item in text.split(',') {
            let (range, step) = item.split_once('/').unwrap_or((item, "1"));
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (first, last),
                Some((from, to)) => (number(from), number(to)),
                None => (number(range), number(range)),
            };
            assert!(first <= from && to <= last, "{text}");
            (from..=to).step_by(number(step)).for_each(|value| values |= 1 << value);
        }
        Self { values, star: text.starts_with('*') }
    }

    fn has(self, value: i64) -> bool {
        self.values >> value & 1 == 1
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("the oracle reads numbers only")
}

/// An expression as the oracle reads it.
pub(crate) struct Fields {
    second: Field,
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Fields {
    pub(crate) fn read(expression: &str) -> Self {
        let mut texts: Vec<&str> = expression.split(' ').collect();
        if texts.len() == 5 {
            texts.insert(0, "0");
        }
        let mut weekday = Field::read(texts[5], 0, 7);
        weekday.values |= weekday.values >> 7 & 1;
        Self {
            second: Field::read(texts[0], 0, 59),
            minute: Field::read(texts[1], 0, 59),
            hour: Field::read(texts[2], 0, 23),
            day: Field::read(texts[3], 1, 31),
            month: Field::read(texts[4], 1, 12),
            weekday,
        }
    }

    /// Vixie cron's flag: the minute or the hour begins with `*`.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.minute.star || self.hour.star
    }

    pub(crate) fn matches(&self, local: &Local) -> bool {
        let day = self.day.has(local.day);
        let weekday = self.weekday.has(local.weekday);
        let date = if self.day.star || self.weekday.star { day && weekday } else { day || weekday };
        date && self.minute.has(local.minute)
            && self.hour.has(local.hour)
            && self.second.has(local.second)
            && self.month.has(local.month)
    }
}

#[test]
fn the_oracle_reads_fields_and_knows_the_calendar() {
    let fields = Fields::read("15,45 1-3 29 2 *");
    // 2024-02-29T02:45:00.
    assert!(fields.matches(&Local::of(1_709_174_700)));
    assert!(!fields.matches(&Local::of(1_709_174_700 + 3_600 * 2)));
    assert!(!fields.is_wildcard());
    assert!(Fields::read("*/15 2 * * *").is_wildcard());
    // A Thursday.
    assert!(Fields::read("* * 1 * 4").matches(&Local::of(1_709_174_700)));
    assert!(!Fields::read("* * */2 * 5").matches(&Local::of(1_709_174_700)));
}
