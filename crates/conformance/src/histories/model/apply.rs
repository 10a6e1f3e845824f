//! What transitions do (rules L2, R1, R7, C2, N1 and N2).

use windlass_core::backend::{
    Applied, ApplyAnswer, CancelRequest, Expiry, Guard, LeaseGuard, Place, Target, Transition,
};
use windlass_core::model::{Detail, End, State};

use super::{Check, Entry, Model, Version, ensure};

impl Model {
    pub(in super::super) fn apply(
        &mut self,
        transitions: &[Transition],
        answer: &ApplyAnswer,
    ) -> Check {
        self.is_now(answer.now)?;
        ensure!(answer.outcomes.len() == transitions.len(), "{} outcomes", answer.outcomes.len());
        // The jobs with which the end of another one was counted.
        let mut counted = Vec::new();
        for (transition, outcome) in transitions.iter().zip(&answer.outcomes) {
            self.apply_one(transition, outcome, &mut counted)
                .map_err(|why| format!("{why}\nafter {transition:?}"))?;
        }
        let left = |entry: &&Entry| counted.contains(&entry.number) && entry.is_unblocked();
        let mut expected: Vec<_> = self.jobs.iter().filter(left).map(Entry::id).collect();
        let mut named: Vec<_> = answer.unblocked.iter().map(|job| job.id).collect();
        expected.sort_unstable();
        named.sort_unstable();
        ensure!(named == expected, "named as unblocked {named:?}, not {expected:?}");
        for job in &answer.unblocked {
            self.meet(job, Detail::Summary)?;
        }
        Ok(())
    }

    fn apply_one(
        &mut self,
        transition: &Transition,
        outcome: &Applied,
        counted: &mut Vec<u64>,
    ) -> Check {
        let now = self.now();
        let Some(at) = self.find(&transition.job) else {
            ensure!(matches!(outcome, Applied::Gone), "there is no such job: {outcome:?}");
            return Ok(());
        };
        if !self.holds(at, transition.guard) {
            let Applied::Stale(job) = outcome else {
                return Err(format!("the guard does not hold: {outcome:?}"));
            };
            ensure!(job.id == transition.job.id, "another job came back: {job:?}");
            return self.meet(job, Detail::Summary);
        }
        let revives = matches!(transition.to, Target::Pending { .. }) && self.jobs[at].has_ended();
        let job = &self.jobs[at].job;
        if let Some(dedup) = job.dedup.clone().filter(|_| revives) {
            let (queue, id) = (job.queue.clone(), job.id);
            if let Some(holder) = self.keys.holder(&queue, &dedup.key, now)
                && holder.by != id
            {
                let by_that = |key, by| dedup.key == key && holder.by == by;
                let told =
                    matches!(outcome, Applied::KeyTaken { key, by } if by_that(key.clone(), *by));
                ensure!(told, "its key is taken by {}: {outcome:?}", holder.by);
                return Ok(());
            }
            self.keys.take(&queue, &dedup, id);
        }
        ensure!(matches!(outcome, Applied::Applied), "not carried out: {outcome:?}");
        self.carry_out(at, transition, counted);
        Ok(())
    }

    fn holds(&self, at: usize, guard: Guard) -> bool {
        let entry = &self.jobs[at];
        let lease = entry.job.lease;
        let leased = match guard.lease {
            LeaseGuard::Any => true,
            LeaseGuard::Held(token) => lease.is_some_and(|lease| lease.token == token),
            LeaseGuard::RunOut(token) => {
                lease.is_some_and(|lease| lease.token == token && lease.until <= self.now())
            }
        };
        // A version that nobody has seen yet is in nobody's guard.
        leased && entry.version == Version::Known(guard.version)
    }

    fn carry_out(&mut self, at: usize, transition: &Transition, counted: &mut Vec<u64>) {
        let now = self.now();
        let entry = &mut self.jobs[at];
        let had_ended = entry.has_ended();
        entry.version = entry.version.next();
        let job = &mut entry.job;
        if let Some(course) = &transition.course {
            job.course = course.clone();
        }
        if let Some(payload) = &transition.payload {
            job.payload = Some(payload.clone());
        }
        if transition.expiry == Expiry::Dropped {
            job.expires = None;
        }
        match &transition.to {
            Target::Stay { cancel } => {
                job.cancel_requested |= *cancel == CancelRequest::Requested && job.lease.is_some();
            }
            Target::Pending { due, place } => {
                if had_ended {
                    job.finished_at = None;
                    job.result = None;
                    job.cancel_requested = false;
                }
                job.lease = None;
                job.state = State::Waiting;
                job.due = due.resolve(now);
                job.place = match place {
                    Place::AtDue => job.due,
                    Place::Kept => job.place.min(job.due),
                };
            }
            Target::Ended { end, result } => {
                job.lease = None;
                job.state = (*end).into();
                job.finished_at = Some(now);
                job.result = result.clone();
                if !had_ended {
                    self.has_ended(at, Some(*end), counted);
                }
            }
            Target::Removed => self.remove(at, counted),
        }
    }

    /// Removes a job. For those that depend on one that had not ended, it has
    /// now, and did not complete.
    pub(super) fn remove(&mut self, at: usize, counted: &mut Vec<u64>) {
        if !self.jobs[at].has_ended() {
            self.has_ended(at, None, counted);
        }
        self.jobs.remove(at);
    }

    fn has_ended(&mut self, at: usize, end: Option<End>, counted: &mut Vec<u64>) {
        let ended = &self.jobs[at];
        let number = ended.number;
        if let Some(dedup) = &ended.job.dedup {
            self.keys.free(&ended.job.queue, dedup, ended.job.id);
        }
        for entry in &mut self.jobs {
            for edge in entry.edges.iter_mut().filter(|edge| edge.number == number && edge.open) {
                edge.open = false;
                entry.job.dependencies.open -= 1;
                entry.job.dependencies.broken += u32::from(end != Some(End::Completed));
                counted.push(entry.number);
            }
        }
    }
}
