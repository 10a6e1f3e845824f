//! Keeping leases, and finding what is overdue.

use rusqlite::{Row, params};
use windlass_core::Error;
use windlass_core::backend::{Extend, Extended, Overdue, OverduePage, OverduePlace, OverdueQuery};
use windlass_core::model::{Event, Progress, Timestamp};

use super::Store;
use super::connection::optional;
use super::query::Query;
use crate::error::{Fail, Outcome, is_damaged};
use crate::record::{EXPIRES, KEY1, signed, unsigned};

/// How many jobs a page of what is overdue has at most.
const MAX_PAGE: u32 = 1000;

impl Store<'_> {
    /// Makes leases last longer, each alone.
    pub(crate) fn extend(&mut self, leases: &[Extend]) -> Outcome<(Vec<Extended>, Timestamp)> {
        let mut outcomes = Vec::with_capacity(leases.len());
        for lease in leases {
            outcomes.push(self.extend_one(lease)?);
        }
        Ok((outcomes, self.now))
    }

    fn extend_one(&mut self, lease: &Extend) -> Outcome<Extended> {
        let Some(queue) = self.find_queue(&lease.job.queue)? else {
            return Ok(Extended::Lost);
        };
        let until = self.now.after(lease.lease);
        let current: Option<(i64, bool)> =
            optional(self.statements.get(Query::ExtendLease)?.query_row(
                params![
                    lease.job.id.as_bytes(),
                    queue.id,
                    signed(lease.token.0),
                    until.as_micros(),
                ],
                |row| Ok((row.get(0)?, row.get(1)?)),
            ))?;
        let Some((seq, cancel_requested)) = current else {
            return Ok(Extended::Lost);
        };
        if let Some(progress) = &lease.progress {
            self.statements
                .get(Query::TellProgress)?
                .execute(params![seq, Progress::encode(progress)])?;
            self.news.happened(|| lease.job.clone(), Event::Progress);
        }
        Ok(Extended::Held { until, cancel_requested })
    }

    /// A page of what time, or another job's end, has something to say about.
    pub(crate) fn overdue(&mut self, query: &OverdueQuery) -> Outcome<OverduePage> {
        let queue = self.queue(&query.queue)?;
        let limit = query.limit.clamp(1, MAX_PAGE);
        let (moment, seq) = match query.after {
            None => (i64::MIN, -1),
            Some(place) => (place.moment.as_micros(), signed(place.seq)),
        };
        let statement = match query.what {
            Overdue::LostLeases => Query::ListLostLeases,
            Overdue::Expired => Query::ListExpired,
            Overdue::Unblocked => Query::ListUnblocked,
        };
        // One more than asked for tells whether there is a next page.
        let params = params![queue.id, self.now.as_micros(), moment, seq, limit + 1];
        let mut page = OverduePage { jobs: Vec::new(), next: None, now: self.now };
        let mut passed_over: Option<(usize, Error)> = None;
        let mut last = None;
        let mut rows = self.statements.get(statement)?.query(params)?;
        for n in 0.. {
            let Some(row) = rows.next()? else { break };
            if n == limit {
                page.next = last;
                break;
            }
            last = Some(place(row, query.what)?);
            match self.codec.job(row, self.now) {
                Ok(job) => page.jobs.push(job),
                // Nobody can help it, and it must not hold up those behind it.
                Err(Fail::Broken(error)) if is_damaged(&error) => {
                    let (count, first) = passed_over.take().unwrap_or((0, error));
                    passed_over = Some((count + 1, first));
                }
                Err(fail) => return Err(fail),
            }
        }
        drop(rows);
        if let Some((count, error)) = passed_over {
            self.tell_unreadable("overdue jobs", count, &error);
        }
        Ok(page)
    }
}

/// Where the job of a row stands in a listing of what is overdue.
fn place(row: &Row<'_>, what: Overdue) -> Outcome<OverduePlace> {
    let moment = match what {
        Overdue::LostLeases => Timestamp::from_micros(row.get(KEY1)?),
        Overdue::Expired => Timestamp::from_micros(row.get(EXPIRES)?),
        Overdue::Unblocked => Timestamp::EPOCH,
    };
    Ok(OverduePlace { moment, seq: unsigned(row.get(0)?) })
}
