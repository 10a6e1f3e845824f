//! What is done under guards and leases: they say in which shard.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use windlass_core::Error;
use windlass_core::backend::{Applied, ApplyAnswer, Extend, Extended, Result, Transition};
use windlass_core::decide::shards;
use windlass_core::model::{NewStep, QueueName, StepRecorded, Timestamp};

use super::{Spread, mark, mark_any};
use crate::error::damaged;
use crate::store::apply::AT_ONCE;

/// Leases of one shard, and their places in the call.
type Leases = (Vec<usize>, Vec<Extend>);

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

    /// Carries out those of each shard in order, and shards side by side.
    async fn apply_to_shards(&self, transitions: &[Transition]) -> Result<ApplyAnswer> {
        let mut places: BTreeMap<(&QueueName, u32), Vec<usize>> = BTreeMap::new();
        for (index, transition) in transitions.iter().enumerate() {
            let place = (&transition.job.queue, shard_of(transition));
            places.entry(place).or_default().push(index);
        }
        let calls = places.into_iter().map(|((queue, shard), indexes)| async move {
            let name = self.name(queue, shard);
            let mut answers = Vec::new();
            for part in indexes.chunks(AT_ONCE) {
                let of_part: Vec<&Transition> =
                    part.iter().map(|index| &transitions[*index]).collect();
                let mut answer = self.store.apply_to(&name, &of_part).await?;
                for outcome in &mut answer.outcomes {
                    if let Applied::Stale(job) = outcome {
                        mark(job, queue, shard);
                    }
                }
                answers.push((part.to_vec(), answer));
            }
            Ok::<_, Error>(answers)
        });
        let mut outcomes: Vec<Option<Applied>> = Vec::new();
        outcomes.resize_with(transitions.len(), || None);
        let (mut unblocked, mut now) = (Vec::new(), Timestamp::MAX);
        for answers in join_all(calls).await {
            for (indexes, answer) in answers? {
                now = now.min(answer.now);
                unblocked.extend(answer.unblocked);
                for (index, outcome) in indexes.into_iter().zip(answer.outcomes) {
                    outcomes[index] = Some(outcome);
                }
            }
        }
        let outcomes: Option<Vec<Applied>> = outcomes.into_iter().collect();
        let outcomes = outcomes.ok_or_else(|| damaged("an answer", "it ends too early"))?;
        Ok(ApplyAnswer { outcomes, unblocked, now })
    }

    /// Makes leases last longer.
    pub(crate) async fn extend(&self, leases: &[Extend]) -> Result<(Vec<Extended>, Timestamp)> {
        if !leases.iter().any(|lease| shard_of_lease(lease) > 0) {
            return self.store.extend(leases).await;
        }
        let mut places: BTreeMap<(&QueueName, u32), Leases> = BTreeMap::new();
        for (index, lease) in leases.iter().enumerate() {
            let shard = shard_of_lease(lease);
            let (indexes, of_shard) = places.entry((&lease.job.queue, shard)).or_default();
            indexes.push(index);
            let mut lease = lease.clone();
            lease.job.queue = self.name(&lease.job.queue, shard);
            of_shard.push(lease);
        }
        let calls = places.into_values().map(|(indexes, leases)| async move {
            Ok::<_, Error>((indexes, self.store.extend(&leases).await?))
        });
        let (mut outcomes, mut now) = (vec![Extended::Lost; leases.len()], Timestamp::MAX);
        for answer in join_all(calls).await {
            let (indexes, (of_shard, at)) = answer?;
            now = now.min(at);
            for (index, outcome) in indexes.into_iter().zip(of_shard) {
                outcomes[index] = outcome;
            }
        }
        Ok((outcomes, now))
    }

    /// Records the outcome of a step.
    pub(crate) async fn record_step(&self, mut step: NewStep) -> Result<StepRecorded> {
        let (shard, _) = shards::own_of(step.token.0);
        step.job.queue = self.name(&step.job.queue, shard);
        self.store.record_step(&step).await
    }
}
