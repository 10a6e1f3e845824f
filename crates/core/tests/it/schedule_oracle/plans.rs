//! Which expressions are compared around a clock change, and how far.

use super::daemon::Local;
use super::zones::Change;

/// An expression and the window in which it is compared.
pub(crate) struct Plan {
    pub(crate) expression: String,
    /// How many seconds before and after the change.
    pub(crate) reach: i64,
    /// The daemon's tick in seconds.
    pub(crate) tick: i64,
}

impl Plan {
    /// Compared minute by minute, 30 hours before and after.
    pub(crate) fn minutes(expression: &str) -> Self {
        Self { expression: expression.to_owned(), reach: 30 * 3_600, tick: 60 }
    }

    pub(crate) fn within_hours(mut self, hours: i64) -> Self {
        self.reach = hours * 3_600;
        self
    }

    fn seconds(expression: &str, minutes: i64) -> Self {
        Self { expression: expression.to_owned(), reach: minutes * 60, tick: 1 }
    }
}

/// Few fires a day: compared over the whole window.
const SPARSE: &[&str] = &[
    "0 0 * * *",
    "30 0 * * *",
    "30 1 * * *",
    "0 2 * * *",
    "30 2 * * *",
    "0 3 * * *",
    "59 23 * * *",
    "0,30 0-3 * * *",
    "15,45 1-3 * * *",
    "0 */12 * * *",
    "0 3 1 * *",
    "30 2 * * 0",
    "0 0 * * 1-5",
    "45 23 * * 6",
    "15 2 8-14 3 0",
    "0 0 */2 * 5",
    "30 0 * 3,4,9-11 7",
];

/// Many fires an hour: compared near the change.
const DENSE: &[(&str, i64)] = &[
    ("* * * * *", 2),
    ("*/15 * * * *", 5),
    ("30 * * * *", 26),
    ("* 2 * * *", 4),
    ("0 */2 * * *", 26),
    ("*/20 0-4 * * *", 26),
    ("5-55/10 2,3 * * *", 26),
    ("*/7,30 * 1-15 * *", 3),
];

/// The expressions that are compared around a change, among them such as aim
/// at the times that it skips or repeats.
pub(crate) fn around(change: &Change) -> Vec<Plan> {
    let sparse = SPARSE.iter().map(|expression| Plan::minutes(expression));
    let dense =
        DENSE.iter().map(|(expression, hours)| Plan::minutes(expression).within_hours(*hours));
    let mut plans: Vec<Plan> = sparse.chain(dense).collect();

    let aim = Aim::at(change);
    for local in [aim.before, aim.first, aim.middle, aim.last, aim.end] {
        let Local { minute, hour, .. } = local;
        plans.push(Plan::minutes(&format!("{minute} {hour} * * *")));
    }
    let Local { minute, hour, day, month, weekday, .. } = aim.middle;
    let Local { minute: end_minute, hour: end_hour, .. } = aim.end;
    plans.extend([
        Plan::minutes(&format!("{minute},{end_minute} {hour},{end_hour} * * *")),
        Plan::minutes(&format!("*/10 {hour} * * *")),
        Plan::minutes(&format!("{minute} {hour} {day} {month} *")),
        Plan::minutes(&format!("{minute} {hour} * * {weekday}")),
        Plan::minutes(&format!("{minute} */{} * * *", hour.max(1))),
    ]);
    plans
}

/// Expressions with seconds that aim at a change.
pub(crate) fn by_second(change: &Change) -> Vec<Plan> {
    let aim = Aim::at(change);
    let Local { minute, hour, .. } = aim.middle;
    let Local { minute: end_minute, hour: end_hour, second: end_second, .. } = aim.end;
    vec![
        Plan::seconds("* * * * * *", 3),
        Plan::seconds(&format!("30 {minute} {hour} * * *"), 90),
        Plan::seconds(&format!("*/20 {minute} {hour} * * *"), 90),
        Plan::seconds(&format!("0-59/13 {minute} {hour} * * *"), 90),
        Plan::seconds(&format!("{end_second} {end_minute} {end_hour} * * *"), 90),
        Plan::seconds(&format!("59 59 {hour} * * *"), 90),
        Plan::seconds(&format!("15 * {hour} * * *"), 90),
        Plan::seconds(&format!("7 */3 {hour} * * *"), 90),
        Plan::seconds("0 0 */3 * * *", 90),
    ]
}

/// Local times in and about the range that a change skips or repeats.
struct Aim {
    before: Local,
    first: Local,
    middle: Local,
    last: Local,
    end: Local,
}

impl Aim {
    fn at(change: &Change) -> Self {
        let first = change.old_clock.min(change.new_clock);
        let end = change.old_clock.max(change.new_clock);
        Self {
            before: Local::of(first - 60),
            first: Local::of(first),
            middle: Local::of(first + (end - first) / 2),
            last: Local::of(end - 60),
            end: Local::of(end),
        }
    }
}
