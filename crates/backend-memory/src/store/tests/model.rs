//! What is expected of a store, found by looking at every job.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_core::backend::{Again, Overdue};
use windlass_core::decide::limit;
use windlass_core::model::{Job, JobId, Limits, OrderKey, PartitionKey, State, Timestamp};

use super::Bench;

impl Bench {
    pub(super) fn expected_overdue(&self, what: Overdue) -> Vec<JobId> {
        let passed = |moment: Option<Timestamp>| moment.is_some_and(|m| m <= self.now);
        let mut ids: Vec<JobId> = self
            .jobs()
            .iter()
            .filter(|job| match what {
                Overdue::LostLeases => passed(job.lease.map(|lease| lease.until)),
                Overdue::Expired => is_expired(job, self.now),
                Overdue::Unblocked => {
                    job.state == State::Blocked
                        && (job.dependencies.open == 0 || job.dependencies.broken > 0)
                }
            })
            .map(|job| job.id)
            .collect();
        ids.sort_unstable();
        ids
    }

    /// What a dequeue leases, by looking at every job for each of them.
    pub(super) fn expected_leases(&self, max: usize) -> Vec<JobId> {
        let mut jobs = self.jobs();
        let mut starts = self.starts.clone();
        let mut leased = Vec::new();
        while leased.len() < max
            && let Some(id) = self.eligible(&jobs, &starts, self.now, false)
        {
            for job in jobs.iter_mut().filter(|job| job.id == id) {
                job.state = State::Active;
                starts.push((job.partition.clone(), self.now));
            }
            leased.push(id);
        }
        leased
    }

    /// The first job that could start at a moment, if nothing but time changed
    /// until then. With `freed`, leases that run out free their slots.
    fn eligible(
        &self,
        jobs: &[Job],
        starts: &[(Option<PartitionKey>, Timestamp)],
        now: Timestamp,
        freed: bool,
    ) -> Option<JobId> {
        let holds = |job: &&Job| {
            let ended = |until| freed && until > self.now && until <= now;
            job.state == State::Active && !job.lease.is_some_and(|lease| ended(lease.until))
        };
        let has_room = |limits: &Limits, of: Option<&Option<PartitionKey>>| {
            let held = jobs.iter().filter(holds).filter(|j| of.is_none_or(|of| j.partition == *of));
            let log = starts.iter().filter(|(p, _)| of.is_none_or(|of| p == of));
            let log: Vec<_> = log.map(|(_, moment)| (*moment, 1)).collect();
            limits.concurrency.is_none_or(|l| limit::slots(l, held.count() as u64, None).free > 0)
                && limits
                    .rate
                    .is_none_or(|rate| limit::starts(rate, now, log.iter().copied()).free > 0)
        };
        if !has_room(&self.spec.limits, None) {
            return None;
        }
        let mut first_of: BTreeMap<Option<PartitionKey>, (OrderKey, &Job)> = BTreeMap::new();
        for job in jobs {
            let pending = matches!(job.state, State::Scheduled | State::Waiting);
            // In line are, without partitions, those that are due.
            let in_line = match self.spec.partitions {
                None => job.due <= now,
                Some(_) => job.place <= now,
            };
            if !pending || !in_line || is_expired(job, now) {
                continue;
            }
            let first = first_of.entry(job.partition.clone()).or_insert((job.order_key(), job));
            if job.order_key() < first.0 {
                *first = (job.order_key(), job);
            }
        }
        first_of
            .into_iter()
            .filter(|(_, (_, job))| job.due <= now)
            .filter(|(partition, _)| {
                let limits = self.spec.partitions.as_ref().map(|p| &p.limits);
                limits.is_none_or(|limits| has_room(limits, Some(partition)))
            })
            .map(|(_, (key, job))| (key, job.id))
            .min()
            .map(|(_, id)| id)
    }

    /// Before the moment to look again, time alone makes nothing eligible; at
    /// that moment it does, unless a lease was in the way.
    pub(super) fn check_again(&self, again: Again) {
        let jobs = self.jobs();
        let at = |moment, freed| self.eligible(&jobs, &self.starts, moment, freed);
        // A job that is put off holds its partition, and one that is delayed
        // may arrive before it or behind it: then the moment may be early. So
        // it may be if the first to come expires before.
        let vague = jobs.iter().any(|job| {
            (self.spec.partitions.is_some() && job.due > self.now && job.place < job.due)
                || job.expires.is_some_and(|expires| expires > self.now && !job.has_started())
        });
        match again {
            Again::Now => assert!(at(self.now, false).is_some()),
            Again::At(moment) => {
                assert!(moment > self.now, "{moment} is not after {}", self.now);
                let before = moment.before(Duration::from_micros(1));
                assert_eq!(at(before, false), None, "before {moment}");
                if !vague && !self.is_crowded(&jobs) {
                    assert!(at(moment, true).is_some(), "at {moment}, now {}", self.now);
                }
            }
            Again::OnNotice => {
                for step in 0..100 {
                    let moment = self.now.after(Duration::from_micros(step));
                    assert_eq!(at(moment, false), None, "at {moment}");
                }
            }
        }
    }

    /// Whether a limit on leases is in the way and the next lease to run out
    /// may not be enough: more are held than a lowered limit allows, or a rate
    /// is in the way too.
    fn is_crowded(&self, jobs: &[Job]) -> bool {
        let crowded = |limits: &Limits, held: usize| {
            limits.concurrency.is_some_and(|l| held > l as usize || limits.rate.is_some())
        };
        let active = || jobs.iter().filter(|job| job.state == State::Active);
        let of_partition = |limits: &Limits| {
            let held = |of: &Job| active().filter(|job| job.partition == of.partition).count();
            active().any(|job| crowded(limits, held(job)))
        };
        crowded(&self.spec.limits, active().count())
            || self.spec.partitions.as_ref().is_some_and(|p| of_partition(&p.limits))
    }
}

fn is_expired(job: &Job, now: Timestamp) -> bool {
    let pending = matches!(job.state, State::Blocked | State::Scheduled | State::Waiting);
    pending && !job.has_started() && job.expires.is_some_and(|expires| expires <= now)
}
