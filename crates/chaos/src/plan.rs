//! What a run does: its queues, their bounds, and what each worker takes.

use std::time::Duration;

use windlass::model::{Keep, Timestamp};
use windlass::{Queue, QueueBuilder, Result, Windlass};

/// How many leases of the queue `limited` may be live at once.
pub(crate) const CONCURRENCY: u32 = 4;
/// How many jobs of the queue `rated` may start within [`RATE_PERIOD`].
pub(crate) const RATE: u32 = 25;
/// See [`RATE`].
pub(crate) const RATE_PERIOD: Duration = Duration::from_secs(1);
/// How often a lease of the queue `poison` may run out before its job fails.
pub(crate) const MAX_STALLS: u32 = 3;
/// How many leases of the queue `poison` may be live at once: so that a job
/// that kills its process takes no other one of its queue along.
pub(crate) const POISON_CONCURRENCY: u32 = 1;
/// How many partitions the queue `lines` has.
pub(crate) const PARTITIONS: u64 = 8;
/// How many repeatables fire into the queue `ticks`.
pub(crate) const REPEATABLES: u32 = 10;
/// How often each of them does.
pub(crate) const TICK: Duration = Duration::from_millis(200);
/// How long a delayed job is delayed, in lease lengths.
pub(crate) const DELAY_IN_LEASES: u32 = 2;
/// How long a process is stopped, in lease lengths.
pub(crate) const STOP_IN_LEASES: u32 = 3;

/// Leases that run out are what this is about: outside of the queue `poison`,
/// no job fails for it.
const PATIENT: u32 = 1_000_000;

/// The queues of a run.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    /// Without any limit: short and long jobs, retries, snoozes, steps,
    /// children, delays.
    pub(crate) bulk: Queue,
    /// With a bound on leases.
    pub(crate) limited: Queue,
    /// With a bound on starts.
    pub(crate) rated: Queue,
    /// Partitioned, one at a time.
    pub(crate) lines: Queue,
    /// Jobs that depend on each other.
    pub(crate) flows: Queue,
    /// Jobs with deduplication keys.
    pub(crate) unique: Queue,
    /// What repeatables fire.
    pub(crate) ticks: Queue,
    /// Jobs of a type that some workers do not know.
    pub(crate) rare: Queue,
    /// Jobs that kill the process that runs them, and innocent ones.
    pub(crate) poison: Queue,
}

impl Queues {
    /// Declares them. Every process does, at its start, all the same.
    pub(crate) async fn declare(windlass: &Windlass) -> Result<Self> {
        let queue = |name| plain(windlass, name, PATIENT);
        Ok(Self {
            bulk: queue("bulk").declare().await?,
            limited: queue("limited").concurrency(CONCURRENCY).declare().await?,
            rated: queue("rated").rate(RATE, RATE_PERIOD).declare().await?,
            lines: queue("lines").partitioned().declare().await?,
            flows: queue("flows").declare().await?,
            unique: queue("unique").declare().await?,
            ticks: queue("ticks").declare().await?,
            rare: queue("rare").declare().await?,
            poison: plain(windlass, "poison", MAX_STALLS)
                .concurrency(POISON_CONCURRENCY)
                .declare()
                .await?,
        })
    }

    /// All of them, and how many jobs of each a worker runs at once.
    pub(crate) fn all(&self) -> [(&Queue, usize); 9] {
        [
            (&self.bulk, 16),
            (&self.limited, 8),
            (&self.rated, 8),
            (&self.lines, 8),
            (&self.flows, 8),
            (&self.unique, 4),
            (&self.ticks, 8),
            (&self.rare, 4),
            (&self.poison, 1),
        ]
    }

    /// How many jobs a worker runs at once, over all queues.
    pub(crate) fn slots(&self) -> u64 {
        self.all().iter().map(|(_, slots)| *slots as u64).sum()
    }
}

/// Nothing is cleaned: what has ended is looked at in the end.
fn plain(windlass: &Windlass, name: &str, max_stalls: u32) -> QueueBuilder {
    windlass
        .queue(name)
        .max_stalls(max_stalls)
        .keep_completed(Keep::Forever)
        .keep_other(Keep::Forever)
}

/// Whether this worker knows the jobs of the queue `rare`: two of three do.
pub(crate) const fn knows_rare(index: u32) -> bool {
    index % 3 != 2
}

/// What of the plan the judge goes by.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// How long a lease is.
    pub(crate) lease: Duration,
    /// How many jobs a worker runs at once, over all queues.
    pub(crate) slots: u64,
    /// The first moment of every repeatable.
    pub(crate) ticks_from: Timestamp,
    /// No repeatable fires after this moment.
    pub(crate) ticks_until: Timestamp,
}

impl Terms {
    /// How many moments each repeatable has.
    pub(crate) fn moments(&self) -> u64 {
        let span = self.ticks_until.since(self.ticks_from).as_micros();
        let moments = span / TICK.as_micros() + 1;
        u64::try_from(moments).unwrap_or(u64::MAX)
    }
}
