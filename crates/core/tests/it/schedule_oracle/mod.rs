//! The schedule against an oracle that works differently: a daemon that is
//! simulated tick by tick, with a field matcher and a calendar of its own. All
//! they share is each zone's offset from UTC at a moment.
//!
//! Around every clock change from 2020 to 2040 of the zones listed, and around
//! the oddest ones of the past, the complete lists of fire moments have to be
//! equal, and so has the next moment from points in between.

mod comparison;
mod daemon;
mod fields;
mod plans;
mod wrong;
mod zones;

use self::comparison::{Comparison, Rule, Subject, compare, right};
use self::plans::Plan;
use self::zones::{Change, changes};

/// Compares the schedule with the oracle around every change of the zones from
/// 2020 to 2040.
fn agree_until_2040(zones: &[&'static str]) {
    let total = agree(zones, "2020-01-01T00:00:00Z", "2041-01-01T00:00:00Z");
    // A database without changes, or plans without fires, would prove nothing.
    assert!(total.changes > 350 && total.fires > 200_000, "{total}");
}

/// Compares the schedule with the oracle around every change of the zones.
fn agree(zones: &[&'static str], from: &str, to: &str) -> Comparison {
    let mut total = Comparison::default();
    for zone in zones {
        let mut of_zone = Comparison::default();
        let mut subject = Subject::new(zone, right);
        for change in changes(zone, from, to) {
            of_zone += compare(&change, &plans::around(&change), &mut subject);
        }
        assert!(of_zone.changes > 0, "{zone} has no clock change between {from} and {to}");
        total += of_zone;
    }
    eprintln!("{} zones, {total}", zones.len());
    assert_eq!(total.mismatches, Vec::<String>::new());
    total
}

#[test]
fn every_change_until_2040_in_european_and_african_zones_agrees_with_the_oracle() {
    agree_until_2040(zones::EUROPE_AND_AFRICA);
}

#[test]
fn every_change_until_2040_in_american_zones_agrees_with_the_oracle() {
    agree_until_2040(zones::AMERICA);
}

#[test]
fn every_change_until_2040_in_asian_and_pacific_zones_agrees_with_the_oracle() {
    agree_until_2040(zones::ASIA_AND_PACIFIC);
}

#[test]
fn the_odd_changes_of_the_past_agree_with_the_oracle() {
    for (zone, from, to) in zones::PAST {
        agree(&[zone], from, to);
    }
}

#[test]
fn schedules_with_seconds_agree_with_the_oracle_second_by_second() {
    let mut total = Comparison::default();
    for (zone, from, to) in zones::BY_SECOND {
        let mut subject = Subject::new(zone, right);
        for change in changes(zone, from, to) {
            total += compare(&change, &plans::by_second(&change), &mut subject);
        }
    }
    eprintln!("by second: {total}");
    assert_eq!(total.mismatches, Vec::<String>::new());
    assert!(total.changes >= 12, "{total}");
}

#[test]
fn wrong_rules_do_not_agree_with_the_oracle() {
    let plans = [
        Plan::minutes("30 2 * * *"),
        Plan::minutes("0 2,3 * * *"),
        Plan::minutes("*/15 * * * *").within_hours(6),
    ];
    let changes: Vec<Change> =
        changes("Europe/Berlin", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z");
    let mismatches = |rule: Rule| -> usize {
        let mut subject = Subject::new("Europe/Berlin", rule);
        let compared = changes.iter().map(|change| compare(change, &plans, &mut subject));
        compared.map(|comparison| comparison.mismatches.len()).sum()
    };
    let rules: [(&str, Rule); 4] = [
        ("every schedule a wildcard", wrong::all_wildcards),
        ("every schedule fixed", wrong::all_fixed),
        ("skipped times moved on by the gap", wrong::moved_on_by_the_gap),
        ("one second late", wrong::one_second_late),
    ];
    for (name, rule) in rules {
        assert!(mismatches(rule) > 0, "the oracle does not notice the wrong rule: {name}");
    }
    assert_eq!(mismatches(right), 0);
}
