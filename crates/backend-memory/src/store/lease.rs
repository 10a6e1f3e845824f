//! Leases that go on, and what is overdue (rules L2 to L4, R5).

use windlass_core::backend::hub::News;
use windlass_core::backend::{
    Extend, Extended, Overdue, OverduePage, OverduePlace, OverdueQuery, Result,
};
use windlass_core::model::{Detail, Event, JobRef, Timestamp, Token};

use super::Store;
use super::line::Line;
use super::slab::Slot;
use crate::record::Stand;

/// How many jobs a page holds at most.
pub(super) const MAX_PAGE: u32 = 1000;

impl Store {
    /// Whether this is the current lease of the job.
    pub(super) fn holds(&self, job: &JobRef, token: Token) -> bool {
        self.find(job).is_some_and(|slot| {
            let record = &self.jobs[slot];
            record.stand.lease().is_some_and(|lease| lease.token == token)
        })
    }

    pub(crate) fn extend(
        &mut self,
        leases: Vec<Extend>,
        now: Timestamp,
        news: &mut News,
    ) -> Vec<Extended> {
        leases.into_iter().map(|wish| self.extend_one(wish, now, news)).collect()
    }

    fn extend_one(&mut self, wish: Extend, now: Timestamp, news: &mut News) -> Extended {
        let Some(slot) = self.find(&wish.job).filter(|_| self.holds(&wish.job, wish.token)) else {
            return Extended::Lost;
        };
        let Self { jobs, queues, .. } = self;
        let record = &mut jobs[slot];
        let queue = &mut queues[record.queue];
        let next = now.after(wish.lease);
        let cancel_requested = record.cancel_requested;
        if let Some(progress) = wish.progress {
            record.extra_mut().progress = Some(progress);
            news.happened(|| wish.job.clone(), Event::Progress);
        }
        if let Stand::Active(lease) = &mut record.stand {
            let until = std::mem::replace(&mut lease.until, next);
            queue.extend(jobs, slot, (until, next), now);
        }
        Extended::Held { until: next, cancel_requested }
    }

    pub(crate) fn overdue(&mut self, query: &OverdueQuery, now: Timestamp) -> Result<OverduePage> {
        let at = self.queue_index(&query.queue)?;
        self.tick(at, now);
        let queue = &self.queues[at];
        let limit = query.limit.clamp(1, MAX_PAGE) as usize;
        let (found, more) = match query.what {
            Overdue::LostLeases => passed(&queue.leases, query.after, now, limit),
            Overdue::Expired => passed(&queue.expiring, query.after, now, limit),
            Overdue::Unblocked => {
                // It is not known since when; the sequence alone orders them.
                let after = query.after.map(|place| place.seq);
                let mut found = queue.unblocked.after(after);
                let page = found.by_ref().take(limit);
                let page: Vec<_> =
                    page.map(|(seq, slot)| ((Timestamp::EPOCH, seq), slot)).collect();
                (page, found.next().is_some())
            }
        };
        let last =
            found.last().map(|((moment, seq), _)| OverduePlace { moment: *moment, seq: *seq });
        Ok(OverduePage {
            jobs: found
                .into_iter()
                .map(|(_, slot)| self.view(slot, now, Detail::Summary))
                .collect(),
            next: last.filter(|_| more),
            now,
        })
    }
}

type Found = Vec<((Timestamp, u64), Slot)>;

/// A page of those whose moment has come, and whether there are more.
fn passed(
    line: &Line<(Timestamp, u64)>,
    after: Option<OverduePlace>,
    now: Timestamp,
    limit: usize,
) -> (Found, bool) {
    let after = after.map(|place| (place.moment, place.seq));
    let mut found = line.after(after).take_while(|((moment, _), _)| *moment <= now);
    let page = found.by_ref().take(limit).collect();
    (page, found.next().is_some())
}
