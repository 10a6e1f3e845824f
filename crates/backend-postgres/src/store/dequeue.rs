//! Leasing jobs.

use windlass_core::Error;
use windlass_core::backend::{Again, Ask, Dequeued};
use windlass_core::decide::limit::{Room, slots, starts};
use windlass_core::model::{Job, QueueSpec, Timestamp, micros};

use super::Store;
use super::query::Query;
use crate::error::is_damaged;
use crate::record::{facts, note, unsigned, uuid};

/// How many jobs one call may lease.
const MAX: u32 = 10_000;

impl Store {
    /// Leases the first jobs of a queue that are due and inside its limits.
    /// Answers whether the queue is paused, too.
    pub(crate) async fn dequeue(&self, ask: &Ask) -> Result<Dequeued, Error> {
        let rows = self
            .call(
                Query::Dequeue,
                (
                    &self.clock(),
                    &ask.queue.as_str(),
                    &uuid(ask.worker.as_bytes()),
                    &i64::from(ask.max.min(MAX)),
                    &micros(ask.lease),
                ),
            )
            .await?;
        let Some((last, leased)) = rows.split_last() else {
            return Err(Error::unknown_queue(&ask.queue));
        };
        let spec = self.names.spec(&ask.queue, &note(last)?.unwrap_or_default())?;
        let found = Found::read(&facts(last)?.unwrap_or_default());
        self.learn(leased).await?;
        let mut reader = self.names.reader();
        let mut jobs = Vec::with_capacity(leased.len());
        let mut damaged: Option<(usize, Error)> = None;
        for row in leased {
            match reader.whole_job(row, found.now) {
                Ok(job) => jobs.push(job),
                // Nobody can run it, and it must not hold up the others: its
                // lease runs out with nobody to take it over.
                Err(error) if is_damaged(&error) => {
                    let (count, first) = damaged.take().unwrap_or((0, error));
                    damaged = Some((count + 1, first));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some((count, error)) = damaged {
            tracing::error!(count, error = format!("{error:#}"), "jobs that cannot be read");
        }
        jobs.sort_unstable_by_key(Job::order_key);
        let again = if found.paused { Again::OnNotice } else { found.again(&spec) };
        Ok(Dequeued { jobs, spec, now: found.now, again })
    }
}

/// What a dequeue found, as `functions/dequeue.sql` says.
struct Found {
    now: Timestamp,
    paused: bool,
    /// Whether a further job could start if the limits of the queue allowed.
    more: bool,
    held: u64,
    first_end: Option<Timestamp>,
    used: u32,
    oldest_start: Option<Timestamp>,
    next_due: Option<Timestamp>,
    next_line: Option<Timestamp>,
}

impl Found {
    fn read(facts: &[Option<i64>]) -> Self {
        let number = |at: usize| facts.get(at).copied().flatten();
        let moment = |at: usize| number(at).map(Timestamp::from_micros);
        Self {
            now: moment(0).unwrap_or(Timestamp::EPOCH),
            paused: number(1) == Some(1),
            more: number(2) == Some(1),
            held: unsigned(number(3).unwrap_or_default()),
            first_end: moment(4),
            used: u32::try_from(number(5).unwrap_or_default()).unwrap_or(u32::MAX),
            oldest_start: moment(6),
            next_due: moment(7),
            next_line: moment(8),
        }
    }

    /// When to ask again. What limits leave room for, core judges.
    fn again(&self, spec: &QueueSpec) -> Again {
        let limits = &spec.limits;
        let slots = limits.concurrency.map(|limit| slots(limit, self.held, self.first_end));
        let starts = limits.rate.map(|rate| {
            let log = self.oldest_start.map(|moment| (moment, self.used));
            starts(rate, self.now, log)
        });
        let rooms: [Option<Room>; 2] = [slots, starts];
        let full = rooms.into_iter().flatten().find(|room| room.free == 0);
        if self.more && full.is_none() {
            return Again::Now;
        }
        // Without more to start, the first job to become eligible does so at its
        // own moment; a limit that is used up until later puts it off.
        let eligible = match self.more {
            true => Some(Timestamp::EPOCH),
            false => [self.next_due, self.next_line].into_iter().flatten().min(),
        };
        let at = match (eligible, full) {
            (None, _) => None,
            (Some(moment), None) => Some(moment),
            (Some(moment), Some(room)) => room.again.map(|again| moment.max(again)),
        };
        at.map_or(Again::OnNotice, Again::At)
    }
}
