//! Partitions run one job at a time, in order.

use std::collections::{BTreeMap, HashMap};

use windlass::model::{JobId, State, Timestamp};

use super::index::Index;
use super::limits::most_at_once;
use super::{Check, Record};
use crate::fact::Fact;

pub(super) fn checks(index: &Index<'_>) -> Vec<Check> {
    vec![one_at_a_time(index), in_order(index)]
}

fn one_at_a_time(index: &Index<'_>) -> Check {
    let mut check = Check::new("a partition runs one job at a time", &["F12", "F14"]);
    let mut live: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (start, _) in &index.starts {
        if let Some(partition) = &start.partition {
            live.entry(partition.as_str()).or_default().push(index.surely_live(start));
        }
    }
    for (partition, live) in live {
        check.looked_at += live.len() as u64;
        let (most, at) = most_at_once(live);
        if most > 1 {
            check.violations.push(format!("{most} jobs of partition {partition} at {at}"));
        }
    }
    check
}

/// How many jobs in front of one it is compared with: each of them was compared
/// with those in front of it.
const COMPARED: usize = 8;

/// A job of a partition first starts when those before it have ended, also if
/// they were tried again or their worker was killed (rule P2). One that was not
/// stored yet was in nobody's way: what is enqueued at the same moment need not
/// be there in the order of its places.
fn in_order(index: &Index<'_>) -> Check {
    let mut check = Check::new("the jobs of a partition run in order", &["F1"]);
    let stored = stored(index);
    let mut lines: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in &index.evidence.records {
        if let Some(partition) = &record.partition {
            lines.entry(partition).or_default().push(record);
        }
    }
    for (partition, mut line) in lines {
        line.sort_by_key(|record| (record.place, record.seq));
        for (at, record) in line.iter().enumerate() {
            let Some(began) = index.first_start(record) else { continue };
            for before in &line[at.saturating_sub(COMPARED)..at] {
                let known = stored.get(&before.id).copied();
                let known = known.into_iter().chain(index.first_start(before)).min();
                if known.is_none_or(|known| known > began) {
                    continue;
                }
                let ended = before.ending.finished_at;
                check.look(ended.is_some_and(|ended| ended <= began), || {
                    format!(
                        "partition {partition}: job {} started at {began}, and {} before it ended \
                         at {ended:?}",
                        record.id, before.id
                    )
                });
            }
        }
    }
    check
}

/// When acknowledged jobs were stored at the latest, by the store's clock.
///
/// That a handler was about to return was noted before its lease, the last one,
/// completed the job: so the store's clock is behind the machine's by no less
/// than these two differ, in the closest case.
fn stored(index: &Index<'_>) -> HashMap<JobId, Timestamp> {
    let behind = index.noted().filter_map(|(_, noted)| {
        let Fact::Finished { job, token, .. } = &noted.fact else { return None };
        let record = index.records.get(job)?;
        let is_last = index.starts_of(*job).last().is_some_and(|last| last.token == *token);
        let completed = record.end() == Some(State::Completed) && is_last;
        let ended = record.ending.finished_at.filter(|_| completed)?;
        Some(noted.noted.as_micros() - ended.as_micros())
    });
    let Some(behind) = behind.max() else { return HashMap::new() };
    let mut stored = HashMap::new();
    for (_, noted) in index.noted() {
        if let Fact::Acknowledged(known) = &noted.fact {
            let at = Timestamp::from_micros(noted.noted.as_micros() - behind);
            stored
                .entry(known.job)
                .and_modify(|first: &mut Timestamp| *first = at.min(*first))
                .or_insert(at);
        }
    }
    stored
}
