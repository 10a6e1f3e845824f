//! What limits leave room for. Core judges; this file counts.

use rusqlite::params;
use windlass_core::decide::limit::{Room, horizon, slots, starts};
use windlass_core::model::{Rate, Timestamp};

use super::query::Query;
use super::{Queue, Store};
use crate::error::Outcome;

/// What the limits of a whole queue leave room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueRoom {
    /// Bound on leases.
    pub(crate) slots: Option<Room>,
    /// Bound on starts.
    pub(crate) starts: Option<Room>,
}

impl QueueRoom {
    /// How many jobs may start.
    pub(crate) fn free(&self) -> u32 {
        let free = |room: Option<Room>| room.map_or(u32::MAX, |room| room.free);
        free(self.slots).min(free(self.starts))
    }
}

impl Store<'_> {
    /// What the limits of a queue leave room for now.
    pub(crate) fn queue_room(&mut self, queue: &Queue) -> Outcome<QueueRoom> {
        let limits = &queue.spec.limits;
        let slots = match limits.concurrency {
            None => None,
            Some(limit) => {
                let held = self.count(queue.id, windlass_core::model::State::Active)?;
                // When a lease ends matters only where leases use up the limit.
                let first = match held >= u64::from(limit) {
                    true => self.first_lease(queue.id)?,
                    false => None,
                };
                Some(slots(limit, held, first))
            }
        };
        let starts = match limits.rate {
            None => None,
            Some(rate) => Some(self.room_in_window(queue.id, rate)?),
        };
        Ok(QueueRoom { slots, starts })
    }

    /// When the first lease of a queue runs out.
    fn first_lease(&mut self, queue: i64) -> Outcome<Option<Timestamp>> {
        let first: Option<i64> =
            self.statements.get(Query::FirstLease)?.query_row([queue], |row| row.get(0))?;
        Ok(first.map(Timestamp::from_micros))
    }

    /// What the rate of a queue leaves room for now. A window may hold many
    /// starts: they are kept in memory while nobody else changes the file.
    fn room_in_window(&mut self, queue: i64, rate: Rate) -> Outcome<Room> {
        let horizon = horizon(rate, self.now);
        if !self.windows.contains_key(&queue) {
            let log = self.starts_since(queue, "", horizon)?;
            self.windows.insert(queue, log.into());
        }
        let window = self.windows.entry(queue).or_default();
        while window.front().is_some_and(|(moment, _)| *moment <= horizon) {
            window.pop_front();
        }
        Ok(starts(rate, self.now, window.iter().copied()))
    }

    /// What the rate of a partition leaves room for now.
    pub(crate) fn room_to_start(
        &mut self,
        queue: i64,
        partition: &str,
        rate: Rate,
    ) -> Outcome<Room> {
        let log = self.starts_since(queue, partition, horizon(rate, self.now))?;
        Ok(starts(rate, self.now, log))
    }

    /// The starts of an owner, a partition or (empty) the queue itself, after a
    /// moment, oldest first.
    pub(crate) fn starts_since(
        &mut self,
        queue: i64,
        owner: &str,
        horizon: Timestamp,
    ) -> Outcome<Vec<(Timestamp, u32)>> {
        let mut rows = self.statements.get(Query::ReadStarts)?.query(params![
            queue,
            owner,
            horizon.as_micros()
        ])?;
        let mut log = Vec::new();
        while let Some(row) = rows.next()? {
            log.push((Timestamp::from_micros(row.get(0)?), row.get(1)?));
        }
        Ok(log)
    }

    /// Notes that jobs of an owner start now.
    pub(crate) fn note_starts(&mut self, queue: i64, owner: &str, jobs: u32) -> Outcome<()> {
        self.statements.get(Query::AddStarts)?.execute(params![
            queue,
            owner,
            self.now.as_micros(),
            jobs
        ])?;
        if let Some(window) = self.windows.get_mut(&queue).filter(|_| owner.is_empty()) {
            window.push_back((self.now, jobs));
        }
        Ok(())
    }

    /// Forgets starts that no window of the queue reaches any more.
    pub(crate) fn forget_starts(&mut self, queue: &Queue) -> Outcome<()> {
        let now = self.now;
        if let Some(rate) = queue.spec.limits.rate {
            self.statements
                .get(Query::ForgetQueueStarts)?
                .execute(params![queue.id, horizon(rate, now).as_micros()])?;
        }
        if let Some(rate) = queue.spec.partitions.as_ref().and_then(|p| p.limits.rate) {
            self.statements
                .get(Query::ForgetPartitionStarts)?
                .execute(params![queue.id, horizon(rate, now).as_micros()])?;
        }
        Ok(())
    }
}
