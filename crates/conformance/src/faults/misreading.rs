//! Calls, as a store with a fault might misread them.

use std::sync::Arc;
use std::time::Duration;

use windlass_core::backend::{Clean, Expiry, Guard, LeaseGuard, Place, Result, Target, Transition};
use windlass_core::model::{
    Detail, Direction, Filter, Job, JobId, JobRef, JobsQuery, NewJob, OrderMode, PartitionKey,
    Payload, Timestamp, Token, When,
};

use super::fault::Fault;
use super::faulty::Faulty;
use crate::fixture::{TICK, dedup_key, forged, scatter};

impl Faulty {
    /// A new job, as a store might misread it.
    pub(super) fn misread(&self, job: &mut NewJob) {
        match self.fault {
            Fault::JobKeyIgnored if job.key.is_some() => {
                let n = u128::from(scatter(self.next()));
                job.id = JobId::from_bytes((n << 64 | 1).to_be_bytes());
            }
            Fault::DedupIgnored => job.dedup = None,
            Fault::DedupFolded => {
                if let Some(dedup) = &mut job.dedup {
                    let folded = dedup.key.as_str().to_lowercase();
                    dedup.key = dedup_key(&folded);
                }
            }
            Fault::HoldIgnored => {
                if let Some(dedup) = &mut job.dedup {
                    dedup.hold = None;
                }
            }
            Fault::PayloadAsText => {
                let text = String::from_utf8_lossy(job.payload.as_slice()).into_owned();
                job.payload = Payload::from(text);
            }
            Fault::OptionsLost => job.options = Arc::default(),
            Fault::TagsLost => job.tags.truncate(1),
            Fault::ParentUnchecked | Fault::ParentLost => job.parent = None,
            Fault::FlowLost => job.flow = None,
            Fault::DependenciesIgnored => job.depends_on.clear(),
            Fault::RankIgnored => job.order.base = 0,
            Fault::RankReversed => job.order.base = -job.order.base,
            Fault::AgeingIgnored => job.order.mode = OrderMode::Ranked,
            Fault::DueIgnored => job.due = When::Now,
            Fault::DueLate => {
                job.due = match job.due {
                    When::Now => When::Now,
                    When::After(wait) => When::After(wait.saturating_add(TICK)),
                    When::At(moment) => When::At(moment.after(TICK)),
                }
            }
            Fault::ExpiryIgnored => job.expires = None,
            Fault::PartitionPerJob => {
                job.partition = PartitionKey::new(self.next().to_string()).ok();
            }
            _ => {}
        }
    }

    /// A transition, as a store might misread it.
    pub(super) async fn misapply(&self, transition: &mut Transition) -> Result<()> {
        match (self.fault, &mut transition.to) {
            (Fault::VersionUnchecked, _) => {
                if let Some(seen) = self.inner.job(&transition.job).await? {
                    transition.guard.version = seen.job.version;
                }
            }
            (Fault::LeaseEndsItself, _) => {
                let seen = self.inner.job(&transition.job).await?;
                let lease = seen.as_ref().and_then(|seen| seen.job.lease.zip(Some(seen.now)));
                if let LeaseGuard::Held(_) = transition.guard.lease
                    && lease.is_some_and(|(lease, now)| lease.until <= now)
                {
                    // No job comes that far.
                    transition.guard.version += 1_000_000;
                }
            }
            (Fault::RunOutUnchecked, _) => {
                if let LeaseGuard::RunOut(token) = transition.guard.lease {
                    transition.guard.lease = LeaseGuard::Held(token);
                }
            }
            (Fault::StallUncounted, _) => {
                if let LeaseGuard::RunOut(_) = transition.guard.lease {
                    transition.course = None;
                }
            }
            (Fault::ResultLost, Target::Ended { result, .. }) => *result = None,
            (Fault::CourseLost, _) => transition.course = None,
            (Fault::StepsNotTold, _) => transition.steps.clear(),
            (Fault::PlaceLost, Target::Pending { place, .. }) => *place = Place::AtDue,
            (Fault::PlaceAlwaysKept, Target::Pending { place, .. }) => *place = Place::Kept,
            (Fault::NewPayloadLost, _) => transition.payload = None,
            (Fault::ExpiryNeverDropped, _) => transition.expiry = Expiry::Unchanged,
            _ => {}
        }
        Ok(())
    }

    /// The token of a job's current lease, whoever asks.
    pub(super) async fn current_token(&self, job: &JobRef) -> Result<Option<Token>> {
        let seen = self.inner.job(job).await?;
        Ok(seen.and_then(|seen| seen.job.lease).map(|lease| lease.token))
    }

    /// Cleans by the wrong moment.
    pub(super) async fn clean_by_enqueue(&self, clean: &Clean, age: Duration) -> Result<u64> {
        self.remove_all(clean, |job, now| job.enqueued_at <= now.before(age)).await
    }

    /// Cleans what other jobs wait for, and nothing else.
    pub(super) async fn clean_needed(&self, clean: &Clean, age: Duration) -> Result<u64> {
        let old = |job: &Job, now: Timestamp| {
            let since = job.finished_at.unwrap_or(job.enqueued_at);
            job.has_dependents && since <= now.before(age)
        };
        self.remove_all(clean, old).await
    }

    /// Removes the jobs of a state of which this holds, whatever depends on
    /// them.
    async fn remove_all(
        &self,
        clean: &Clean,
        which: impl Fn(&Job, Timestamp) -> bool,
    ) -> Result<u64> {
        let filter = Filter {
            queue: Some(clean.queue.clone()),
            states: vec![clean.state],
            ..Filter::default()
        };
        let query = JobsQuery {
            filter,
            direction: Direction::OldestFirst,
            after: None,
            limit: clean.limit,
            detail: Detail::Summary,
        };
        let page = self.inner.jobs(query).await?;
        let old = page.jobs.iter().filter(|job| which(job, page.now));
        let remove = old.map(|job| {
            let guard = Guard { version: job.version, lease: LeaseGuard::Any };
            forged(job, guard, Target::Removed)
        });
        let answer = self.inner.apply(remove.collect()).await?;
        Ok(answer.outcomes.len() as u64)
    }
}
