//! Time zones by name.

use std::fmt;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::error::{ScheduleError, ScheduleErrorKind, quoted};

/// A time zone of the IANA database that is compiled into the program, so that
/// every process built alike agrees on it and nothing is read from the machine.
#[derive(Clone)]
pub(super) struct Zone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    /// Looks a zone up by its IANA name, in any case.
    pub(super) fn named(name: &str) -> Result<Self, ScheduleError> {
        let database = TimeZoneDatabase::bundled();
        let known = database.get(name).ok().filter(|rules| !rules.is_unknown());
        let Some(rules) = known else {
            return Err(unknown(&database, name));
        };
        let name = rules.iana_name().unwrap_or(name).to_owned();
        Ok(Self { name, rules })
    }

    /// The zone's name as the database spells it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn rules(&self) -> &TimeZone {
        &self.rules
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({:?})", self.name)
    }
}

fn unknown(database: &TimeZoneDatabase, name: &str) -> ScheduleError {
    // A city without its region is the usual slip.
    let city = |zone: &str| zone.rsplit('/').next().unwrap_or(zone).replace('_', " ");
    let wanted = city(name);
    let hint = database
        .available()
        .find(|zone| city(zone.as_str()).eq_ignore_ascii_case(&wanted))
        .map_or_else(String::new, |zone| format!("; is {} meant?", quoted(zone.as_str())));
    ScheduleError::new(
        ScheduleErrorKind::Zone,
        format!(
            "the time zone {} is unknown; it has to be a name of the IANA database such as \
             `Europe/Berlin` or `UTC`{hint}",
            quoted(name),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_found_in_any_case_and_keeps_its_proper_name() {
        for (asked, name) in
            [("Europe/Berlin", "Europe/Berlin"), ("europe/BERLIN", "Europe/Berlin"), ("utc", "UTC")]
        {
            assert_eq!(Zone::named(asked).map(|zone| zone.name), Ok(name.to_owned()));
        }
    }

    #[test]
    fn an_unknown_zone_is_refused_with_a_hint() {
        for (asked, hint) in [
            ("Berlin", "is `Europe/Berlin` meant?"),
            ("new york", "is `America/New_York` meant?"),
            ("Mars/Phobos", "such as `Europe/Berlin` or `UTC`"),
            ("", "such as"),
            ("+02:00", "such as"),
            ("Etc/Unknown", "such as"),
            ("Europe/Berlin\0", "such as"),
        ] {
            let error = Zone::named(asked).expect_err("an unknown zone");
            assert_eq!(error.kind(), ScheduleErrorKind::Zone);
            assert!(error.to_string().contains(hint), "{error}");
        }
    }
}
