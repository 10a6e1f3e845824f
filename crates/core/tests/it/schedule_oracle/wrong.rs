//! Rules that are wrong on purpose: the oracle has to notice each.

use std::str::FromStr;

use jiff::tz::TimeZoneDatabase;
use windlass_core::model::time::Timestamp;

use super::comparison::{Next, right};
use super::daemon::Local;
use super::fields::Fields;

/// Fires whenever the local clock shows a matching time: a fixed time in a gap
/// is lost, and one in a fold fires twice.
pub(crate) fn all_wildcards(expression: &str, zone: &str) -> Next {
    let fields = Fields::read(expression);
    let zone = TimeZoneDatabase::bundled().get(zone).expect("a zone of the database");
    Box::new(move |after| {
        let next_minute = after.as_micros().div_euclid(60_000_000) + 1;
        (next_minute..next_minute + 14 * 24 * 60).map(|minute| minute * 60).find_map(|second| {
            let moment = jiff::Timestamp::from_second(second).ok()?;
            let local = Local::of(second + i64::from(zone.to_offset(moment).seconds()));
            fields.matches(&local).then(|| Timestamp::from_micros(second * 1_000_000))
        })
    })
}

/// Takes every expression for fixed times, by writing out its `*`.
pub(crate) fn all_fixed(expression: &str, zone: &str) -> Next {
    let mut fields: Vec<String> = expression.split(' ').map(str::to_owned).collect();
    fields[0] = fields[0].replace('*', "0-59");
    fields[1] = fields[1].replace('*', "0-23");
    right(&fields.join(" "), zone)
}

/// Searches civil time and then asks for the moment of it, as a calendar does:
/// 02:30 in a gap becomes 03:30.
pub(crate) fn moved_on_by_the_gap(expression: &str, zone: &str) -> Next {
    let cron = croner::Cron::from_str(expression).expect("a valid expression");
    let zone = TimeZoneDatabase::bundled().get(zone).expect("a zone of the database");
    Box::new(move |after| {
        let mut local =
            zone.to_datetime(jiff::Timestamp::from_microsecond(after.as_micros()).ok()?);
        loop {
            local = cron.find_next_occurrence(&local, false).ok()?;
            let moment = zone.to_ambiguous_timestamp(local).compatible().ok()?;
            let moment = Timestamp::from_micros(moment.as_microsecond());
            if moment > after {
                return Some(moment);
            }
        }
    })
}

/// Right but for one second.
pub(crate) fn one_second_late(expression: &str, zone: &str) -> Next {
    let second = std::time::Duration::from_secs(1);
    let next = right(expression, zone);
    Box::new(move |after| next(after.before(second)).map(|moment| moment.after(second)))
}
