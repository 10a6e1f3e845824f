//! What lookers see (rules N3, Q2 and Q5).

use windlass_core::model::{
    Dependency, Detail, Direction, Filter, Job, JobRef, JobsQuery, QueueInfo, QueueStats, Seen,
    State, Step,
};

use super::{Check, Entry, Model, ensure};

impl Model {
    pub(in super::super) fn queues(&self, answer: &[QueueInfo]) -> Check {
        let info =
            |queue: &super::Queue| QueueInfo { spec: queue.spec.clone(), paused: queue.paused };
        let expected: Vec<_> = self.queues.values().map(info).collect();
        ensure!(answer == expected, "the queues are {answer:?}, not {expected:?}");
        Ok(())
    }

    /// All the pages of a listing, one behind the other.
    pub(in super::super) fn jobs(&mut self, query: &JobsQuery, answer: &[Job]) -> Check {
        // The order is one of each queue.
        for name in self.queues.keys() {
            let fits = |entry: &&Entry| entry.job.queue == *name && self.fits(entry, &query.filter);
            let mut expected: Vec<_> = self.jobs.iter().filter(fits).map(Entry::id).collect();
            if query.direction == Direction::NewestFirst {
                expected.reverse();
            }
            let of = answer.iter().filter(|job| job.queue == *name);
            let found: Vec<_> = of.map(|job| job.id).collect();
            ensure!(found == expected, "{query:?} found {found:?}, not {expected:?}");
        }
        answer.iter().try_for_each(|job| self.meet(job, query.detail))
    }

    fn fits(&self, entry: &Entry, filter: &Filter) -> bool {
        let job = &entry.job;
        let dedup = job.dedup.as_ref().map(|dedup| &dedup.key);
        filter.queue.as_ref().is_none_or(|queue| job.queue == *queue)
            && (filter.states.is_empty() || filter.states.contains(&entry.state(self.now())))
            && filter.job_type.as_ref().is_none_or(|kind| job.job_type == *kind)
            && (filter.key.is_none() || job.key == filter.key)
            && (filter.dedup.is_none() || dedup == filter.dedup.as_ref())
            && (filter.partition.is_none() || job.partition == filter.partition)
            && filter.tag.as_ref().is_none_or(|tag| job.tags.contains(tag))
            && (filter.flow.is_none() || job.flow == filter.flow)
            && (filter.parent.is_none() || job.parent == filter.parent)
    }

    pub(in super::super) fn stats(&self, stats: &QueueStats) -> Check {
        let now = self.now();
        self.is_now(stats.now)?;
        let queue = &self.queues[&stats.queue];
        let of: Vec<_> = self.jobs.iter().filter(|e| e.job.queue == stats.queue).collect();
        for state in State::ALL {
            let expected = of.iter().filter(|entry| entry.state(now) == state).count() as u64;
            let count = stats.count(state);
            ensure!(
                count == expected,
                "{count} jobs of {} are {state}, not {expected}",
                stats.queue
            );
        }
        let leases = of.iter().filter(|entry| entry.job.lease.is_some()).count() as u64;
        ensure!(stats.leases == leases, "{} leases, not {leases}", stats.leases);
        let starts = queue.starts_in_window(now);
        ensure!(
            stats.starts_in_window == starts,
            "{} starts, not {starts}",
            stats.starts_in_window
        );
        ensure!(stats.paused == queue.paused, "paused: {}", stats.paused);
        // Whether a job that came back counts from when it first became ready
        // is the store's choice.
        let waiting = of.iter().filter(|entry| entry.state(now) == State::Waiting);
        let oldest = waiting.clone().map(|entry| entry.job.place).min();
        let latest = waiting.map(|entry| entry.job.due).min();
        ensure!(
            (oldest..=latest).contains(&stats.oldest_ready),
            "the oldest is ready since {:?}, which is not in {oldest:?} to {latest:?}",
            stats.oldest_ready
        );
        Ok(())
    }

    pub(in super::super) fn job(&mut self, job: &JobRef, answer: Option<&Seen>) -> Check {
        match answer {
            Some(seen) => {
                self.is_now(seen.now)?;
                ensure!(seen.job.reference() == *job, "asked for {job:?}, got {:?}", seen.job);
                self.meet(&seen.job, Detail::Full)
            }
            None => {
                ensure!(self.find(job).is_none(), "{job:?} was not found");
                Ok(())
            }
        }
    }

    pub(in super::super) fn around(
        &mut self,
        job: &JobRef,
        dependents: &[Job],
        dependencies: &[Dependency],
        steps: &[Step],
    ) -> Check {
        ensure!(steps == self.steps(job), "{job:?} has steps {steps:?}");
        let Some(at) = self.find(job) else {
            let nothing = dependents.is_empty() && dependencies.is_empty();
            ensure!(nothing, "a job that is gone has {dependents:?} and {dependencies:?}");
            return Ok(());
        };
        let number = self.jobs[at].number;
        let on_it = |entry: &&Entry| entry.edges.iter().any(|edge| edge.number == number);
        let expected: Vec<_> = self.jobs.iter().filter(on_it).map(Entry::id).collect();
        let mut found: Vec<_> = dependents.iter().map(|job| job.id).collect();
        if dependents.iter().any(|dependent| dependent.queue != dependents[0].queue) {
            // The order is one of each queue.
            found.sort_by_key(|id| expected.iter().position(|other| other == id));
        }
        ensure!(found == expected, "on {job:?} depend {found:?}, not {expected:?}");
        for (edge, dependency) in self.jobs[at].edges.iter().zip(dependencies) {
            let on = self.jobs.iter().find(|entry| entry.number == edge.number);
            let state = on.map(|entry| entry.state(self.now()));
            let result = on.filter(|entry| entry.job.state == State::Completed);
            let result = result.and_then(|entry| entry.job.result.clone());
            let expected = Dependency { job: edge.on.clone(), state, result };
            // One that was removed may have been stored anew since.
            let reborn = on.is_none() && self.find(&edge.on).is_some();
            ensure!(
                *dependency == expected || reborn && dependency.job == expected.job,
                "{job:?} depends on {dependency:?}, not {expected:?}"
            );
        }
        let count = self.jobs[at].edges.len();
        ensure!(dependencies.len() == count, "{job:?} depends on {} jobs", dependencies.len());
        dependents.iter().try_for_each(|job| self.meet(job, Detail::Summary))
    }
}
