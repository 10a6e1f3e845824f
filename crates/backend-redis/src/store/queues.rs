//! Declarations, pausing, figures.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use windlass_core::Error;
use windlass_core::backend::Declared;
use windlass_core::decide::shards::{self, Extent};
use windlass_core::decide::{self, Declaration};
use windlass_core::model::{
    Limits, QueueInfo, QueueName, QueueSpec, QueueStats, State, Timestamp, micros,
};

use super::encode::to_moment;
use super::{Arguments, Outcome, Place, Script, Store};
use crate::error::unreadable;

impl Store {
    /// Stores a declaration of a queue that was never spread, as core says.
    #[cfg(test)]
    pub(crate) async fn declare(&self, spec: &QueueSpec) -> Result<Declared, Error> {
        let extent = Extent::default();
        Ok(self.declare_at(&spec.name, spec, &spec.limits, |_| extent).await?.0)
    }

    /// Stores a declaration with a queue, or with a shard of it, as core says: what was
    /// declared, what this shard is held to, and over which shards the queue is spread.
    /// Answers the last one too.
    pub(crate) async fn declare_at(
        &self,
        queue: &QueueName,
        spec: &QueueSpec,
        limits: &Limits,
        extent: impl Fn(Option<Extent>) -> Extent,
    ) -> Result<(Declared, Extent), Error> {
        loop {
            let seen = self.look_at(queue).await?;
            let known = seen.as_ref().map(|seen| &*seen.spec);
            let before = seen.as_ref().map(|seen| seen.extent);
            let extent = extent(before);
            let declared = match decide::declare(known, spec) {
                Declaration::Unchanged if Some(extent) == before => {
                    return Ok((Declared::Unchanged, extent));
                }
                Declaration::Conflict => {
                    let known = known.unwrap_or(spec).clone();
                    return Ok((Declared::Conflict(Box::new(known)), before.unwrap_or(extent)));
                }
                Declaration::Unchanged => Declared::Unchanged,
                Declaration::Update => Declared::Updated,
                Declaration::Create => Declared::Created,
            };
            let before = seen.map(|seen| seen.text);
            if self.put_declaration(queue, before, spec, limits, extent, None).await? {
                return Ok((declared, extent));
            }
        }
    }

    /// Stores a declaration if the one before is still stored, and answers whether it
    /// was: otherwise somebody else has declared the queue meanwhile, or has paused it or
    /// let it go on since `pauses` were counted.
    pub(crate) async fn put_declaration(
        &self,
        queue: &QueueName,
        before: Option<Vec<u8>>,
        spec: &QueueSpec,
        limits: &Limits,
        extent: Extent,
        pauses: Option<u64>,
    ) -> Result<bool, Error> {
        let stored = StoredRef { spec, extent };
        let text = serde_json::to_vec(&stored)
            .map_err(|error| unreadable("a queue's declaration", &error))?;
        let number = self.register(queue, HasRepeatables::NotKnown).await?;
        let mut arguments = Arguments::default();
        arguments
            .add(before.unwrap_or_default())
            .add(text)
            .add(bounds(spec, limits))
            .add(number.to_be_bytes())
            .add(pauses.map(|pauses| pauses.to_string()).unwrap_or_default());
        let place = Place::Queue(queue);
        Ok(self.call(place, Script::Declare, arguments).await?.number()? == 1)
    }

    /// A queue as it is declared, or nothing if it is not.
    pub(crate) async fn look_at(&self, queue: &QueueName) -> Result<Option<Look>, Error> {
        let place = Place::Queue(queue);
        let Outcome::Done(mut reply) =
            self.ask(place, Script::LookAtQueue, Arguments::default()).await?
        else {
            return Ok(None);
        };
        reply.moment()?;
        let text = reply.bytes()?;
        let Stored { spec, extent } = read_stored(&text)?;
        let spec = Arc::new(spec);
        self.note_declaration(queue, &spec, extent);
        Ok(Some(Look { text, spec, extent, paused: reply.number()? == 1, pauses: reply.number()? }))
    }

    /// Gives a queue its number, or finds which it has.
    pub(super) async fn register(
        &self,
        name: &QueueName,
        repeatables: HasRepeatables,
    ) -> Result<u16, Error> {
        let mut arguments = Arguments::default();
        arguments.add(name.as_str()).add(match repeatables {
            HasRepeatables::Yes => "1",
            HasRepeatables::NotKnown => "0",
        });
        let mut reply = self.call(Place::Registry, Script::Register, arguments).await?;
        Ok(u16::try_from(reply.number()?).unwrap_or(u16::MAX))
    }

    /// Pauses a queue or lets it go on, and answers how many times that was said of it.
    /// A shard is told as how many of them the first one has counted, and goes by the
    /// latest.
    pub(crate) async fn set_paused(
        &self,
        name: &QueueName,
        paused: bool,
        pauses: Option<u64>,
    ) -> Result<u64, Error> {
        let mut arguments = Arguments::default();
        arguments
            .add(if paused { "1" } else { "0" })
            .add(pauses.map(|pauses| pauses.to_string()).unwrap_or_default());
        self.call(Place::Queue(name), Script::Pause, arguments).await?.number()
    }

    /// The names of all queues, and of those that have, or have had, repeatables; in
    /// order.
    pub(super) async fn names(&self) -> Result<(Vec<QueueName>, Vec<QueueName>), Error> {
        let arguments = Arguments::default();
        let mut reply = self.call(Place::Registry, Script::ReadRegistry, arguments).await?;
        reply.moment()?;
        let mut names = || -> Result<Vec<QueueName>, Error> {
            let mut names = Vec::new();
            let mut list = reply.list()?;
            while !list.is_at_end() {
                names.push(read_name(&list.bytes()?)?);
            }
            names.sort_unstable();
            Ok(names)
        };
        Ok((names()?, names()?))
    }

    /// Every queue, by name; one that is spread is one.
    pub(crate) async fn queues(&self) -> Result<Vec<QueueInfo>, Error> {
        let mut queues = Vec::new();
        for name in self.names().await?.0 {
            // One that is not declared yet is known all the same.
            if shards::split_name(&name).is_none()
                && let Some(Look { spec, paused, .. }) = self.look_at(&name).await?
            {
                queues.push(QueueInfo { spec: QueueSpec::clone(&spec), paused });
            }
        }
        Ok(queues)
    }

    /// The declaration of a queue.
    pub(super) async fn read_declaration(
        &self,
        name: &QueueName,
    ) -> Result<(Arc<QueueSpec>, Extent), Error> {
        let seen = self.look_at(name).await?.ok_or_else(|| Error::unknown_queue(name))?;
        Ok((seen.spec, seen.extent))
    }

    /// Figures of a queue.
    pub(crate) async fn stats(&self, name: &QueueName) -> Result<QueueStats, Error> {
        let place = Place::Queue(name);
        let mut reply = self.call(place, Script::Stats, Arguments::default()).await?;
        let now = reply.moment()?;
        let mut jobs = [0; 8];
        for count in &mut jobs {
            *count = reply.number()?;
        }
        Ok(QueueStats {
            queue: name.clone(),
            jobs,
            oldest_ready: reply.optional()?.map(|bytes| to_moment(&bytes)),
            leases: jobs[usize::from(State::Active.code())],
            starts_in_window: reply.number()?,
            paused: reply.number()? == 1,
            now,
        })
    }
}

/// Whether a queue is to be looked at for repeatables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HasRepeatables {
    /// From now on.
    Yes,
    /// As before.
    NotKnown,
}

/// The bounds of a queue, or of a shard of it, as `src/scripts/shared/meta.lua` reads them,
/// without its number.
fn bounds(spec: &QueueSpec, limits: &Limits) -> Vec<u8> {
    let mut bytes = vec![u8::from(spec.partitions.is_some())];
    let none = Limits::default();
    let of_partition = spec.partitions.as_ref().map_or(&none, |partitions| &partitions.limits);
    for limits in [limits, of_partition] {
        let rate = limits.rate;
        bytes.extend_from_slice(&limits.concurrency.unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&rate.map_or(u32::MAX, |rate| rate.limit).to_be_bytes());
        bytes.extend_from_slice(&rate.map_or(0, |rate| micros(rate.period)).to_be_bytes());
    }
    bytes
}

/// A declaration as it is stored.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    #[serde(flatten)]
    pub(super) spec: QueueSpec,
    #[serde(default)]
    pub(super) extent: Extent,
}

/// The same, to be stored. One that is not spread is stored as it always was.
#[derive(Serialize)]
struct StoredRef<'s> {
    #[serde(flatten)]
    spec: &'s QueueSpec,
    #[serde(skip_serializing_if = "is_usual")]
    extent: Extent,
}

fn is_usual(extent: &Extent) -> bool {
    *extent == Extent::default()
}

/// A queue as it was found.
#[derive(Debug)]
pub(crate) struct Look {
    /// Its declaration as it is stored.
    pub(crate) text: Vec<u8>,
    pub(crate) spec: Arc<QueueSpec>,
    pub(crate) extent: Extent,
    pub(crate) paused: bool,
    /// How many times it was paused or let go on.
    pub(crate) pauses: u64,
}

/// Reads a stored declaration.
pub(super) fn read_stored(stored: &[u8]) -> Result<Stored, Error> {
    serde_json::from_slice(stored).map_err(|error| unreadable("a queue's declaration", &error))
}

/// Reads the name of a queue, or of a shard of one.
pub(super) fn read_name(stored: &[u8]) -> Result<QueueName, Error> {
    let text = String::from_utf8_lossy(stored);
    shards::read_name(&text).map_err(|error| crate::error::damaged("a queue name", error))
}

/// The moment that an answer without one is taken for.
pub(super) const UNKNOWN: Timestamp = Timestamp::EPOCH;
