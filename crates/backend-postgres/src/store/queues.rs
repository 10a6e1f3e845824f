//! Declarations, pausing, figures.

use sqlx::Arguments;
use sqlx::postgres::PgArguments;
use windlass_core::Error;
use windlass_core::backend::Declared;
use windlass_core::decide::{self, Declaration};
use windlass_core::model::{
    Limits, QueueInfo, QueueName, QueueSpec, QueueStats, State, Timestamp, micros,
};

use super::query::Query;
use super::{Store, first};
use crate::error::{damaged, from_sqlx, unreadable};
use crate::record::{get, json, moment, unsigned};

impl Store {
    /// Stores a declaration, as core says.
    pub(crate) async fn declare(&self, spec: &QueueSpec) -> Result<Declared, Error> {
        let text = json(spec, "a queue's declaration")?;
        loop {
            let rows = self.call(Query::FindSpec, (&spec.name.as_str(),)).await?;
            let stored: Option<String> = rows.first().map(|row| get(row, 0)).transpose()?;
            let known = stored.as_deref().map(read_spec).transpose()?;
            let declared = match decide::declare(known.as_ref(), spec) {
                Declaration::Unchanged => return Ok(Declared::Unchanged),
                Declaration::Conflict => {
                    return Ok(Declared::Conflict(Box::new(known.unwrap_or_else(|| spec.clone()))));
                }
                Declaration::Update => Declared::Updated,
                _ => Declared::Created,
            };
            let arguments = declaration(spec, stored.as_deref(), &text)
                .map_err(|error| damaged("a declaration", error))?;
            let sql = self.queries.get(Query::Declare);
            let rows = self.run(sql, arguments).await.map_err(from_sqlx)?;
            // Otherwise somebody else has declared it meanwhile.
            if get(first(&rows)?, 0)? {
                return Ok(declared);
            }
        }
    }

    /// Pauses a queue or lets it go on.
    pub(crate) async fn set_paused(&self, name: &QueueName, paused: bool) -> Result<(), Error> {
        let rows = self.call(Query::SetPaused, (&name.as_str(), &paused)).await?;
        if get(first(&rows)?, 0)? { Ok(()) } else { Err(Error::unknown_queue(name)) }
    }

    /// Every queue, by name.
    pub(crate) async fn queues(&self) -> Result<Vec<QueueInfo>, Error> {
        let rows = self.call(Query::ListQueues, ()).await?;
        rows.iter()
            .map(|row| Ok(QueueInfo { spec: read_spec(get(row, 0)?)?, paused: get(row, 1)? }))
            .collect()
    }

    /// Figures of a queue.
    pub(crate) async fn stats(&self, name: &QueueName) -> Result<QueueStats, Error> {
        let rows = self.call(Query::Stats, (&self.clock(), &name.as_str())).await?;
        let row = first(&rows)?;
        let Some(now) = moment(row, 0)? else {
            return Err(Error::unknown_queue(name));
        };
        let counts: Vec<i64> = get(row, 3)?;
        let mut jobs = [0; 8];
        for (count, stored) in jobs.iter_mut().zip(counts) {
            *count = unsigned(stored);
        }
        Ok(QueueStats {
            queue: name.clone(),
            jobs,
            oldest_ready: get::<Option<i64>>(row, 4)?.map(Timestamp::from_micros),
            leases: jobs[usize::from(State::Active.code())],
            starts_in_window: unsigned(get(row, 5)?),
            paused: get(row, 1)?,
            now,
        })
    }
}

/// The arguments of `functions/declare.sql`.
fn declaration(
    spec: &QueueSpec,
    stored: Option<&str>,
    text: &str,
) -> Result<PgArguments, sqlx::error::BoxDynError> {
    let bounds = |limits: Option<&Limits>| {
        let rate = limits.and_then(|limits| limits.rate);
        (
            limits.and_then(|limits| limits.concurrency).map(i64::from),
            rate.map(|rate| i64::from(rate.limit)),
            rate.map(|rate| micros(rate.period)),
        )
    };
    let partitions = spec.partitions.as_ref();
    let (concurrency, rate_limit, rate_period) = bounds(Some(&spec.limits));
    let of_partition = bounds(partitions.map(|partitions| &partitions.limits));
    let mut arguments = PgArguments::default();
    arguments.add(spec.name.as_str())?;
    arguments.add(stored)?;
    arguments.add(text)?;
    arguments.add(spec.aging.is_some())?;
    arguments.add(concurrency)?;
    arguments.add(rate_limit)?;
    arguments.add(rate_period)?;
    arguments.add(partitions.is_some())?;
    arguments.add(of_partition.0)?;
    arguments.add(of_partition.1)?;
    arguments.add(of_partition.2)?;
    Ok(arguments)
}

/// Reads a stored declaration.
pub(crate) fn read_spec(stored: &str) -> Result<QueueSpec, Error> {
    serde_json::from_str(stored).map_err(|error| unreadable("a queue's declaration", &error))
}
