//! Limits are never exceeded, and no slot leaks.

use windlass::model::{QueueName, Timestamp};

use super::Check;
use super::index::Index;
use crate::plan::{CONCURRENCY, POISON_CONCURRENCY, RATE, RATE_PERIOD};

/// The queues with a bound on leases.
const BOUNDED: [(&str, u32); 2] = [("limited", CONCURRENCY), ("poison", POISON_CONCURRENCY)];

/// The queue with a bound on starts.
const RATED: &str = "rated";

pub(super) fn checks(index: &Index<'_>) -> Vec<Check> {
    vec![observed(index), overlaps(index), rate(index), leaks(index)]
}

/// As the store counts them.
fn observed(index: &Index<'_>) -> Check {
    let mut check =
        Check::new("live leases are within the limit, as the store counts", &["F12", "F14"]);
    let observed = &index.evidence.observed;
    for (queue, limit) in BOUNDED {
        let most = most(&observed.most_leases, queue);
        check.look(most <= u64::from(limit), || {
            format!("{most} leases in {queue}, at most {limit}")
        });
    }
    check.looked_at = observed.looks;
    check
}

pub(super) fn most(seen: &std::collections::HashMap<QueueName, u64>, queue: &str) -> u64 {
    seen.iter().find(|(name, _)| name.as_str() == queue).map_or(0, |(_, most)| *most)
}

/// As handlers saw them: at no moment are more leases live for certain.
fn overlaps(index: &Index<'_>) -> Check {
    let mut check =
        Check::new("live leases are within the limit, as handlers saw", &["F12", "F14"]);
    for (queue, limit) in BOUNDED {
        let live: Vec<_> = index
            .starts
            .iter()
            .filter(|(start, _)| start.queue.as_str() == queue)
            .map(|(start, _)| index.surely_live(start))
            .collect();
        check.looked_at += live.len() as u64;
        let (most, at) = most_at_once(live);
        if most > u64::from(limit) {
            check.violations.push(format!("{most} jobs of {queue} at {at}, at most {limit}"));
        }
    }
    check
}

/// How many intervals overlap at most, and where. An end counts before a
/// beginning at the same moment.
pub(super) fn most_at_once(live: Vec<(Timestamp, Timestamp)>) -> (u64, Timestamp) {
    let mut turns: Vec<(Timestamp, i64)> = live
        .into_iter()
        .filter(|(begin, end)| begin < end)
        .flat_map(|(begin, end)| [(begin, 1), (end, -1)])
        .collect();
    turns.sort_unstable();
    let (mut now, mut most, mut at) = (0, 0, Timestamp::EPOCH);
    for (moment, change) in turns {
        now += change;
        if now > most {
            (most, at) = (now, moment);
        }
    }
    (u64::try_from(most).unwrap_or_default(), at)
}

/// Starts in any sliding window ≤ limit, by the store's clock. A window is open
/// at its beginning: two starts exactly one period apart are in none together.
fn rate(index: &Index<'_>) -> Check {
    let mut check = Check::new("starts in every sliding window are within the rate", &["F15"]);
    let observed = most(&index.evidence.observed.most_starts, RATED);
    check.look(observed <= u64::from(RATE), || {
        format!("{observed} starts in a window, as the store counts; at most {RATE}")
    });
    let mut starts: Vec<_> = index
        .starts
        .iter()
        .filter(|(start, _)| start.queue.as_str() == RATED)
        .map(|(start, _)| start.at)
        .collect();
    starts.sort_unstable();
    for window in starts.windows(RATE as usize + 1) {
        let (first, last) = (window[0], window[RATE as usize]);
        check.look(last.since(first) >= RATE_PERIOD, || {
            format!("{} starts from {first} to {last}, at most {RATE} in {RATE_PERIOD:?}", RATE + 1)
        });
    }
    check.looked_at += starts.len() as u64;
    check
}

/// Drift after drain = 0.
fn leaks(index: &Index<'_>) -> Check {
    let mut check = Check::new("no lease is left when all has ended", &["F12", "F13"]);
    for book in &index.evidence.books {
        check.look(book.leases == 0, || format!("{} leases in {}", book.leases, book.queue));
    }
    check
}
