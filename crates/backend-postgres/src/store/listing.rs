//! Looking at jobs.

use uuid::Uuid;
use windlass_core::Error;
use windlass_core::model::{
    Dependency, Detail, Direction, Filter, Job, JobId, JobRef, JobsPage, JobsQuery, Payload,
    QueueName, Seen, State, Timestamp,
};

use sqlx::Arguments;
use sqlx::postgres::PgArguments;

use super::Store;
use super::enqueue::{Kind, parent_label};
use super::query::Query;
use crate::error::{damaged, from_sqlx};
use crate::record::{get, signed, uuid};

/// How many jobs a page has at most.
const MAX_PAGE: u32 = 1000;

/// The column behind those of a whole job.
const NOW: usize = 30;

impl Store {
    /// A job with payload and result.
    pub(crate) async fn job(&self, job: &JobRef) -> Result<Option<Seen>, Error> {
        let id = uuid(job.id.as_bytes());
        let rows = self.call(Query::FindJob, (&self.clock(), &job.queue.as_str(), &id)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        self.learn(&rows).await?;
        let now = Timestamp::from_micros(get(row, NOW)?);
        Ok(Some(Seen { job: self.names.reader().whole_job(row, now)?, now }))
    }

    /// The jobs that depend on this one.
    pub(crate) async fn dependents(&self, job: &JobRef) -> Result<Vec<Job>, Error> {
        let id = uuid(job.id.as_bytes());
        let now = self.now().await?;
        let rows = self.call(Query::ListDependents, (&job.queue.as_str(), &id)).await?;
        self.learn(&rows).await?;
        let mut reader = self.names.reader();
        rows.iter().map(|row| reader.job(row, now)).collect()
    }

    /// The jobs that this one depends on, and what they returned.
    pub(crate) async fn dependencies(&self, job: &JobRef) -> Result<Vec<Dependency>, Error> {
        let values = (&self.clock(), &job.queue.as_str(), &uuid(job.id.as_bytes()));
        let rows = self.call(Query::ListDependencies, values).await?;
        rows.iter()
            .map(|row| {
                let name: String = get(row, 0)?;
                let state = get::<Option<i32>>(row, 2)?
                    .map(|code| {
                        let state = u8::try_from(code).ok().and_then(State::from_code);
                        state.ok_or_else(|| damaged("the state of a job", format!("lane {code}")))
                    })
                    .transpose()?;
                Ok(Dependency {
                    job: JobRef {
                        queue: QueueName::new(name)
                            .map_err(|error| damaged("a queue name", error))?,
                        id: JobId::from_bytes(get::<Uuid>(row, 1)?.into_bytes()),
                    },
                    state,
                    result: get::<Option<&[u8]>>(row, 3)?.map(Payload::copy_of),
                })
            })
            .collect()
    }

    /// A page of jobs.
    pub(crate) async fn jobs(&self, query: &JobsQuery) -> Result<JobsPage, Error> {
        let now = self.now().await?;
        let filter = &query.filter;
        let limit = query.limit.clamp(1, MAX_PAGE);
        let descending = query.direction == Direction::NewestFirst;
        let (low, high) = match (query.after.map(signed), descending) {
            (None, _) => (i64::MIN, i64::MAX),
            (Some(after), false) => (after.saturating_add(1), i64::MAX),
            (Some(after), true) => (i64::MIN, after.saturating_sub(1)),
        };
        let labels = wanted_labels(filter);
        let kinds: Vec<i16> = labels.iter().map(|(kind, _)| *kind as i16).collect();
        let texts: Vec<&str> = labels.iter().map(|(_, text)| text.as_str()).collect();
        let mut arguments = PgArguments::default();
        let mut add = || {
            arguments.add(low)?;
            arguments.add(high)?;
            // The moment of the page, so that no job changes its state within it.
            arguments.add(now.as_micros())?;
            arguments.add(mask(&filter.states))?;
            arguments.add(filter.job_type.as_ref().map(|job_type| job_type.as_str()))?;
            arguments.add(&kinds)?;
            arguments.add(&texts)?;
            arguments.add(i64::from(limit) + 1)?;
            arguments.add(filter.queue.as_ref().map(|queue| queue.as_str()))
        };
        add().map_err(|error| damaged("a filter", error))?;
        let source = if let Some(key) = &filter.key {
            let names = match &filter.queue {
                Some(name) => vec![name.clone()],
                None => self.queues().await?.into_iter().map(|queue| queue.spec.name).collect(),
            };
            let ids: Vec<Uuid> =
                names.iter().map(|name| uuid(JobId::derived(name, key).as_bytes())).collect();
            arguments.add(ids).map_err(|error| damaged("a filter", error))?;
            Query::ListById
        } else if let (Some(kind), Some(text)) = (kinds.first(), texts.first()) {
            arguments
                .add(kind)
                .and_then(|()| arguments.add(text))
                .map_err(|error| damaged("a filter", error))?;
            Query::ListByLabel
        } else if filter.queue.is_some() && mask(&filter.states) & FREQUENT == 0 {
            Query::ListByState
        } else {
            Query::ListBySeq
        };
        let sql = self.queries.listing(source, query.detail, query.direction);
        let rows = self.run(sql, arguments).await.map_err(from_sqlx)?;
        self.learn(&rows).await?;
        let mut reader = self.names.reader();
        let mut jobs = rows
            .iter()
            .map(|row| match query.detail {
                Detail::Summary => reader.job(row, now),
                Detail::Full => reader.whole_job(row, now),
            })
            .collect::<Result<Vec<_>, _>>()?;
        // One more than asked for tells whether there is a next page.
        let next = if jobs.len() > limit as usize {
            jobs.truncate(limit as usize);
            jobs.last().map(|job: &Job| job.seq)
        } else {
            None
        };
        Ok(JobsPage { jobs, next, now })
    }
}

/// The states of which there may be very many jobs, as bits.
const FREQUENT: i32 = 1 << 1 | 1 << 2 | 1 << 4;

/// The labels that a filter asks for, the one that few jobs have first.
fn wanted_labels(filter: &Filter) -> Vec<(Kind, String)> {
    let mut labels = Vec::new();
    labels.extend(filter.parent.as_ref().map(|parent| (Kind::Parent, parent_label(parent))));
    labels.extend(filter.flow.map(|flow| (Kind::Flow, flow.to_string())));
    labels.extend(filter.dedup.as_ref().map(|key| (Kind::Dedup, key.as_str().to_owned())));
    labels.extend(filter.tag.as_ref().map(|tag| (Kind::Tag, tag.as_str().to_owned())));
    labels.extend(filter.partition.as_ref().map(|key| (Kind::Partition, key.as_str().to_owned())));
    labels
}

/// A set of states as bits; no state means all of them.
fn mask(states: &[State]) -> i32 {
    match states {
        [] => 0xff,
        states => states.iter().fold(0, |mask, state| mask | 1 << state.code()),
    }
}
