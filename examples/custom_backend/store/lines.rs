//! Lines: the jobs of a partition, in order. A queue without partitions has
//! one line, without bounds of its own (rules P1 to P3, G1, G4).
//!
//! A line that can start a job now is listed under the order key of its first
//! job. So a dequeue takes the first of that listing, however many lines there
//! are and however long the busy ones. A line that only time opens is listed
//! under that moment.

use serde::{Deserialize, Serialize};
use windlass::backend::Result;
use windlass::decide::limit::{Room, slots, starts};
use windlass::model::{Limits, OrderKey, PartitionKey, QueueName, Timestamp};

use super::Store;
use super::queues::Starts;
use crate::keys::{Key, Space};
use crate::kv::encode;
use crate::record::Record;

/// What a line remembers. One that has nothing to remember is not stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LineRow {
    partition: Option<PartitionKey>,
    pub(super) starts: Starts,
    listed: Listed,
}

/// Where a line is listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Listed {
    /// It can start a job, which has this order key (primary, place,
    /// sequence).
    startable: Option<(i64, Timestamp, u64)>,
    /// It cannot before this moment.
    opens: Option<Timestamp>,
    /// It has no jobs, and its starts no longer count from this moment on.
    fades: Option<Timestamp>,
}

impl Store<'_> {
    /// Lets time pass in a queue up to now: jobs become ready, join their
    /// lines or leave them, and keys become free. Every call whose answer
    /// depends on that begins with it; nothing runs by itself.
    pub(super) fn pass_time(&mut self, queue: &QueueName) -> Result<()> {
        let now = self.now;
        let until_now = |space| {
            let all = Key::of_queue(space, queue);
            all.below().up_to(&all.clone().moment(now))
        };
        let ripe: Vec<Record> = self.jobs_at(until_now(Space::Ripening))?.collect::<Result<_>>()?;
        for old in ripe {
            self.change(&old, &mut old.clone())?;
        }
        for space in [Space::Opening, Space::Fading] {
            let lines: Vec<(Timestamp, _)> = self.pairs.read_all(until_now(space))?;
            let lines = lines.into_iter().map(|(_, partition)| (queue.clone(), partition));
            self.unsettled.extend(lines);
        }
        self.forget_held(queue, until_now(Space::Held))?;
        self.settle()
    }

    /// Judges every line of a queue anew, because its bounds have changed.
    pub(super) fn unsettle_all(&mut self, queue: &QueueName) -> Result<()> {
        let keys = Key::of_queue(Space::LineRow, queue).below();
        let rows: Vec<LineRow> = self.pairs.read_all(keys)?;
        self.unsettled.extend(rows.into_iter().map(|row| (queue.clone(), row.partition)));
        Ok(())
    }

    /// Lists every line that has changed where it now belongs.
    pub(super) fn settle(&mut self) -> Result<()> {
        while let Some((queue, partition)) = self.unsettled.pop_first() {
            let partitions = self.queue(&queue)?.spec.partitions;
            let limits = partitions.map(|partitions| partitions.limits).unwrap_or_default();
            self.settle_line(&queue, partition, &limits)?;
        }
        Ok(())
    }

    fn settle_line(
        &mut self,
        queue: &QueueName,
        partition: Option<PartitionKey>,
        limits: &Limits,
    ) -> Result<()> {
        let mut row = self.line_row(queue, partition.as_ref())?;
        let before = row.clone();
        row.starts.slide(limits.rate, self.now);
        row.listed = self.judge(queue, &row, limits)?;
        self.list(queue, &partition, before.listed, row.listed)?;

        let key = Key::of_line(Space::LineRow, queue, partition.as_ref());
        let spaces = [Space::Line, Space::Arriving, Space::LineLease];
        let mut blank = row.listed == Listed::default();
        for space in spaces {
            let keys = Key::of_line(space, queue, partition.as_ref()).below();
            blank = blank && self.pairs.first(keys)?.is_none();
        }
        if blank {
            self.pairs.remove(&key)?;
        } else if row != before || self.pairs.get(&key)?.is_none() {
            self.pairs.write(&key, &row)?;
        }
        Ok(())
    }

    /// Where a line belongs now. The moment at which it opens is never too
    /// late. It is too early where the next to arrive turns out to stand
    /// behind one that holds up the line.
    fn judge(&self, queue: &QueueName, row: &LineRow, limits: &Limits) -> Result<Listed> {
        let now = self.now;
        let keys = |space| Key::of_line(space, queue, row.partition.as_ref()).below();
        let first = |space| self.jobs_at(keys(space))?.next().transpose();
        let head = first(Space::Line)?;
        let head_due = head.as_ref().map(|head| head.due.max(now));
        let arrival = first(Space::Arriving)?.map(|job| job.joins());
        let closed = self.closed(queue, row, limits)?;

        let mut listed = Listed::default();
        match ([head_due, arrival].into_iter().flatten().min(), closed) {
            (None, _) => {
                let last = row.starts.0.last();
                listed.fades = last.zip(limits.rate).map(|((at, _), rate)| at.after(rate.period));
            }
            (Some(earliest), Some(room)) => {
                listed.opens = room.again.map(|again| again.max(earliest));
            }
            (Some(earliest), None) if earliest <= now => {
                let order = head.map(|head| head.order_key());
                listed.startable = order.map(|key| (key.primary, key.place, key.seq));
            }
            (Some(earliest), None) => listed.opens = Some(earliest),
        }
        Ok(listed)
    }

    /// Which of a line's own limits leaves no room, if one does. Core says how
    /// much there is; the store counts.
    fn closed(&self, queue: &QueueName, row: &LineRow, limits: &Limits) -> Result<Option<Room>> {
        if let Some(limit) = limits.concurrency {
            let leases = Key::of_line(Space::LineLease, queue, row.partition.as_ref());
            // Hardly more than the limit, so that counting them is cheap.
            let mut held = 0;
            for lease in self.pairs.walk(leases.below())? {
                lease?;
                held += 1;
            }
            let room = slots(limit, held, self.next_end(&leases)?);
            if room.free == 0 {
                return Ok(Some(room));
            }
        }
        let log = || row.starts.0.iter().copied();
        let room = limits.rate.map(|rate| starts(rate, self.now, log()));
        Ok(room.filter(|room| room.free == 0))
    }

    /// The first moment from now on at which a lease of this listing runs out.
    /// One that has run out already says nothing about when to look again: it
    /// ends when somebody takes it over.
    pub(super) fn next_end(&self, leases: &Key) -> Result<Option<Timestamp>> {
        let live = leases.below().behind(&leases.clone().moment(self.now));
        let first = self.jobs_at(live)?.next().transpose()?;
        Ok(first.and_then(|record| record.lease()).map(|lease| lease.until))
    }

    pub(super) fn line_row(
        &self,
        queue: &QueueName,
        partition: Option<&PartitionKey>,
    ) -> Result<LineRow> {
        let stored = self.pairs.read(&Key::of_line(Space::LineRow, queue, partition))?;
        Ok(stored.unwrap_or(LineRow { partition: partition.cloned(), ..LineRow::default() }))
    }

    pub(super) fn put_line_row(&mut self, queue: &QueueName, row: &LineRow) -> Result<()> {
        self.pairs.write(&Key::of_line(Space::LineRow, queue, row.partition.as_ref()), row)
    }

    fn list(
        &mut self,
        queue: &QueueName,
        partition: &Option<PartitionKey>,
        before: Listed,
        after: Listed,
    ) -> Result<()> {
        let keys = |listed: Listed| {
            let startable = listed.startable.map(|(primary, place, seq)| {
                let order = OrderKey { primary, place, seq };
                (Key::of_queue(Space::Startable, queue).order(order), place)
            });
            let timed = |space, moment: Option<Timestamp>| {
                let key = |moment| Key::of_queue(space, queue).moment(moment);
                moment.map(|moment| (key(moment).line(partition.as_ref()), moment))
            };
            let (opens, fades) = (Space::Opening, Space::Fading);
            [startable, timed(opens, listed.opens), timed(fades, listed.fades)]
        };
        for (before, after) in keys(before).into_iter().zip(keys(after)) {
            if before == after {
                continue;
            }
            if let Some((key, _)) = before {
                self.pairs.remove(&key)?;
            }
            if let Some((key, moment)) = after {
                self.pairs.put(&key, &encode(&(moment, partition))?)?;
            }
        }
        Ok(())
    }
}
