//! Leasing the first jobs that can start (rules O1 to O4, L1, G1 to G5).

use windlass_core::Error;
use windlass_core::backend::{Again, Ask, Dequeued, Transition};
use windlass_core::decide::shards::Extent;
use windlass_core::decide::{self, Attempt};
use windlass_core::model::{Job, QueueSpec};

use super::encode::{length, to_moment};
use super::reply::Reply;
use super::{Arguments, Confirmed, Outcome, Place, Script, Store, read_jobs, unconfirmed};
use crate::error::damaged;

/// How many jobs one call leases at most: where each is of another partition, so many hold
/// up the server for some 40 ms.
const MAX_JOBS: u32 = 2_500;

impl Store {
    /// Leases the first jobs of a queue, or of a shard of one.
    pub(crate) async fn dequeue(&self, ask: &Ask) -> Result<Dequeued, Error> {
        Ok(self.dequeue_first(ask).await?.0)
    }

    /// The same, of the first shard: answers too over which the queue is spread.
    pub(crate) async fn dequeue_first(&self, ask: &Ask) -> Result<(Dequeued, Extent), Error> {
        let mut reply = match self.dequeue_plainly(ask).await? {
            Some(reply) => reply,
            None => {
                let place = Place::Queue(&ask.queue);
                self.call(place, Script::Dequeue, self.arguments_of(ask)).await?
            }
        };
        let confirmed = reply.confirmed();
        let now = reply.moment()?;
        let when = reply.bytes()?;
        let again = match when.split_first() {
            Some((b'n', _)) => Again::Now,
            Some((b'a', moment)) => Again::At(to_moment(moment)),
            Some((b'e', _)) => Again::OnNotice,
            _ => return Err(damaged("an answer", "it does not say when to ask again")),
        };
        let (declared, stored) = (reply.bytes()?, reply.optional()?);
        let (spec, extent) = match self.spec(&ask.queue, declared, stored)? {
            Some(known) => known,
            None => self.read_declaration(&ask.queue).await?,
        };
        let jobs = read_jobs(&mut reply, &ask.queue, now, true)?;
        if confirmed == Confirmed::No {
            self.hand_back(&jobs, &spec).await;
            return Err(unconfirmed());
        }
        Ok((Dequeued { jobs, spec, now, again }, extent))
    }

    /// Lets jobs go that nobody is given, as a worker that stops does: else their leases
    /// would run out again and again, until they have failed without ever having run.
    pub(crate) async fn hand_back(&self, jobs: &[Job], spec: &QueueSpec) {
        let release = |job: &Job| {
            let attempt = Attempt { token: job.lease?.token, outcome: decide::Outcome::Release };
            decide::finish(job, spec, &attempt)
        };
        let back: Vec<Transition> = jobs.iter().filter_map(release).collect();
        if back.is_empty() {
            return;
        }
        // No replica confirms that, either. What fails otherwise is taken over later.
        if let Err(error) = self.apply(&back).await {
            tracing::debug!(queue = spec.name.as_str(), %error, "jobs were handed back");
        }
    }

    /// What the main line alone has to answer, if it can be asked alone.
    async fn dequeue_plainly(&self, ask: &Ask) -> Result<Option<Reply>, Error> {
        if self.is_careful_case(&ask.queue) {
            return Ok(None);
        }
        let place = Place::Queue(&ask.queue);
        match self.ask(place, Script::DequeuePlain, self.arguments_of(ask)).await? {
            Outcome::Done(reply) => Ok(Some(reply)),
            Outcome::Unknown => Err(Error::unknown_queue(&ask.queue)),
            Outcome::Other(..) => {
                self.note_careful_case(&ask.queue);
                Ok(None)
            }
        }
    }

    fn arguments_of(&self, ask: &Ask) -> Arguments {
        let mut arguments = Arguments::with_room_for(4);
        arguments
            .add(ask.worker.as_bytes())
            .add_number(ask.max.min(MAX_JOBS))
            .add(length(ask.lease))
            .add(self.known_declaration(&ask.queue));
        arguments
    }
}
