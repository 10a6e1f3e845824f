//! Jobs of which only the id is known.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use windlass_core::Error;
use windlass_core::backend::Result;
use windlass_core::decide::shards::{self, Extent};
use windlass_core::model::{Dependency, Job, JobId, JobRef, QueueName, Seen, Step, Timestamp};

use super::{OLD, Spread, mark, mark_any, queue_of};

impl Spread {
    /// A job with payload and result.
    pub(crate) async fn job(&self, job: &JobRef) -> Result<Option<Seen>> {
        let extent = self.store.known_extent(&job.queue).unwrap_or_default();
        let first = self.guess(extent, job.id);
        if let Some(seen) = self.job_in(job, first).await? {
            return Ok(Some(seen));
        }
        // It may have come to be spread since, or may stand elsewhere.
        let extent = self.look(&job.queue).await?;
        let others = (0..extent.all).filter(|shard| *shard != first);
        let seen = try_join_all(others.map(|shard| self.job_in(job, shard))).await?;
        Ok(seen.into_iter().flatten().next())
    }

    async fn job_in(&self, job: &JobRef, shard: u32) -> Result<Option<Seen>> {
        let place = JobRef { queue: self.name(&job.queue, shard), id: job.id };
        let Some((mut found, now)): Option<(Job, Timestamp)> = self.store.job(&place).await? else {
            return Ok(None);
        };
        mark(&mut found, &job.queue, shard);
        Ok(Some(Seen { job: found, now }))
    }

    /// In which shard to look for a job first.
    fn guess(&self, extent: Extent, job: JobId) -> u32 {
        if extent.is_one() {
            return 0;
        }
        let seen = self.whereabouts.of(job).filter(|shard| *shard < extent.all);
        seen.unwrap_or_else(|| shards::of_keys(None, None, job, extent.live))
    }

    /// The shards of those of these jobs that are stored.
    pub(super) async fn find(
        &self,
        queue: &QueueName,
        extent: Extent,
        ids: &[JobId],
    ) -> Result<HashMap<JobId, u32>> {
        let guessed: Vec<(JobId, u32)> =
            ids.iter().map(|id| (*id, self.guess(extent, *id))).collect();
        let all = || 0..extent.all;
        let at_guess = self.read_in(queue, all(), |shard| {
            guessed.iter().filter(|(_, guess)| *guess == shard).map(|(id, _)| *id).collect()
        });
        let mut found = at_guess.await?;
        if found.len() < ids.len() {
            let elsewhere = self.read_in(queue, all(), |shard| {
                let missing = guessed.iter().filter(|(id, _)| !found.contains_key(id));
                missing.filter(|(_, guess)| *guess != shard).map(|(id, _)| *id).collect()
            });
            let elsewhere = elsewhere.await?;
            self.whereabouts.note(elsewhere.iter().map(|(id, shard)| (*id, *shard)));
            found.extend(elsewhere);
        }
        Ok(found)
    }

    /// Which of these jobs, by shard, stand there.
    async fn read_in(
        &self,
        queue: &QueueName,
        shards: impl Iterator<Item = u32>,
        ids: impl Fn(u32) -> Vec<JobId>,
    ) -> Result<HashMap<JobId, u32>> {
        let asked = shards.map(|shard| (shard, ids(shard))).filter(|(_, ids)| !ids.is_empty());
        let reads = asked.map(|(shard, ids)| async move {
            let jobs = self.store.read(&self.name(queue, shard), &ids, false).await?.0;
            Ok::<_, Error>((shard, jobs))
        });
        let mut found = HashMap::new();
        for (shard, jobs) in try_join_all(reads).await? {
            found.extend(jobs.into_iter().map(|job| (job.id, shard)));
        }
        Ok(found)
    }

    /// Asks about a job where it stands; in a queue that is one without a look.
    async fn anywhere<T, F>(&self, job: &JobRef, ask: impl Fn(JobRef) -> F) -> Result<Vec<T>>
    where
        F: Future<Output = Result<Vec<T>>> + Send,
    {
        if self.known_to_be_spread(&job.queue).is_none() {
            let found = ask(job.clone()).await?;
            if !found.is_empty() || self.is_surely_one(&job.queue) {
                return Ok(found);
            }
        }
        let extent = self.look(&job.queue).await?;
        let found = self.find(&job.queue, extent, &[job.id]).await?;
        // Of one that is nowhere there is nothing to be found in the first shard either.
        let shard = found.get(&job.id).copied().unwrap_or(0);
        ask(JobRef { queue: self.name(&job.queue, shard), id: job.id }).await
    }

    /// The recorded steps of a job.
    pub(crate) async fn steps(&self, job: &JobRef) -> Result<Vec<Step>> {
        self.anywhere(job, |place| async move { self.store.steps(&place).await }).await
    }

    /// The jobs that depend on this one, without payload.
    pub(crate) async fn dependents(&self, job: &JobRef) -> Result<Vec<Job>> {
        let found = self.anywhere(job, |place| async move { self.store.dependents(&place).await });
        let mut found = found.await?;
        found.iter_mut().for_each(mark_any);
        Ok(found)
    }

    /// The jobs that this one depends on, and what they returned.
    pub(crate) async fn dependencies(&self, job: &JobRef) -> Result<Vec<Dependency>> {
        let found =
            self.anywhere(job, |place| async move { self.store.dependencies(&place).await });
        let mut found = found.await?;
        for dependency in &mut found {
            dependency.job = queue_of(dependency.job.clone());
        }
        Ok(found)
    }

    /// Whether a queue was seen a moment ago to be one: then there is nowhere else to
    /// look.
    fn is_surely_one(&self, queue: &QueueName) -> bool {
        let known = self.store.known_extent_or_old(queue, OLD);
        matches!(known, Some((extent, false)) if extent.is_one())
    }
}
