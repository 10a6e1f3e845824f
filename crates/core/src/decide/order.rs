//! Where a job stands in its queue (rules O1 to O3).

use crate::model::time::micros;
use crate::model::{OrderMode, OrderRule, PriorityMode, QueueSpec};

/// The rank of a priority: the smaller, the sooner.
#[must_use]
pub fn rank(mode: PriorityMode, priority: i32) -> i64 {
    match mode {
        PriorityMode::LowestFirst => i64::from(priority),
        PriorityMode::HighestFirst => -i64::from(priority),
        PriorityMode::Disabled => 0,
    }
}

/// How a job of this priority gets its order key in this queue.
///
/// Without ageing the key is (rank, place). With an ageing step it is
/// *place + rank × step*, so that a job waits behind one of the next better
/// rank only if that one became ready less than a step later.
#[must_use]
pub fn order_rule(spec: &QueueSpec, priority: i32) -> OrderRule {
    let rank = rank(spec.priority, priority);
    match spec.aging {
        None => OrderRule { base: rank, mode: OrderMode::Ranked },
        Some(step) => OrderRule { base: rank.saturating_mul(micros(step)), mode: OrderMode::Aged },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decide::samples::{at, queue};

    fn order(spec: &QueueSpec, jobs: &[(i32, i64, u64)]) -> Vec<u64> {
        let mut keys: Vec<_> =
            jobs.iter().map(|&(p, place, seq)| order_rule(spec, p).key(at(place), seq)).collect();
        keys.sort_unstable();
        keys.into_iter().map(|key| key.seq).collect()
    }

    #[test]
    fn jobs_go_by_rank_then_moment_then_sequence() {
        // (priority, place, seq); each pair differs in one field alone.
        let jobs = [(0, 50, 1), (-1, 60, 2), (5, 10, 3), (0, 40, 5), (0, 40, 4)];
        let table = [
            (PriorityMode::LowestFirst, [2, 4, 5, 1, 3]),
            (PriorityMode::HighestFirst, [3, 4, 5, 1, 2]),
            (PriorityMode::Disabled, [3, 4, 5, 1, 2]),
        ];
        for (priority, expected) in table {
            let spec = QueueSpec { priority, ..QueueSpec::new(queue()) };
            assert_eq!(order(&spec, &jobs), expected, "{priority:?}");
        }
    }

    #[test]
    fn with_ageing_a_job_waits_behind_a_better_rank_for_a_bounded_time() {
        let aging = Some(Duration::from_micros(100));
        let spec = QueueSpec { aging, ..QueueSpec::new(queue()) };
        // Two ranks worse: passed by what is ready less than 200 µs later.
        let jobs = [(2, 1000, 1), (0, 1199, 2), (0, 1201, 3)];
        assert_eq!(order(&spec, &jobs), [2, 1, 3]);
    }

    #[test]
    fn extreme_priorities_do_not_overflow() {
        let spec = QueueSpec { aging: Some(Duration::MAX), ..QueueSpec::new(queue()) };
        let jobs = [(i32::MAX, i64::MAX, 1), (-i32::MAX, 0, 2)];
        assert_eq!(order(&spec, &jobs), [2, 1]);
        assert_eq!(rank(PriorityMode::HighestFirst, i32::MAX), -i64::from(i32::MAX));
    }
}
