//! When a repeatable fires: a fixed period, or a cron expression in a time
//! zone.
//!
//! Everything here is pure. No clock is read, and the time zone database is
//! the one compiled into the program. Processes that were built with different
//! releases of that database can disagree about a zone whose rules changed in
//! between.
//!
//! # Expressions
//!
//! Five fields, or six with the seconds first; without them a schedule fires
//! at second 0.
//!
//! | field | values | also |
//! |---|---|---|
//! | second | 0-59 | |
//! | minute | 0-59 | |
//! | hour | 0-23 | |
//! | day of month | 1-31 | `L` the last day, `LW` the last weekday (Monday to Friday), `15W` the weekday nearest to the 15th within the month |
//! | month | 1-12, `JAN`-`DEC` | |
//! | day of week | 0-7, `SUN`-`SAT`; 0 and 7 are Sunday | `5#2` the second Friday, `5#L` or `5L` the last Friday |
//!
//! Each field takes `*`, lists (`1,2`), rising ranges (`1-5`) and steps over
//! `*` or a range (`*/5`, `10-50/5`). Names are in any case. As in Vixie cron,
//! a day has to match *both* day fields if either begins with `*`, and *one*
//! of them if both are restricted. The nicknames `@yearly`, `@annually`,
//! `@monthly`, `@weekly`, `@daily`, `@midnight` and `@hourly` are written out
//! on construction.
//!
//! Refused, each with an error that says what would be right: a year field,
//! `@reboot`, `?` and `+`, `5/15` (a step without a range), falling ranges,
//! a step larger than its field (`*/90` minutes would be hourly), and more than
//! 256 bytes.
//!
//! # When the clock changes
//!
//! The rule is that of Vixie cron. An expression is a *wildcard* if its minute
//! or its hour field begins with `*` (`*/15` does, `0-59` does not; the other
//! fields, the seconds among them, do not count). Every other expression names
//! *fixed times*.
//!
//! - A fixed time that does not exist fires at the first instant after the
//!   gap. Several in one gap, and one that falls on that instant by itself,
//!   are one fire.
//! - A fixed time that exists twice fires the first time only.
//! - A wildcard fires whenever the local clock shows a matching time: not in a
//!   gap, and both times when the clock repeats.
//!
//! Days are judged by the local date of the time that was asked for, also when
//! the gap moves the fire into the next day. Vixie cron takes a change of three
//! hours or more for a correction of a wrong clock and drops the rule; here a
//! change of any size follows it, because a time zone database has no wrong
//! clocks. So when a zone crosses the date line and skips a day, that day's
//! fixed times are one fire at its end and none is lost; when it repeats a day,
//! they fire on the first.
//!
//! Source: Vixie cron 4.1, `cron.c` (the main loop and `find_jobs`) and
//! `entry.c` (the `*_STAR` flags); crontab(5) and cron(8).

mod cron;
mod error;
mod every;
mod expression;
mod field;
mod notation;
mod stretch;
mod zone;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::cron::Cron;
pub use self::error::{ScheduleError, ScheduleErrorKind};
pub use self::every::Every;
use crate::model::time::Timestamp;

/// When a repeatable fires. Valid by construction, also when it was read back
/// from a store.
///
/// Stored as `{"every": …}` or `{"cron": …}`; see [`Every`] and [`Cron`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// A fixed period.
    Every(Every),
    /// A cron expression in a time zone.
    Cron(Cron),
}

impl Schedule {
    /// Fires at the repeatable's start and then after every `period`, which is
    /// between [`Every::SHORTEST`] and [`Every::LONGEST`].
    ///
    /// # Errors
    /// [`ScheduleErrorKind::PeriodTooShort`] (zero included) and
    /// [`ScheduleErrorKind::PeriodTooLong`].
    pub fn every(period: Duration) -> Result<Self, ScheduleError> {
        Every::new(period).map(Self::Every)
    }

    /// Fires as a cron expression of five or six fields says, in an IANA time
    /// zone.
    ///
    /// # Errors
    /// [`ScheduleErrorKind`] tells the expression's errors from the zone's.
    pub fn cron(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        Cron::new(expression, zone).map(Self::Cron)
    }

    /// The first fire moment strictly after `after`; `None` means never.
    /// `anchor` is the repeatable's start, from which [`Every`] counts: its
    /// fire moments are the anchor itself and whole periods after it. A cron
    /// schedule does not depend on the anchor.
    #[must_use]
    pub fn next(&self, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(every) => every.next(anchor, after),
            Self::Cron(cron) => cron.next(after),
        }
    }

    /// The fire moments strictly after `after`, in order. For most schedules
    /// they do not end within any useful time, so take as many as are wanted.
    pub fn upcoming(
        &self,
        anchor: Timestamp,
        after: Timestamp,
    ) -> impl Iterator<Item = Timestamp> + '_ {
        let first = self.next(anchor, after);
        std::iter::successors(first, move |moment| self.next(anchor, *moment))
    }
}
