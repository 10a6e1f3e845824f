//! Leases that go on, and what is overdue (rules L2 to L4, R5).

use std::collections::BTreeMap;

use futures_util::future::join_all;
use windlass_core::Error;
use windlass_core::backend::{Extend, Extended, Overdue, OverduePage, OverduePlace, OverdueQuery};
use windlass_core::model::{Job, QueueName, Timestamp};

use super::encode::{length, to_moment, token};
use super::queues::UNKNOWN;
use super::{Arguments, Place, Script, Store, read_jobs};
use crate::error::damaged;
use crate::record::overdue_place;

/// How many jobs a page has at most.
pub(crate) const MAX_PAGE: u32 = 1000;

impl Store {
    /// Makes leases last longer.
    pub(crate) async fn extend(
        &self,
        leases: &[Extend],
    ) -> Result<(Vec<Extended>, Timestamp), Error> {
        let mut queues: BTreeMap<&QueueName, Vec<usize>> = BTreeMap::new();
        for (index, lease) in leases.iter().enumerate() {
            queues.entry(&lease.job.queue).or_default().push(index);
        }
        // Side by side: a machine that is away holds up the leases of its queues only.
        let calls = queues.into_iter().map(|(queue, indexes)| async move {
            let extended = self.extend_in(queue, leases, &indexes).await?;
            Ok::<_, Error>((indexes, extended))
        });
        let (mut outcomes, mut now) = (vec![Extended::Lost; leases.len()], Timestamp::MAX);
        for answer in join_all(calls).await {
            let (indexes, (of_queue, at)) = answer?;
            // Machines have clocks of their own.
            now = now.min(at);
            for (index, outcome) in indexes.into_iter().zip(of_queue) {
                outcomes[index] = outcome;
            }
        }
        if leases.is_empty() {
            now = self.now().await?;
        }
        Ok((outcomes, now))
    }

    /// Makes those of one queue last longer.
    async fn extend_in(
        &self,
        queue: &QueueName,
        leases: &[Extend],
        indexes: &[usize],
    ) -> Result<(Vec<Extended>, Timestamp), Error> {
        let mut outcomes = Vec::with_capacity(indexes.len());
        let mut now = UNKNOWN;
        for part in indexes.chunks(1000) {
            let mut arguments = Arguments::with_room_for(2 * part.len());
            for index in part {
                let lease = &leases[*index];
                let mut wish = Vec::with_capacity(30);
                wish.extend_from_slice(lease.job.id.as_bytes());
                wish.extend_from_slice(&token(lease.token));
                wish.extend_from_slice(&length(lease.lease));
                let progress = lease.progress.as_ref().map(|progress| progress.encode());
                arguments.add(wish).add(progress.unwrap_or_default());
            }
            let mut reply = self.call(Place::Queue(queue), Script::Extend, arguments).await?;
            now = reply.moment()?;
            let answers = reply.all_bytes()?;
            if answers.len() != part.len() {
                return Err(damaged("an answer", "an outcome is missing"));
            }
            for answer in answers {
                outcomes.push(match answer.split_first() {
                    Some((b'l', _)) => Extended::Lost,
                    Some((letter, until)) => Extended::Held {
                        until: to_moment(until),
                        cancel_requested: *letter == b'H',
                    },
                    None => return Err(damaged("an answer", "an outcome is missing")),
                });
            }
        }
        Ok((outcomes, now))
    }

    /// A page of what is overdue.
    pub(crate) async fn overdue(&self, query: &OverdueQuery) -> Result<OverduePage, Error> {
        if query.what == Overdue::Unblocked && query.after.is_none() {
            // Whom another queue's machine keeps waiting keeps nobody else waiting.
            if let Err(error) = self.sweep_graph(&query.queue).await {
                let (queue, error) = (query.queue.as_str(), format!("{error:#}"));
                tracing::warn!(queue, error, "what queues have to tell each other waits");
            }
        }
        let mut arguments = Arguments::with_room_for(3);
        arguments
            .add(match query.what {
                Overdue::LostLeases => "l",
                Overdue::Expired => "e",
                Overdue::Unblocked => "u",
            })
            .add(match query.after {
                Some(place) => overdue_place(place.moment, place.seq).to_vec(),
                None => Vec::new(),
            })
            .add_number(query.limit.clamp(1, MAX_PAGE));
        let mut reply = self.call(Place::Queue(&query.queue), Script::Overdue, arguments).await?;
        let now = reply.moment()?;
        let jobs = read_jobs(&mut reply, &query.queue, now, false)?;
        let more = reply.number()? == 1;
        let last = jobs.last().map(|job| place_of(query.what, job));
        Ok(OverduePage { next: last.filter(|_| more), jobs, now })
    }
}

/// Where an overdue job stands among those of its kind.
pub(crate) fn place_of(what: Overdue, job: &Job) -> OverduePlace {
    let moment = match what {
        Overdue::LostLeases => job.lease.map(|lease| lease.until),
        Overdue::Expired => job.expires,
        Overdue::Unblocked => None,
    };
    OverduePlace { moment: moment.unwrap_or(Timestamp::EPOCH), seq: job.seq }
}
