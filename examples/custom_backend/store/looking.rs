//! Looking at jobs (rule Q5).

use windlass::backend::Result;
use windlass::model::{Detail, Direction, Filter, JobRef, JobsPage, JobsQuery, Seen};

use super::{MAX_PAGE, Store};
use crate::keys::{Key, Space};
use crate::record::Record;

impl Store<'_> {
    pub(crate) fn job(&self, job: &JobRef) -> Result<Option<Seen>> {
        let Some(record) = self.find(job)? else {
            return Ok(None);
        };
        Ok(Some(Seen { job: self.view(&record, Detail::Full)?, now: self.now }))
    }

    /// Walks along the sequence, of a queue or of the whole store. A filter
    /// that few jobs pass reads many; an index for it would be the next step.
    pub(crate) fn jobs(&self, query: &JobsQuery) -> Result<JobsPage> {
        let all = match &query.filter.queue {
            Some(queue) => Key::of_queue(Space::OfQueue, queue),
            None => Key::new(Space::Every),
        };
        let after = query.after.map(|seq| all.clone().number(seq));
        let keys = match (query.direction, &after) {
            (_, None) => all.below(),
            (Direction::OldestFirst, Some(after)) => all.below().behind(after),
            (Direction::NewestFirst, Some(after)) => all.below().before(after),
        };
        // One more than asked for tells whether there is a next page.
        let limit = query.limit.clamp(1, MAX_PAGE) as usize;
        let walk = self.jobs_at(keys)?;
        let mut found = match query.direction {
            Direction::OldestFirst => self.fitting(walk, &query.filter, limit + 1)?,
            Direction::NewestFirst => self.fitting(walk.rev(), &query.filter, limit + 1)?,
        };
        let more = found.len() > limit;
        found.truncate(limit);
        Ok(JobsPage {
            next: found.last().map(|record| record.seq).filter(|_| more),
            jobs: found
                .iter()
                .map(|record| self.view(record, query.detail))
                .collect::<Result<_>>()?,
            now: self.now,
        })
    }

    fn fitting(
        &self,
        walk: impl Iterator<Item = Result<Record>>,
        filter: &Filter,
        wanted: usize,
    ) -> Result<Vec<Record>> {
        let fits = |record: &Result<Record>| {
            record.as_ref().map_or(true, |record| self.fits(record, filter))
        };
        walk.filter(fits).take(wanted).collect()
    }

    fn fits(&self, record: &Record, filter: &Filter) -> bool {
        fn is<T: PartialEq>(wanted: &Option<T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted.as_ref() == found
        }
        (filter.states.is_empty() || filter.states.contains(&record.state(self.now)))
            && is(&filter.job_type, Some(&record.job_type))
            && is(&filter.key, record.key.as_ref())
            && is(&filter.dedup, record.dedup.as_ref().map(|dedup| &dedup.key))
            && is(&filter.partition, record.partition.as_ref())
            && is(&filter.flow, record.flow.as_ref())
            && is(&filter.parent, record.parent.as_ref())
            && filter.tag.as_ref().is_none_or(|tag| record.tags.contains(tag))
    }
}
