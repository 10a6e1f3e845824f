//! Records of repeatables.

use rusqlite::params;
use windlass_core::backend::{
    PutRepeatable, Refusal, RepeatablePut, Repeatables, RepeatablesQuery,
};
use windlass_core::model::{QueueName, RepeatableKey, RepeatableRecord, Timestamp};
use windlass_core::{Error, ErrorKind};

use super::Store;
use super::enqueue::Batch;
use super::query::Query;
use crate::error::{Fail, Outcome, is_damaged, unreadable};
use crate::record::{bytes, json, signed};

impl Store<'_> {
    /// Looks at repeatables.
    pub(crate) fn repeatables(&mut self, query: &RepeatablesQuery) -> Outcome<Repeatables> {
        let mut records = Vec::new();
        let mut next_due = None;
        let mut passed_over: Option<(usize, Error)> = None;
        match query {
            RepeatablesQuery::One(queue, key) => {
                if let Some(queue) = self.find_queue(queue)? {
                    records.extend(self.find_repeatable(queue.id, key)?);
                }
            }
            RepeatablesQuery::OfQueue(queue) => {
                if let Some(queue) = self.find_queue(queue)? {
                    let mut rows =
                        self.statements.get(Query::ListRepeatables)?.query([queue.id])?;
                    while let Some(row) = rows.next()? {
                        records.push(read_record(bytes(row, 0)?)?);
                    }
                }
            }
            RepeatablesQuery::Due(limit) => {
                let mut rows = self
                    .statements
                    .get(Query::ListDueRepeatables)?
                    .query([i64::from(*limit) + 1])?;
                while let Some(row) = rows.next()? {
                    let due = Timestamp::from_micros(row.get(0)?);
                    if due > self.now || records.len() == *limit as usize {
                        next_due = Some(due);
                        break;
                    }
                    match read_record(bytes(row, 1)?) {
                        Ok(record) => records.push(record),
                        // One that nobody can read must not keep the others
                        // from firing.
                        Err(Fail::Broken(error)) if is_damaged(&error) => {
                            let (count, first) = passed_over.take().unwrap_or((0, error));
                            passed_over = Some((count + 1, first));
                        }
                        Err(fail) => return Err(fail),
                    }
                }
            }
        }
        if let Some((count, error)) = passed_over {
            self.tell_unreadable("repeatables", count, &error);
        }
        Ok(Repeatables { records, next_due, now: self.now })
    }

    fn find_repeatable(
        &mut self,
        queue: i64,
        key: &RepeatableKey,
    ) -> Outcome<Option<RepeatableRecord>> {
        let mut rows =
            self.statements.get(Query::FindRepeatable)?.query(params![queue, key.as_str()])?;
        match rows.next()? {
            None => Ok(None),
            Some(row) => Ok(Some(read_record(bytes(row, 1)?)?)),
        }
    }

    /// Stores a record under its guard, and the jobs that it fired.
    pub(crate) fn put_repeatable(&mut self, put: &PutRepeatable) -> Outcome<RepeatablePut> {
        let spec = &put.record.spec;
        let queue = self.queue(&spec.queue)?;
        let stored = self.find_repeatable(queue.id, &spec.key)?;
        if stored.as_ref().map(|record| record.version) != put.guard {
            return Ok(RepeatablePut::Stale(stored.map(Box::new)));
        }
        // The jobs go first: they may be refused, and then nothing changes.
        if let Batch::Refused { why, .. } = self.enqueue(&put.jobs)? {
            return Err(Fail::Refused(match why {
                Refusal::UnknownQueue(queue) => Error::unknown_queue(&queue),
                why => Error::new(ErrorKind::Invalid, why.to_string()),
            }));
        }
        let record = json(&put.record, "a repeatable")?;
        self.statements.get(Query::PutRepeatable)?.execute(params![
            queue.id,
            put.record.spec.key.as_str(),
            signed(put.record.version),
            put.record.due().map(|due| due.as_micros()),
            record,
        ])?;
        Ok(RepeatablePut::Stored)
    }

    /// Removes a repeatable and answers whether there was one.
    pub(crate) fn remove_repeatable(
        &mut self,
        queue: &QueueName,
        key: &RepeatableKey,
    ) -> Outcome<bool> {
        let Some(queue) = self.find_queue(queue)? else {
            return Ok(false);
        };
        let removed = self
            .statements
            .get(Query::DeleteRepeatable)?
            .execute(params![queue.id, key.as_str()])?;
        Ok(removed > 0)
    }
}

fn read_record(stored: Option<&[u8]>) -> Outcome<RepeatableRecord> {
    serde_json::from_slice(stored.unwrap_or_default())
        .map_err(|error| unreadable("a repeatable", &error))
}
