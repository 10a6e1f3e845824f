//! What a cron schedule does when the clock changes, case by case. The oracle
//! covers every change; these are the cases that the documentation names.

use windlass_core::model::time::Timestamp;
use windlass_core::schedule::Schedule;

fn moment(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().expect("a moment");
    Timestamp::from_micros(moment.as_microsecond())
}

/// Asserts the complete list of fires from `from` to `to`, both included.
#[track_caller]
fn fires(expression: &str, zone: &str, from: &str, to: &str, expected: &[&str]) {
    let schedule = Schedule::cron(expression, zone).expect("a valid schedule");
    let before = Timestamp::from_micros(moment(from).as_micros() - 1);
    let found: Vec<String> = schedule
        .upcoming(Timestamp::EPOCH, before)
        .take_while(|fire| *fire <= moment(to))
        .map(|fire| fire.to_string())
        .collect();
    assert_eq!(found, expected, "{expression} in {zone}");
}

#[test]
fn a_fixed_time_in_a_gap_fires_at_the_first_instant_after_it() {
    // 2024-03-31 02:00 becomes 03:00 (01:00Z).
    fires(
        "30 2 * * *",
        "Europe/Berlin",
        "2024-03-30T00:00:00Z",
        "2024-04-01T12:00:00Z",
        &["2024-03-30T01:30:00Z", "2024-03-31T01:00:00Z", "2024-04-01T00:30:00Z"],
    );
}

#[test]
fn several_fixed_times_in_a_gap_and_at_its_end_are_one_fire() {
    fires(
        "0,15,30,45 1-3 * * *",
        "Europe/Berlin",
        "2024-03-31T00:40:00Z",
        "2024-03-31T12:00:00Z",
        &[
            "2024-03-31T00:45:00Z",
            "2024-03-31T01:00:00Z",
            "2024-03-31T01:15:00Z",
            "2024-03-31T01:30:00Z",
            "2024-03-31T01:45:00Z",
        ],
    );
}

#[test]
fn a_fixed_time_that_exists_twice_fires_the_first_time() {
    // 2024-10-27 03:00 becomes 02:00 (01:00Z).
    fires(
        "30 2 * * *",
        "Europe/Berlin",
        "2024-10-26T12:00:00Z",
        "2024-10-28T12:00:00Z",
        &["2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z"],
    );
    // The end of the repeated time exists once.
    fires(
        "0 2,3 * * *",
        "Europe/Berlin",
        "2024-10-26T12:00:00Z",
        "2024-10-27T12:00:00Z",
        &["2024-10-27T00:00:00Z", "2024-10-27T02:00:00Z"],
    );
}

#[test]
fn a_wildcard_follows_elapsed_time_through_gap_and_fold() {
    fires(
        "*/30 * * * *",
        "Europe/Berlin",
        "2024-03-31T00:30:00Z",
        "2024-03-31T01:30:00Z",
        &["2024-03-31T00:30:00Z", "2024-03-31T01:00:00Z", "2024-03-31T01:30:00Z"],
    );
    fires(
        "30 * * * *",
        "Europe/Berlin",
        "2024-10-27T00:00:00Z",
        "2024-10-27T03:00:00Z",
        &["2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z", "2024-10-27T02:30:00Z"],
    );
}

#[test]
fn a_wildcard_minute_in_a_skipped_hour_does_not_fire_and_in_a_repeated_one_fires_twice() {
    fires("*/30 2 * * *", "Europe/Berlin", "2024-03-31T00:00:00Z", "2024-03-31T12:00:00Z", &[]);
    fires(
        "*/30 2 * * *",
        "Europe/Berlin",
        "2024-10-27T00:00:00Z",
        "2024-10-27T12:00:00Z",
        &[
            "2024-10-27T00:00:00Z",
            "2024-10-27T00:30:00Z",
            "2024-10-27T01:00:00Z",
            "2024-10-27T01:30:00Z",
        ],
    );
}

#[test]
fn a_gap_at_midnight_keeps_the_day() {
    // Sunday 2018-11-04 00:00 becomes 01:00 (03:00Z).
    let zone = "America/Sao_Paulo";
    fires(
        "0 0 * * *",
        zone,
        "2018-11-03T00:00:00Z",
        "2018-11-05T12:00:00Z",
        &["2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"],
    );
    fires(
        "30 0 * * 0",
        zone,
        "2018-11-01T00:00:00Z",
        "2018-11-07T00:00:00Z",
        &["2018-11-04T03:00:00Z"],
    );
    fires("30 0 * * 6", zone, "2018-11-04T00:00:00Z", "2018-11-07T00:00:00Z", &[]);
    // Friday 2023-04-28 00:00 becomes 01:00 (2023-04-27T22:00Z).
    fires(
        "0 0 28 4 *",
        "Africa/Cairo",
        "2023-01-01T00:00:00Z",
        "2023-12-31T00:00:00Z",
        &["2023-04-27T22:00:00Z"],
    );
    // Sunday 2024-03-31 00:00 becomes 01:00 (2024-03-30T22:00Z).
    fires(
        "0 0 L 3 *",
        "Asia/Beirut",
        "2024-01-01T00:00:00Z",
        "2024-12-31T00:00:00Z",
        &["2024-03-30T22:00:00Z"],
    );
}

#[test]
fn a_change_by_half_an_hour_follows_the_same_rule() {
    // 2024-10-06 02:00 becomes 02:30 (2024-10-05T15:30Z).
    let zone = "Australia/Lord_Howe";
    fires(
        "15,45 2 * * *",
        zone,
        "2024-10-05T12:00:00Z",
        "2024-10-06T12:00:00Z",
        &["2024-10-05T15:30:00Z", "2024-10-05T15:45:00Z"],
    );
    // 2024-04-07 02:00 becomes 01:30 (2024-04-06T15:00Z).
    fires(
        "15,45 1 * * *",
        zone,
        "2024-04-06T12:00:00Z",
        "2024-04-07T12:00:00Z",
        &["2024-04-06T14:15:00Z", "2024-04-06T14:45:00Z"],
    );
    fires(
        "*/45 1 * * *",
        zone,
        "2024-04-06T12:00:00Z",
        "2024-04-07T12:00:00Z",
        &["2024-04-06T14:00:00Z", "2024-04-06T14:45:00Z", "2024-04-06T15:15:00Z"],
    );
}

#[test]
fn the_fixed_times_of_a_skipped_day_are_one_fire_at_its_end() {
    // Friday 2011-12-30 does not exist in Samoa.
    let zone = "Pacific/Apia";
    fires(
        "0 8,20 30 12 *",
        zone,
        "2011-12-01T00:00:00Z",
        "2012-02-01T00:00:00Z",
        &["2011-12-30T10:00:00Z"],
    );
    fires(
        "0 12 * * 5",
        zone,
        "2011-12-20T00:00:00Z",
        "2012-01-07T00:00:00Z",
        &["2011-12-23T22:00:00Z", "2011-12-30T10:00:00Z", "2012-01-05T22:00:00Z"],
    );
    fires("0 * 30 12 *", zone, "2011-12-01T00:00:00Z", "2012-02-01T00:00:00Z", &[]);
}

#[test]
fn the_fixed_times_of_a_repeated_day_fire_on_the_first() {
    // 1969-10-01 00:00 becomes 1969-09-30 01:00 in Kwajalein.
    fires(
        "0 12 30 9 *",
        "Pacific/Kwajalein",
        "1969-09-01T00:00:00Z",
        "1969-11-01T00:00:00Z",
        &["1969-09-30T01:00:00Z"],
    );
}

#[test]
fn a_star_in_the_seconds_does_not_make_a_wildcard() {
    fires(
        "*/20 30 2 * * *",
        "Europe/Berlin",
        "2024-03-31T00:00:00Z",
        "2024-03-31T12:00:00Z",
        &["2024-03-31T01:00:00Z"],
    );
    fires(
        "*/20 30 2 * * *",
        "Europe/Berlin",
        "2024-10-27T00:00:00Z",
        "2024-10-27T12:00:00Z",
        &["2024-10-27T00:30:00Z", "2024-10-27T00:30:20Z", "2024-10-27T00:30:40Z"],
    );
}

#[test]
fn a_period_takes_no_notice_of_a_clock_change() {
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    let daily = Schedule::every(day).expect("a valid period");
    let anchor = moment("2024-03-30T01:30:00Z");
    let found: Vec<String> =
        daily.upcoming(anchor, anchor).take(2).map(|fire| fire.to_string()).collect();
    assert_eq!(found, ["2024-03-31T01:30:00Z", "2024-04-01T01:30:00Z"]);
}
