//! Partitions run one job at a time, in order.

use std::collections::BTreeMap;

use super::index::Index;
use super::limits::most_at_once;
use super::{Check, Record};

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

/// A job of a partition first starts when the one before it has ended, also if
/// that one was tried again or its worker was killed (rule P2).
fn in_order(index: &Index<'_>) -> Check {
    let mut check = Check::new("the jobs of a partition run in order", &["F1"]);
    let mut lines: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in &index.evidence.records {
        if let Some(partition) = &record.partition {
            lines.entry(partition).or_default().push(record);
        }
    }
    for (partition, mut line) in lines {
        line.sort_by_key(|record| (record.place, record.seq));
        for pair in line.windows(2) {
            let (ended, began) = (pair[0].ending.finished_at, index.first_start(pair[1]));
            let holds = began.is_none() || ended.is_some_and(|ended| began >= Some(ended));
            check.look(holds, || {
                format!(
                    "partition {partition}: job {} started at {began:?}, and {} before it ended at \
                     {ended:?}",
                    pair[1].id, pair[0].id
                )
            });
        }
    }
    check
}
