//! Which deduplication keys are taken.

use rusqlite::params;
use windlass_core::model::{JobId, Timestamp};

use super::Store;
use super::query::Query;
use crate::error::Outcome;

/// How many keys whose hold has passed one cleaning forgets.
const FORGET: u32 = 1000;

/// Who has a deduplication key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A job that has not ended.
    Live(JobId),
    /// Nobody, but it is held.
    Held {
        /// The job that had it.
        by: JobId,
        /// Until when.
        until: Timestamp,
    },
}

impl Store<'_> {
    /// Who has this key now. `None`: it is free.
    pub(crate) fn dedup_taken(&mut self, queue: i64, key: &str) -> Outcome<Option<Key>> {
        let mut rows = self.statements.get(Query::FindDedup)?.query(params![queue, key])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let by = JobId::from_bytes(row.get(0)?);
        if row.get(1)? {
            return Ok(Some(Key::Live(by)));
        }
        let until = row.get::<_, Option<i64>>(2)?.map(Timestamp::from_micros);
        Ok(until.filter(|until| *until > self.now).map(|until| Key::Held { by, until }))
    }

    /// Gives a free key to a job.
    pub(crate) fn take_dedup(
        &mut self,
        queue: i64,
        key: &str,
        job: JobId,
        held_until: Option<i64>,
    ) -> Outcome<()> {
        self.statements.get(Query::TakeDedup)?.execute(params![
            queue,
            key,
            job.as_bytes(),
            held_until
        ])?;
        Ok(())
    }

    /// Takes the key from a job that has ended or is removed, unless it is
    /// held.
    pub(crate) fn give_up_dedup(
        &mut self,
        queue: i64,
        key: &str,
        job: JobId,
        held_until: Option<Timestamp>,
    ) -> Outcome<()> {
        let query = match held_until {
            Some(until) if until > self.now => Query::HoldDedup,
            _ => Query::FreeDedup,
        };
        self.statements.get(query)?.execute(params![queue, key, job.as_bytes()])?;
        Ok(())
    }

    /// Forgets keys whose hold has passed and that nobody asked for again.
    pub(crate) fn forget_dedup(&mut self, queue: i64) -> Outcome<()> {
        let now = self.now.as_micros();
        self.statements.get(Query::ForgetDedup)?.execute(params![queue, now, FORGET])?;
        Ok(())
    }
}
