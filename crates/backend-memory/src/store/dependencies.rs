//! Who waits for whom (rules N1 to N3 and N5).

use windlass_core::model::{Dependency, Detail, End, Job, JobId, JobRef, Timestamp};

use super::Store;
use super::slab::Slot;
use crate::record::Edge;

impl Store {
    /// Notes a new job with each that it depends on, and counts how they
    /// stand.
    pub(super) fn link(&mut self, slot: Slot) {
        let seq = self.jobs[slot].seq;
        for dependency in self.depends_on(slot) {
            let record = &mut self.jobs[dependency];
            let end = record.stand.end();
            let extra = record.extra_mut();
            let edge = Edge { dependent: slot, open: end.is_none() };
            extra.dependents.insert(seq, edge);
            extra.live_dependents += 1;
            if !std::mem::replace(&mut extra.has_dependents, true) {
                // Whoever has decided about it without knowing of its
                // dependent has to decide again.
                record.version += 1;
            }
            let counts = &mut self.jobs[slot].extra_mut().dependencies;
            match end {
                Some(End::Completed) => {}
                Some(_) => counts.broken += 1,
                None => counts.open += 1,
            }
        }
    }

    /// Counts the end of a job with each that depends on it, once, and names
    /// those.
    pub(super) fn count_end(&mut self, slot: Slot, end: Option<End>, touched: &mut Vec<JobId>) {
        let Some(extra) = &mut self.jobs[slot].extra else {
            return;
        };
        let open: Vec<Slot> = extra
            .dependents
            .values_mut()
            .filter_map(|edge| std::mem::take(&mut edge.open).then_some(edge.dependent))
            .collect();
        for dependent in open {
            let record = &mut self.jobs[dependent];
            let counts = &mut record.extra_mut().dependencies;
            counts.open = counts.open.saturating_sub(1);
            if end != Some(End::Completed) {
                counts.broken += 1;
            }
            if record.stand.is_blocked() && record.is_unblocked() {
                let (id, seq, queue) = (record.id, record.seq, record.queue);
                let unblocked = &mut self.queues[queue].unblocked;
                unblocked.remove(seq);
                unblocked.insert(seq, dependent);
                touched.push(id);
            }
        }
    }

    /// Notes with the jobs that this one depends on whether it still needs
    /// them: it does until it ends.
    pub(super) fn need(&mut self, slot: Slot, need: Need) {
        let seq = self.jobs[slot].seq;
        for dependency in self.depends_on(slot) {
            let extra = self.jobs[dependency].extra_mut();
            // One that was removed and stored anew knows nothing of it.
            if !extra.dependents.contains_key(&seq) {
                continue;
            }
            match need {
                Need::Live => extra.live_dependents += 1,
                Need::Over => extra.live_dependents = extra.live_dependents.saturating_sub(1),
            }
        }
    }

    /// Forgets a job with those that it depends on.
    pub(super) fn unlink(&mut self, slot: Slot) {
        let record = &self.jobs[slot];
        let (seq, live) = (record.seq, !record.stand.is_terminal());
        for dependency in self.depends_on(slot) {
            let extra = self.jobs[dependency].extra_mut();
            if extra.dependents.remove(&seq).is_some() && live {
                extra.live_dependents = extra.live_dependents.saturating_sub(1);
            }
        }
    }

    /// Those of the named jobs about which core has to decide.
    pub(super) fn unblocked_of(&self, mut touched: Vec<JobId>, now: Timestamp) -> Vec<Job> {
        touched.sort_unstable();
        touched.dedup();
        let mut slots: Vec<Slot> = touched
            .iter()
            .filter_map(|id| self.ids.get(*id, &self.jobs))
            .filter(|slot| self.jobs[*slot].stand.is_blocked())
            .collect();
        slots.sort_unstable_by_key(|slot| self.jobs[*slot].seq);
        slots.into_iter().map(|slot| self.view(slot, now, Detail::Summary)).collect()
    }

    pub(crate) fn dependents(&self, job: &JobRef, now: Timestamp) -> Vec<Job> {
        let slot = self.find(job);
        let extra = slot.and_then(|slot| self.jobs[slot].extra.as_deref());
        extra.map_or_else(Vec::new, |extra| {
            let edges = extra.dependents.values();
            edges.map(|edge| self.view(edge.dependent, now, Detail::Summary)).collect()
        })
    }

    pub(crate) fn dependencies(&self, job: &JobRef, now: Timestamp) -> Vec<Dependency> {
        let slot = self.find(job);
        let extra = slot.and_then(|slot| self.jobs[slot].extra.as_deref());
        let depends_on = extra.map_or(&[][..], |extra| &extra.depends_on);
        depends_on
            .iter()
            .map(|job| {
                let record = self.find(job).map(|slot| &self.jobs[slot]);
                Dependency {
                    job: job.clone(),
                    state: record.map(|record| record.state(now)),
                    result: record
                        .and_then(|record| record.stand.ended())
                        .filter(|ended| ended.end == End::Completed)
                        .and_then(|ended| ended.result.as_deref().cloned()),
                }
            })
            .collect()
    }

    /// The stored jobs that this one depends on.
    fn depends_on(&self, slot: Slot) -> Vec<Slot> {
        let extra = self.jobs[slot].extra.as_deref();
        let depends_on = extra.map_or(&[][..], |extra| &extra.depends_on);
        depends_on.iter().filter_map(|job| self.find(job)).collect()
    }
}

/// Whether a job still needs those that it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// It has not ended.
    Live,
    /// It has.
    Over,
}
