//! The starts that count against a rate.

use std::collections::VecDeque;

use windlass_core::decide::limit::{Room, horizon, starts};
use windlass_core::model::{Rate, Timestamp};

/// The starts of the window that ends now.
///
/// What has left the window is forgotten at each look, so that there are never
/// more entries than the rate allows starts, and their sum is at hand.
#[derive(Debug, Default)]
pub(crate) struct Window {
    log: VecDeque<(Timestamp, u32)>,
    total: u32,
}

impl Window {
    /// Notes so many starts. Without a rate nothing is kept.
    pub(crate) fn add(&mut self, rate: Option<Rate>, now: Timestamp, count: u32) {
        if rate.is_none() || count == 0 {
            return;
        }
        match self.log.back_mut() {
            Some((moment, before)) if *moment == now => *before = before.saturating_add(count),
            _ => self.log.push_back((now, count)),
        }
        self.total = self.total.saturating_add(count);
    }

    /// Forgets what no longer counts.
    pub(crate) fn slide(&mut self, rate: Option<Rate>, now: Timestamp) {
        let Some(rate) = rate else {
            self.log.clear();
            self.total = 0;
            return;
        };
        let horizon = horizon(rate, now);
        while let Some(&(moment, count)) = self.log.front() {
            if moment > horizon {
                break;
            }
            self.log.pop_front();
            self.total = self.total.saturating_sub(count);
        }
    }

    /// What the rate leaves room for.
    pub(crate) fn room(&mut self, rate: Rate, now: Timestamp) -> Room {
        self.slide(Some(rate), now);
        // All that is left lies in the window, so that its oldest moment and
        // its sum say as much as the whole log.
        let oldest = self.log.front().map(|(moment, _)| (*moment, self.total));
        starts(rate, now, oldest)
    }

    /// How many starts there are since the last look.
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// When the last of them leaves the window.
    pub(crate) fn empty_at(&self, rate: Option<Rate>) -> Option<Timestamp> {
        Some(self.log.back()?.0.after(rate?.period))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_sum_at_the_oldest_moment_says_as_much_as_the_log() {
        let rate = Rate { limit: 7, period: Duration::from_micros(100) };
        let mut window = Window::default();
        let mut log = Vec::new();
        for micros in 0..1000 {
            let now = Timestamp::from_micros(micros);
            let room = window.room(rate, now);
            assert_eq!(room, starts(rate, now, log.iter().copied()), "at {micros}");
            if micros % 13 < 5 {
                let count = room.free.min(2);
                window.add(Some(rate), now, count);
                if count > 0 {
                    log.push((now, count));
                }
            }
        }
    }
}
