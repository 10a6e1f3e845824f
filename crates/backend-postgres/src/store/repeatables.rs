//! Records of repeatables.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, Connection};
use windlass_core::backend::{
    EnqueueAnswer, PutRepeatable, Refusal, RepeatablePut, Repeatables, RepeatablesQuery,
};
use windlass_core::model::{QueueName, RepeatableKey, RepeatableRecord, Timestamp};
use windlass_core::{Error, ErrorKind};

use super::query::Query;
use super::{ATTEMPTS, BEGIN, Store};
use crate::error::{damaged, from_sqlx, is_collision, is_damaged, unreadable};
use crate::record::{get, json, signed};

impl Store {
    /// Looks at repeatables.
    pub(crate) async fn repeatables(&self, query: &RepeatablesQuery) -> Result<Repeatables, Error> {
        let now = self.now().await?;
        let mut next_due = None;
        let mut records = Vec::new();
        match query {
            RepeatablesQuery::One(queue, key) => {
                records.extend(self.find_repeatable(queue, key).await?);
            }
            RepeatablesQuery::OfQueue(queue) => {
                let rows = self.call(Query::ListRepeatables, (&queue.as_str(),)).await?;
                for row in &rows {
                    records.push(read_record(row, 0)?);
                }
            }
            RepeatablesQuery::Due(limit) => {
                let rows =
                    self.call(Query::ListDueRepeatables, (&(i64::from(*limit) + 1),)).await?;
                let mut passed_over: Option<(usize, Error)> = None;
                for row in &rows {
                    let due = Timestamp::from_micros(get(row, 0)?);
                    if due > now || records.len() == *limit as usize {
                        next_due = Some(due);
                        break;
                    }
                    match read_record(row, 1) {
                        Ok(record) => records.push(record),
                        // One that nobody can read must not keep the others from
                        // firing.
                        Err(error) if is_damaged(&error) => {
                            let (count, first) = passed_over.take().unwrap_or((0, error));
                            passed_over = Some((count + 1, first));
                        }
                        Err(error) => return Err(error),
                    }
                }
                if let Some((count, error)) = passed_over {
                    let error = format!("{error:#}");
                    tracing::error!(count, error, "repeatables that cannot be read");
                }
            }
        }
        Ok(Repeatables { records, next_due, now })
    }

    async fn find_repeatable(
        &self,
        queue: &QueueName,
        key: &RepeatableKey,
    ) -> Result<Option<RepeatableRecord>, Error> {
        let values = (&queue.as_str(), &key.as_str());
        let rows = self.call(Query::FindRepeatable, values).await?;
        rows.first().map(|row| read_record(row, 0)).transpose()
    }

    /// Stores a record under its guard, and the jobs that it fired, in one
    /// transaction.
    pub(crate) async fn put_repeatable(&self, put: PutRepeatable) -> Result<RepeatablePut, Error> {
        let (queue, key) = (put.record.spec.queue.clone(), put.record.spec.key.clone());
        let (_, Some(_)) = self.find_queue(&queue).await? else {
            return Err(Error::unknown_queue(&queue));
        };
        // A caller that goes away leaves no transaction open.
        let store = self.clone();
        let written = self.abandoned.run(async move { store.write_repeatable(put).await }).await;
        match written? {
            true => Ok(RepeatablePut::Stored),
            false => {
                Ok(RepeatablePut::Stale(self.find_repeatable(&queue, &key).await?.map(Box::new)))
            }
        }
    }

    async fn write_repeatable(&self, put: PutRepeatable) -> Result<bool, Error> {
        let mut attempt = 0;
        loop {
            match self.try_write_repeatable(&put).await {
                Err(Failed::ByServer(error)) if attempt < ATTEMPTS && is_collision(&error) => {
                    attempt += 1;
                }
                Err(Failed::ByServer(error)) => return Err(from_sqlx(error)),
                Err(Failed::Otherwise(error)) => return Err(error),
                Ok(written) => return Ok(written),
            }
        }
    }

    async fn try_write_repeatable(&self, put: &PutRepeatable) -> Result<bool, Failed> {
        let (query, arguments) = self.record_call(put)?;
        let mut connection = self.connections.take().await?;
        let mut transaction = connection.begin_with(BEGIN).await?;
        let stored = sqlx::query_with(self.queries.get(query), arguments)
            .fetch_optional(&mut *transaction)
            .await?;
        if stored.is_none() {
            transaction.rollback().await?;
            return Ok(false);
        }
        if !put.jobs.is_empty() {
            let answer = self.try_enqueue_in(&mut transaction, &put.jobs).await?;
            // The whole transaction is tried again, and not what came of half of it.
            if answer.as_ref().is_err_and(is_collision) {
                answer?;
            } else if let EnqueueAnswer::Refused { why, .. } =
                self.enqueued(put.jobs.clone(), answer).await?
            {
                transaction.rollback().await?;
                return Err(Failed::Otherwise(match why {
                    Refusal::UnknownQueue(queue) => Error::unknown_queue(&queue),
                    why => Error::new(ErrorKind::Invalid, why.to_string()),
                }));
            }
        }
        transaction.commit().await?;
        connection.keep();
        Ok(true)
    }

    fn record_call(&self, put: &PutRepeatable) -> Result<(Query, PgArguments), Error> {
        let spec = &put.record.spec;
        let record = json(&put.record, "a repeatable")?;
        let mut arguments = PgArguments::default();
        let add = || {
            arguments.add(spec.queue.as_str())?;
            arguments.add(spec.key.as_str())?;
            arguments.add(signed(put.record.version))?;
            arguments.add(put.record.due().map(Timestamp::as_micros))?;
            arguments.add(record)?;
            match put.guard {
                None => Ok(Query::InsertRepeatable),
                Some(version) => arguments.add(signed(version)).map(|()| Query::UpdateRepeatable),
            }
        };
        let query = add().map_err(|error| damaged("a repeatable", error))?;
        Ok((query, arguments))
    }

    /// Removes a repeatable and answers whether there was one.
    pub(crate) async fn remove_repeatable(
        &self,
        queue: &QueueName,
        key: &RepeatableKey,
    ) -> Result<bool, Error> {
        let values = (&queue.as_str(), &key.as_str());
        Ok(!self.call(Query::DeleteRepeatable, values).await?.is_empty())
    }
}

/// Why a record was not written.
enum Failed {
    ByServer(sqlx::Error),
    Otherwise(Error),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::ByServer(error)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Otherwise(error)
    }
}

fn read_record(row: &PgRow, column: usize) -> Result<RepeatableRecord, Error> {
    serde_json::from_str(get(row, column)?).map_err(|error| unreadable("a repeatable", &error))
}
