//! Declarations, pausing, figures.

use windlass_core::Error;
use windlass_core::backend::Declared;
use windlass_core::decide::{self, Declaration};
use windlass_core::model::{
    Limits, QueueInfo, QueueName, QueueSpec, QueueStats, State, Timestamp, micros,
};

use super::encode::to_moment;
use super::{Arguments, Outcome, Place, Script, Store};
use crate::error::unreadable;

impl Store {
    /// Stores a declaration, as core says.
    pub(crate) async fn declare(&self, spec: &QueueSpec) -> Result<Declared, Error> {
        let place = Place::Queue(&spec.name);
        let text = serde_json::to_vec(spec)
            .map_err(|error| unreadable("a queue's declaration", &error))?;
        loop {
            let stored = match self.ask(place, Script::LookAtQueue, Arguments::default()).await? {
                Outcome::Done(mut reply) => {
                    reply.moment()?;
                    Some(reply.bytes()?)
                }
                _ => None,
            };
            let known = stored.as_deref().map(read_spec).transpose()?;
            let declared = match decide::declare(known.as_ref(), spec) {
                Declaration::Unchanged => return Ok(Declared::Unchanged),
                Declaration::Conflict => {
                    return Ok(Declared::Conflict(Box::new(known.unwrap_or_else(|| spec.clone()))));
                }
                Declaration::Update => Declared::Updated,
                _ => Declared::Created,
            };
            let number = self.register(&spec.name, HasRepeatables::NotKnown).await?;
            let mut arguments = Arguments::default();
            arguments
                .add(stored.unwrap_or_default())
                .add(text.clone())
                .add(bounds(spec))
                .add(number.to_be_bytes());
            // Otherwise somebody else has declared it meanwhile.
            if self.call(place, Script::Declare, arguments).await?.number()? == 1 {
                return Ok(declared);
            }
        }
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

    /// Pauses a queue or lets it go on.
    pub(crate) async fn set_paused(&self, name: &QueueName, paused: bool) -> Result<(), Error> {
        let mut arguments = Arguments::default();
        arguments.add(if paused { "1" } else { "0" });
        self.call(Place::Queue(name), Script::Pause, arguments).await.map(|_| ())
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

    /// Every queue, by name.
    pub(crate) async fn queues(&self) -> Result<Vec<QueueInfo>, Error> {
        let mut queues = Vec::new();
        for name in self.names().await?.0 {
            let place = Place::Queue(&name);
            // One that is not declared yet is known all the same.
            if let Outcome::Done(mut reply) =
                self.ask(place, Script::LookAtQueue, Arguments::default()).await?
            {
                reply.moment()?;
                let spec = read_spec(&reply.bytes()?)?;
                queues.push(QueueInfo { spec, paused: reply.number()? == 1 });
            }
        }
        Ok(queues)
    }

    /// The declaration of a queue.
    pub(super) async fn read_declaration(&self, name: &QueueName) -> Result<QueueSpec, Error> {
        let place = Place::Queue(name);
        let mut reply = self.call(place, Script::LookAtQueue, Arguments::default()).await?;
        reply.moment()?;
        read_spec(&reply.bytes()?)
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

/// The bounds of a queue as `src/scripts/shared/meta.lua` reads them, without its number.
fn bounds(spec: &QueueSpec) -> Vec<u8> {
    let mut bytes = vec![u8::from(spec.partitions.is_some())];
    let none = Limits::default();
    let of_partition = spec.partitions.as_ref().map_or(&none, |partitions| &partitions.limits);
    for limits in [&spec.limits, of_partition] {
        let rate = limits.rate;
        bytes.extend_from_slice(&limits.concurrency.unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&rate.map_or(u32::MAX, |rate| rate.limit).to_be_bytes());
        bytes.extend_from_slice(&rate.map_or(0, |rate| micros(rate.period)).to_be_bytes());
    }
    bytes
}

/// Reads a stored declaration.
pub(super) fn read_spec(stored: &[u8]) -> Result<QueueSpec, Error> {
    serde_json::from_slice(stored).map_err(|error| unreadable("a queue's declaration", &error))
}

/// Reads the name of a queue.
pub(super) fn read_name(stored: &[u8]) -> Result<QueueName, Error> {
    let text = String::from_utf8_lossy(stored);
    QueueName::new(&*text).map_err(|error| crate::error::damaged("a queue name", error))
}

/// The moment that an answer without one is taken for.
pub(super) const UNKNOWN: Timestamp = Timestamp::EPOCH;
