//! Leasing the first jobs that can start (rules O1 to O4, L1, G1 to G5).

use std::sync::Arc;

use windlass::backend::{Again, Ask, Dequeued, Result};
use windlass::decide::limit::{Room, slots, starts};
use windlass::model::{Detail, Event, Job, PartitionKey, QueueName, State, Timestamp, Token};

use super::Store;
use super::queues::QueueRow;
use crate::keys::{Key, Space};
use crate::kv::decode;
use crate::record::Stand;

/// How many jobs one call leases at most.
const MAX_JOBS: u32 = 10_000;

impl Store<'_> {
    pub(crate) fn dequeue(&mut self, ask: &Ask) -> Result<Dequeued> {
        let mut queue = self.queue(&ask.queue)?;
        self.pass_time(&ask.queue)?;
        let mut jobs = Vec::new();
        let mut again = Again::OnNotice;
        if !queue.paused {
            let free = self.room(&queue)?.free.min(ask.max).min(MAX_JOBS);
            while jobs.len() < free as usize
                && let Some(job) = self.start_first(&queue, ask)?
            {
                jobs.push(job);
            }
            let started = u32::try_from(jobs.len()).unwrap_or(MAX_JOBS);
            let rate = queue.spec.limits.rate;
            if rate.is_some() && started > 0 {
                queue.starts.slide(rate, self.now);
                queue.starts.add(rate, self.now, started);
                self.put_queue(&queue)?;
            }
            again = self.again(&queue)?;
        }
        Ok(Dequeued { jobs, spec: Arc::new(queue.spec), now: self.now, again })
    }

    /// Leases the first job that can start, if there is one.
    fn start_first(&mut self, queue: &QueueRow, ask: &Ask) -> Result<Option<Job>> {
        let startable = Key::of_queue(Space::Startable, &ask.queue).below();
        let Some(line) = self.pairs.first(startable)? else {
            return Ok(None);
        };
        let (_, partition): (Timestamp, Option<PartitionKey>) = decode(&line)?;
        let in_line = Key::of_line(Space::Line, &ask.queue, partition.as_ref()).below();
        let Some(old) = self.jobs_at(in_line)?.next().transpose()? else {
            return Ok(None);
        };

        let mut new = old.clone();
        new.version += 1;
        new.started_at = Some(self.now);
        new.stand = Stand::Active {
            // One sequence for all jobs: a job that is removed and stored anew
            // under the same id must not honour the tokens of the old one.
            token: Token(self.next("token")?),
            until: self.now.after(ask.lease),
            worker: ask.worker,
        };
        self.change(&old, &mut new)?;
        let rate = queue.spec.partitions.as_ref().and_then(|bounds| bounds.limits.rate);
        if rate.is_some() {
            let mut row = self.line_row(&ask.queue, partition.as_ref())?;
            row.starts.add(rate, self.now, 1);
            self.put_line_row(&ask.queue, &row)?;
        }
        // The next one is the first of the lines as they are now.
        self.settle()?;
        self.news.happened(|| new.reference(), Event::Started);
        self.view(&new, Detail::Full).map(Some)
    }

    /// What the limits on the queue as a whole leave room for. If there is
    /// none, the moment is that of the limit that closes it; the one on leases
    /// comes first, because no moment alone opens it.
    fn room(&self, queue: &QueueRow) -> Result<Room> {
        let limits = &queue.spec.limits;
        let mut room = Room { free: u32::MAX, again: None };
        if let Some(rate) = limits.rate {
            room = starts(rate, self.now, queue.starts.0.iter().copied());
        }
        if let Some(limit) = limits.concurrency {
            let leases = Key::of_queue(Space::Lease, &queue.spec.name);
            let held = self.counted(&queue.spec.name, State::Active)?;
            let slots = slots(limit, held, self.next_end(&leases)?);
            if slots.free == 0 || slots.free < room.free {
                room = slots;
            }
        }
        Ok(room)
    }

    /// When a dequeue may find more than it would now.
    fn again(&self, queue: &QueueRow) -> Result<Again> {
        let Some(opening) = self.next_opening(&queue.spec.name)? else {
            return Ok(Again::OnNotice);
        };
        let room = self.room(queue)?;
        Ok(match room.again {
            _ if room.free > 0 && opening <= self.now => Again::Now,
            _ if room.free > 0 => Again::At(opening),
            Some(moment) => Again::At(moment.max(opening)),
            None => Again::OnNotice,
        })
    }

    /// The first moment, now or later, at which a line can start a job.
    fn next_opening(&self, queue: &QueueName) -> Result<Option<Timestamp>> {
        if self.pairs.first(Key::of_queue(Space::Startable, queue).below())?.is_some() {
            return Ok(Some(self.now));
        }
        let opening = self.pairs.first(Key::of_queue(Space::Opening, queue).below())?;
        let decoded = opening.map(|line| decode::<(Timestamp, Option<PartitionKey>)>(&line));
        Ok(decoded.transpose()?.map(|(moment, _)| moment))
    }
}
