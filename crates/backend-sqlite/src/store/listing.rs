//! Looking at jobs.

use std::borrow::Cow;

use rusqlite::{Row, named_params, params};
use windlass_core::model::{
    Detail, Direction, Filter, Job, JobId, JobRef, JobsPage, JobsQuery, Seen, State,
};

use super::apply::Found;
use super::query::{Columns, Query};
use super::rare::{Kind, Label, flow_label, parent_label};
use super::{Queue, Store, lane};
use crate::error::Outcome;
use crate::record::{HOOKS, LANE, TOKEN, json, signed};

/// How many jobs a page has at most.
const MAX_PAGE: u32 = 1000;

/// Up to so many jobs of the wanted states, a listing reads them all and sorts
/// them; with more, it walks by sequence and soon meets enough.
const FEW: u64 = 5000;

impl Store<'_> {
    /// A job and what else knows it, without payload and result.
    pub(crate) fn find(&mut self, queue: &Queue, id: JobId) -> Outcome<Option<Found>> {
        Ok(self.find_all(Query::FindJob, params![id.as_bytes(), queue.id])?.pop())
    }

    /// The jobs that a query answers and what else knows them, without payload
    /// and result.
    pub(crate) fn find_all(
        &mut self,
        query: Query,
        params: impl rusqlite::Params,
    ) -> Outcome<Vec<Found>> {
        let now = self.now;
        let mut found = Vec::new();
        let mut rows = self.statements.get(query)?.query(params)?;
        while let Some(row) = rows.next()? {
            found.push(Found {
                seq: row.get(0)?,
                lane: row.get(LANE)?,
                token: row.get(TOKEN)?,
                hooks: row.get(HOOKS)?,
                job: self.codec.job(row, now)?,
            });
        }
        Ok(found)
    }

    /// A job by its id alone, without payload and result.
    pub(crate) fn find_summary(&mut self, id: JobId) -> Outcome<Option<Job>> {
        match self.probe(id)? {
            None => Ok(None),
            Some(found) => self.find_by_seq(found.seq),
        }
    }

    /// A job by its number, without payload and result.
    pub(crate) fn find_by_seq(&mut self, seq: i64) -> Outcome<Option<Job>> {
        Ok(self.read_jobs(Query::FindJobBySeq, [seq])?.pop())
    }

    /// The jobs that a query answers, without payload and result.
    pub(crate) fn read_jobs(
        &mut self,
        query: Query,
        params: impl rusqlite::Params,
    ) -> Outcome<Vec<Job>> {
        let now = self.now;
        let mut jobs = Vec::new();
        let mut rows = self.statements.get(query)?.query(params)?;
        while let Some(row) = rows.next()? {
            jobs.push(self.codec.job(row, now)?);
        }
        Ok(jobs)
    }

    /// A job with payload and result.
    pub(crate) fn job(&mut self, job: &JobRef) -> Outcome<Option<Seen>> {
        let Some(queue) = self.find_queue(&job.queue)? else {
            return Ok(None);
        };
        let now = self.now;
        let mut rows = self
            .statements
            .get(Query::FindWholeJob)?
            .query(params![job.id.as_bytes(), queue.id])?;
        match rows.next()? {
            None => Ok(None),
            Some(row) => {
                let job = self.codec.whole_job(row, now)?;
                Ok(Some(Seen { job, now }))
            }
        }
    }

    /// A page of jobs.
    pub(crate) fn jobs(&mut self, query: &JobsQuery) -> Outcome<JobsPage> {
        let now = self.now;
        let filter = &query.filter;
        let limit = query.limit.clamp(1, MAX_PAGE);
        let nothing = JobsPage { jobs: Vec::new(), next: None, now };
        let queue = match &filter.queue {
            None => None,
            Some(name) => match self.find_queue(name)? {
                None => return Ok(nothing),
                found => found,
            },
        };
        let labels = wanted_labels(filter);
        let (source, list) = self.source(filter, queue.as_deref(), &labels)?;
        let descending = query.direction == Direction::NewestFirst;
        let (low, high) = match (query.after.map(signed), descending) {
            (None, _) => (i64::MIN, i64::MAX),
            (Some(after), false) => (after.saturating_add(1), i64::MAX),
            (Some(after), true) => (i64::MIN, after.saturating_sub(1)),
        };
        let (columns, read): (_, fn(&mut _, &Row<'_>, _) -> _) = match query.detail {
            Detail::Summary => (Columns::Summary, crate::record::Codec::job),
            Detail::Full => (Columns::Full, crate::record::Codec::whole_job),
        };
        let mut statement = self.conn.prepare_cached(&source.listing(columns, descending))?;
        let mut rows = statement.query(named_params! {
            ":low": low,
            ":high": high,
            ":now": now.as_micros(),
            ":list": list,
            ":queue": queue.as_ref().map(|queue| queue.id),
            ":states": mask(&filter.states),
            ":job_type": filter.job_type.as_ref().map(|job_type| job_type.as_str()),
            ":labels": json(&labels, "labels")?,
            ":limit": limit + 1,
        })?;
        let mut jobs = Vec::new();
        while let Some(row) = rows.next()? {
            jobs.push(read(&mut self.codec, row, now)?);
        }
        // One more than asked for tells whether there is a next page.
        let next = if jobs.len() > limit as usize {
            jobs.truncate(limit as usize);
            jobs.last().map(|job: &Job| job.seq)
        } else {
            None
        };
        Ok(JobsPage { jobs, next, now })
    }

    /// The narrowest way to what a filter wants, and the list that the query
    /// goes by.
    fn source(
        &mut self,
        filter: &Filter,
        queue: Option<&Queue>,
        labels: &[Label<'_>],
    ) -> Outcome<(Query, Option<String>)> {
        if let Some(key) = &filter.key {
            let names = match &filter.queue {
                Some(name) => vec![name.clone()],
                None => self.list_queues()?.into_iter().map(|queue| queue.spec.name).collect(),
            };
            let ids: Vec<String> = names
                .iter()
                .map(|name| JobId::derived(name, key).to_string().replace('-', ""))
                .collect();
            return Ok((Query::ListById, Some(json(&ids, "ids")?)));
        }
        match labels.first() {
            Some(label) => Ok((Query::ListByLabel, Some(json(label, "labels")?))),
            None => self.source_by_state(filter, queue),
        }
    }

    fn source_by_state(
        &mut self,
        filter: &Filter,
        queue: Option<&Queue>,
    ) -> Outcome<(Query, Option<String>)> {
        let Some(queue) = queue else {
            return Ok((Query::ListBySeq, None));
        };
        let mask = mask(&filter.states);
        let mut lanes = Vec::new();
        let mut jobs = 0;
        for state in State::ALL {
            // A job that is counted as scheduled may be waiting by now, and the
            // other way round where a clock was set back.
            let wanted = match state {
                State::Scheduled | State::Waiting => mask & 0b110 != 0,
                _ => mask >> state.code() & 1 != 0,
            };
            if wanted {
                lanes.extend(lane::of_state(state));
                jobs += self.count(queue.id, state)?;
            }
        }
        if jobs > FEW {
            return Ok((Query::ListBySeq, None));
        }
        Ok((Query::ListByLane, Some(json(&lanes, "lanes")?)))
    }
}

/// The labels that a filter asks for, the one that few jobs have first.
fn wanted_labels(filter: &Filter) -> Vec<Label<'_>> {
    let text = |kind| move |text| (kind, Cow::Borrowed(text));
    let mut labels = Vec::new();
    labels.extend(filter.parent.as_ref().map(parent_label));
    labels.extend(filter.flow.map(flow_label));
    labels.extend(filter.dedup.as_ref().map(|key| key.as_str()).map(text(Kind::Dedup)));
    labels.extend(filter.tag.as_ref().map(|tag| tag.as_str()).map(text(Kind::Tag)));
    labels.extend(filter.partition.as_ref().map(|key| key.as_str()).map(text(Kind::Partition)));
    labels
}

/// A set of states as bits; no state means all of them.
fn mask(states: &[State]) -> i64 {
    match states {
        [] => 0xff,
        states => states.iter().fold(0, |mask, state| mask | 1 << state.code()),
    }
}
