//! What is done under guards and leases: they say in which shard.

use std::collections::BTreeMap;

use windlass_core::backend::{Applied, ApplyAnswer, Extend, Extended, Result, Transition};
use windlass_core::decide::shards;
use windlass_core::model::{NewStep, QueueName, StepRecorded, Timestamp};

use super::{Spread, mark, mark_any};

fn shard_of(transition: &Transition) -> u32 {
    shards::own_of(transition.guard.version).0
}

fn shard_of_lease(lease: &Extend) -> u32 {
    shards::own_of(lease.token.0).0
}

impl Spread {
    /// Carries out transitions.
    pub(crate) async fn apply(&self, transitions: &[Transition]) -> Result<ApplyAnswer> {
        let mut answer = match transitions.iter().any(|transition| shard_of(transition) > 0) {
            true => self.apply_to_shards(transitions).await?,
            false => self.store.apply(transitions).await?,
        };
        answer.unblocked.iter_mut().for_each(mark_any);
        Ok(answer)
    }

    /// Carries out those of each shard there.
    async fn apply_to_shards(&self, transitions: &[Transition]) -> Result<ApplyAnswer> {
        let mut places: BTreeMap<QueueName, Vec<usize>> = BTreeMap::new();
        for (index, transition) in transitions.iter().enumerate() {
            let name = self.name(&transition.job.queue, shard_of(transition));
            places.entry(name).or_default().push(index);
        }
        let mut answer = self.store.apply_at(places, transitions).await?;
        for (outcome, transition) in answer.outcomes.iter_mut().zip(transitions) {
            if let Applied::Stale(job) = outcome {
                mark(job, &transition.job.queue, shard_of(transition));
            }
        }
        Ok(answer)
    }

    /// Makes leases last longer.
    pub(crate) async fn extend(&self, leases: &[Extend]) -> Result<(Vec<Extended>, Timestamp)> {
        if !leases.iter().any(|lease| shard_of_lease(lease) > 0) {
            return self.store.extend(leases).await;
        }
        let mut in_shards = leases.to_vec();
        for lease in &mut in_shards {
            lease.job.queue = self.name(&lease.job.queue, shard_of_lease(lease));
        }
        self.store.extend(&in_shards).await
    }

    /// Records the outcomes of steps.
    pub(crate) async fn record_steps(&self, mut steps: Vec<NewStep>) -> Result<Vec<StepRecorded>> {
        for step in &mut steps {
            let (shard, _) = shards::own_of(step.token.0);
            if shard > 0 {
                step.job.queue = self.name(&step.job.queue, shard);
            }
        }
        self.store.record_steps(&steps).await
    }
}
