//! Keys are unique: deduplication keys among live jobs, job keys among all.

use std::collections::{BTreeMap, HashMap};

use super::index::Index;
use super::{Check, Record};
use crate::fact::Fact;

pub(super) fn checks(index: &Index<'_>) -> Vec<Check> {
    vec![live(index), dangling(index), named(index)]
}

/// Live duplicates = 0: as seen while it went on, and from when each job of a
/// key was enqueued and ended.
fn live(index: &Index<'_>) -> Check {
    let mut check = Check::new("a deduplication key has one live job", &["F16"]);
    let observed = &index.evidence.observed;
    check.violations.extend(observed.twins.iter().cloned());
    check.looked_at = observed.dedup_pages;
    let mut by_key: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in &index.evidence.records {
        if let Some(key) = &record.dedup {
            by_key.entry(key).or_default().push(record);
        }
    }
    for (key, mut records) in by_key {
        records.sort_by_key(|record| record.seq);
        for pair in records.windows(2) {
            let ended = pair[0].ending.finished_at;
            check.look(ended.is_some_and(|ended| ended <= pair[1].enqueued_at), || {
                format!(
                    "key {key:?}: job {} was enqueued at {}, and {} ended at {ended:?}",
                    pair[1].id, pair[1].enqueued_at, pair[0].id
                )
            });
        }
    }
    for (process, fact) in index.facts() {
        if let Fact::Duplicate { key, existing } = fact {
            let holder = index.records.get(existing).and_then(|record| record.dedup.as_ref());
            check.look(holder == Some(key), || {
                format!(
                    "{} was told that job {existing} has key {key:?}; it has {holder:?}",
                    process.name
                )
            });
        }
    }
    check
}

/// Dangling = 0.
fn dangling(index: &Index<'_>) -> Check {
    let mut check = Check::new("a deduplication key is free when its job has ended", &["F16"]);
    check.looked_at = index.evidence.keys_tried;
    check.violations.extend(index.evidence.dangling.iter().cloned());
    check
}

/// One job per key, whoever enqueues it and however often.
fn named(index: &Index<'_>) -> Check {
    let mut check = Check::new("a job key names one job", &["F16", "F17"]);
    let mut by_key = HashMap::new();
    for record in &index.evidence.records {
        if let Some(key) = &record.key {
            let of = (record.queue.as_str(), key.as_str());
            let other = by_key.insert(of, record.id);
            check.look(other.is_none(), || format!("key {of:?} names {other:?} and {}", record.id));
        }
    }
    for (process, fact) in index.facts() {
        let Fact::Acknowledged(known) = fact else { continue };
        let Some(key) = &known.key else { continue };
        let named = by_key.get(&(known.queue.as_str(), key.as_str()));
        check.look(named == Some(&known.job), || {
            format!(
                "{} was given job {} for key {key:?}, which names {named:?}",
                process.name, known.job
            )
        });
    }
    check
}
