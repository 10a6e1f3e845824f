//! New jobs, each in its shard.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::{join_all, try_join_all};
use windlass_core::Error;
use windlass_core::backend::{EnqueueAnswer, Enqueued, Refusal};
use windlass_core::decide::shards::{self, Extent, own_of};
use windlass_core::model::{JobId, JobRef, MAX_SHARDS, NewJob, QueueName, Timestamp, Token};

use super::{OLD, Spread, mark_any, queue_of};
use crate::error::damaged;

/// Over which shards the queues of a batch are spread; there are few.
type Extents = Vec<(QueueName, Extent)>;

impl Spread {
    /// Stores new jobs.
    pub(crate) async fn enqueue(&self, mut jobs: Vec<NewJob>) -> Result<EnqueueAnswer, Error> {
        let Some(extents) = self.spread_queues(&jobs).await? else {
            return self.store.enqueue(jobs).await;
        };
        let is_simple = jobs.iter().all(|job| {
            job.queue == jobs[0].queue && job.parent.is_none() && job.depends_on.is_empty()
        });
        let shards = self.shards_of(&jobs, &extents).await?;
        if is_simple {
            return self.enqueue_simple(jobs, &shards).await;
        }
        self.route(&mut jobs, &shards, &extents).await?;
        let mut answer = self.store.enqueue(jobs).await?;
        match &mut answer {
            EnqueueAnswer::Stored { outcomes, unblocked, .. } => {
                outcomes.iter_mut().for_each(mark_outcome);
                unblocked.iter_mut().for_each(mark_any);
            }
            EnqueueAnswer::Refused { why, jobs, .. } => {
                *why = from_outside(why.clone());
                jobs.iter_mut().for_each(route_back);
            }
        }
        Ok(answer)
    }

    /// Over which shards the queues are spread that a batch names; nothing if none of
    /// them is.
    async fn spread_queues(&self, jobs: &[NewJob]) -> Result<Option<Extents>, Error> {
        let mut extents = Extents::new();
        let mut any = false;
        for job in jobs {
            let parent = job.parent.as_ref();
            any |= parent.is_some_and(|parent| own_of(parent.token.0).0 > 0);
            let others = job.depends_on.iter().map(|other| &other.queue);
            for queue in std::iter::once(&job.queue).chain(others) {
                // Batches are mostly of one queue.
                if extents.last().is_some_and(|(last, _)| last == queue)
                    || extents.iter().any(|(known, _)| known == queue)
                {
                    continue;
                }
                let extent = self.extent(queue).await?;
                any |= !extent.is_one();
                extents.push((queue.clone(), extent));
            }
        }
        Ok(any.then_some(extents))
    }

    /// Over which shards a queue is spread, as far as is known, or else as a look says.
    async fn extent(&self, queue: &QueueName) -> Result<Extent, Error> {
        let Some((extent, is_old)) = self.store.known_extent_or_old(queue, OLD) else {
            return self.look(queue).await;
        };
        if is_old {
            let (store, queue) = (self.store.clone(), queue.clone());
            // Nobody waits for it: that a queue was declared anew is heard in time.
            self.runtime.spawn(async move { store.look_at(&queue).await.map(drop) });
        }
        Ok(extent)
    }

    /// The shard of each job: where its keys say, or where they are taken since before
    /// the number of shards was changed, so that the answer comes from there.
    async fn shards_of(&self, jobs: &[NewJob], extents: &Extents) -> Result<Vec<u32>, Error> {
        let mut found = Vec::with_capacity(jobs.len());
        let mut former: BTreeMap<(&QueueName, u32), Vec<usize>> = BTreeMap::new();
        for (index, job) in jobs.iter().enumerate() {
            let extent = extent_of(extents, &job.queue);
            found.push(shards::of_job(job, extent.live));
            if extent.former != 0 && (job.key.is_some() || job.dedup.is_some()) {
                for shard in extent.formerly(job) {
                    former.entry((&job.queue, shard)).or_default().push(index);
                }
            }
        }
        let looks = former.into_iter().map(|((queue, shard), indexes)| async move {
            let asked: Vec<&NewJob> = indexes.iter().map(|index| &jobs[*index]).collect();
            let letters = self.store.peek(&self.name(queue, shard), &asked).await?;
            Ok::<_, Error>((shard, indexes, letters.unwrap_or_default()))
        });
        for (shard, indexes, letters) in try_join_all(looks).await? {
            for (index, letter) in indexes.into_iter().zip(letters) {
                if letter != b'-' {
                    found[index] = shard;
                }
            }
        }
        Ok(found)
    }

    /// Stores jobs of one queue that name no others: each shard's by a call of its own,
    /// side by side.
    async fn enqueue_simple(
        &self,
        jobs: Vec<NewJob>,
        shards: &[u32],
    ) -> Result<EnqueueAnswer, Error> {
        let queue = jobs[0].queue.clone();
        let mut outcomes: Vec<Option<Enqueued>> = vec![None; jobs.len()];
        let mut groups: Vec<(Vec<usize>, Vec<NewJob>)> = Vec::new();
        groups.resize_with(MAX_SHARDS as usize, Default::default);
        let names = self.names(&queue);
        for (index, (mut job, shard)) in jobs.into_iter().zip(shards).enumerate() {
            let shard = *shard as usize;
            job.queue = names[shard].clone();
            groups[shard].0.push(index);
            groups[shard].1.push(job);
        }
        groups.retain(|(_, jobs)| !jobs.is_empty());
        let (places, groups): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
        let answers = join_all(groups.into_iter().map(|jobs| self.store.enqueue(jobs))).await;
        let mut now = Timestamp::MAX;
        for (indexes, answer) in places.into_iter().zip(answers) {
            match answer? {
                EnqueueAnswer::Stored { outcomes: of_shard, now: at, .. } => {
                    now = now.min(at);
                    for (index, mut outcome) in indexes.into_iter().zip(of_shard) {
                        mark_outcome(&mut outcome);
                        outcomes[index] = Some(outcome);
                    }
                }
                // They name nothing that could be missing but their shard.
                EnqueueAnswer::Refused { .. } => return Err(Error::unknown_queue(&queue)),
            }
        }
        let outcomes: Option<Vec<Enqueued>> = outcomes.into_iter().collect();
        let outcomes = outcomes.ok_or_else(|| damaged("an answer", "it ends too early"))?;
        Ok(EnqueueAnswer::Stored { outcomes, unblocked: Vec::new(), now })
    }

    /// Sends each job, and each that it names, to its shard.
    async fn route(
        &self,
        jobs: &mut [NewJob],
        shards: &[u32],
        extents: &Extents,
    ) -> Result<(), Error> {
        let mut found: HashMap<JobRef, u32> = HashMap::new();
        let mut missing: HashMap<QueueName, Vec<JobId>> = HashMap::new();
        for (job, shard) in jobs.iter().zip(shards) {
            found.entry(JobRef { queue: job.queue.clone(), id: job.id }).or_insert(*shard);
        }
        for other in jobs.iter().flat_map(|job| &job.depends_on) {
            if !extent_of(extents, &other.queue).is_one() && !found.contains_key(other) {
                missing.entry(other.queue.clone()).or_default().push(other.id);
            }
        }
        for (queue, mut ids) in missing {
            ids.sort_unstable();
            ids.dedup();
            for (id, shard) in self.find(&queue, extent_of(extents, &queue), &ids).await? {
                found.insert(JobRef { queue: queue.clone(), id }, shard);
            }
        }
        for (job, shard) in jobs.iter_mut().zip(shards) {
            // One that is not found is asked for in vain where it would be.
            for other in &mut job.depends_on {
                let shard = found.get(other).copied().unwrap_or(0);
                other.queue = self.name(&other.queue, shard);
            }
            if let Some(parent) = &mut job.parent {
                let (shard, own) = own_of(parent.token.0);
                parent.job.queue = self.name(&parent.job.queue, shard);
                parent.token = Token(own);
            }
            job.queue = self.name(&job.queue, *shard);
        }
        Ok(())
    }
}

fn extent_of(extents: &Extents, queue: &QueueName) -> Extent {
    let known = extents.iter().find(|(known, _)| known == queue);
    known.map_or_else(Extent::default, |(_, extent)| *extent)
}

/// A job as it came.
fn route_back(job: &mut NewJob) {
    job.queue = shards::queue_of(&job.queue);
    for other in &mut job.depends_on {
        other.queue = shards::queue_of(&other.queue);
    }
    if let Some(parent) = &mut job.parent
        && let Some((queue, shard)) = shards::split_name(&parent.job.queue)
    {
        parent.job.queue = queue;
        parent.token = Token(shards::seen_as(shard, parent.token.0));
    }
}

fn mark_outcome(outcome: &mut Enqueued) {
    if let Enqueued::Duplicate(job) = outcome {
        mark_any(job);
    }
}

fn from_outside(why: Refusal) -> Refusal {
    match why {
        Refusal::UnknownQueue(queue) => Refusal::UnknownQueue(shards::queue_of(&queue)),
        Refusal::UnknownDependency(job) => Refusal::UnknownDependency(queue_of(job)),
        Refusal::StaleParent(job) => Refusal::StaleParent(queue_of(job)),
        other => other,
    }
}
