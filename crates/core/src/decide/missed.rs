//! Which of the moments that a repeatable has missed are the latest (rule S3).

use std::collections::VecDeque;

use crate::model::Timestamp;
use crate::model::time::micros;

/// How many moments are walked one by one before a place nearer to the end is
/// looked for.
const WALK: usize = 2048;

/// The last so many moments from `first` up to `end`, in order, where `next` is
/// the first moment strictly after a given one.
///
/// A frequent schedule may have missed millions. If a walk from the first one
/// takes too long, spans that end at `end` are tried instead: one is looked for
/// that holds enough moments, and few enough to be walked. Spans grow fourfold
/// while they hold too few; between one that holds too few and one that holds
/// too many, the middle is tried. So the work is bounded however unevenly the
/// moments lie: at most about 90 walks, and mostly one or two.
pub(super) fn latest(
    next: impl Fn(Timestamp) -> Option<Timestamp>,
    first: Timestamp,
    end: Timestamp,
    wanted: usize,
) -> VecDeque<Timestamp> {
    // `None`: there are too many to be walked.
    let walk = |from: Option<Timestamp>| {
        let mut found = VecDeque::with_capacity(wanted + 1);
        let mut moment = from;
        for _ in 0..WALK {
            match moment.filter(|moment| *moment <= end) {
                None => return Some(found),
                Some(at) => {
                    found.push_back(at);
                    if found.len() > wanted {
                        found.pop_front();
                    }
                    moment = next(at);
                }
            }
        }
        None
    };
    if let Some(found) = walk(Some(first)) {
        return found;
    }
    // Lengths of spans in microseconds. From the first moment on, there are too
    // many; a span of no length holds none.
    let (mut too_few, mut too_many) = (0, micros(end.since(first)).saturating_add(1));
    let mut span = 4_000;
    loop {
        if span >= too_many {
            span = too_few + (too_many - too_few) / 2;
        }
        match walk(next(Timestamp::from_micros(end.as_micros().saturating_sub(span)))) {
            Some(found) if found.len() >= wanted || span == too_few => return found,
            Some(_) => too_few = span,
            None => too_many = span,
        }
        span = span.saturating_mul(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::samples::at;

    const SECOND: i64 = 1_000_000;

    /// The first multiple of `step` after a moment that lies in one of these
    /// blocks.
    fn in_blocks(blocks: &[(i64, i64)], step: i64, after: Timestamp) -> Option<Timestamp> {
        let after = after.as_micros();
        let (from, to) = *blocks.iter().find(|(_, to)| *to > after)?;
        let next = (after.max(from - 1).div_euclid(step) + 1) * step;
        if next < to { Some(at(next)) } else { in_blocks(blocks, step, at(to)) }
    }

    #[test]
    fn missed_moments_are_found_within_a_bounded_number_of_steps_however_they_lie() {
        const DAY: i64 = 86_400 * SECOND;
        type Blocks = &'static [(i64, i64)];
        const LONG_AGO: (i64, i64) = (0, DAY);
        let table: [(Blocks, i64, i64); 7] = [
            // All the year, a millisecond apart.
            (&[(0, 365 * DAY)], 1_000, 365 * DAY),
            // A dense day, then nothing for a year; then for ever.
            (&[LONG_AGO], SECOND, 365 * DAY),
            (&[LONG_AGO], 1_000, i64::MAX),
            // Dense, and a few of late.
            (&[LONG_AGO, (364 * DAY, 364 * DAY + 5 * SECOND)], SECOND, 365 * DAY),
            // Dense, sparse, dense.
            (&[LONG_AGO, (300 * DAY, 300 * DAY + 700), (364 * DAY, 365 * DAY)], 1, 365 * DAY),
            // As dense as can be.
            (&[(0, 365 * DAY)], 1, 365 * DAY),
            (&[(365 * DAY - 1_500, 365 * DAY)], 1, 365 * DAY),
        ];
        for (blocks, step, end) in table {
            for wanted in [1, 2, 1000] {
                let calls = std::cell::Cell::new(0_u32);
                let next = |after| {
                    calls.set(calls.get() + 1);
                    in_blocks(blocks, step, after)
                };
                let first = next(at(-1)).unwrap();
                let found = latest(next, first, at(end), wanted);
                let calls = calls.get();
                assert!(calls < 60_000, "{blocks:?}, the last {wanted}: {calls} steps");
                // Counted backwards by plain arithmetic.
                let mut expected: Vec<_> = blocks
                    .iter()
                    .rev()
                    .flat_map(|(from, to)| (from / step..to.div_euclid(step)).rev())
                    .map(|n| at(n * step))
                    .take(wanted)
                    .collect();
                expected.reverse();
                assert_eq!(found, expected, "{blocks:?}, the last {wanted}");
            }
        }
    }
}
