//! Stretches of time with one offset from UTC.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// How far back a clock change can matter. Two offsets are never further apart
/// than 52 hours, so a change before that has been overtaken by the clock.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(52);

const ONE_SECOND: SignedDuration = SignedDuration::from_secs(1);

/// A stretch of time in which a zone keeps one offset from UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// The clock change that begins it, or the first moment there is.
    pub(super) start: Timestamp,
    /// The clock change that ends it (exclusive), or the last moment there is.
    pub(super) end: Timestamp,
    /// How far the local clock had ever come before `start` (exclusive). The
    /// local times from here to the local time of `start` are skipped if it is
    /// earlier than that, and repeated if it is later.
    pub(super) reached: DateTime,
    offset: Offset,
}

impl Stretch {
    /// The stretch that `moment` lies in.
    pub(super) fn containing(moment: Timestamp, zone: &TimeZone) -> Self {
        let offset = zone.to_offset(moment);
        let change = preceding(zone, moment).next();
        let start = change.unwrap_or(Timestamp::MIN);
        let reached = preceding(zone, start)
            .take_while(|earlier| start.duration_since(*earlier) <= LOOK_BACK)
            .map(|change| offset_before(zone, change).to_datetime(change))
            .max()
            .unwrap_or_else(|| offset.to_datetime(start));
        Self { start, end: end_of(zone, moment), reached, offset }
    }

    /// The stretch after this one.
    pub(super) fn following(&self, zone: &TimeZone) -> Self {
        Self {
            start: self.end,
            end: end_of(zone, self.end),
            reached: self.reached.max(self.local(self.end)),
            offset: zone.to_offset(self.end),
        }
    }

    /// The local time at a moment, by this stretch's offset.
    pub(super) fn local(&self, moment: Timestamp) -> DateTime {
        self.offset.to_datetime(moment)
    }

    /// The moment of a local time, by this stretch's offset. `None` past the
    /// last moment there is.
    pub(super) fn moment(&self, local: DateTime) -> Option<Timestamp> {
        self.offset.to_timestamp(local).ok()
    }
}

/// The clock changes at or before a moment, the latest first.
fn preceding(zone: &TimeZone, moment: Timestamp) -> impl Iterator<Item = Timestamp> {
    // Changes happen at whole seconds.
    let before = moment.saturating_add(ONE_SECOND).unwrap_or(moment);
    zone.preceding(before).map(|change| change.timestamp())
}

fn end_of(zone: &TimeZone, moment: Timestamp) -> Timestamp {
    zone.following(moment).next().map_or(Timestamp::MAX, |change| change.timestamp())
}

fn offset_before(zone: &TimeZone, change: Timestamp) -> Offset {
    zone.to_offset(change.saturating_sub(ONE_SECOND).unwrap_or(change))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZoneDatabase;

    use super::*;

    fn stretch(zone: &str, moment: &str) -> (Stretch, TimeZone) {
        let zone = TimeZoneDatabase::bundled().get(zone).expect("a zone");
        (Stretch::containing(moment.parse().expect("a moment"), &zone), zone)
    }

    #[test]
    fn a_stretch_runs_from_one_clock_change_to_the_next() {
        for moment in ["2024-03-31T01:00:00Z", "2024-07-01T00:00:00Z", "2024-10-27T00:59:59Z"] {
            let (summer, zone) = stretch("Europe/Berlin", moment);
            assert_eq!(summer.start.to_string(), "2024-03-31T01:00:00Z");
            assert_eq!(summer.end.to_string(), "2024-10-27T01:00:00Z");
            assert_eq!(summer.local(summer.start).to_string(), "2024-03-31T03:00:00");
            assert_eq!(summer.reached.to_string(), "2024-03-31T02:00:00");

            let winter = summer.following(&zone);
            assert_eq!(winter.start, summer.end);
            assert_eq!(winter.end.to_string(), "2025-03-30T01:00:00Z");
            assert_eq!(winter.local(winter.start).to_string(), "2024-10-27T02:00:00");
            assert_eq!(winter.reached.to_string(), "2024-10-27T03:00:00");
        }
    }

    #[test]
    fn a_zone_without_changes_is_one_stretch() {
        let (always, _) = stretch("UTC", "2024-03-31T01:00:00Z");
        assert_eq!((always.start, always.end), (Timestamp::MIN, Timestamp::MAX));
        assert_eq!(always.reached, always.local(Timestamp::MIN));
    }

    #[test]
    fn the_clock_keeps_what_it_reached_over_changes_in_quick_succession() {
        // At 06:00 on day 100 the clock goes back to 03:00, and at 04:00 on to
        // 07:00. No zone does that yet.
        let zone = TimeZone::posix("AAA0BBB3,J100/6,J100/4").expect("a zone");
        let moment = |text: &str| text.parse::<Timestamp>().expect("a moment");
        let back = Stretch::containing(moment("2023-04-10T06:30:00Z"), &zone);
        assert_eq!(back.local(back.start).to_string(), "2023-04-10T03:00:00");
        assert_eq!(back.reached.to_string(), "2023-04-10T06:00:00");
        let on = back.following(&zone);
        assert_eq!(on.local(on.start).to_string(), "2023-04-10T07:00:00");
        assert_eq!(on.reached.to_string(), "2023-04-10T06:00:00");
        let same = Stretch::containing(moment("2023-04-10T08:00:00Z"), &zone);
        assert_eq!((same.start, same.reached), (on.start, on.reached));
    }
}
