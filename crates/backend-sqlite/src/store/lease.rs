//! Keeping leases, and finding what is overdue.

use rusqlite::params;
use windlass_core::backend::{Extend, Extended, Overdue, OverduePage, OverduePlace, OverdueQuery};
use windlass_core::model::{Event, Job, Progress, Timestamp};

use super::Store;
use super::connection::optional;
use super::query::Query;
use crate::error::Outcome;
use crate::record::signed;

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
        let mut jobs = self.read_jobs(statement, params)?;
        let next = if jobs.len() > limit as usize {
            jobs.truncate(limit as usize);
            jobs.last().map(|job| place(job, query.what))
        } else {
            None
        };
        Ok(OverduePage { jobs, next, now: self.now })
    }
}

/// Where a job stands in a listing of what is overdue.
fn place(job: &Job, what: Overdue) -> OverduePlace {
    let moment = match what {
        Overdue::LostLeases => job.lease.map(|lease| lease.until),
        Overdue::Expired => job.expires,
        Overdue::Unblocked => None,
    };
    OverduePlace { moment: moment.unwrap_or(Timestamp::EPOCH), seq: job.seq }
}
