//! Leases that go on, steps, and what is overdue (rules L2 to L4, R5, W1).

use windlass_core::backend::{Extend, Extended, Overdue, OverduePage, OverduePlace, OverdueQuery};
use windlass_core::model::{Detail, JobRef, NewStep, Step, StepRecorded, Timestamp};

use super::{Check, Entry, Model, ensure};

impl Model {
    pub(in super::super) fn extend(
        &mut self,
        leases: &[Extend],
        (outcomes, now): &(Vec<Extended>, Timestamp),
    ) -> Check {
        self.is_now(*now)?;
        ensure!(outcomes.len() == leases.len(), "{} outcomes", outcomes.len());
        for (wish, outcome) in leases.iter().zip(outcomes) {
            let expected = match self.leased(&wish.job, wish.token) {
                None => Extended::Lost,
                Some(at) => {
                    let until = now.after(wish.lease);
                    let job = &mut self.jobs[at].job;
                    if let Some(lease) = &mut job.lease {
                        lease.until = until;
                    }
                    if wish.progress.is_some() {
                        job.progress.clone_from(&wish.progress);
                    }
                    Extended::Held { until, cancel_requested: job.cancel_requested }
                }
            };
            ensure!(*outcome == expected, "{wish:?} answered {outcome:?}, not {expected:?}");
        }
        Ok(())
    }

    pub(in super::super) fn overdue(&mut self, query: &OverdueQuery, page: &OverduePage) -> Check {
        self.is_now(page.now)?;
        let mut expected: Vec<_> = self
            .jobs
            .iter()
            .filter(|entry| entry.job.queue == query.queue)
            .filter_map(|entry| Some((self.overdue_since(entry, query.what)?, entry.id())))
            .filter(|(place, _)| query.after.is_none_or(|after| *place > after))
            .collect();
        expected.sort_unstable();
        let more = expected.len() > query.limit as usize;
        expected.truncate(query.limit as usize);
        let ids: Vec<_> = expected.iter().map(|(_, id)| *id).collect();
        let found: Vec<_> = page.jobs.iter().map(|job| job.id).collect();
        ensure!(found == ids, "{:?} are {found:?}, not {ids:?}", query.what);
        let last = expected.last().map(|(place, _)| *place);
        // After a full page there may turn out to be nothing.
        let full = expected.len() == query.limit as usize;
        let goes_on = page.next.is_some() && page.next == last;
        ensure!(
            if more { goes_on } else { page.next.is_none() || full && goes_on },
            "the next page begins after {:?}, this one ends at {last:?}",
            page.next
        );
        page.jobs.iter().try_for_each(|job| self.meet(job, Detail::Summary))
    }

    fn overdue_since(&self, entry: &Entry, what: Overdue) -> Option<OverduePlace> {
        let now = self.now();
        let moment = match what {
            Overdue::LostLeases => entry.job.lease.map(|lease| lease.until).filter(|at| *at <= now),
            Overdue::Expired => entry.job.expires.filter(|_| entry.has_expired(now)),
            Overdue::Unblocked => Some(Timestamp::EPOCH).filter(|_| entry.is_unblocked()),
        };
        Some(OverduePlace { moment: moment?, seq: entry.seq? })
    }

    pub(in super::super) fn record_step(&mut self, new: &NewStep, answer: &StepRecorded) -> Check {
        let expected = match self.leased(&new.job, new.token) {
            None => StepRecorded::StaleLease,
            Some(at) => {
                let steps = &mut self.jobs[at].steps;
                match steps.iter().find(|step| step.position == new.position) {
                    Some(step) => StepRecorded::Existing(step.clone()),
                    None => {
                        let (name, outcome) = (new.name.clone(), new.outcome.clone());
                        steps.push(Step { position: new.position, name, outcome });
                        steps.sort_by_key(|step| step.position);
                        StepRecorded::Recorded
                    }
                }
            }
        };
        ensure!(*answer == expected, "recording answered {answer:?}, not {expected:?}");
        Ok(())
    }

    pub(super) fn steps(&self, job: &JobRef) -> &[Step] {
        self.find(job).map_or(&[], |at| &self.jobs[at].steps)
    }
}
