//! Leasing the first jobs that can start (rules O1 to O4, L1, G1 to G5).

use std::sync::Arc;

use windlass_core::backend::hub::News;
use windlass_core::backend::{Again, Ask, Dequeued, Result};
use windlass_core::decide::limit::{Room, slots};
use windlass_core::model::{Detail, Event, JobRef, Lease, Timestamp, Token};

use super::Store;
use super::partitions::next_end;
use super::queue::Queue;
use crate::record::Stand;

/// How many jobs one call leases at most.
const MAX_JOBS: u32 = 10_000;

impl Store {
    pub(crate) fn dequeue(
        &mut self,
        ask: &Ask,
        now: Timestamp,
        news: &mut News,
    ) -> Result<Dequeued> {
        let at = self.queue_index(&ask.queue)?;
        let Self { jobs, queues, .. } = self;
        let queue = &mut queues[at];
        queue.tick(jobs, now);
        let spec = Arc::clone(&queue.spec);
        if queue.paused {
            return Ok(Dequeued { jobs: Vec::new(), spec, now, again: Again::OnNotice });
        }

        let until = now.after(ask.lease);
        let free = queue.room(now).free.min(ask.max).min(MAX_JOBS);
        let mut leased = Vec::new();
        while leased.len() < free as usize
            && let Some(slot) = queue.start_first(jobs, until, now)
        {
            self.last_token += 1;
            let record = &mut jobs[slot];
            record.version += 1;
            record.started_at = Some(now);
            record.stand = Stand::Active(Box::new(Lease {
                token: Token(self.last_token),
                until,
                worker: ask.worker,
            }));
            leased.push(record.view(&spec.name, now, Detail::Full));
            let job = || JobRef { queue: spec.name.clone(), id: record.id };
            news.happened(job, Event::Started);
        }
        let started = u32::try_from(leased.len()).unwrap_or(u32::MAX);
        queue.starts.add(spec.limits.rate, now, started);
        Ok(Dequeued { jobs: leased, again: queue.again(now), spec, now })
    }
}

impl Queue {
    /// What the limits on the queue as a whole leave room for. If there is
    /// none, the moment is that of the limit that closes it; a lease closes it
    /// before the rate does, because no moment alone opens it.
    fn room(&mut self, now: Timestamp) -> Room {
        let limits = &self.spec.limits;
        let mut room = Room { free: u32::MAX, again: None };
        if let Some(rate) = limits.rate {
            room = self.starts.room(rate, now);
        }
        if let Some(limit) = limits.concurrency {
            let leases = self.leases.len() as u64;
            let slots = slots(limit, leases, next_end(&self.leases, now));
            if slots.free == 0 || slots.free < room.free {
                room = slots;
            }
        }
        room
    }

    /// When a dequeue may find more than it would now.
    fn again(&mut self, now: Timestamp) -> Again {
        let opening = if self.can_start() { Some(now) } else { self.next_opening() };
        let Some(opening) = opening else {
            return Again::OnNotice;
        };
        let room = self.room(now);
        match room.again {
            _ if room.free > 0 && opening <= now => Again::Now,
            _ if room.free > 0 => Again::At(opening),
            Some(moment) => Again::At(moment.max(opening)),
            None => Again::OnNotice,
        }
    }
}
