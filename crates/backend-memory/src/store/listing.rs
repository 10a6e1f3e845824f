//! Looking at jobs (rule Q5).

use windlass_core::model::Detail;
use windlass_core::model::{Direction, Filter, JobRef, JobsPage, JobsQuery, Seen, Timestamp};

use super::Store;
use super::lease::MAX_PAGE;
use super::queue::Queue;
use super::slab::Slot;
use crate::record::Record;

impl Store {
    pub(crate) fn job(&self, job: &JobRef, now: Timestamp) -> Option<Seen> {
        let slot = self.find(job)?;
        Some(Seen { job: self.view(slot, now, Detail::Full), now })
    }

    pub(crate) fn jobs(&self, query: &JobsQuery, now: Timestamp) -> JobsPage {
        let limit = query.limit.clamp(1, MAX_PAGE) as usize;
        // One more than asked for tells whether there is a next page. The
        // sequence is the store's, so that pages over several queues can be
        // put together from pages of each.
        let wanted = limit + 1;
        let mut found = match &query.filter.queue {
            Some(name) => match self.names.get(name) {
                Some(at) => self.page(&self.queues[*at], query, wanted, now),
                None => Vec::new(),
            },
            None => {
                let mut found: Vec<_> = self
                    .names
                    .values()
                    .flat_map(|at| self.page(&self.queues[*at], query, wanted, now))
                    .collect();
                found.sort_unstable_by_key(|(seq, _)| *seq);
                if query.direction == Direction::NewestFirst {
                    found.reverse();
                }
                found
            }
        };
        let more = found.len() > limit;
        found.truncate(limit);
        JobsPage {
            next: found.last().map(|(seq, _)| *seq).filter(|_| more),
            jobs: found.into_iter().map(|(_, slot)| self.view(slot, now, query.detail)).collect(),
            now,
        }
    }

    fn page(
        &self,
        queue: &Queue,
        query: &JobsQuery,
        wanted: usize,
        now: Timestamp,
    ) -> Vec<(u64, Slot)> {
        let fits = |(_, slot): &(u64, Slot)| self.fits(&self.jobs[*slot], &query.filter, now);
        match query.direction {
            Direction::OldestFirst => {
                let all = queue.all.after(query.after);
                all.filter(fits).take(wanted).collect()
            }
            Direction::NewestFirst => {
                let all = queue.all.before(query.after);
                all.filter(fits).take(wanted).collect()
            }
        }
    }

    fn fits(&self, record: &Record, filter: &Filter, now: Timestamp) -> bool {
        let extra = record.extra.as_deref();
        (filter.states.is_empty() || filter.states.contains(&record.state(now)))
            && filter.job_type.as_ref().is_none_or(|t| record.job_type == *t)
            && (filter.partition.is_none() || record.partition == filter.partition)
            && filter
                .key
                .as_ref()
                .is_none_or(|key| extra.is_some_and(|extra| extra.key.as_ref() == Some(key)))
            && filter
                .dedup
                .as_ref()
                .is_none_or(|key| record.dedup().is_some_and(|dedup| dedup.key == *key))
            && filter
                .tag
                .as_ref()
                .is_none_or(|tag| extra.is_some_and(|extra| extra.tags.contains(tag)))
            && filter.flow.is_none_or(|flow| extra.is_some_and(|extra| extra.flow == Some(flow)))
            && filter.parent.as_ref().is_none_or(|parent| {
                extra.is_some_and(|extra| extra.parent.as_ref() == Some(parent))
            })
    }
}
