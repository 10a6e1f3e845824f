//! Looking at a queue, and keeping house in it: all shards together.

use futures_util::future::{join, join_all, try_join_all};
use windlass_core::Error;
use windlass_core::backend::{Clean, CleanWhich, OverduePage, OverdueQuery, Result};
use windlass_core::decide::shards::{self, Extent};
use windlass_core::model::{Job, JobId, JobsPage, JobsQuery, QueueName, QueueStats, Timestamp};

use super::{Spread, mark_any, of_queue};
use crate::store::lease::{MAX_PAGE, place_of};

/// What was answered, and whether it is all there is.
enum Asked<T> {
    /// The queue is one.
    Whole(T),
    /// It is spread so; of the first shard this may have been answered already.
    Spread(Extent, Option<T>),
}

impl Spread {
    /// Asks the first shard, and whether there are others, at once: a queue that is not
    /// spread costs no further round trip.
    async fn first<T>(
        &self,
        queue: &QueueName,
        ask: impl Future<Output = Result<T>>,
    ) -> Result<Asked<T>> {
        if self.known_to_be_spread(queue).is_some() {
            return Ok(Asked::Spread(self.look(queue).await?, None));
        }
        let (extent, answer) = join(self.look(queue), ask).await;
        Ok(match extent? {
            extent if extent.is_one() => Asked::Whole(answer?),
            extent => Asked::Spread(extent, Some(answer?)),
        })
    }

    /// A page of jobs.
    pub(crate) async fn jobs(&self, query: &JobsQuery) -> Result<JobsPage> {
        let mut page = match &query.filter.queue {
            Some(queue) => {
                let first = self.store.jobs(query, Some(vec![queue.clone()]));
                match self.first(queue, first).await? {
                    Asked::Whole(page) => return Ok(page),
                    Asked::Spread(extent, _) => {
                        self.store.jobs(query, Some(self.all_names(queue, extent))).await?
                    }
                }
            }
            None => self.store.jobs(query, None).await?,
        };
        page.jobs.iter_mut().for_each(mark_any);
        Ok(page)
    }

    /// Figures of a queue.
    pub(crate) async fn stats(&self, queue: &QueueName) -> Result<QueueStats> {
        let extent = match self.first(queue, self.store.stats(queue)).await? {
            Asked::Whole(stats) => return Ok(stats),
            Asked::Spread(extent, _) => extent,
        };
        let mut of_shards = self.stats_of_all(queue, extent).await?.into_iter();
        // What is seen of a pause is what the first shard says.
        let mut sum = of_shards.next().ok_or_else(|| Error::unknown_queue(queue))?;
        for stats in of_shards {
            for (sum, count) in sum.jobs.iter_mut().zip(stats.jobs) {
                *sum += count;
            }
            sum.leases += stats.leases;
            sum.starts_in_window += stats.starts_in_window;
            let oldest = [sum.oldest_ready, stats.oldest_ready];
            sum.oldest_ready = oldest.into_iter().flatten().min();
            sum.now = sum.now.min(stats.now);
        }
        Ok(sum)
    }

    async fn stats_of_all(&self, queue: &QueueName, extent: Extent) -> Result<Vec<QueueStats>> {
        let names = self.all_names(queue, extent);
        let stats = try_join_all(names.iter().map(|name| self.store.stats(name))).await;
        stats.map_err(|error| of_queue(error, queue))
    }

    /// Removes jobs, and answers which.
    pub(crate) async fn clean(&self, clean: &Clean) -> Result<Vec<JobId>> {
        let queue = &clean.queue;
        // What the first shard has too many of, the queue has too many of.
        let (extent, mut removed) = match self.first(queue, self.store.clean(clean)).await? {
            Asked::Whole(removed) => return Ok(removed),
            Asked::Spread(extent, removed) => (extent, removed.unwrap_or_default()),
        };
        let names = self.all_names(queue, extent);
        let which = match clean.which {
            CleanWhich::OlderThan(age) => vec![CleanWhich::OlderThan(age); names.len()],
            CleanWhich::BeyondNewest(kept) => {
                let stats = self.stats_of_all(queue, extent).await?;
                let jobs: Vec<u64> = stats.iter().map(|stats| stats.count(clean.state)).collect();
                shards::kept(&jobs, kept).into_iter().map(CleanWhich::BeyondNewest).collect()
            }
        };
        for (name, which) in names.into_iter().zip(which) {
            let count = u32::try_from(removed.len()).unwrap_or(u32::MAX);
            let left = clean.limit.saturating_sub(count);
            if left == 0 && !removed.is_empty() {
                break;
            }
            let of_shard = Clean { queue: name, which, limit: left, ..clean.clone() };
            let more = self.store.clean(&of_shard).await;
            removed.extend(more.map_err(|error| of_queue(error, queue))?);
        }
        Ok(removed)
    }

    /// A page of what is overdue. A shard that is away holds nothing up in the others.
    pub(crate) async fn overdue(&self, query: &OverdueQuery) -> Result<OverduePage> {
        let queue = &query.queue;
        let extent = match self.first(queue, self.store.overdue(query)).await? {
            Asked::Whole(page) => return Ok(page),
            Asked::Spread(extent, _) => extent,
        };
        let pages = self.all_names(queue, extent).into_iter().map(|name| {
            let query = OverdueQuery { queue: name, ..query.clone() };
            async move { self.store.overdue(&query).await }
        });
        let (mut found, mut failed) = (Vec::new(), None);
        for page in join_all(pages).await {
            match page {
                Ok(page) => found.push(page),
                Err(error) => failed = Some(error),
            }
        }
        let page = together(found, query);
        match failed {
            Some(error) if page.jobs.is_empty() => Err(of_queue(error, queue)),
            Some(error) => {
                let error = format!("{error:#}");
                tracing::warn!(queue = queue.as_str(), error, "a shard is not looked after");
                Ok(page)
            }
            None => Ok(page),
        }
    }
}

/// One page out of those of several shards, in the same order. Behind what a shard has
/// shown there may be more of it, which goes before anything further.
fn together(pages: Vec<OverduePage>, query: &OverdueQuery) -> OverduePage {
    let place = |job: &Job| place_of(query.what, job);
    let now = pages.iter().map(|page| page.now).min().unwrap_or(Timestamp::EPOCH);
    let shown = pages.iter().filter_map(|page| page.next).min();
    let mut jobs: Vec<Job> = pages.into_iter().flat_map(|page| page.jobs).collect();
    jobs.sort_by_key(place);
    let all = jobs.len();
    jobs.retain(|job| shown.is_none_or(|shown| place(job) <= shown));
    jobs.truncate(query.limit.clamp(1, MAX_PAGE) as usize);
    let more = shown.is_some() || jobs.len() < all;
    let next = jobs.last().map(place).filter(|_| more);
    jobs.iter_mut().for_each(mark_any);
    OverduePage { jobs, next, now }
}

#[cfg(test)]
mod tests {
    use windlass_core::backend::{Overdue, OverduePlace};
    use windlass_core::model::{Lease, State};

    use super::*;
    use crate::spread::samples::job;

    fn lost(n: u8, until: i64) -> Job {
        let active = job(n, State::Active);
        let until = Timestamp::from_micros(until);
        Job { lease: active.lease.map(|lease| Lease { until, ..lease }), ..active }
    }

    /// A page of leases that ran out then, and whether there are more behind it.
    fn page(moments: &[(u8, i64)], more: bool) -> OverduePage {
        let jobs: Vec<Job> = moments.iter().map(|(n, until)| lost(*n, *until)).collect();
        let last = moments.last().map(|(n, until)| OverduePlace {
            moment: Timestamp::from_micros(*until),
            seq: u64::from(*n),
        });
        OverduePage { jobs, next: last.filter(|_| more), now: Timestamp::from_micros(99) }
    }

    #[test]
    fn pages_of_shards_become_one_in_order_and_nothing_is_passed_over() {
        let table: [(Vec<OverduePage>, u32, &[u8], bool); 6] = [
            (vec![page(&[(1, 5), (2, 9)], false), page(&[(3, 6)], false)], 9, &[1, 3, 2], false),
            (vec![page(&[(1, 5), (2, 9)], false), page(&[(3, 6)], false)], 2, &[1, 3], true),
            // Behind 5 there is more of the first, which goes before 6.
            (vec![page(&[(1, 5)], true), page(&[(3, 6)], false)], 9, &[1], true),
            (vec![page(&[(1, 5), (2, 7)], true), page(&[(3, 6)], true)], 2, &[1, 3], true),
            (vec![page(&[], false), page(&[(3, 6)], false)], 1, &[3], false),
            (vec![page(&[], false)], 1, &[], false),
        ];
        for (pages, limit, expected, more) in table {
            let queue = QueueName::new("q").unwrap();
            let query = OverdueQuery { queue, what: Overdue::LostLeases, after: None, limit };
            let whole = together(pages, &query);
            let seqs: Vec<u64> = whole.jobs.iter().map(|job| job.seq).collect();
            let expected: Vec<u64> = expected.iter().map(|n| u64::from(*n)).collect();
            assert_eq!(seqs, expected);
            let next = whole.next.map(|place| place.seq);
            assert_eq!(next, expected.last().copied().filter(|_| more));
        }
    }
}
