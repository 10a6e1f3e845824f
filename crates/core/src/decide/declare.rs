//! What a declaration means for a queue that may exist.

use crate::model::time::micros;
use crate::model::{Limits, MAX_SHARDS, PriorityMode, QueueSpec};

/// What a declaration means for the stored queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declaration {
    /// There is none: store it.
    Create,
    /// Store the new one.
    Update,
    /// It is the same already.
    Unchanged,
    /// Something that is fixed would change: store nothing.
    Conflict,
}

/// Compares a declaration with the stored one.
///
/// Fixed are what the places of stored jobs depend on: the priority mode, the
/// ageing, and whether jobs have partitions.
#[must_use]
pub fn declare(stored: Option<&QueueSpec>, wanted: &QueueSpec) -> Declaration {
    match stored {
        None => Declaration::Create,
        Some(stored) if stored == wanted => Declaration::Unchanged,
        Some(stored)
            if stored.priority != wanted.priority
                || stored.aging != wanted.aging
                || stored.partitions.is_some() != wanted.partitions.is_some() =>
        {
            Declaration::Conflict
        }
        Some(_) => Declaration::Update,
    }
}

/// A declaration that makes no sense. The message says what is wrong and what
/// would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this queue cannot be declared: {0}")]
pub struct InvalidQueue(&'static str);

/// Checks a declaration by itself.
///
/// # Errors
/// [`InvalidQueue`] if it makes no sense.
pub fn check_queue(spec: &QueueSpec) -> Result<(), InvalidQueue> {
    fn check_limits(limits: &Limits) -> Result<(), InvalidQueue> {
        match limits.rate {
            // Stores count in microseconds: less than one would be none.
            Some(rate) if micros(rate.period) == 0 => Err(InvalidQueue(
                "the period of a rate is less than a microsecond; use a microsecond or more, or \
                 leave the rate out to have none",
            )),
            _ => Ok(()),
        }
    }
    check_limits(&spec.limits)?;
    if let Some(partitions) = &spec.partitions {
        check_limits(&partitions.limits)?;
    }
    if spec.aging.is_some() && spec.priority == PriorityMode::Disabled {
        return Err(InvalidQueue("it ages priorities, but has none; drop one of the two"));
    }
    if spec.aging.is_some_and(|step| micros(step) == 0) {
        return Err(InvalidQueue(
            "the ageing step is less than a microsecond; use a microsecond or more, or leave \
             ageing out to have none",
        ));
    }
    if spec.max_payload == 0 {
        return Err(InvalidQueue("the largest payload is 0 bytes; use at least 1"));
    }
    check_shards(spec)
}

/// A shard whose part of a bound is 0 would never run a job. A bound of 0 stops
/// the whole queue, and is one.
fn check_shards(spec: &QueueSpec) -> Result<(), InvalidQueue> {
    // The message names the most there can be.
    const { assert!(MAX_SHARDS == 64) };
    let too_few = |bound: u32| bound > 0 && bound < spec.shards;
    match (&spec.limits.concurrency, &spec.limits.rate) {
        _ if spec.shards == 0 => Err(InvalidQueue("it has 0 shards; use 1 to 64")),
        _ if spec.shards > MAX_SHARDS => Err(InvalidQueue("it has too many shards; use 1 to 64")),
        (Some(bound), _) if too_few(*bound) => Err(InvalidQueue(
            "its concurrency is less than its shards, which divide it: some would never run a \
             job; use fewer shards, or a concurrency of at least one for each",
        )),
        (_, Some(rate)) if too_few(rate.limit) => Err(InvalidQueue(
            "its rate has fewer starts than there are shards, which divide it: some would never \
             run a job; use fewer shards, or at least one start for each in a longer period",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decide::samples::queue;
    use crate::model::{Keep, OnRetry, Partitions, Rate, Retention};

    #[test]
    fn bounds_may_change_and_what_places_depend_on_may_not() {
        let spec = QueueSpec::new(queue());
        let partitioned = QueueSpec { partitions: Some(Partitions::default()), ..spec.clone() };
        let second = Some(Duration::from_secs(1));
        let table = [
            (None, spec.clone(), Declaration::Create),
            (Some(&spec), spec.clone(), Declaration::Unchanged),
            (Some(&spec), QueueSpec { max_stalls: 0, ..spec.clone() }, Declaration::Update),
            (Some(&spec), QueueSpec { max_payload: 9, ..spec.clone() }, Declaration::Update),
            (Some(&spec), QueueSpec { shards: 4, ..spec.clone() }, Declaration::Update),
            (
                Some(&spec),
                QueueSpec {
                    limits: Limits { concurrency: Some(0), rate: None },
                    retention: Retention { completed: Keep::Remove, other: Keep::Forever },
                    ..spec.clone()
                },
                Declaration::Update,
            ),
            (
                Some(&partitioned),
                QueueSpec {
                    partitions: Some(Partitions {
                        on_retry: OnRetry::Yield,
                        ..Partitions::default()
                    }),
                    ..spec.clone()
                },
                Declaration::Update,
            ),
            (Some(&spec), partitioned.clone(), Declaration::Conflict),
            (Some(&partitioned), spec.clone(), Declaration::Conflict),
            (Some(&spec), QueueSpec { aging: second, ..spec.clone() }, Declaration::Conflict),
            (
                Some(&spec),
                QueueSpec { priority: PriorityMode::HighestFirst, ..spec.clone() },
                Declaration::Conflict,
            ),
        ];
        for (stored, wanted, expected) in table {
            assert_eq!(declare(stored, &wanted), expected, "{stored:?} {wanted:?}");
        }
    }

    #[test]
    fn a_declaration_that_makes_no_sense_is_refused_with_what_would_be_right() {
        let spec = QueueSpec::new(queue());
        assert_eq!(check_queue(&spec), Ok(()));
        let rated = |period| Limits { concurrency: None, rate: Some(Rate { limit: 1, period }) };
        let nano = Duration::from_nanos(999);
        let of_partitions = |limits| Some(Partitions { limits, ..Partitions::default() });
        let (period, step) = ("the period of a rate is less than", "the ageing step is less than");
        let table = [
            (QueueSpec { limits: rated(Duration::ZERO), ..spec.clone() }, period, "leave the rate"),
            (QueueSpec { limits: rated(nano), ..spec.clone() }, period, "use a microsecond"),
            (
                QueueSpec { partitions: of_partitions(rated(Duration::ZERO)), ..spec.clone() },
                period,
                "use a microsecond",
            ),
            (QueueSpec { aging: Some(Duration::ZERO), ..spec.clone() }, step, "leave ageing out"),
            (QueueSpec { aging: Some(nano), ..spec.clone() }, step, "use a microsecond"),
            (QueueSpec { max_payload: 0, ..spec.clone() }, "is 0 bytes", "use at least 1"),
            (
                QueueSpec {
                    aging: Some(Duration::from_secs(1)),
                    priority: PriorityMode::Disabled,
                    ..spec.clone()
                },
                "ages priorities, but has none",
                "drop one of the two",
            ),
        ];
        for (bad, wrong, right) in table {
            let message = check_queue(&bad).unwrap_err().to_string();
            assert!(message.contains(wrong) && message.contains(right), "{message}");
        }
    }

    #[test]
    fn every_shard_has_something_of_every_bound() {
        let spec = |shards, concurrency, rate: Option<u32>| QueueSpec {
            shards,
            limits: Limits {
                concurrency,
                rate: rate.map(|limit| Rate { limit, period: Duration::from_secs(1) }),
            },
            ..QueueSpec::new(queue())
        };
        let good = [
            spec(1, Some(1), Some(1)),
            spec(64, None, None),
            spec(4, Some(4), Some(9)),
            spec(4, Some(0), None),
            spec(4, None, Some(0)),
        ];
        for spec in good {
            assert_eq!(check_queue(&spec), Ok(()), "{spec:?}");
        }
        let bad = [
            (spec(0, None, None), "it has 0 shards; use 1 to 64"),
            (spec(65, None, None), "use 1 to 64"),
            (spec(4, Some(3), None), "a concurrency of at least one for each"),
            (spec(4, Some(4), Some(3)), "at least one start for each"),
        ];
        for (spec, right) in bad {
            let message = check_queue(&spec).unwrap_err().to_string();
            assert!(message.contains(right), "{message}");
        }
        // Those of a partition are not divided.
        let mut own = spec(4, None, None);
        own.partitions = Some(Partitions::default());
        assert_eq!(check_queue(&own), Ok(()));
    }

    #[test]
    fn enormous_bounds_are_taken_as_they_are() {
        let most = Limits {
            concurrency: Some(u32::MAX),
            rate: Some(Rate { limit: u32::MAX, period: Duration::MAX }),
        };
        let spec = QueueSpec {
            aging: Some(Duration::MAX),
            partitions: Some(Partitions { limits: most.clone(), ..Partitions::default() }),
            limits: most,
            retention: Retention {
                completed: Keep::ForNewest(Duration::MAX, u64::MAX),
                other: Keep::For(Duration::MAX),
            },
            max_stalls: u32::MAX,
            max_payload: usize::MAX,
            ..QueueSpec::new(queue())
        };
        assert_eq!(check_queue(&spec), Ok(()));
        let stored = serde_json::to_vec(&spec).unwrap();
        assert_eq!(serde_json::from_slice::<QueueSpec>(&stored).unwrap(), spec);
    }
}
