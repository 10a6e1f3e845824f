//! Carrying out what core has decided (rules L2, R1, R7, D1, C1, C2).

use windlass_core::backend::hub::News;
use windlass_core::backend::{
    Applied, ApplyAnswer, CancelRequest, Expiry, Place, Target, Transition,
};
use windlass_core::model::{Course, Detail, End, JobId, Payload, Timestamp, When};

use super::Store;
use super::dependencies::Need;
use super::slab::Slot;
use crate::record::{Ended, Record, Stand};

impl Store {
    pub(crate) fn apply(
        &mut self,
        transitions: Vec<Transition>,
        now: Timestamp,
        news: &mut News,
    ) -> ApplyAnswer {
        // Finding all of them before changing any lets the processor wait for
        // many places in memory at once, instead of for one after another.
        let found: Vec<_> = transitions.iter().map(|t| self.find(&t.job)).collect();
        let mut touched = Vec::new();
        let outcomes = transitions
            .into_iter()
            .zip(found)
            .map(|(transition, found)| match found.filter(|slot| self.jobs.has(*slot)) {
                Some(slot) => self.apply_one(slot, transition, now, news, &mut touched),
                // It is not there, or one before it in the batch removed it.
                None => Applied::Gone,
            })
            .collect();
        ApplyAnswer { outcomes, unblocked: self.unblocked_of(touched, now), now }
    }

    fn apply_one(
        &mut self,
        slot: Slot,
        transition: Transition,
        now: Timestamp,
        news: &mut News,
        touched: &mut Vec<JobId>,
    ) -> Applied {
        self.tick(self.jobs[slot].queue, now);
        let record = &self.jobs[slot];
        if !transition.guard.holds(record.version, record.stand.lease().copied(), now) {
            return Applied::Stale(Box::new(self.view(slot, now, Detail::Summary)));
        }
        if matches!(transition.to, Target::Pending { .. })
            && let Some(taken) = self.retake_key(slot, now)
        {
            return taken;
        }

        let Transition { job, to, course, payload, expiry, steps, event, .. } = transition;
        self.record_with(slot, steps);
        let rest = Rest { course, payload, expiry };
        let stand = &self.jobs[slot].stand;
        let (had_ended, was_active) = (stand.is_terminal(), stand.lease().is_some());
        let queue = &self.queues[self.jobs[slot].queue];
        let makes_work = match to {
            Target::Stay { cancel } => cancel == CancelRequest::Requested,
            Target::Pending { .. } => true,
            // Whoever waits for its slot, or stands behind it in line.
            Target::Ended { .. } | Target::Removed => queue.is_limited(),
        };
        match to {
            Target::Stay { cancel } => {
                self.change_in_place(slot, rest, now);
                let record = &mut self.jobs[slot];
                let asked = cancel == CancelRequest::Requested && was_active;
                record.cancel_requested |= asked;
            }
            Target::Pending { due, place } => self.put_off(slot, due, place, rest, now),
            Target::Ended { end, result } => {
                self.end(slot, end, result, rest, now);
                if !had_ended {
                    self.free_key(slot, now);
                    self.count_end(slot, Some(end), touched);
                    self.need(slot, Need::Over);
                }
            }
            Target::Removed => self.remove(slot, now, touched),
        }
        if makes_work {
            news.touch(&job.queue);
        }
        news.happened(|| job, event);
        Applied::Applied
    }

    fn change_in_place(&mut self, slot: Slot, rest: Rest, now: Timestamp) {
        if rest.expiry == Expiry::Dropped && self.jobs[slot].stand.lease().is_none() {
            // The expiry is part of the place of a job that has not started.
            self.change(slot, now, |record| rest.write(record));
        } else {
            rest.write(&mut self.jobs[slot]);
        }
    }

    fn put_off(&mut self, slot: Slot, due: When, place: Place, rest: Rest, now: Timestamp) {
        let revived = self.jobs[slot].stand.is_terminal();
        self.change(slot, now, |record| {
            rest.write(record);
            record.due = due.resolve(now);
            record.place = match place {
                Place::AtDue => record.due,
                Place::Kept => record.place.min(record.due),
            };
            record.stand = Stand::Waiting;
            if revived {
                record.cancel_requested = false;
            }
        });
        if revived {
            self.need(slot, Need::Live);
        }
    }

    fn end(&mut self, slot: Slot, end: End, result: Option<Payload>, rest: Rest, now: Timestamp) {
        self.change(slot, now, |record| {
            rest.write(record);
            record.stand = Stand::Ended(Ended { end, at: now, result: result.map(Box::new) });
        });
    }

    /// Removes a job and all that belongs to it. For those that depend on one
    /// that had not ended, it has now, and did not complete.
    pub(super) fn remove(&mut self, slot: Slot, now: Timestamp, touched: &mut Vec<JobId>) {
        if !self.jobs[slot].stand.is_terminal() {
            self.free_key(slot, now);
            self.count_end(slot, None, touched);
        }
        self.unlink(slot);
        let Self { jobs, ids, queues, .. } = self;
        let queue = &mut queues[jobs[slot].queue];
        queue.detach(jobs, slot, now);
        queue.all.remove(jobs[slot].seq);
        ids.remove(jobs[slot].id, slot);
        jobs.remove(slot);
    }

    fn free_key(&mut self, slot: Slot, now: Timestamp) {
        let Self { jobs, queues, .. } = self;
        let record = &jobs[slot];
        if let Some(dedup) = record.dedup() {
            queues[record.queue].dedup.release(dedup, record.id, now);
        }
    }

    /// Gives a job that leaves a terminal state its deduplication key again,
    /// or says who has it.
    fn retake_key(&mut self, slot: Slot, now: Timestamp) -> Option<Applied> {
        let Self { jobs, queues, .. } = self;
        let record = &jobs[slot];
        let dedup = record.dedup().filter(|_| record.stand.is_terminal())?;
        let keys = &mut queues[record.queue].dedup;
        match keys.holder(&dedup.key, now) {
            Some(holder) if holder.by != record.id => {
                Some(Applied::KeyTaken { key: dedup.key.clone(), by: holder.by })
            }
            _ => {
                keys.take(dedup, record.id, now);
                None
            }
        }
    }
}

/// What a transition writes whatever its target.
struct Rest {
    course: Option<Course>,
    payload: Option<Payload>,
    expiry: Expiry,
}

impl Rest {
    fn write(self, record: &mut Record) {
        record.version += 1;
        if let Some(course) = self.course {
            record.course = (course != Course::default()).then(|| Box::new(course));
        }
        if let Some(payload) = self.payload {
            record.payload = payload;
        }
        if self.expiry == Expiry::Dropped
            && let Some(extra) = &mut record.extra
        {
            extra.expires = None;
        }
    }
}
