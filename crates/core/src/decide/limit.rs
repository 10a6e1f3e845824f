//! How many jobs may start, and when to look again (rules G1 and G4).

use crate::model::{Rate, Timestamp};

/// What a limit leaves room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many further starts.
    pub free: u32,
    /// If there is no room: when there will be some. `None`: not by the
    /// passing of time.
    pub again: Option<Timestamp>,
}

/// What a bound on leases leaves room for, with so many held.
///
/// A slot is the lease itself: there is nothing else to count, so none can
/// leak. The first lease to run out says when to look again.
#[must_use]
pub fn slots(limit: u32, held: u64, first_to_run_out: Option<Timestamp>) -> Room {
    let held = u32::try_from(held).unwrap_or(u32::MAX);
    let free = limit.saturating_sub(held);
    Room { free, again: first_to_run_out.filter(|_| free == 0 && limit > 0) }
}

/// What a rate leaves room for at `now`, after these starts: (moment, how
/// many), oldest first.
///
/// This is the sliding-window log: a start is allowed if fewer than `limit`
/// starts lie in the window that ends now, open at its beginning. So every
/// window of that length holds, wherever it begins, unlike with a counter per
/// calendar bucket.
#[must_use]
pub fn starts(rate: Rate, now: Timestamp, log: impl IntoIterator<Item = (Timestamp, u32)>) -> Room {
    let horizon = now.before(rate.period);
    let mut used = 0_u32;
    let mut oldest = None;
    for (moment, count) in log {
        if moment > horizon {
            oldest = oldest.or(Some(moment));
            used = used.saturating_add(count);
        }
    }
    let free = rate.limit.saturating_sub(used);
    let again = oldest.filter(|_| free == 0 && rate.limit > 0).map(|m| m.after(rate.period));
    Room { free, again }
}

/// From which moment on starts count at `now`; what lies at or before it can
/// be forgotten.
#[must_use]
pub fn horizon(rate: Rate, now: Timestamp) -> Timestamp {
    now.before(rate.period)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decide::samples::at;

    const fn rate(limit: u32) -> Rate {
        Rate { limit, period: Duration::from_micros(100) }
    }

    #[test]
    fn a_window_slides_and_does_not_restart() {
        let log = [(at(90), 2), (at(110), 1)];
        // Limit 3: full until the two starts at 90 leave the window at 190.
        for (now, free, again) in [
            (110, 0, Some(at(190))),
            (189, 0, Some(at(190))),
            (190, 2, None),
            (209, 2, None),
            (210, 3, None),
        ] {
            assert_eq!(starts(rate(3), at(now), log), Room { free, again }, "at {now}");
        }
        assert_eq!(starts(rate(5), at(110), log).free, 2);
    }

    #[test]
    fn every_window_holds_when_starts_are_as_early_as_allowed() {
        let rate = rate(7);
        let mut log: Vec<(Timestamp, u32)> = Vec::new();
        let (mut now, mut total) = (0, 0);
        while total < 500 {
            let room = starts(rate, at(now), log.iter().copied());
            if room.free == 0 {
                now = room.again.unwrap().as_micros();
            } else {
                // Uneven portions, so that windows overlap at odd places.
                let n = room.free.min(1 + (now as u32 % 3));
                log.push((at(now), n));
                total += n;
                now += 3;
            }
        }
        for begin in 0..now {
            let within: u32 = log
                .iter()
                .filter(|(m, _)| (begin..begin + 100).contains(&m.as_micros()))
                .map(|(_, n)| n)
                .sum();
            assert!(within <= 7, "{within} starts in the window from {begin}");
        }
    }

    #[test]
    fn a_limit_of_zero_stops_everything_for_good() {
        assert_eq!(starts(rate(0), at(5), []), Room { free: 0, again: None });
        assert_eq!(slots(0, 0, None), Room { free: 0, again: None });
        assert_eq!(slots(0, 2, Some(at(9))), Room { free: 0, again: None });
    }

    #[test]
    fn a_slot_is_free_when_a_lease_is_not_held() {
        assert_eq!(slots(3, 1, Some(at(9))), Room { free: 2, again: None });
        assert_eq!(slots(3, 3, Some(at(9))), Room { free: 0, again: Some(at(9)) });
        // A limit that was lowered below what is held.
        assert_eq!(slots(3, 8, Some(at(9))), Room { free: 0, again: Some(at(9)) });
    }
}
