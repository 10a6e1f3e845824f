//! Removing jobs for good (rules N5 and Q3).

use windlass_core::backend::{Clean, CleanWhich};
use windlass_core::model::{JobId, Timestamp};

use super::{Check, Entry, Model, ensure};

impl Model {
    /// Judges a cleaning by its answer and by the jobs that are left. Of those
    /// that ended at the same moment, any may count as the earlier one.
    pub(in super::super) fn clean(&mut self, clean: &Clean, answer: u64, left: &[JobId]) -> Check {
        let now = self.now();
        let since = |entry: &Entry| entry.job.finished_at.unwrap_or(entry.job.enqueued_at);
        let of_state =
            |entry: &&Entry| entry.job.queue == clean.queue && entry.state(now) == clean.state;
        let all: Vec<&Entry> = self.jobs.iter().filter(of_state).collect();
        let others = |than: Timestamp, newer: fn(Timestamp, Timestamp) -> bool| {
            all.iter().filter(|entry| newer(since(entry), than)).count() as u64
        };
        // Whether a job is among those that are asked for, surely or, where
        // several ended at one moment, perhaps.
        let surely = |entry: &Entry| match clean.which {
            CleanWhich::OlderThan(age) => since(entry) <= now.before(age),
            CleanWhich::BeyondNewest(kept) => others(since(entry), |a, b| a > b) >= kept,
        };
        let perhaps = |entry: &Entry| match clean.which {
            CleanWhich::OlderThan(_) => surely(entry),
            CleanWhich::BeyondNewest(kept) => others(since(entry), |a, b| a >= b) > kept,
        };
        let is_left = |entry: &Entry| left.contains(&entry.id());
        let removed: Vec<&Entry> = self
            .jobs
            .iter()
            .filter(|entry| entry.job.queue == clean.queue && !is_left(entry))
            .collect();
        for entry in &removed {
            let may = of_state(entry) && perhaps(entry) && !self.is_needed(entry);
            ensure!(may, "removed {:?}", entry.job);
        }
        ensure!(removed.len() as u64 == answer, "said {answer}, removed {}", removed.len());
        ensure!(answer <= u64::from(clean.limit), "removed {answer}, more than asked for");
        let kept: Vec<_> = all
            .iter()
            .filter(|entry| is_left(entry) && surely(entry) && !self.is_needed(entry))
            .collect();
        ensure!(
            kept.is_empty() || answer == u64::from(clean.limit),
            "removed {answer} and left {} more",
            kept.len()
        );
        let last = removed.iter().map(|entry| since(entry)).max();
        let passed = kept.iter().find(|entry| Some(since(entry)) < last);
        ensure!(passed.is_none(), "passed over {:?}", passed.map(|entry| entry.id()));
        let removed: Vec<u64> = removed.iter().map(|entry| entry.number).collect();
        for number in removed {
            if let Some(at) = self.jobs.iter().position(|entry| entry.number == number) {
                self.remove(at, &mut Vec::new());
            }
        }
        Ok(())
    }

    /// Whether one that has not ended depends on it.
    fn is_needed(&self, entry: &Entry) -> bool {
        let on_it = |other: &Entry| other.edges.iter().any(|edge| edge.number == entry.number);
        self.jobs.iter().any(|other| !other.has_ended() && on_it(other))
    }

    /// Whether one that has not ended depends on the job with this id.
    pub(in super::super) fn is_job_needed(&self, id: JobId) -> bool {
        let entry = self.jobs.iter().find(|entry| entry.job.id == id);
        entry.is_some_and(|entry| self.is_needed(entry))
    }
}
