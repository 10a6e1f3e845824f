//! Figures over time, from looks at a queue's stats.

use std::time::Duration;

use windlass::model::{QueueStats, State, Timestamp};

/// How many jobs of a queue have started and gone on to something else. It
/// rises with every start, but for jobs that come back.
fn gone_on(stats: &QueueStats) -> u64 {
    let ended = State::ALL.into_iter().filter(|state| state.is_terminal());
    ended.map(|state| stats.count(state)).sum::<u64>() + stats.leases
}

/// How long jobs wait at most while a slot is free and nothing happens (fault
/// F13): a moment is no fault, a slot that has leaked would stay so for ever.
#[derive(Debug, Default)]
pub(crate) struct IdleSlots {
    since: Option<(Timestamp, u64)>,
    pub(crate) longest: Duration,
}

impl IdleSlots {
    pub(crate) fn look(&mut self, stats: &QueueStats, limit: u32) {
        let idle = stats.count(State::Waiting) > 0 && stats.leases < u64::from(limit);
        let gone_on = gone_on(stats);
        self.since = match self.since {
            _ if !idle => None,
            Some((since, then)) if then == gone_on => {
                self.longest = self.longest.max(stats.now.since(since));
                Some((since, then))
            }
            _ => Some((stats.now, gone_on)),
        };
    }
}

/// How many jobs start while others wait (fault F15).
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<(Timestamp, u64)>,
    /// How long jobs were waiting, from look to look.
    pub(crate) backlogged: Duration,
    /// How many started meanwhile.
    pub(crate) started: u64,
}

impl Pace {
    pub(crate) fn look(&mut self, stats: &QueueStats) {
        let waits = stats.count(State::Waiting) > 0;
        let now = (stats.now, gone_on(stats));
        if let Some((then, started)) = self.last.filter(|_| waits) {
            self.backlogged += now.0.since(then);
            self.started += now.1.saturating_sub(started);
        }
        self.last = waits.then_some(now);
    }

    /// Forgets the last look: what follows has nothing to do with it.
    pub(crate) fn pause(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use windlass::model::QueueName;

    use super::*;

    fn stats(ms: u64, waiting: u64, leases: u64, completed: u64) -> QueueStats {
        let mut jobs = [0; 8];
        jobs[usize::from(State::Waiting.code())] = waiting;
        jobs[usize::from(State::Active.code())] = leases;
        jobs[usize::from(State::Completed.code())] = completed;
        QueueStats {
            queue: QueueName::new("q").unwrap(),
            jobs,
            oldest_ready: None,
            leases,
            starts_in_window: 0,
            paused: false,
            now: Timestamp::EPOCH.after(Duration::from_millis(ms)),
        }
    }

    #[test]
    fn a_slot_is_idle_while_jobs_wait_and_nothing_happens() {
        let mut slots = IdleSlots::default();
        for (ms, waiting, leases, completed, longest) in [
            (0, 5, 3, 0, 0),
            (100, 5, 3, 0, 100),
            // One was taken.
            (200, 4, 3, 1, 100),
            (250, 4, 3, 1, 100),
            (400, 4, 3, 1, 200),
            // No slot is free, and then nobody waits.
            (900, 3, 4, 1, 200),
            (1900, 0, 3, 2, 200),
            (2900, 0, 3, 2, 200),
        ] {
            slots.look(&stats(ms, waiting, leases, completed), 4);
            assert_eq!(slots.longest, Duration::from_millis(longest), "at {ms}");
        }
    }

    #[test]
    fn only_starts_while_others_wait_count_for_the_pace() {
        let mut pace = Pace::default();
        pace.look(&stats(0, 9, 1, 0));
        pace.look(&stats(100, 7, 1, 2));
        // The backlog is gone, and comes again.
        pace.look(&stats(200, 0, 0, 10));
        pace.look(&stats(900, 5, 1, 20));
        pace.look(&stats(1000, 5, 2, 22));
        assert_eq!((pace.backlogged, pace.started), (Duration::from_millis(200), 5));
        pace.pause();
        pace.look(&stats(5000, 5, 2, 22));
        assert_eq!(pace.backlogged, Duration::from_millis(200));
    }
}
