//! Carrying out what core has decided (rules L2, R1, R7, D1, C1, C2).

use std::collections::BTreeSet;

use windlass::backend::{
    Applied, ApplyAnswer, CancelRequest, Expiry, Place, Result, Target, Transition,
};
use windlass::model::{Detail, JobId};

use super::Store;
use crate::keys::{Key, Space};
use crate::record::{Record, Stand};

impl Store<'_> {
    pub(crate) fn apply(&mut self, transitions: Vec<Transition>) -> Result<ApplyAnswer> {
        let mut touched = BTreeSet::new();
        let mut outcomes = Vec::with_capacity(transitions.len());
        for transition in transitions {
            outcomes.push(self.apply_one(transition, &mut touched)?);
        }
        Ok(ApplyAnswer { outcomes, unblocked: self.unblocked_of(touched)?, now: self.now })
    }

    fn apply_one(
        &mut self,
        transition: Transition,
        touched: &mut BTreeSet<JobId>,
    ) -> Result<Applied> {
        let Some(old) = self.find(&transition.job)? else {
            return Ok(Applied::Gone);
        };
        if !transition.guard.holds(old.version, old.lease(), self.now) {
            return Ok(Applied::Stale(Box::new(self.view(&old, Detail::Summary)?)));
        }
        let had_ended = old.end().is_some();
        let revived = had_ended && matches!(transition.to, Target::Pending { .. });
        if revived && let Some(dedup) = &old.dedup {
            match self.holder(&old.queue, &dedup.key)? {
                Some(holder) if holder.by != old.id => {
                    return Ok(Applied::KeyTaken { key: dedup.key.clone(), by: holder.by });
                }
                _ => self.take_key(&old)?,
            }
        }

        let mut new = Record { version: old.version + 1, ..old.clone() };
        if let Some(course) = transition.course {
            new.course = course;
        }
        if let Some(payload) = &transition.payload {
            self.pairs.put(&Key::of_job(Space::Payload, new.id), payload.as_slice())?;
        }
        if transition.expiry == Expiry::Dropped {
            new.expires = None;
        }
        self.record_with(new.id, transition.steps)?;
        match transition.to {
            Target::Stay { cancel } => {
                let asked = cancel == CancelRequest::Requested && old.lease().is_some();
                new.cancel_requested |= asked;
                self.change(&old, &mut new)?;
                if asked {
                    self.news.touch(&new.queue);
                }
            }
            Target::Pending { due, place } => {
                new.stand = Stand::Pending;
                new.due = due.resolve(self.now);
                new.place = match place {
                    Place::AtDue => new.due,
                    Place::Kept => old.place.min(new.due),
                };
                if revived {
                    new.cancel_requested = false;
                    self.pairs.remove(&Key::of_job(Space::Result, new.id))?;
                }
                self.change(&old, &mut new)?;
                self.news.touch(&new.queue);
            }
            Target::Ended { end, result } => {
                new.stand = Stand::Ended { end, at: self.now };
                let key = Key::of_job(Space::Result, new.id);
                match result {
                    Some(result) => self.pairs.put(&key, result.as_slice())?,
                    None => self.pairs.remove(&key).map(drop)?,
                }
                self.change(&old, &mut new)?;
                if !had_ended {
                    self.free_key(&new)?;
                    self.count_end(new.id, Some(end), touched)?;
                }
                self.slot_freed(&new)?;
            }
            Target::Removed => {
                self.remove(&old, touched)?;
                self.slot_freed(&old)?;
            }
        }
        self.news.happened(|| transition.job, transition.event);
        Ok(Applied::Applied)
    }

    /// Whoever waits for a slot, or stands behind this job in line, may go on.
    fn slot_freed(&mut self, record: &Record) -> Result<()> {
        if self.queue(&record.queue)?.is_limited() {
            self.news.touch(&record.queue);
        }
        Ok(())
    }

    /// Removes a job and all that belongs to it. For those that depend on one
    /// that had not ended, it has now, and did not complete.
    pub(super) fn remove(&mut self, record: &Record, touched: &mut BTreeSet<JobId>) -> Result<()> {
        if record.end().is_none() {
            self.free_key(record)?;
            self.count_end(record.id, None, touched)?;
        }
        self.unlink(record)?;
        self.forget_steps(record.id)?;
        self.replace(Some(record), None)
    }
}
