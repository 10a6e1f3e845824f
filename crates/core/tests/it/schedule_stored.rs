//! How schedules are written down and read back.

use std::time::Duration;

use serde_json::{Value, from_value, json, to_value};
use windlass_core::schedule::{Every, Schedule, ScheduleErrorKind};

fn refused(stored: Value) -> String {
    let read: Result<Schedule, _> = from_value(stored);
    read.expect_err("an invalid schedule").to_string()
}

#[test]
fn a_schedule_survives_being_stored() {
    for (schedule, stored) in [
        (Schedule::every(Duration::from_secs(60)), json!({"every": {"period_us": 60_000_000}})),
        (
            Schedule::every(Every::LONGEST),
            json!({"every": {"period_us": 3_155_760_000_000_000_i64}}),
        ),
        (
            Schedule::cron("0 3 * * mon", "Europe/Berlin"),
            json!({"cron": {"expression": "0 3 * * MON", "zone": "Europe/Berlin"}}),
        ),
        (
            Schedule::cron("*/10 * * * * *", "UTC"),
            json!({"cron": {"expression": "*/10 * * * * *", "zone": "UTC"}}),
        ),
    ] {
        let schedule = schedule.expect("a valid schedule");
        assert_eq!(to_value(&schedule).expect("writable"), stored);
        let read: Schedule = from_value(stored).expect("readable");
        assert_eq!(read, schedule);
    }
}

#[test]
fn a_stored_schedule_is_validated_again() {
    let cron = |expression, zone| json!({"cron": {"expression": expression, "zone": zone}});
    for (stored, reason) in [
        (json!({"every": {"period_us": 0}}), "too short"),
        (json!({"every": {"period_us": 999}}), "too short"),
        (json!({"every": {"period_us": u64::MAX}}), "too long"),
        (json!({"every": {"period_us": -1}}), "invalid value"),
        (json!({"every": {"period_us": 60_000_000, "jitter": 1}}), "unknown field"),
        (json!({"every": {}}), "missing field"),
        (cron("61 * * * *", "UTC"), "minute field `61`"),
        (cron("* * * *", "UTC"), "4 fields"),
        (cron("* * * * *", "Nowhere"), "time zone `Nowhere`"),
        (json!({"cron": {"expression": "* * * * *"}}), "missing field"),
        (json!({"daily": {}}), "unknown variant"),
    ] {
        let error = refused(stored);
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn schedules_that_mean_the_same_by_case_spaces_or_nickname_are_equal() {
    let cron = |expression, zone| Schedule::cron(expression, zone).expect("a valid schedule");
    let daily = cron("0 0 * * *", "Europe/Berlin");
    assert_eq!(daily, cron("  0 0\t* *  * ", "europe/berlin"));
    assert_eq!(daily, cron("@daily", "Europe/Berlin"));
    assert_eq!(daily, cron("@Midnight", "Europe/Berlin"));
    assert_ne!(daily, cron("0 0 * * *", "Europe/Vienna"));
    assert_ne!(daily, cron("0 0 0 * * *", "Europe/Berlin"));
    assert_eq!(cron("0 0 * jan sun", "UTC"), cron("0 0 * JAN Sun", "UTC"));
}

#[test]
fn an_error_says_what_is_wrong_and_what_would_be_right() {
    use ScheduleErrorKind as Kind;
    for (expression, zone, kind, wrong, right) in [
        ("0 24 * * *", "UTC", Kind::Field, "the hour field `24`", "0-23"),
        ("60 0 * * *", "UTC", Kind::Field, "the minute field `60`", "0-59"),
        ("60 0 0 * * *", "UTC", Kind::Field, "the second field `60`", "0-59"),
        ("0 0 0 * *", "UTC", Kind::Field, "the day-of-month field `0`", "1-31"),
        ("0 0 32W * *", "UTC", Kind::Field, "the day-of-month field `32W`", "1-31"),
        ("0 0 * 13 *", "UTC", Kind::Field, "the month field `13`", "1-12 or JAN-DEC"),
        ("0 0 * * 8", "UTC", Kind::Field, "the day-of-week field `8`", "0-7 or SUN-SAT"),
        ("0 0 * * fri-mon", "UTC", Kind::Field, "`FRI-MON`", "rising ranges"),
        ("*/90 * * * *", "UTC", Kind::Field, "larger than the field's range", "0-59"),
        ("5/15 * * * *", "UTC", Kind::Field, "a step needs `*` or a range", "`10-50/5`"),
        ("0 12 ? * MON", "UTC", Kind::Field, "`?` is not supported", "write `*`"),
        ("0 0 1-7 * +MON", "UTC", Kind::Field, "`+` is not supported", "begins with `*`"),
        ("0 0 0 1 1 * 2030", "UTC", Kind::FieldCount, "7 fields", "year field is not supported"),
        ("0 0 * *", "UTC", Kind::FieldCount, "4 fields", "needs five"),
        ("", "UTC", Kind::FieldCount, "0 fields", "or six (second first)"),
        ("@reboot", "UTC", Kind::Nickname, "`@reboot` is not supported", "@daily"),
        ("0 0 * * *", "Berlin", Kind::Zone, "`Berlin` is unknown", "`Europe/Berlin` meant?"),
        ("0 0 * * *", "+01:00", Kind::Zone, "`+01:00` is unknown", "such as"),
    ] {
        let error = Schedule::cron(expression, zone).expect_err(expression);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(wrong), "{error}");
        assert!(error.to_string().contains(right), "{error}");
    }
    let long = " ".repeat(200) + "* * * * *" + &" ".repeat(48);
    let error = Schedule::cron(&long, "UTC").expect_err("too long");
    assert_eq!(error.kind(), Kind::ExpressionTooLong);
    assert!(error.to_string().contains("257 bytes is too long; the longest has 256"), "{error}");
    assert!(Schedule::cron(&long[1..], "UTC").is_ok());
}
