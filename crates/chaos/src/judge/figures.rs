//! Figures that are told and not judged.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use windlass::model::Timestamp;

use super::disturbances::{Disturbed, disturbed, explained_errors};
use super::ends::of_type;
use super::index::Index;
use super::leases::{double_start_bound, double_start_count};
use super::limits::most;
use super::{Died, Integrity};
use crate::fact::{Fact, LeasedWrite, Occasion, Start, StepAnswer};
use crate::jobs::{Poison, Rare};
use crate::plan::{CONCURRENCY, RATE, RATE_PERIOD};

/// The queues in which a job that was taken over waits for nothing else: for no
/// slot, no partition, and no worker that knows its type.
const UNBOUNDED: [&str; 4] = ["bulk", "flows", "ticks", "unique"];

/// Figures that are told and not judged. Times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) seed: u64,
    pub(crate) store: String,
    pub(crate) seconds: u64,
    pub(crate) workers: u32,
    pub(crate) producers: u32,
    pub(crate) lease_ms: u64,
    pub(crate) drained_in_ms: Option<u64>,
    pub(crate) jobs_stored: u64,
    pub(crate) jobs_acknowledged: u64,
    pub(crate) jobs_by_queue: BTreeMap<String, u64>,
    pub(crate) starts: u64,
    pub(crate) stalls: u64,
    pub(crate) double_starts: u64,
    pub(crate) double_starts_bound: u64,
    pub(crate) workers_killed: u64,
    pub(crate) producers_killed: u64,
    pub(crate) workers_aborted_by_a_job: u64,
    pub(crate) workers_stopped: u64,
    pub(crate) producers_stopped: u64,
    /// How often a process found that it had been away, or the store slow, for
    /// more than a third of a lease.
    pub(crate) times_away: u64,
    pub(crate) longest_away_ms: u64,
    pub(crate) handlers_dropped: u64,
    pub(crate) stale_writes_tried: BTreeMap<String, u64>,
    /// How many of them by a process that had just been away for longer than a
    /// lease.
    pub(crate) stale_writes_tried_after_being_away: u64,
    /// How often a process that had been away found that it still had a lease.
    pub(crate) leases_still_held: u64,
    pub(crate) steps_recorded: u64,
    pub(crate) steps_read_again: u64,
    /// From the kill of a worker until what it held of [`UNBOUNDED`] queues
    /// starts again.
    pub(crate) recovery_ms: Spread,
    /// The same, where writes went through all the time (an embedded store
    /// stands still while a stopped process holds its lock) and whoever took it
    /// over lived to start it (its token is the next one).
    pub(crate) recovery_undisturbed_ms: Spread,
    /// How often, and for how long in all, no write went through.
    pub(crate) standstills: u64,
    pub(crate) standstill_ms: u64,
    pub(crate) oldest_orphan_ms: u64,
    pub(crate) rare_jobs_rescued: u64,
    pub(crate) poison_jobs: u64,
    pub(crate) most_leases_of_limit: [u64; 2],
    pub(crate) longest_idle_slot_ms: u64,
    pub(crate) most_starts_of_rate: [u64; 2],
    /// Starts while jobs waited, as a share of what the rate allows.
    pub(crate) rate_used: Option<f64>,
    pub(crate) moments_fired: u64,
    pub(crate) duplicates_refused: u64,
    pub(crate) looks_of_the_observer: u64,
    pub(crate) ended_jobs_watched: u64,
    pub(crate) integrity: &'static str,
    /// What was done to the store.
    pub(crate) disturbances: Vec<Disturbed>,
    /// Calls that failed for it, and so were not acknowledged.
    pub(crate) errors_while_disturbed: BTreeMap<String, u64>,
}

/// How some values are spread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Spread {
    pub(crate) count: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

impl Spread {
    fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let at =
            |share: usize| values.get((values.len() * share / 100).min(values.len().max(1) - 1));
        Self {
            count: values.len() as u64,
            p50: at(50).copied().unwrap_or_default(),
            p99: at(99).copied().unwrap_or_default(),
            max: values.last().copied().unwrap_or_default(),
        }
    }
}

pub(super) fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn figures(index: &Index<'_>) -> Figures {
    let evidence = index.evidence;
    let (run, incidents, observed) = (&evidence.run, &evidence.incidents, &evidence.observed);
    let count =
        |which: fn(&Fact) -> bool| index.facts().filter(|(_, fact)| which(fact)).count() as u64;
    let mut by_queue = BTreeMap::new();
    for record in &evidence.records {
        *by_queue.entry(record.queue.as_str().to_owned()).or_default() += 1;
    }
    let mut tried: BTreeMap<String, u64> = BTreeMap::new();
    let mut longest_away = 0;
    for (_, fact) in index.facts() {
        match fact {
            Fact::Probed { write, .. } => *tried.entry(written(*write)).or_default() += 1,
            Fact::Away { ms } => longest_away = longest_away.max(*ms),
            _ => {}
        }
    }
    let allowed =
        observed.rate_backlogged.as_secs_f64() / RATE_PERIOD.as_secs_f64() * f64::from(RATE);
    Figures {
        seed: run.seed,
        store: run.store.clone(),
        seconds: run.length.as_secs(),
        workers: run.workers,
        producers: run.producers,
        lease_ms: ms(evidence.terms.lease),
        drained_in_ms: run.drained.map(ms),
        jobs_stored: evidence.records.len() as u64,
        jobs_acknowledged: index.acknowledged.len() as u64,
        jobs_by_queue: by_queue,
        starts: index.starts.len() as u64,
        stalls: evidence.records.iter().map(|record| u64::from(record.ending.stalls)).sum(),
        double_starts: double_start_count(index),
        double_starts_bound: double_start_bound(index),
        workers_killed: incidents.workers_killed,
        producers_killed: incidents.producers_killed,
        workers_aborted_by_a_job: incidents.aborts,
        workers_stopped: incidents.workers_stopped,
        producers_stopped: incidents.producers_stopped,
        times_away: count(|fact| matches!(fact, Fact::Away { .. })),
        longest_away_ms: longest_away,
        handlers_dropped: count(|fact| matches!(fact, Fact::Dropped { .. })),
        stale_writes_tried: tried,
        stale_writes_tried_after_being_away: count(|fact| {
            matches!(fact, Fact::Probed { occasion: Occasion::Away, .. })
        }),
        leases_still_held: count(|fact| matches!(fact, Fact::StillHeld { .. })),
        steps_recorded: count(|fact| {
            matches!(fact, Fact::Step { answer: StepAnswer::Recorded, .. })
        }),
        steps_read_again: count(|fact| {
            matches!(fact, Fact::Step { answer: StepAnswer::Existing, .. })
        }),
        recovery_ms: recovery(index, |_, _, _| true),
        recovery_undisturbed_ms: recovery(index, |lost, gone, next| {
            let still = |(begin, end): &(_, _)| *begin <= next.at && gone <= *end;
            next.token.0 == lost.token.0 + 1 && !observed.still.iter().any(still)
        }),
        standstills: observed.still.len() as u64,
        standstill_ms: observed.still.iter().map(|(begin, end)| ms(end.since(*begin))).sum(),
        oldest_orphan_ms: ms(observed.oldest_orphan),
        rare_jobs_rescued: of_type::<Rare>(index).filter(|r| r.ending.stalls > 0).count() as u64,
        poison_jobs: of_type::<Poison>(index).count() as u64,
        most_leases_of_limit: [most(&observed.most_leases, "limited"), u64::from(CONCURRENCY)],
        longest_idle_slot_ms: ms(observed.longest_idle_slot),
        most_starts_of_rate: [most(&observed.most_starts, "rated"), u64::from(RATE)],
        rate_used: (allowed > 0.0)
            .then(|| (observed.rate_started as f64 / allowed * 1000.0).round() / 1000.0),
        moments_fired: evidence.repeatables.iter().map(|repeated| repeated.fired).sum(),
        duplicates_refused: count(|fact| matches!(fact, Fact::Duplicate { .. })),
        looks_of_the_observer: observed.looks,
        ended_jobs_watched: observed.ended.len() as u64,
        integrity: match evidence.integrity {
            Integrity::NotChecked => "not checked",
            Integrity::Sound => "ok",
            Integrity::Broken(_) => "broken",
        },
        disturbances: disturbed(index),
        errors_while_disturbed: explained_errors(index),
    }
}

fn written(write: LeasedWrite) -> String {
    let name = match write {
        LeasedWrite::Extend => "extend",
        LeasedWrite::Complete => "complete",
        LeasedWrite::TakeOver => "take over",
        LeasedWrite::RecordStep => "record step",
        LeasedWrite::EnqueueChild => "enqueue child",
    };
    name.to_owned()
}

/// For each lease that a killed process held: how long until its job started
/// again, in milliseconds; as far as it counts.
fn recovery(index: &Index<'_>, counts: impl Fn(&Start, Timestamp, &Start) -> bool) -> Spread {
    let mut took = Vec::new();
    for (start, process) in &index.starts {
        let gone: Option<Timestamp> = match process.died {
            Died::Killed(at) | Died::Aborted(at) => Some(at),
            Died::Told | Died::Unexpected => None,
        };
        let Some(gone) = gone else { continue };
        let settled = index.finished.contains_key(&(start.job, start.token));
        if settled || !UNBOUNDED.contains(&start.queue.as_str()) {
            continue;
        }
        let next = index.starts_of(start.job).iter().find(|next| next.token > start.token);
        // One that was taken over before, because the process was stopped, says
        // nothing.
        if let Some(next) = next.filter(|next| next.at > gone && counts(start, gone, next)) {
            took.push(ms(next.at.since(gone)));
        }
    }
    Spread::of(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_that_of_the_sorted_values() {
        assert_eq!(Spread::of(Vec::new()), Spread::default());
        let spread = Spread::of((1..=100).rev().collect());
        assert_eq!(spread, Spread { count: 100, p50: 51, p99: 100, max: 100 });
        assert_eq!(Spread::of(vec![7]), Spread { count: 1, p50: 7, p99: 7, max: 7 });
    }
}
