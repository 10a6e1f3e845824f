//! What a declaration means for a queue that may exist.

use std::time::Duration;

use crate::model::{Limits, PriorityMode, QueueSpec};

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
            Some(rate) if rate.period == Duration::ZERO => {
                Err(InvalidQueue("the period of a rate is zero; use at least a microsecond"))
            }
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
    if spec.aging == Some(Duration::ZERO) {
        return Err(InvalidQueue("the ageing step is zero; leave ageing out to have none"));
    }
    if spec.max_payload == 0 {
        return Err(InvalidQueue("the largest payload is 0 bytes; use at least 1"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
    fn a_declaration_that_makes_no_sense_is_refused() {
        let spec = QueueSpec::new(queue());
        assert_eq!(check_queue(&spec), Ok(()));
        let rate = Some(Rate { limit: 1, period: Duration::ZERO });
        let limits = Limits { concurrency: None, rate };
        for bad in [
            QueueSpec { limits: limits.clone(), ..spec.clone() },
            QueueSpec {
                partitions: Some(Partitions { limits, ..Partitions::default() }),
                ..spec.clone()
            },
            QueueSpec { aging: Some(Duration::ZERO), ..spec.clone() },
            QueueSpec { max_payload: 0, ..spec.clone() },
            QueueSpec {
                aging: Some(Duration::from_secs(1)),
                priority: PriorityMode::Disabled,
                ..spec
            },
        ] {
            assert!(check_queue(&bad).is_err(), "{bad:?}");
        }
    }
}
