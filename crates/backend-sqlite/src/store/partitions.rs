//! Which partitions may go on.
//!
//! The first job in a partition's line decides for all behind it. A partition
//! is judged when its line, its leases or its limits change, and when the
//! moment comes that it waits for; a dequeue then only has to take the first
//! from an index. What it costs depends neither on how many partitions there
//! are nor on how long their lines are (rule P3).

use std::sync::Arc;

use rusqlite::params;
use windlass_core::decide::limit::slots;
use windlass_core::model::{QueueSpec, Timestamp};

use super::connection::optional;
use super::query::Query;
use super::{Store, lane};
use crate::error::Outcome;
use crate::record::{text, unsigned};

/// Its first job may start.
const MAY_START: i64 = 1;
/// It waits for a moment.
const WAITS: i64 = 2;
/// It waits for one of its leases to end.
const BUSY: i64 = 3;
/// It waits for its limits to change.
const STOPPED: i64 = 4;

/// The first job in a line.
#[derive(Clone, Copy, Debug)]
struct Head {
    seq: i64,
    sort: i64,
    place: i64,
    due: i64,
    lane: i64,
}

impl Store<'_> {
    /// The job that starts next among the first of all lines, and its
    /// partition.
    pub(crate) fn next_in_line(&mut self, queue: i64) -> Outcome<Option<(Arc<str>, i64)>> {
        self.judge_partitions()?;
        let mut rows = self.statements.get(Query::FirstReadyPartition)?.query([queue])?;
        match rows.next()? {
            None => Ok(None),
            Some(row) => Ok(Some((Arc::from(text(row, 0)?), row.get(1)?))),
        }
    }

    /// Judges the partitions whose moment has come.
    pub(crate) fn wake_partitions(&mut self, queue: i64) -> Outcome<()> {
        let now = self.now.as_micros();
        self.unjudge_all(queue, Query::DueWaitingPartitions, params![queue, now])?;
        self.judge_partitions()
    }

    /// Notes that every partition of a queue has to be judged: its limits have
    /// changed.
    pub(crate) fn judge_all_partitions_anew(&mut self, queue: i64) -> Outcome<()> {
        self.unjudge_all(queue, Query::ListLines, [queue])
    }

    /// Notes the partitions that a query names.
    pub(crate) fn unjudge_all(
        &mut self,
        queue: i64,
        query: Query,
        params: impl rusqlite::Params,
    ) -> Outcome<()> {
        let mut rows = self.statements.get(query)?.query(params)?;
        while let Some(row) = rows.next()? {
            self.unjudged.insert((queue, Arc::from(text(row, 0)?)));
        }
        Ok(())
    }

    /// Judges every partition that has changed.
    pub(crate) fn judge_partitions(&mut self) -> Outcome<()> {
        while let Some((queue, partition)) = self.unjudged.pop_first() {
            self.judge(queue, &partition)?;
        }
        Ok(())
    }

    fn judge(&mut self, queue: i64, partition: &str) -> Outcome<()> {
        let head = optional(self.statements.get(Query::FirstInLine)?.query_row(
            params![queue, partition],
            |row| {
                Ok(Head {
                    seq: row.get(0)?,
                    sort: row.get(1)?,
                    place: row.get(2)?,
                    due: row.get(3)?,
                    lane: row.get(4)?,
                })
            },
        ))?;
        let Some(head) = head else {
            self.statements.get(Query::DeletePartition)?.execute(params![queue, partition])?;
            return Ok(());
        };
        let (status, moment) = match head.lane {
            // Put off, it keeps its place, and the partition waits for it.
            lane::SCHEDULED => (WAITS, Some(head.due)),
            _ => self.verdict(queue, partition)?,
        };
        self.statements
            .get(Query::PutPartition)?
            .execute(params![queue, partition, status, head.sort, head.place, head.seq, moment])?;
        Ok(())
    }

    /// What the limits of a partition say.
    fn verdict(&mut self, queue: i64, partition: &str) -> Outcome<(i64, Option<i64>)> {
        let spec = self.spec(queue)?;
        let Some(bounds) = spec.partitions.as_ref().map(|partitions| &partitions.limits) else {
            return Ok((MAY_START, None));
        };
        if let Some(limit) = bounds.concurrency {
            let held: i64 = self
                .statements
                .get(Query::CountHeld)?
                .query_row(params![queue, partition, limit], |row| row.get(0))?;
            // When the lease ends that stands in the way is looked up when a
            // dequeue asks; for that it matters only whether one does.
            let room = slots(limit, unsigned(held), Some(Timestamp::MAX));
            if room.free == 0 {
                return Ok((if room.again.is_some() { BUSY } else { STOPPED }, None));
            }
        }
        if let Some(rate) = bounds.rate {
            let room = self.room_to_start(queue, partition, rate)?;
            if room.free == 0 {
                return Ok(match room.again {
                    Some(again) => (WAITS, Some(again.as_micros())),
                    None => (STOPPED, None),
                });
            }
        }
        Ok((MAY_START, None))
    }

    /// The declaration of a queue by its number.
    fn spec(&mut self, queue: i64) -> Outcome<Arc<QueueSpec>> {
        let name = self.codec.queue_name(queue)?;
        Ok(Arc::clone(&self.queue(&name)?.spec))
    }

    /// The first moment at which a line that stands still may go on, by the
    /// passing of time or because a lease runs out.
    pub(crate) fn lines_again(&mut self, queue: i64) -> Outcome<Option<Timestamp>> {
        let moment: Option<i64> = optional(
            self.statements.get(Query::NextPartitionMoment)?.query_row([queue], |row| row.get(0)),
        )?;
        let lease: Option<i64> =
            self.statements.get(Query::FirstBlockingLease)?.query_row([queue], |row| row.get(0))?;
        Ok([moment, lease].into_iter().flatten().min().map(Timestamp::from_micros))
    }
}
