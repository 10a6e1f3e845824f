//! Figures of a queue.

use super::name::QueueName;
use super::state::State;
use super::time::Timestamp;

/// Figures of one queue (rule Q2).
#[derive(Clone, Debug, PartialEq)]
pub struct QueueStats {
    /// The queue.
    pub queue: QueueName,
    /// How many jobs are in each state, indexed by [`State::code`].
    pub jobs: [u64; 8],
    /// The earliest moment at which a job that is waiting now became ready.
    /// One that was handed back, or taken over, may count from when it first
    /// did or from when it came back.
    pub oldest_ready: Option<Timestamp>,
    /// Leases that are held, live or run out.
    pub leases: u64,
    /// Starts within the current window of the queue's rate; 0 without one.
    pub starts_in_window: u64,
    /// Whether the queue is paused.
    pub paused: bool,
    /// The store's time.
    pub now: Timestamp,
}

impl QueueStats {
    /// How many jobs are in this state.
    #[must_use]
    pub fn count(&self, state: State) -> u64 {
        self.jobs[usize::from(state.code())]
    }
}
