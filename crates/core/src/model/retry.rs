//! How often a job is tried, and how long it waits in between (rule R2).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::JobId;

/// How many waits a [`Backoff::List`] may have. They are stored with each job.
pub const MAX_WAITS: usize = 1000;

/// How often a job is tried and how long it waits between two attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// How many attempts may fail before the job fails; at least 1. Default 20.
    pub max_attempts: u32,
    /// How long to wait after a failed attempt.
    pub backoff: Backoff,
    /// How far a wait may stray from the backoff, as a share of it, 0 to 1.
    /// Default 0.1: ± 10 %.
    pub jitter: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 20, backoff: Backoff::default(), jitter: 0.1 }
    }
}

/// How the wait grows with the number of failed attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// The same wait each time.
    Fixed(Duration),
    /// `first`, then `step` more each time, at most `cap`.
    Linear {
        /// The wait after the first failed attempt.
        first: Duration,
        /// How much longer each further wait is.
        step: Duration,
        /// The longest wait.
        cap: Duration,
    },
    /// `first`, then `factor` times as long each time, at most `cap`.
    Exponential {
        /// The wait after the first failed attempt.
        first: Duration,
        /// By how much each further wait is longer; at least 1.
        factor: f64,
        /// The longest wait.
        cap: Duration,
    },
    /// The waits one by one, 1 to [`MAX_WAITS`]; the last one repeats.
    List(Vec<Duration>),
}

impl Default for Backoff {
    /// Exponential from 1 s, factor 2, cap 1 h.
    fn default() -> Self {
        Self::Exponential {
            first: Duration::from_secs(1),
            factor: 2.0,
            cap: Duration::from_secs(3600),
        }
    }
}

impl Backoff {
    /// The wait after so many failed attempts (counted from 1), without
    /// jitter.
    #[must_use]
    pub fn wait(&self, failed: u32) -> Duration {
        let further = failed.saturating_sub(1);
        match self {
            Self::Fixed(wait) => *wait,
            Self::Linear { first, step, cap } => {
                first.saturating_add(step.saturating_mul(further)).min(*cap)
            }
            Self::Exponential { first, factor, cap } => {
                let exponent = i32::try_from(further).unwrap_or(i32::MAX);
                scale(*first, factor.powi(exponent)).min(*cap)
            }
            Self::List(waits) => {
                let index = usize::try_from(further).unwrap_or(usize::MAX);
                waits.get(index).or(waits.last()).copied().unwrap_or_default()
            }
        }
    }
}

impl Retry {
    /// A policy with so many attempts and the default backoff.
    #[must_use]
    pub fn attempts(max_attempts: u32) -> Self {
        Self { max_attempts, ..Self::default() }
    }

    /// The wait of this job after so many failed attempts (counted from 1).
    ///
    /// The jitter is drawn from (job id, attempt) by the finaliser of
    /// SplitMix64 (Steele, Lea, Flood 2014), so that deciding twice gives the
    /// same answer.
    #[must_use]
    pub fn wait(&self, id: JobId, failed: u32) -> Duration {
        let wait = self.backoff.wait(failed);
        let jitter = self.jitter.clamp(0.0, 1.0);
        scale(wait, 1.0 - jitter + 2.0 * jitter * fraction(id, failed))
    }

    /// What is wrong with the policy, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if self.max_attempts == 0 {
            return Some("max_attempts is 0; use at least 1");
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Some("jitter is outside 0 to 1; 0.1 means plus or minus 10 %");
        }
        match &self.backoff {
            Backoff::Exponential { factor, .. } if !(factor.is_finite() && *factor >= 1.0) => Some(
                "the factor of an exponential backoff is below 1 or not a number; use 1 or more",
            ),
            Backoff::List(waits) if waits.is_empty() => {
                Some("the list of waits is empty; give at least one")
            }
            Backoff::List(waits) if waits.len() > MAX_WAITS => {
                Some("the list of waits has more than 1000; give fewer, as the last one repeats")
            }
            _ => None,
        }
    }
}

fn scale(length: Duration, by: f64) -> Duration {
    // Nothing times infinity is not a number, and would come out as for ever.
    if length.is_zero() {
        return length;
    }
    Duration::try_from_secs_f64(length.as_secs_f64() * by).unwrap_or(Duration::MAX)
}

/// A number in [0, 1) that depends on the job and the attempt alone.
fn fraction(id: JobId, failed: u32) -> f64 {
    let bits = u128::from_be_bytes(*id.as_bytes());
    let mut x = (bits ^ (bits >> 64)) as u64 ^ (u64::from(failed) << 32 | u64::from(failed));
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    (x >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_wait_grows_as_each_backoff_says() {
        let linear = Backoff::Linear { first: secs(5), step: secs(10), cap: secs(22) };
        let exponential = Backoff::Exponential { first: secs(3), factor: 2.0, cap: secs(20) };
        let list = Backoff::List(vec![secs(1), secs(9)]);
        let table: [(&Backoff, [u64; 4]); 5] = [
            (&Backoff::Fixed(secs(7)), [7, 7, 7, 7]),
            (&linear, [5, 15, 22, 22]),
            (&exponential, [3, 6, 12, 20]),
            (&list, [1, 9, 9, 9]),
            (&Backoff::default(), [1, 2, 4, 8]),
        ];
        for (backoff, waits) in table {
            for (failed, wait) in (1..).zip(waits) {
                assert_eq!(backoff.wait(failed), secs(wait), "{backoff:?} after {failed}");
            }
        }
        assert_eq!(Backoff::default().wait(u32::MAX), secs(3600));
    }

    #[test]
    fn jitter_is_repeatable_within_its_share_and_spreads() {
        let retry = Retry::default();
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..1000_u128 {
            let id = JobId::from_bytes(n.to_be_bytes());
            let wait = retry.wait(id, 1);
            assert_eq!(wait, retry.wait(id, 1));
            assert!((0.9..1.1).contains(&wait.as_secs_f64()), "{wait:?}");
            seen.insert(wait);
        }
        assert!(seen.len() > 990);
        let none = Retry { jitter: 0.0, ..Retry::default() };
        assert_eq!(none.wait(JobId::from_bytes([7; 16]), 3), secs(4));
    }

    #[test]
    fn enormous_policies_do_not_panic() {
        let max = Duration::MAX;
        for backoff in [
            Backoff::Linear { first: max, step: max, cap: max },
            Backoff::Exponential { first: max, factor: f64::MAX, cap: max },
        ] {
            let retry = Retry { backoff, ..Retry::default() };
            assert!(retry.wait(JobId::from_bytes([1; 16]), u32::MAX) > secs(1));
        }
        let zero = Duration::ZERO;
        for backoff in [
            Backoff::Fixed(zero),
            Backoff::Linear { first: zero, step: zero, cap: max },
            Backoff::Exponential { first: zero, factor: f64::MAX, cap: max },
            Backoff::Exponential { first: max, factor: 2.0, cap: zero },
            Backoff::List(vec![zero]),
        ] {
            let retry = Retry { backoff, ..Retry::default() };
            assert_eq!(retry.wait(JobId::from_bytes([1; 16]), u32::MAX), zero);
        }
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_named() {
        let ok = Retry::default();
        assert_eq!(ok.problem(), None);
        let with = |backoff| Retry { backoff, ..Retry::default() };
        let growing = |factor| Backoff::Exponential { first: secs(1), factor, cap: secs(9) };
        for (bad, wrong, right) in [
            (Retry { max_attempts: 0, ..ok.clone() }, "max_attempts is 0", "at least 1"),
            (Retry { jitter: 1.5, ..ok.clone() }, "outside 0 to 1", "0.1 means"),
            (Retry { jitter: -0.1, ..ok.clone() }, "outside 0 to 1", "0.1 means"),
            (Retry { jitter: f64::NAN, ..ok }, "outside 0 to 1", "0.1 means"),
            (with(Backoff::List(Vec::new())), "is empty", "give at least one"),
            (with(Backoff::List(vec![secs(1); 1001])), "more than 1000", "give fewer"),
            (with(growing(0.5)), "below 1", "use 1 or more"),
            (with(growing(f64::NAN)), "not a number", "use 1 or more"),
            (with(growing(f64::INFINITY)), "not a number", "use 1 or more"),
        ] {
            let problem = bad.problem().unwrap_or_default();
            assert!(problem.contains(wrong) && problem.contains(right), "{bad:?}: {problem}");
        }
        assert_eq!(with(Backoff::List(vec![secs(1); 1000])).problem(), None);
    }
}
