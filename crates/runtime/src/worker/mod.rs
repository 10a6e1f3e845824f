//! The worker: takes jobs, runs them, settles them, and keeps house.
//!
//! For each queue a *poller* asks for as many jobs as there are free slots,
//! plus a little; *executors* run them; the *settler* batches what came of
//! them; the *heartbeat* keeps their leases; the *keeper* looks after what is
//! overdue, fires repeatables and applies retention. All of it is idempotent:
//! any number of processes may do it at once.

mod builder;
mod executor;
mod heartbeat;
mod keeper;
mod listener;
mod poller;
mod pool;
mod running;
mod settler;
mod supervise;
mod unknown;

pub(crate) use builder::Parts;
pub use builder::WorkerBuilder;
pub(crate) use executor::run;
pub(crate) use keeper::Keeper;
pub use running::{RunningWorker, WorkerSummary};
pub(crate) use settler::{Finished, settle};
pub(crate) use unknown::UnknownTypes;

use std::time::Duration;

/// How a worker times itself. None of it is a rule: the store judges leases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// How long a lease is.
    pub(crate) lease: Duration,
    /// How long an idle poller waits at most before it asks again.
    pub(crate) poll: Duration,
    /// How often the keeper looks for what is overdue.
    pub(crate) sweep: Duration,
    /// How long a handler that was cancelled may go on.
    pub(crate) cancel_grace: Duration,
    /// How long handlers may go on once the worker shuts down.
    pub(crate) shutdown_grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            sweep: Duration::from_secs(5),
            cancel_grace: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

/// How long to wait before a store that failed is asked again: from 50 ms,
/// twice as long each time, at most 5 s.
pub(crate) fn store_backoff(failures: u32) -> Duration {
    Duration::from_millis(50)
        .saturating_mul(1 << failures.saturating_sub(1).min(10))
        .min(Duration::from_secs(5))
}
