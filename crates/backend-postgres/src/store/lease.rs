//! Keeping leases, and finding what is overdue.

use sqlx::postgres::PgRow;
use windlass_core::Error;
use windlass_core::backend::{Extend, Extended, Overdue, OverduePage, OverduePlace, OverdueQuery};
use windlass_core::model::{Progress, Timestamp, micros};

use super::Store;
use super::query::Query;
use crate::error::is_damaged;
use crate::record::{facts, get, moment, overdue_place, signed, uuid};

/// How many jobs a page of what is overdue has at most.
const MAX_PAGE: u32 = 1000;

impl Store {
    /// Makes leases last longer, each alone.
    pub(crate) async fn extend(
        &self,
        leases: &[Extend],
    ) -> Result<(Vec<Extended>, Timestamp), Error> {
        let names: Vec<&str> = leases.iter().map(|lease| lease.job.queue.as_str()).collect();
        let ids: Vec<_> = leases.iter().map(|lease| uuid(lease.job.id.as_bytes())).collect();
        let tokens: Vec<i64> = leases.iter().map(|lease| signed(lease.token.0)).collect();
        let lengths: Vec<i64> = leases.iter().map(|lease| micros(lease.lease)).collect();
        let progress: Vec<Option<Vec<u8>>> =
            leases.iter().map(|lease| lease.progress.as_ref().map(Progress::encode)).collect();
        let rows = self
            .call(Query::Extend, (&self.clock(), &names, &ids, &tokens, &lengths, &progress))
            .await?;
        let mut outcomes = vec![Extended::Lost; leases.len()];
        let mut now = Timestamp::EPOCH;
        for row in &rows {
            let number: i64 = get(row, 0)?;
            let at = moment(row, 1)?.unwrap_or(now);
            match usize::try_from(number).ok().and_then(|number| number.checked_sub(1)) {
                None => now = at,
                Some(index) => {
                    if let Some(slot) = outcomes.get_mut(index) {
                        let cancel_requested = get(row, 2)?;
                        *slot = Extended::Held { until: at, cancel_requested };
                    }
                }
            }
        }
        Ok((outcomes, now))
    }

    /// A page of what time, or another job's end, has something to say about.
    pub(crate) async fn overdue(&self, query: &OverdueQuery) -> Result<OverduePage, Error> {
        let limit = query.limit.clamp(1, MAX_PAGE);
        let (after, seq) = match query.after {
            None => (i64::MIN, -1),
            Some(place) => (place.moment.as_micros(), signed(place.seq)),
        };
        let queue = query.queue.as_str();
        // One more than asked for tells whether there is a next page.
        let more = i64::from(limit) + 1;
        let (now, rows) = match query.what {
            Overdue::LostLeases => {
                self.look_from_the_front(&query.queue);
                let values = (&self.clock(), &queue, &after, &seq, &more);
                let mut rows = self.call(Query::LostLeases, values).await?;
                if rows.is_empty() {
                    return Err(Error::unknown_queue(&query.queue));
                }
                let now =
                    facts(&rows.remove(0))?.and_then(|facts| facts.first().copied().flatten());
                (Timestamp::from_micros(now.unwrap_or_default()), rows)
            }
            Overdue::Expired | Overdue::Unblocked => {
                let (now, Some(_)) = self.find_queue(&query.queue).await? else {
                    return Err(Error::unknown_queue(&query.queue));
                };
                let rows = match query.what {
                    Overdue::Expired => {
                        let values = (&self.clock(), &queue, &after, &seq, &more);
                        self.call(Query::ListExpired, values).await?
                    }
                    _ => self.call(Query::ListUnblocked, (&queue, &seq, &more)).await?,
                };
                (now, rows)
            }
        };
        self.page(query.what, &rows, limit, now).await
    }

    async fn page(
        &self,
        what: Overdue,
        rows: &[PgRow],
        limit: u32,
        now: Timestamp,
    ) -> Result<OverduePage, Error> {
        self.learn(rows).await?;
        let mut reader = self.names.reader();
        let mut page = OverduePage { jobs: Vec::new(), next: None, now };
        let mut passed_over: Option<(usize, Error)> = None;
        for row in rows.iter().take(limit as usize) {
            match reader.job(row, now) {
                Ok(job) => page.jobs.push(job),
                // Nobody can help it, and it must not hold up those behind it.
                Err(error) if is_damaged(&error) => {
                    let (count, first) = passed_over.take().unwrap_or((0, error));
                    passed_over = Some((count + 1, first));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some((count, error)) = passed_over {
            tracing::error!(
                count,
                error = format!("{error:#}"),
                "overdue jobs that cannot be read"
            );
        }
        if rows.len() > limit as usize {
            page.next = Some(place(&rows[limit as usize - 1], what)?);
        }
        Ok(page)
    }
}

/// Where the job of a row stands in a listing of what is overdue.
fn place(row: &PgRow, what: Overdue) -> Result<OverduePlace, Error> {
    let (seq, lease_end, expires) = overdue_place(row)?;
    let moment = match what {
        Overdue::LostLeases => lease_end,
        Overdue::Expired => expires,
        Overdue::Unblocked => None,
    };
    Ok(OverduePlace { moment: moment.unwrap_or(Timestamp::EPOCH), seq })
}
