//! Rows to the model and back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};
use uuid::Uuid;
use windlass_core::Error;
use windlass_core::model::{
    Course, DedupKey, DedupRecord, Dependencies, FlowId, Job, JobId, JobKey, JobOptions, JobRef,
    JobType, Lease, Limits, NewJob, OrderMode, OrderRule, PartitionKey, Payload, Progress,
    QueueName, QueueSpec, State, Tag, Timestamp, Token, WorkerId,
};

use crate::error::{damaged, from_sqlx, unreadable};
use crate::store::queues::read_spec;

/// Where the columns of a job stand, in `summaries`, `whole_jobs` and `answer`.
mod column {
    pub(super) const QUEUE: usize = 0;
    pub(super) const SEQ: usize = 1;
    pub(super) const ID: usize = 2;
    pub(super) const LANE: usize = 3;
    pub(super) const VERSION: usize = 4;
    pub(super) const TOKEN: usize = 5;
    pub(super) const MOMENT: usize = 6;
    pub(super) const FLAGS: usize = 7;
    pub(super) const SORT: usize = 8;
    pub(super) const AGED_BASE: usize = 9;
    pub(super) const PLACE: usize = 10;
    pub(super) const DUE: usize = 11;
    pub(super) const ENQUEUED_AT: usize = 12;
    pub(super) const STARTED_AT: usize = 13;
    pub(super) const WORKER: usize = 14;
    pub(super) const CANCEL_REQUESTED: usize = 15;
    pub(super) const OPEN: usize = 16;
    pub(super) const BROKEN: usize = 17;
    pub(super) const EXPIRES: usize = 18;
    pub(super) const PARTITION: usize = 19;
    pub(super) const JOB_TYPE: usize = 20;
    pub(super) const OPTIONS: usize = 21;
    pub(super) const DEDUP_KEY: usize = 22;
    pub(super) const DEDUP_HELD: usize = 23;
    pub(super) const DEDUP_LATEST: usize = 24;
    pub(super) const RARE: usize = 25;
    pub(super) const COURSE: usize = 26;
    pub(super) const PROGRESS: usize = 27;
    pub(super) const RESULT: usize = 28;
    pub(super) const PAYLOAD: usize = 29;
    pub(super) const FACTS: usize = 30;
    pub(super) const NOTE: usize = 31;
}

/// Bits of a job's flags: what else may know it.
pub(crate) mod flag {
    pub(crate) const PARTITION: i32 = 1;
    pub(crate) const DEDUP: i32 = 2;
    pub(crate) const EXPIRES: i32 = 4;
    pub(crate) const AGED: i32 = 8;
    pub(crate) const DEPENDENTS: i32 = 16;
    pub(crate) const DEPENDENCIES: i32 = 64;
    pub(crate) const LABELS: i32 = 128;
}

/// What few jobs have and no query asks for. Stored as JSON; an absent field is
/// an absent thing.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Rare {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<JobKey>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<FlowId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<JobRef>,
}

/// What a new job has of what few have, as it is stored.
pub(crate) fn rare_of(job: &NewJob) -> Result<Option<String>, Error> {
    if job.key.is_none() && job.tags.is_empty() && job.flow.is_none() && job.parent.is_none() {
        return Ok(None);
    }
    let rare = Rare {
        key: job.key.clone(),
        tags: job.tags.clone(),
        flow: job.flow,
        parent: job.parent.as_ref().map(|parent| parent.job.clone()),
    };
    json(&rare, "a job's keys").map(Some)
}

/// Beyond so many names of job types, those kept are forgotten: somebody puts
/// numbers into them.
const KEPT_JOB_TYPES: usize = 1024;

/// What many rows have in common, decoded once and shared.
#[derive(Debug, Default)]
pub(crate) struct Names {
    queues: Mutex<HashMap<i32, QueueName>>,
    job_types: Mutex<HashMap<Box<str>, JobType>>,
    specs: Mutex<HashMap<QueueName, (String, Arc<QueueSpec>)>>,
}

impl Names {
    /// Learns the numbers of queues.
    pub(crate) fn learn(&self, rows: &[PgRow]) -> Result<(), Error> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let name: String = get(row, 1)?;
            let name = QueueName::new(name).map_err(|error| damaged("a queue name", error))?;
            queues.insert(get(row, 0)?, name);
        }
        Ok(())
    }

    /// Whether the queues of all these rows are known.
    pub(crate) fn know(&self, rows: &[PgRow]) -> bool {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = None;
        rows.iter().all(|row| {
            let queue: Option<i32> = row.try_get(column::QUEUE).ok().flatten();
            let known =
                queue.is_none_or(|queue| last == Some(queue) || queues.contains_key(&queue));
            last = queue;
            known
        })
    }

    /// A reader of rows.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { names: self, last_queue: None, last_job_type: None, last_options: None }
    }

    /// The declaration of a queue, as it is stored: mostly the last one again.
    pub(crate) fn spec(&self, queue: &QueueName, stored: &str) -> Result<Arc<QueueSpec>, Error> {
        let mut specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, spec)) = specs.get(queue).filter(|(text, _)| text == stored) {
            return Ok(Arc::clone(spec));
        }
        let spec = Arc::new(read_spec(stored)?);
        specs.insert(queue.clone(), (stored.to_owned(), Arc::clone(&spec)));
        Ok(spec)
    }

    /// Whether a lease that ends may let another job of this queue start, as far
    /// as is known.
    pub(crate) fn is_bounded(&self, queue: &QueueName) -> bool {
        let specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        specs
            .get(queue)
            .is_none_or(|(_, spec)| spec.limits != Limits::default() || spec.partitions.is_some())
    }

    fn queue(&self, number: i32) -> Result<QueueName, Error> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.get(&number).cloned().ok_or_else(|| damaged("a job", "its queue is not there"))
    }

    fn job_type(&self, text: &str) -> Result<JobType, Error> {
        let mut types = self.job_types.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = types.get(text) {
            return Ok(known.clone());
        }
        let job_type = JobType::new(text).map_err(|error| damaged("a job type", error))?;
        if types.len() >= KEPT_JOB_TYPES {
            types.clear();
        }
        types.insert(text.into(), job_type.clone());
        Ok(job_type)
    }
}

/// Reads rows, of which the next is mostly like the last.
pub(crate) struct Reader<'n> {
    names: &'n Names,
    last_queue: Option<(i32, QueueName)>,
    last_job_type: Option<JobType>,
    last_options: Option<(Vec<u8>, Arc<JobOptions>)>,
}

impl Reader<'_> {
    fn queue(&mut self, number: i32) -> Result<QueueName, Error> {
        if let Some((_, name)) = self.last_queue.as_ref().filter(|(last, _)| *last == number) {
            return Ok(name.clone());
        }
        let name = self.names.queue(number)?;
        self.last_queue = Some((number, name.clone()));
        Ok(name)
    }

    fn job_type(&mut self, text: &str) -> Result<JobType, Error> {
        if let Some(last) = self.last_job_type.as_ref().filter(|last| last.as_str() == text) {
            return Ok(last.clone());
        }
        let job_type = self.names.job_type(text)?;
        self.last_job_type = Some(job_type.clone());
        Ok(job_type)
    }

    fn options(&mut self, stored: Option<&[u8]>) -> Result<Arc<JobOptions>, Error> {
        let Some(bytes) = stored else {
            return Ok(JobOptions::shared_default());
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

    /// A job as it stands at `now`, without payload and result.
    pub(crate) fn job(&mut self, row: &PgRow, now: Timestamp) -> Result<Job, Error> {
        let lane: i16 = get(row, column::LANE)?;
        let due = moment(row, column::DUE)?.unwrap_or(Timestamp::EPOCH);
        let at = moment(row, column::MOMENT)?.unwrap_or(Timestamp::EPOCH);
        let state = state(lane, due, now)?;
        let lease = match state {
            State::Active => Some(Lease {
                token: Token(unsigned(get(row, column::TOKEN)?)),
                until: at,
                worker: WorkerId::from_bytes(get::<Uuid>(row, column::WORKER)?.into_bytes()),
            }),
            _ => None,
        };
        let rare = match get::<Option<&str>>(row, column::RARE)? {
            None => Rare::default(),
            Some(stored) => {
                serde_json::from_str(stored).map_err(|error| unreadable("a job's keys", &error))?
            }
        };
        let order = match get::<Option<i64>>(row, column::AGED_BASE)? {
            None => OrderRule { base: get(row, column::SORT)?, mode: OrderMode::Ranked },
            Some(base) => OrderRule { base, mode: OrderMode::Aged },
        };
        let course = match get::<Option<&[u8]>>(row, column::COURSE)? {
            None => Course::default(),
            stored => {
                Course::decode(stored).map_err(|error| unreadable("a job's course", &error))?
            }
        };
        let progress = get::<Option<&[u8]>>(row, column::PROGRESS)?
            .map(Progress::decode)
            .transpose()
            .map_err(|error| unreadable("a job's progress", &error))?;
        let partition = get::<Option<&str>>(row, column::PARTITION)?
            .map(PartitionKey::new)
            .transpose()
            .map_err(|error| damaged("a key", error))?;
        let dedup_key = get::<Option<&str>>(row, column::DEDUP_KEY)?
            .map(DedupKey::new)
            .transpose()
            .map_err(|error| damaged("a key", error))?;
        let (held_until, latest) =
            (moment(row, column::DEDUP_HELD)?, moment(row, column::DEDUP_LATEST)?);
        Ok(Job {
            id: JobId::from_bytes(get::<Uuid>(row, column::ID)?.into_bytes()),
            queue: self.queue(get(row, column::QUEUE)?)?,
            job_type: self.job_type(get(row, column::JOB_TYPE)?)?,
            payload: None,
            options: self.options(get(row, column::OPTIONS)?)?,
            course,
            state,
            version: unsigned(get(row, column::VERSION)?),
            seq: unsigned(get(row, column::SEQ)?),
            order,
            due,
            place: moment(row, column::PLACE)?.unwrap_or(due),
            enqueued_at: moment(row, column::ENQUEUED_AT)?.unwrap_or(due),
            started_at: moment(row, column::STARTED_AT)?,
            finished_at: state.is_terminal().then_some(at),
            expires: moment(row, column::EXPIRES)?,
            lease,
            cancel_requested: get(row, column::CANCEL_REQUESTED)?,
            result: None,
            progress,
            key: rare.key,
            dedup: dedup_key.map(|key| DedupRecord { key, held_until, latest }),
            partition,
            tags: rare.tags,
            flow: rare.flow,
            parent: rare.parent,
            dependencies: Dependencies {
                open: count(row, column::OPEN)?,
                broken: count(row, column::BROKEN)?,
            },
            has_dependents: get::<i32>(row, column::FLAGS)? & flag::DEPENDENTS != 0,
        })
    }

    /// A job with its result and payload, which stand behind its columns.
    pub(crate) fn whole_job(&mut self, row: &PgRow, now: Timestamp) -> Result<Job, Error> {
        let mut job = self.job(row, now)?;
        job.result = get::<Option<&[u8]>>(row, column::RESULT)?.map(Payload::copy_of);
        job.payload = get::<Option<&[u8]>>(row, column::PAYLOAD)?.map(Payload::copy_of);
        Ok(job)
    }
}

/// What a row of an answer tells besides a job.
pub(crate) fn facts(row: &PgRow) -> Result<Option<Vec<Option<i64>>>, Error> {
    get(row, column::FACTS)
}

/// The text of a row of an answer.
pub(crate) fn note(row: &PgRow) -> Result<Option<String>, Error> {
    get(row, column::NOTE)
}

/// The id in a row of an answer.
pub(crate) fn id(row: &PgRow) -> Result<JobId, Error> {
    Ok(JobId::from_bytes(get::<Uuid>(row, column::ID)?.into_bytes()))
}

/// The moment in a row of an answer.
pub(crate) fn answered_moment(row: &PgRow) -> Result<Timestamp, Error> {
    Ok(moment(row, column::MOMENT)?.unwrap_or(Timestamp::EPOCH))
}

/// The deduplication key in a row of an answer.
pub(crate) fn dedup_key(row: &PgRow) -> Result<DedupKey, Error> {
    DedupKey::new(get::<&str>(row, column::DEDUP_KEY)?).map_err(|error| damaged("a key", error))
}

/// The enqueue sequence and the end of the lease or the expiry of a row.
pub(crate) fn overdue_place(
    row: &PgRow,
) -> Result<(u64, Option<Timestamp>, Option<Timestamp>), Error> {
    Ok((
        unsigned(get(row, column::SEQ)?),
        moment(row, column::MOMENT)?,
        moment(row, column::EXPIRES)?,
    ))
}

/// The state of a job in this lane at `now`: its moment comes by itself.
fn state(lane: i16, due: Timestamp, now: Timestamp) -> Result<State, Error> {
    let state = u8::try_from(lane).ok().and_then(State::from_code);
    match state {
        Some(State::Scheduled | State::Waiting) if due > now => Ok(State::Scheduled),
        Some(State::Scheduled | State::Waiting) => Ok(State::Waiting),
        Some(state) => Ok(state),
        None => Err(damaged("the state of a job", format!("lane {lane}"))),
    }
}

/// A column.
pub(crate) fn get<'r, T>(row: &'r PgRow, column: usize) -> Result<T, Error>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(column).map_err(from_sqlx)
}

pub(crate) fn moment(row: &PgRow, column: usize) -> Result<Option<Timestamp>, Error> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_micros))
}

fn count(row: &PgRow, column: usize) -> Result<u32, Error> {
    Ok(u32::try_from(get::<i32>(row, column)?).unwrap_or(0))
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

/// An identity as the server has it.
pub(crate) fn uuid(id: &[u8; 16]) -> Uuid {
    Uuid::from_bytes(*id)
}

/// A value as JSON.
pub(crate) fn json(value: &impl Serialize, what: &str) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| unreadable(what, &error))
}
