//! The zones that are compared, and their clock changes.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// European and African zones: summer time in the north, Ramadan in Morocco,
/// midnight changes in Egypt and the Azores, two hours in Troll.
pub(crate) const EUROPE_AND_AFRICA: &[&str] = &[
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/El_Aaiun",
    "Africa/Juba",
    "Antarctica/Troll",
    "Atlantic/Azores",
    "Europe/Berlin",
    "Europe/Chisinau",
    "Europe/Dublin",
    "Europe/Kyiv",
    "Europe/Lisbon",
    "Europe/London",
    "Europe/Volgograd",
];

/// American zones: north, south, and those that have given summer time up.
pub(crate) const AMERICA: &[&str] = &[
    "America/Adak",
    "America/Asuncion",
    "America/Chicago",
    "America/Havana",
    "America/Los_Angeles",
    "America/Mexico_City",
    "America/Miquelon",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/Scoresbysund",
    "America/St_Johns",
    "America/Whitehorse",
    "Pacific/Easter",
];

/// Asian, Australian and Pacific zones: midnight changes, 30-minute changes,
/// quarter-hour offsets.
pub(crate) const ASIA_AND_PACIFIC: &[&str] = &[
    "Antarctica/Casey",
    "Asia/Almaty",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Damascus",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Asia/Tehran",
    "Australia/Adelaide",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Fiji",
    "Pacific/Norfolk",
];

/// Odd changes before 2020: at midnight, by half an hour, over the date line
/// in both directions, several within one season, double summer time.
pub(crate) const PAST: &[(&str, &str, &str)] = &[
    ("Africa/Casablanca", "2012-01-01T00:00:00Z", "2015-01-01T00:00:00Z"),
    ("Africa/Cairo", "2010-01-01T00:00:00Z", "2015-01-01T00:00:00Z"),
    ("America/Caracas", "2007-01-01T00:00:00Z", "2017-01-01T00:00:00Z"),
    ("America/Sao_Paulo", "2014-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
    ("Antarctica/Casey", "2009-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
    ("Asia/Gaza", "2008-01-01T00:00:00Z", "2012-01-01T00:00:00Z"),
    ("Asia/Kathmandu", "1985-01-01T00:00:00Z", "1987-01-01T00:00:00Z"),
    ("Asia/Pyongyang", "2015-01-01T00:00:00Z", "2019-01-01T00:00:00Z"),
    ("Australia/Lord_Howe", "1981-01-01T00:00:00Z", "1986-01-01T00:00:00Z"),
    ("Europe/London", "1940-01-01T00:00:00Z", "1948-01-01T00:00:00Z"),
    ("Pacific/Apia", "2010-01-01T00:00:00Z", "2012-06-01T00:00:00Z"),
    ("Pacific/Kwajalein", "1969-01-01T00:00:00Z", "1994-01-01T00:00:00Z"),
];

/// Changes that are walked second by second, among them offsets with seconds.
pub(crate) const BY_SECOND: &[(&str, &str, &str)] = &[
    ("Africa/Monrovia", "1972-01-01T00:00:00Z", "1973-01-01T00:00:00Z"),
    ("America/New_York", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
    ("Asia/Beirut", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
    ("Australia/Lord_Howe", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
    ("Europe/Berlin", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
    ("Europe/Dublin", "1916-01-01T00:00:00Z", "1917-01-01T00:00:00Z"),
    ("Pacific/Chatham", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
];

/// A change of a zone's clock.
pub(crate) struct Change {
    pub(crate) zone: &'static str,
    pub(crate) rules: TimeZone,
    /// Seconds since the epoch.
    pub(crate) moment: i64,
    /// The local clock at the moment, in seconds, by the old offset.
    pub(crate) old_clock: i64,
    /// The same by the new offset.
    pub(crate) new_clock: i64,
}

/// The changes of a zone's offset between two moments.
pub(crate) fn changes(zone: &'static str, from: &str, to: &str) -> Vec<Change> {
    let rules = TimeZoneDatabase::bundled().get(zone).expect("a zone of the database");
    let from: Timestamp = from.parse().expect("a moment");
    let to: Timestamp = to.parse().expect("a moment");
    let offset = |moment: i64| {
        let moment = Timestamp::from_second(moment).expect("a moment within the calendar");
        i64::from(rules.to_offset(moment).seconds())
    };
    rules
        .following(from)
        .map(|change| change.timestamp())
        .take_while(|moment| *moment < to)
        .map(Timestamp::as_second)
        .filter(|moment| offset(moment - 1) != offset(*moment))
        .map(|moment| Change {
            zone,
            rules: rules.clone(),
            moment,
            old_clock: moment + offset(moment - 1),
            new_clock: moment + offset(moment),
        })
        .collect()
}
