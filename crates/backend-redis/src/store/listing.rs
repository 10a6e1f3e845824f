//! A page of jobs (rule Q5).

use futures_util::future::try_join_all;
use windlass_core::Error;
use windlass_core::decide::shards;
use windlass_core::model::{Detail, Direction, Filter, Job, JobId, JobsPage, JobsQuery, QueueName};

use super::{Arguments, Place, Script, Store, read_jobs};
use crate::record::{dedup_label, flow_label, letters_of, parent_label, tag_label};

/// How many jobs a page has at most.
const MAX_PAGE: u32 = 1000;

impl Store {
    /// A page of jobs, of these queues or of all.
    pub(crate) async fn jobs(
        &self,
        query: &JobsQuery,
        of: Option<Vec<QueueName>>,
    ) -> Result<JobsPage, Error> {
        let now = self.now().await?;
        let limit = query.limit.clamp(1, MAX_PAGE) as usize;
        // One more than asked for tells whether there is a next page. Sequence numbers
        // of different queues are different, so that a page over several can be put
        // together from pages of each.
        let names = match of {
            Some(names) => names,
            None => self.names().await?.0,
        };
        let pages = names.iter().map(|name| self.page(name, query, limit + 1));
        let mut jobs: Vec<Job> = try_join_all(pages).await?.into_iter().flatten().collect();
        jobs.sort_unstable_by_key(|job| job.seq);
        if query.direction == Direction::NewestFirst {
            jobs.reverse();
        }
        let more = jobs.len() > limit;
        jobs.truncate(limit);
        let next = jobs.last().map(|job| job.seq).filter(|_| more);
        Ok(JobsPage { jobs, next, now })
    }

    async fn page(
        &self,
        queue: &QueueName,
        query: &JobsQuery,
        wanted: usize,
    ) -> Result<Vec<Job>, Error> {
        let filter = &query.filter;
        let full = query.detail == Detail::Full;
        if let Some(key) = &filter.key {
            let id = JobId::derived(&shards::queue_of(queue), key);
            let mut found = self.read(queue, &[id], full).await?.0;
            found.retain(|job| {
                fits(job, filter)
                    && query.after.is_none_or(|after| match query.direction {
                        Direction::OldestFirst => job.seq > after,
                        Direction::NewestFirst => job.seq < after,
                    })
            });
            return Ok(found);
        }
        let label = wanted_label(filter);
        let script = if label.is_some() { Script::ScanLabel } else { Script::Scan };
        let mut after = query.after.map(|after| after.to_be_bytes().to_vec()).unwrap_or_default();
        let mut found = Vec::new();
        loop {
            let mut arguments = Arguments::with_room_for(5);
            arguments
                .add(match query.direction {
                    Direction::OldestFirst => "f",
                    Direction::NewestFirst => "b",
                })
                .add(after)
                .add(letters(filter))
                .add(if full { "1" } else { "0" });
            if let Some(label) = &label {
                arguments.add(label.clone());
            }
            let mut reply = self.call(Place::Queue(queue), script, arguments).await?;
            let now = reply.moment()?;
            let piece = read_jobs(&mut reply, queue, now, full)?;
            found.extend(piece.into_iter().filter(|job| fits(job, filter)));
            after = reply.bytes()?;
            if after.is_empty() || found.len() >= wanted {
                found.truncate(wanted);
                return Ok(found);
            }
        }
    }
}

/// The label that a filter asks for, if any: the one that few jobs have first.
fn wanted_label(filter: &Filter) -> Option<Vec<u8>> {
    let parent = filter.parent.as_ref().map(parent_label);
    parent
        .or_else(|| filter.flow.map(flow_label))
        .or_else(|| filter.dedup.as_ref().map(dedup_label))
        .or_else(|| filter.tag.as_ref().map(tag_label))
}

/// The letters of the states that a filter lets through.
fn letters(filter: &Filter) -> String {
    if filter.states.is_empty() {
        return "bpacfxe".to_owned();
    }
    filter.states.iter().map(|state| letters_of(*state)).collect()
}

fn fits(job: &Job, filter: &Filter) -> bool {
    (filter.states.is_empty() || filter.states.contains(&job.state))
        && filter.job_type.as_ref().is_none_or(|job_type| job.job_type == *job_type)
        && filter.key.as_ref().is_none_or(|key| job.key.as_ref() == Some(key))
        && filter
            .dedup
            .as_ref()
            .is_none_or(|key| job.dedup.as_ref().is_some_and(|dedup| dedup.key == *key))
        && (filter.partition.is_none() || job.partition == filter.partition)
        && filter.tag.as_ref().is_none_or(|tag| job.tags.contains(tag))
        && (filter.flow.is_none() || job.flow == filter.flow)
        && (filter.parent.is_none() || job.parent == filter.parent)
}
