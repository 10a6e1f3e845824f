//! Who waits for whom (rules N1 to N3 and N5). The store counts; whether a
//! blocked job is released or cancelled is core's to decide.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use windlass::backend::{Refusal, Result};
use windlass::model::{Dependency, Detail, End, Job, JobId, JobRef, State};

use super::Store;
use crate::keys::{Key, Space};
use crate::record::Record;

/// A job that depends on another one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Edge {
    dependent: JobId,
    seq: u64,
    /// The dependency has not yet counted as ended with it. It counts once,
    /// even if it is retried and ends again.
    open: bool,
}

impl Store<'_> {
    /// Notes a new job with each that it depends on, and counts how they
    /// stand.
    pub(super) fn link(&mut self, id: JobId) -> Result<std::result::Result<(), Refusal>> {
        let Some(old) = self.load(id)? else {
            return Ok(Ok(()));
        };
        let mut new = old.clone();
        for dependency in &old.depends_on {
            let Some(found) = self.find(dependency)? else {
                return Ok(Err(Refusal::UnknownDependency(dependency.clone())));
            };
            let end = found.end();
            let edge = Edge { dependent: id, seq: old.seq, open: end.is_none() };
            self.pairs.write(&edge_key(found.id, old.seq), &edge)?;
            match end {
                Some(End::Completed) => {}
                Some(_) => new.broken += 1,
                None => new.open += 1,
            }
            if !found.has_dependents {
                // Whoever has decided about it without knowing of its
                // dependent has to decide again.
                let version = found.version + 1;
                let mut needed = Record { has_dependents: true, version, ..found.clone() };
                self.change(&found, &mut needed)?;
            }
        }
        self.change(&old, &mut new)?;
        Ok(Ok(()))
    }

    /// Counts the end of a job with each that depends on it, once, and names
    /// those about which core now has to decide.
    pub(super) fn count_end(
        &mut self,
        job: JobId,
        end: Option<End>,
        touched: &mut BTreeSet<JobId>,
    ) -> Result<()> {
        for edge in self.edges(job)?.into_iter().filter(|edge| edge.open) {
            self.pairs.write(&edge_key(job, edge.seq), &Edge { open: false, ..edge })?;
            let Some(old) = self.load(edge.dependent)? else { continue };
            let mut new = old.clone();
            new.open = new.open.saturating_sub(1);
            new.broken += u32::from(end != Some(End::Completed));
            self.change(&old, &mut new)?;
            if new.is_unblocked() {
                touched.insert(new.id);
            }
        }
        Ok(())
    }

    /// Forgets a job that is removed, with those that it depends on and those
    /// that depend on it.
    pub(super) fn unlink(&mut self, record: &Record) -> Result<()> {
        for dependency in &record.depends_on {
            self.pairs.remove(&edge_key(dependency.id, record.seq))?;
        }
        for edge in self.edges(record.id)? {
            self.pairs.remove(&edge_key(record.id, edge.seq))?;
        }
        Ok(())
    }

    /// Whether a job that has not ended depends on this one.
    pub(super) fn is_needed(&self, record: &Record) -> Result<bool> {
        if record.has_dependents {
            for edge in self.edges(record.id)? {
                if self.load(edge.dependent)?.is_some_and(|job| job.end().is_none()) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Those of the named jobs about which core has to decide, in the order in
    /// which they were enqueued.
    pub(super) fn unblocked_of(&self, touched: BTreeSet<JobId>) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for id in touched {
            if let Some(record) = self.load(id)?.filter(Record::is_unblocked) {
                jobs.push(self.view(&record, Detail::Summary)?);
            }
        }
        jobs.sort_unstable_by_key(|job| job.seq);
        Ok(jobs)
    }

    pub(crate) fn dependents(&self, job: &JobRef) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        if let Some(found) = self.find(job)? {
            for edge in self.edges(found.id)? {
                if let Some(record) = self.load(edge.dependent)? {
                    jobs.push(self.view(&record, Detail::Summary)?);
                }
            }
        }
        Ok(jobs)
    }

    pub(crate) fn dependencies(&self, job: &JobRef) -> Result<Vec<Dependency>> {
        let depends_on = self.find(job)?.map(|record| record.depends_on).unwrap_or_default();
        let look = |job: JobRef| {
            let state = self.find(&job)?.map(|record| record.state(self.now));
            let result = match state {
                Some(State::Completed) => self.payload(Space::Result, job.id)?,
                _ => None,
            };
            Ok(Dependency { job, state, result })
        };
        depends_on.into_iter().map(look).collect()
    }

    fn edges(&self, job: JobId) -> Result<Vec<Edge>> {
        self.pairs.read_all(Key::of_job(Space::Dependent, job).below())
    }
}

fn edge_key(job: JobId, dependent: u64) -> Key {
    Key::of_job(Space::Dependent, job).number(dependent)
}
