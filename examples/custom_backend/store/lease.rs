//! Leases that go on, and what is overdue (rules L2 to L4, R5).

use windlass::backend::{
    Extend, Extended, Overdue, OverduePage, OverduePlace, OverdueQuery, Result,
};
use windlass::model::{Detail, Event, JobRef, Timestamp, Token};

use super::{MAX_PAGE, Store};
use crate::keys::{Key, Space};
use crate::record::{Record, Stand};

impl Store<'_> {
    /// Whether this is the current lease of the job.
    pub(super) fn holds(&self, job: &JobRef, token: Token) -> Result<bool> {
        let lease = self.find(job)?.and_then(|record| record.lease());
        Ok(lease.is_some_and(|lease| lease.token == token))
    }

    pub(crate) fn extend(&mut self, leases: Vec<Extend>) -> Result<Vec<Extended>> {
        leases.into_iter().map(|wish| self.extend_one(wish)).collect()
    }

    fn extend_one(&mut self, wish: Extend) -> Result<Extended> {
        let found = self.find(&wish.job)?;
        let Some((old, lease)) = found.and_then(|old| old.lease().map(|lease| (old, lease))) else {
            return Ok(Extended::Lost);
        };
        if lease.token != wish.token {
            return Ok(Extended::Lost);
        }
        // The version stays: a heartbeat must not make a settle stale.
        let until = self.now.after(wish.lease);
        let stand = Stand::Active { token: lease.token, until, worker: lease.worker };
        let mut new = Record { stand, ..old.clone() };
        if wish.progress.is_some() {
            new.progress = wish.progress;
            self.news.happened(|| wish.job, Event::Progress);
        }
        self.change(&old, &mut new)?;
        Ok(Extended::Held { until, cancel_requested: new.cancel_requested })
    }

    pub(crate) fn overdue(&self, query: &OverdueQuery) -> Result<OverduePage> {
        self.queue(&query.queue)?;
        let space = match query.what {
            Overdue::LostLeases => Space::Lease,
            Overdue::Expired => Space::Expiring,
            Overdue::Unblocked => Space::Unblocked,
        };
        let all = Key::of_queue(space, &query.queue);
        let mut keys = all.below();
        if query.what == Overdue::Unblocked {
            // It is not known since when; the sequence alone orders them.
            if let Some(after) = query.after {
                keys = keys.behind(&all.number(after.seq));
            }
        } else {
            keys = keys.up_to(&all.clone().moment(self.now));
            if let Some(after) = query.after {
                keys = keys.behind(&all.moment(after.moment).number(after.seq));
            }
        }
        // One more than asked for tells whether there is a next page.
        let limit = query.limit.clamp(1, MAX_PAGE) as usize;
        let found = self.jobs_at(keys)?.take(limit + 1);
        let mut found = found.collect::<Result<Vec<_>>>()?;
        let more = found.len() > limit;
        found.truncate(limit);
        let place = |record: &Record| OverduePlace {
            moment: match query.what {
                Overdue::LostLeases => record.lease().map(|lease| lease.until),
                Overdue::Expired => record.expires,
                Overdue::Unblocked => None,
            }
            .unwrap_or(Timestamp::EPOCH),
            seq: record.seq,
        };
        Ok(OverduePage {
            next: found.last().map(place).filter(|_| more),
            jobs: found
                .iter()
                .map(|record| self.view(record, Detail::Summary))
                .collect::<Result<_>>()?,
            now: self.now,
        })
    }
}
