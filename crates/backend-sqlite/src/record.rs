//! Rows to the model and back.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use windlass_core::model::{
    Course, Dependencies, Job, JobId, JobOptions, JobType, Lease, OrderMode, OrderRule,
    PartitionKey, Payload, Progress, QueueName, State, Timestamp, Token, WorkerId,
};

use crate::error::{Fail, Outcome, damaged, unreadable};
use crate::store::lane::{self, hook};
use crate::store::query::Query;
use crate::store::rare::Rare;

/// Where some of the columns of `queries/include/job.sql` stand.
pub(crate) const LANE: usize = 3;
pub(crate) const TOKEN: usize = 5;
pub(crate) const KEY1: usize = 6;
pub(crate) const HOOKS: usize = 7;
pub(crate) const SORT: usize = 8;
pub(crate) const PLACE: usize = 10;
pub(crate) const PARTITION: usize = 18;
pub(crate) const EXPIRES: usize = 17;

/// What stands for the start of a job that has never started.
const NEVER: Timestamp = Timestamp::from_micros(i64::MIN);

/// Where the result and the payload stand, in queries that read them: behind
/// the columns of a job.
const RESULT: usize = 24;
const PAYLOAD: usize = 25;

/// Reads rows. What many jobs have in common is decoded once and shared.
pub(crate) struct Codec<'c> {
    conn: &'c Connection,
    names: HashMap<i64, QueueName>,
    /// The last one that was read: mostly the next one too.
    last_name: Option<(i64, QueueName)>,
    job_types: HashMap<Box<str>, JobType>,
    /// Likewise.
    last_job_type: Option<JobType>,
    defaults: Arc<JobOptions>,
    last_options: Option<(Vec<u8>, Arc<JobOptions>)>,
}

/// Options in their stored form. Jobs of one kind share them, so that the last
/// ones are mostly the next ones.
#[derive(Debug, Default)]
pub(crate) struct EncodedOptions {
    last: Option<(Arc<JobOptions>, Option<Vec<u8>>)>,
}

impl EncodedOptions {
    /// The stored form of these options.
    pub(crate) fn encode(&mut self, options: &Arc<JobOptions>) -> Option<&[u8]> {
        let known = self.last.as_ref().is_some_and(|(last, _)| Arc::ptr_eq(last, options));
        if !known {
            self.last = Some((Arc::clone(options), options.encode()));
        }
        self.last.as_ref().and_then(|(_, encoded)| encoded.as_deref())
    }
}

/// Beyond so many names of job types, those kept are forgotten: somebody puts
/// numbers into them.
const KEPT_JOB_TYPES: usize = 1024;

impl<'c> Codec<'c> {
    pub(crate) fn new(conn: &'c Connection) -> Self {
        Self {
            conn,
            names: HashMap::new(),
            last_name: None,
            job_types: HashMap::new(),
            last_job_type: None,
            defaults: JobOptions::shared_default(),
            last_options: None,
        }
    }

    /// Forgets queues that a transaction may have created before it failed.
    pub(crate) fn forget_queues(&mut self) {
        self.names.clear();
        self.last_name = None;
    }

    /// The name of the queue with this number.
    pub(crate) fn queue_name(&mut self, number: i64) -> Outcome<QueueName> {
        if let Some((_, name)) = self.last_name.as_ref().filter(|(last, _)| *last == number) {
            return Ok(name.clone());
        }
        let name = self.known_name(number)?;
        self.last_name = Some((number, name.clone()));
        Ok(name)
    }

    fn known_name(&mut self, number: i64) -> Outcome<QueueName> {
        if let Some(name) = self.names.get(&number) {
            return Ok(name.clone());
        }
        let name: String = self
            .conn
            .prepare_cached(&Query::FindQueueName.sql())?
            .query_row([number], |row| row.get(0))?;
        let name = QueueName::new(name).map_err(|error| damaged("a queue name", error))?;
        self.names.insert(number, name.clone());
        Ok(name)
    }

    fn job_type(&mut self, text: &str) -> Outcome<JobType> {
        if let Some(last) = self.last_job_type.as_ref().filter(|last| last.as_str() == text) {
            return Ok(last.clone());
        }
        let job_type = self.known_job_type(text)?;
        self.last_job_type = Some(job_type.clone());
        Ok(job_type)
    }

    fn known_job_type(&mut self, text: &str) -> Outcome<JobType> {
        if let Some(known) = self.job_types.get(text) {
            return Ok(known.clone());
        }
        let job_type = JobType::new(text).map_err(|error| damaged("a job type", error))?;
        if self.job_types.len() >= KEPT_JOB_TYPES {
            self.job_types.clear();
        }
        self.job_types.insert(text.into(), job_type.clone());
        Ok(job_type)
    }

    fn options(&mut self, stored: Option<&[u8]>) -> Outcome<Arc<JobOptions>> {
        let Some(bytes) = stored else {
            return Ok(Arc::clone(&self.defaults));
        };
        if let Some((known, options)) = &self.last_options
            && known == bytes
        {
            return Ok(Arc::clone(options));
        }
        let options =
            JobOptions::decode(stored).map_err(|error| unreadable("job options", &error))?;
        let options = Arc::new(options);
        self.last_options = Some((bytes.to_vec(), Arc::clone(&options)));
        Ok(options)
    }

    /// A job as it stands at `now`, without payload and result. The columns
    /// are those of `queries/include/job.sql`.
    pub(crate) fn job(&mut self, row: &Row<'_>, now: Timestamp) -> Outcome<Job> {
        let lane: i64 = row.get(LANE)?;
        let key1 = moment(row, KEY1)?.unwrap_or(Timestamp::EPOCH);
        let hooks: i64 = row.get(HOOKS)?;
        let due = Timestamp::from_micros(row.get(9)?);
        let state = lane::state(lane, due, now)
            .ok_or_else(|| damaged("the state of a job", format!("lane {lane}")))?;
        let lease = match state {
            State::Active => Some(Lease {
                token: Token(unsigned(row.get(5)?)),
                until: key1,
                worker: WorkerId::from_bytes(row.get(13)?),
            }),
            _ => None,
        };
        let rare = match bytes(row, 21)? {
            None => Rare::default(),
            Some(stored) => serde_json::from_slice(stored)
                .map_err(|error| unreadable("a job's keys", &error))?,
        };
        let order = match rare.aged_base {
            None => OrderRule { base: row.get(8)?, mode: OrderMode::Ranked },
            Some(base) => OrderRule { base, mode: OrderMode::Aged },
        };
        let course = match bytes(row, 22)? {
            None => Course::default(),
            stored => {
                Course::decode(stored).map_err(|error| unreadable("a job's course", &error))?
            }
        };
        let progress = match bytes(row, 23)? {
            None => None,
            Some(stored) => Some(
                Progress::decode(stored).map_err(|error| unreadable("a job's progress", &error))?,
            ),
        };
        Ok(Job {
            id: JobId::from_bytes(row.get(1)?),
            queue: self.queue_name(row.get(2)?)?,
            job_type: self.job_type(text(row, 19)?)?,
            payload: None,
            options: self.options(bytes(row, 20)?)?,
            course,
            state,
            version: unsigned(row.get(4)?),
            seq: unsigned(row.get(0)?),
            order,
            due,
            place: Timestamp::from_micros(row.get(10)?),
            enqueued_at: Timestamp::from_micros(row.get(11)?),
            started_at: moment(row, 12)?.filter(|moment| *moment != NEVER),
            finished_at: state.is_terminal().then_some(key1),
            expires: moment(row, EXPIRES)?,
            lease,
            cancel_requested: row.get(14)?,
            result: None,
            progress,
            dedup: rare.dedup_record(),
            key: rare.key,
            partition: key(row, 18, PartitionKey::new)?,
            tags: rare.tags,
            flow: rare.flow,
            parent: rare.parent,
            dependencies: Dependencies { open: row.get(15)?, broken: row.get(16)? },
            has_dependents: hooks & hook::DEPENDENTS != 0,
        })
    }

    /// A job with its result and payload, which stand behind its columns.
    pub(crate) fn whole_job(&mut self, row: &Row<'_>, now: Timestamp) -> Outcome<Job> {
        let mut job = self.job(row, now)?;
        job.result = bytes(row, RESULT)?.map(|result| Payload::from(result.to_vec()));
        job.payload = bytes(row, PAYLOAD)?.map(|payload| Payload::from(payload.to_vec()));
        Ok(job)
    }
}

/// Versions and sequence numbers begin at 0 and grow by one, and tokens with
/// them: they do not leave the range that both kinds of integer share.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// See [`unsigned`].
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn moment(row: &Row<'_>, column: usize) -> Outcome<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_micros))
}

pub(crate) fn text<'r>(row: &'r Row<'_>, column: usize) -> Outcome<&'r str> {
    row.get_ref(column)?.as_str().map_err(|error| damaged("a column that is not text", error))
}

/// The bytes of a column, text or not; `None` for NULL.
pub(crate) fn bytes<'r>(row: &'r Row<'_>, column: usize) -> Outcome<Option<&'r [u8]>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        value => {
            value.as_bytes().map(Some).map_err(|error| damaged("a column that is a number", error))
        }
    }
}

fn key<T, E>(
    row: &Row<'_>,
    column: usize,
    make: impl FnOnce(Arc<str>) -> Result<T, E>,
) -> Outcome<Option<T>>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => make(Arc::from(text(row, column)?)).map(Some).map_err(|error| damaged("a key", error)),
    }
}

/// A value as JSON, for a column or for a list that a query takes apart with `json_each`.
pub(crate) fn json(value: &impl serde::Serialize, what: &str) -> Outcome<String> {
    serde_json::to_string(value).map_err(|error| match unreadable(what, &error) {
        Fail::Broken(error) | Fail::Refused(error) => Fail::Refused(error),
    })
}
