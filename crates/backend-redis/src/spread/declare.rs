//! Declaring and pausing queues with all their shards.
//!
//! Several calls, of which any may be the last of its process. The first shard is where
//! everybody looks: it is written first, so that what is declared is decided there, and
//! once more at the end, when all shards are as it says; before that, new ones get no
//! jobs. Whoever declares the queue again completes what was left; and whoever finds at
//! the end that somebody else has declared it meanwhile goes by that one instead.

use futures_util::future::try_join_all;
use windlass_core::Error;
use windlass_core::backend::Declared;
use windlass_core::decide::shards::{self, Extent};
use windlass_core::model::{QueueName, QueueSpec};

use super::{Spread, of_queue};
use crate::error::damaged;
use crate::store::queues::Look;

impl Spread {
    /// Stores a declaration.
    pub(crate) async fn declare(&self, spec: &QueueSpec) -> Result<Declared, Error> {
        let (queue, count) = (&spec.name, shards::count(spec));
        let limits = shards::limits(spec, 0);
        let begun = |before| Extent::begun(before, count);
        let (declared, extent) = self.store.declare_at(queue, spec, &limits, begun).await?;
        if !matches!(declared, Declared::Conflict(_)) && !extent.declared(count).is_one() {
            self.complete(queue).await?;
        }
        Ok(declared)
    }

    /// Makes all shards of a queue what its first one says.
    async fn complete(&self, queue: &QueueName) -> Result<(), Error> {
        loop {
            let Some(first) = self.store.look_at(queue).await? else { return Ok(()) };
            let extent = first.extent.declared(shards::count(&first.spec));
            let others = (1..extent.all).map(|shard| self.complete_shard(queue, shard, &first));
            try_join_all(others).await?;
            if extent != first.extent {
                let (before, limits) = (Some(first.text), shards::limits(&first.spec, 0));
                let pauses = Some(first.pauses);
                self.store
                    .put_declaration(queue, before, &first.spec, &limits, extent, pauses)
                    .await?;
                continue;
            }
            let now = self.store.look_at(queue).await?;
            if now.is_some_and(|now| now.text == first.text && now.pauses == first.pauses) {
                return Ok(());
            }
        }
    }

    async fn complete_shard(
        &self,
        queue: &QueueName,
        shard: u32,
        first: &Look,
    ) -> Result<(), Error> {
        let name = self.name(queue, shard);
        let limits = shards::limits(&first.spec, shard);
        let (declared, _) =
            self.store.declare_at(&name, &first.spec, &limits, Option::unwrap_or_default).await?;
        if let Declared::Conflict(_) = declared {
            return Err(damaged("a queue", "one of its shards is declared to be another one"));
        }
        let seen = self.store.look_at(&name).await?;
        if seen.is_some_and(|seen| seen.paused != first.paused) {
            // What was said since counts more than what was seen.
            self.store.set_paused(&name, first.paused, Some(first.pauses)).await?;
        }
        Ok(())
    }

    /// Pauses a queue, or lets it go on. The first shard is what is seen of it, and counts
    /// how many times that was said: no shard goes by what was said before.
    pub(crate) async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<(), Error> {
        let pauses = self.store.set_paused(queue, paused, None).await?;
        let extent = self.look(queue).await?;
        let others = (1..extent.all).map(|shard| async move {
            let name = self.name(queue, shard);
            let set = self.store.set_paused(&name, paused, Some(pauses)).await;
            set.map_err(|error| of_queue(error, queue))
        });
        try_join_all(others).await.map(drop)
    }
}
