//! The oracle: Vixie cron's main loop over simulated time.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::fields::Fields;

/// A local time, taken apart.
#[derive(Clone, Copy)]
pub(crate) struct Local {
    pub(crate) second: i64,
    pub(crate) minute: i64,
    pub(crate) hour: i64,
    pub(crate) day: i64,
    pub(crate) month: i64,
    pub(crate) weekday: i64,
}

impl Local {
    /// Takes apart a local time given in seconds as if it were UTC. The
    /// calendar counts years from March, so that the leap day comes last:
    /// Howard Hinnant, "chrono-compatible low-level date algorithms",
    /// `civil_from_days`.
    pub(crate) fn of(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400);
        let day_of_era = (days + 719_468).rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        Self {
            second: seconds.rem_euclid(60),
            minute: seconds.div_euclid(60).rem_euclid(60),
            hour: seconds.div_euclid(3_600).rem_euclid(24),
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            month: (month_from_march + 2) % 12 + 1,
            // 1970-01-01 was a Thursday.
            weekday: (days + 4).rem_euclid(7),
        }
    }
}

/// Runs the daemon from `from` to `to` (seconds since the epoch, both included)
/// and returns, for each expression, the moments at which it fires.
///
/// The daemon wakes at every tick (60 seconds, or one) of elapsed time and
/// compares the local clock with its virtual clock, which never goes back. It
/// runs wildcards when the local clock shows their time, and fixed times for
/// every tick that the virtual clock catches up with.
pub(crate) fn run(
    zone: &TimeZone,
    expressions: &[Fields],
    from: i64,
    to: i64,
    tick: i64,
) -> Vec<Vec<i64>> {
    let clock_at = |moment: i64| {
        let at = Timestamp::from_second(moment).expect("a moment within the calendar");
        moment + i64::from(zone.to_offset(at).seconds())
    };
    // How far the local clock came before the start. A repeated time can last
    // for a day, where a zone crosses the date line.
    let mut virtual_clock = (0..27 * 60)
        .map(|minutes| clock_at(from - minutes * 60 - tick))
        .max()
        .expect("there are minutes");

    let mut fires = vec![Vec::new(); expressions.len()];
    for moment in (from..=to).step_by(usize::try_from(tick).expect("a tick")) {
        let clock = clock_at(moment);
        let now = Local::of(clock);
        let missed: Vec<Local> =
            (virtual_clock + tick..=clock).step_by(tick as usize).map(Local::of).collect();
        for (fields, fires) in expressions.iter().zip(&mut fires) {
            let fire = if fields.is_wildcard() {
                fields.matches(&now)
            } else {
                missed.iter().any(|local| fields.matches(local))
            };
            if fire {
                fires.push(moment);
            }
        }
        virtual_clock = virtual_clock.max(clock);
    }
    fires
}
