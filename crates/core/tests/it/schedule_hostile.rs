//! Whatever text and whatever moment comes in: no panic, no lie, no long wait.

use std::time::Duration;

use jiff::tz::TimeZoneDatabase;
use windlass_core::model::time::Timestamp;
use windlass_core::schedule::Schedule;

use crate::numbers::Numbers;

/// The ends of every range that a moment passes through, and ordinary moments.
const MOMENTS: &[i64] = &[
    i64::MIN,
    i64::MIN + 1,
    // The first and the last second of the calendar.
    -377_705_023_201_000_001,
    -377_705_023_201_000_000,
    253_402_207_199_000_000,
    253_402_207_200_000_000,
    253_402_207_200_999_999,
    -2_208_988_800_000_001,
    -1,
    0,
    1,
    // 2024-03-31T01:00:00Z and 2024-10-27T01:00:00Z.
    1_711_846_800_000_000,
    1_729_990_800_000_000,
    i64::MAX - 1,
    i64::MAX,
];

const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Antarctica/Troll",
    "Asia/Gaza",
];

/// The first second of the calendar.
const CALENDAR: i64 = MOMENTS[3];

/// How far ahead a cron expression is looked for at most: 41 years.
const FARTHEST: Duration = Duration::from_secs(41 * 366 * 86_400);

/// Asks for next moments from everywhere and checks what comes back.
fn is_sound(schedule: &Schedule, moments: &[i64]) {
    for anchor in [Timestamp::EPOCH, Timestamp::MAX, Timestamp::from_micros(i64::MIN)] {
        for after in moments.iter().copied().map(Timestamp::from_micros) {
            let Some(next) = schedule.next(anchor, after) else {
                continue;
            };
            assert!(next > after && next < Timestamp::MAX, "{schedule:?} {after} {next}");
            // The search looks at one day after the other: it is as long as this.
            if matches!(schedule, Schedule::Cron(_)) && after.as_micros() > CALENDAR {
                assert!(next.since(after) <= FARTHEST, "{schedule:?} {after} {next}");
            }
            if let Some(later) = schedule.next(anchor, next) {
                assert!(later > next, "{schedule:?} {next} {later}");
            }
            if matches!(schedule, Schedule::Cron(_)) {
                assert_eq!(next.as_micros().rem_euclid(1_000_000), 0);
            }
        }
        if matches!(schedule, Schedule::Cron(_)) {
            break;
        }
    }
}

/// A text is refused, or it makes a sound schedule that reads back as itself.
fn is_refused_or_sound(expression: &str, zone: &str, moments: &[i64]) -> bool {
    let schedule = match Schedule::cron(expression, zone) {
        Ok(schedule) => schedule,
        Err(error) => {
            assert!(error.to_string().len() < 1_000, "{error}");
            return false;
        }
    };
    is_sound(&schedule, moments);
    let stored = serde_json::to_string(&schedule).expect("writable");
    let read: Schedule = serde_json::from_str(&stored).expect("readable");
    assert_eq!(read, schedule);
    true
}

#[test]
fn texts_that_are_no_expressions_are_refused() {
    let long = "*".repeat(100_000);
    let many = "1,".repeat(10_000);
    for expression in [
        "",
        " ",
        "\n",
        "\0",
        "*",
        "* *",
        "* * *",
        "* * * *",
        "* * * * * * *",
        "*****",
        "@",
        "@@",
        "@every 5m",
        "@reboot",
        "@hourly @daily",
        "@daily *",
        "* * * * @daily",
        "1 2 3 4 5 6 7",
        "*,* * * * *",
        "*,5 * * * *",
        ", * * * *",
        "1, * * * *",
        "1,,2 * * * *",
        "- * * * *",
        "/ * * * *",
        "*/ * * * *",
        "*/0 * * * *",
        "*/-1 * * * *",
        "*/+1 * * * *",
        "*/1.5 * * * *",
        "*/18446744073709551616 * * * *",
        "*/61 * * * *",
        "1-2-3 * * * *",
        "5-1 * * * *",
        "-1 * * * *",
        "+1 * * * *",
        "1.5 * * * *",
        "0x1 * * * *",
        "1e3 * * * *",
        "¼ * * * *",
        "٣ * * * *",
        "１ * * * *",
        "* * * * ſUN",
        "* * * ﬀ *",
        "ß ß ß ß ß",
        "MON * * * *",
        "* MON * * *",
        "* * MON * *",
        "* * * MON *",
        "* * * * JAN",
        "* * * JANFEB *",
        "* * * * MONTUE",
        "* * * * MON1",
        "* * * * 1MON",
        "L * * * *",
        "* L * * *",
        "* * * L *",
        "* * * * L",
        "W * * * *",
        "* * W * *",
        "* * 15W3 * *",
        "* * 15WW * *",
        "* * L,LW * *",
        "* * L-3 * *",
        "* * 0W * *",
        "* * 32 * *",
        "* * * * 5#0",
        "* * * * 5#6",
        "* * * * 5#",
        "* * * * #",
        "* * * * 5#2#3",
        "* * * * 1-5#2",
        "* * * * 5L3",
        "* * ? * *",
        "* * * * ?",
        "* * * * +1",
        "H * * * *",
        "* * * * * 2024",
        "0 0 1 1 * 2024",
        "*\u{a0}* * * *",
        "*\u{2003}* * * *",
        "* * * * *;",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 0 *",
        "* * * 13 *",
        "* * * * 8",
        "65536 * * * *",
        "* * * * -SUN",
        "* * * * SUN-",
        &long,
        &many,
    ] {
        let shown: String = expression.chars().take(40).collect();
        assert!(!is_refused_or_sound(expression, "UTC", MOMENTS), "accepted: {shown:?}");
    }
}

#[test]
fn names_that_are_no_zones_are_refused() {
    let long = "Europe/".repeat(100_000);
    for zone in [
        "",
        " ",
        "UTC ",
        " UTC",
        "\0",
        "Europe",
        "Europe/",
        "/Europe/Berlin",
        "../Europe/Berlin",
        "/etc/localtime",
        "Europe/Berlin\n",
        "Europe\\Berlin",
        "CEST",
        "GMT+2",
        "UTC+1",
        "+02:00",
        "Z",
        "local",
        "localtime",
        "posixrules",
        "Etc/Unknown",
        "AAA0BBB,J1,J2",
        "🕰",
        &long,
    ] {
        let shown: String = zone.chars().take(40).collect();
        assert!(Schedule::cron("* * * * *", zone).is_err(), "accepted: {shown:?}");
    }
}

#[test]
fn thousands_of_random_texts_are_refused_or_make_sound_schedules() {
    let pieces = [
        "0", "1", "2", "5", "7", "12", "23", "29", "30", "31", "59", "60", "99", "65535", "*", "*",
        "*/", "/", "-", ",", "L", "W", "LW", "#", "?", "+", "@", "MON", "SUN", "-SUN", "JAN",
        "FEB", " ", " ", " ", "\t", "é", "\0", "x", "@daily",
    ];
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for _ in 0..3_000 {
        let length = numbers.below(24);
        let text: String = (0..length).map(|_| numbers.pick(&pieces)).collect();
        accepted += usize::from(is_refused_or_sound(&text, numbers.pick(ZONES), &MOMENTS[8..]));
    }
    assert!(accepted < 300, "{accepted} accepted");
}

#[test]
fn thousands_of_nearly_valid_expressions_are_refused_or_make_sound_schedules() {
    let seconds = ["0", "*", "*/7", "59", "0-59", "60"];
    let minutes = ["0", "*", "*/15", "30", "1-5", "7,*/20", "59", "*/61", "0-59/60"];
    let hours = ["0", "*", "*/3", "2", "1-3", "23", "0,12", "24", "2-1"];
    let days = ["*", "1", "L", "LW", "15W", "31", "30", "*/2", "*/31", "1-7", "29,30", "1W", "31W"];
    let months = ["*", "2", "FEB", "*/4", "3-10", "4,6,9,11", "JAN-DEC", "12", "0"];
    let weekdays = ["*", "0", "7", "MON", "5#5", "5L", "*/2", "1-5", "SAT-SUN", "MON#1,SUN#L", "8"];
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..2_000 {
        let mut fields: Vec<&str> = [&minutes[..], &hours, &days, &months, &weekdays]
            .map(|field| numbers.pick(field))
            .into();
        if numbers.below(3) == 0 {
            fields.insert(0, numbers.pick(&seconds));
        }
        // Four moments each; over all texts each moment has its turn.
        let first = numbers.below(MOMENTS.len() - 4);
        let moments = &MOMENTS[first..first + 4];
        if is_refused_or_sound(&fields.join(" "), numbers.pick(ZONES), moments) {
            accepted += 1;
        } else {
            refused += 1;
        }
    }
    assert!(accepted > 500 && refused > 500, "{accepted} accepted, {refused} refused");
}

#[test]
fn every_zone_of_the_database_makes_sound_schedules() {
    let database = TimeZoneDatabase::bundled();
    let mut zones = 0;
    for zone in database.available().filter(|zone| zone.as_str() != "Etc/Unknown") {
        for expression in ["30 2 * * *", "*/20 * * * *"] {
            assert!(is_refused_or_sound(expression, zone.as_str(), MOMENTS), "{zone}");
        }
        zones += 1;
    }
    assert!(zones > 400, "{zones} zones");
}

#[test]
fn periods_are_sound_from_every_anchor() {
    for period in [
        Duration::from_millis(1),
        Duration::from_nanos(1_000_999),
        Duration::from_secs(86_400 * 36_525),
    ] {
        is_sound(&Schedule::every(period).expect("a valid period"), MOMENTS);
    }
}
