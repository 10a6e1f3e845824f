//! For what is to be said again, but not all the time.

use std::time::{Duration, Instant};

/// How often the same thing is said at most.
const EVERY: Duration = Duration::from_secs(60);

/// Lets something be said at once, and then once a minute at most.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Option<Instant>);

impl Seldom {
    /// Whether it is to be said at this moment of the machine.
    pub(crate) fn is_time(&mut self, now: Instant) -> bool {
        let time = self.0.is_none_or(|last| now.duration_since(last) >= EVERY);
        if time {
            self.0 = Some(now);
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_once_a_minute() {
        let begin = Instant::now();
        let mut seldom = Seldom::default();
        let said = [0, 1, 59, 60, 61, 119, 120, 500]
            .map(|second| seldom.is_time(begin + Duration::from_secs(second)));
        assert_eq!(said, [true, false, false, true, false, false, true, true]);
    }
}
