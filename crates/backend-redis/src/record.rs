//! Stored jobs to the model and back. `src/scripts/shared/record.lua` says how a job is
//! stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use windlass_core::Error;
use windlass_core::decide::shards;
use windlass_core::model::{
    Course, DedupKey, DedupRecord, Dependencies, FlowId, Job, JobId, JobKey, JobOptions, JobRef,
    JobType, Lease, NewJob, OrderMode, OrderRule, PartitionKey, Payload, Progress, QueueName,
    State, Tag, Timestamp, Token, When, WorkerId,
};

use crate::error::{damaged, unreadable};
use crate::store::encode::{
    moment, optional_length, put_bytes, put_text, signed, to_moment, to_moment_or_none, to_number,
    to_signed, when,
};

/// Payloads up to so many bytes stand in the record itself; longer ones apart, so that
/// they are not written again with each change of the job.
const MAX_INLINE: usize = 1024;

/// The flags of a record's second byte.
mod flag {
    pub(super) const ASKED: u8 = 1;
    pub(super) const NEEDED: u8 = 2;
    pub(super) const AGED: u8 = 4;
    pub(super) const EXPIRES: u8 = 8;
    pub(super) const PARTITION: u8 = 16;
    pub(super) const DEDUP: u8 = 32;
    pub(super) const DEPENDS: u8 = 64;
    pub(super) const LABELS: u8 = 128;
}

/// The flags of its third.
mod apart {
    pub(super) const PAYLOAD: u8 = 1;
    pub(super) const DROPPED: u8 = 32;
    pub(super) const RUN: u8 = 64;
}

/// What few jobs have and no script asks for. Stored as JSON; an absent field is an
/// absent thing.
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

/// A new job as `src/scripts/shared/store_jobs.lua` takes it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) head: [u8; 36],
    pub(crate) rest: Vec<u8>,
    pub(crate) payload: Option<Payload>,
    pub(crate) special: Option<Vec<u8>>,
}

/// What a new job depends on, and how that stands as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// The script has to see: it is in the same queue.
    Here,
    /// It is in another queue, and stands so: o, c, b, or - if there is none.
    Elsewhere(u8),
}

/// What is known of the other jobs that a new one names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// Of each dependency, in order; empty if all are in the same queue.
    pub(crate) needs: Vec<Stands>,
    /// Who depends on it, in other queues and of the same batch.
    pub(crate) promised: Vec<JobRef>,
}

/// A label by which jobs are found.
pub(crate) fn tag_label(tag: &Tag) -> Vec<u8> {
    labelled(b't', tag.as_str().as_bytes())
}

pub(crate) fn flow_label(flow: FlowId) -> Vec<u8> {
    labelled(b'f', flow.as_bytes())
}

pub(crate) fn dedup_label(key: &DedupKey) -> Vec<u8> {
    labelled(b'd', key.as_str().as_bytes())
}

pub(crate) fn parent_label(parent: &JobRef) -> Vec<u8> {
    let mut label = labelled(b'p', parent.id.as_bytes());
    // Whoever looks for it knows the queue, and not the shard.
    label.extend_from_slice(shards::queue_of(&parent.queue).as_str().as_bytes());
    label
}

fn labelled(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut label = Vec::with_capacity(bytes.len() + 1);
    label.push(kind);
    label.extend_from_slice(bytes);
    label
}

/// A job that is due at once and known to nothing else, as
/// `src/scripts/enqueue_plain.lua` takes it; nothing for any other.
pub(crate) fn plain_entry(job: &NewJob) -> Result<Option<Vec<u8>>, Error> {
    let is_plain = job.due == When::Now
        && job.order == OrderRule::default()
        && job.payload.len() <= MAX_INLINE
        && job.expires.is_none()
        && job.partition.is_none()
        && job.dedup.is_none()
        && job.depends_on.is_empty()
        && !has_labels(job);
    if !is_plain {
        return Ok(None);
    }
    let mut rest = rest_of(job, true)?;
    rest.extend_from_slice(job.id.as_bytes());
    Ok(Some(rest))
}

fn has_labels(job: &NewJob) -> bool {
    !job.tags.is_empty() || job.flow.is_some() || job.parent.is_some() || job.dedup.is_some()
}

/// What no script looks at.
fn rest_of(job: &NewJob, is_inline: bool) -> Result<Vec<u8>, Error> {
    let options = job.options.encode().unwrap_or_default();
    let rare = rare_of(job)?;
    let type_name = job.job_type.as_str().as_bytes();
    let inline = if is_inline { job.payload.as_slice() } else { &[] };
    let mut rest =
        Vec::with_capacity(type_name.len() + options.len() + rare.len() + inline.len() + 25);
    rest.push(u8::try_from(type_name.len()).unwrap_or(u8::MAX));
    rest.extend_from_slice(type_name);
    put_text(&mut rest, &options);
    put_bytes(&mut rest, &rare);
    rest.extend_from_slice(inline);
    Ok(rest)
}

/// A new job as it is stored.
pub(crate) fn entry(job: &NewJob, around: &Surroundings) -> Result<Entry, Error> {
    let mut flags = 0;
    if job.order.mode == OrderMode::Aged {
        flags |= flag::AGED;
    }
    for (has, flag) in [
        (job.expires.is_some(), flag::EXPIRES),
        (job.partition.is_some(), flag::PARTITION),
        (job.dedup.is_some(), flag::DEDUP),
        (!job.depends_on.is_empty(), flag::DEPENDS),
        (has_labels(job), flag::LABELS),
    ] {
        if has {
            flags |= flag;
        }
    }
    let is_special = flags & !flag::AGED != 0 || !around.promised.is_empty();
    let is_inline = job.payload.len() <= MAX_INLINE;

    let mut head = [0; 36];
    head[..16].copy_from_slice(job.id.as_bytes());
    head[16] = flags;
    head[17] = if is_inline { 0 } else { apart::PAYLOAD };
    head[18..26].copy_from_slice(&signed(job.order.base));
    head[26..35].copy_from_slice(&when(job.due));
    head[35] = if is_special { b'+' } else { b'-' };

    let rest = rest_of(job, is_inline)?;
    Ok(Entry {
        head,
        rest,
        payload: (!is_inline).then(|| job.payload.clone()),
        special: is_special.then(|| special(job, around)),
    })
}

fn rare_of(job: &NewJob) -> Result<Vec<u8>, Error> {
    if job.key.is_none() && job.tags.is_empty() && job.flow.is_none() && job.parent.is_none() {
        return Ok(Vec::new());
    }
    let rare = Rare {
        key: job.key.clone(),
        tags: job.tags.clone(),
        flow: job.flow,
        parent: job
            .parent
            .as_ref()
            .map(|parent| JobRef { queue: shards::queue_of(&parent.job.queue), id: parent.job.id }),
    };
    serde_json::to_vec(&rare).map_err(|error| unreadable("a job's keys", &error))
}

fn special(job: &NewJob, around: &Surroundings) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&when(job.expires.unwrap_or_default()));
    let dedup = job.dedup.as_ref();
    bytes.extend_from_slice(&optional_length(dedup.and_then(|dedup| dedup.hold)));
    bytes.extend_from_slice(&optional_length(dedup.and_then(|dedup| dedup.latest)));
    put_text(&mut bytes, job.partition.as_ref().map_or("", |key| key.as_str()).as_bytes());
    put_text(&mut bytes, dedup.map_or("", |dedup| dedup.key.as_str()).as_bytes());
    let mut labels = Vec::new();
    for tag in &job.tags {
        put_text(&mut labels, &tag_label(tag));
    }
    if let Some(flow) = job.flow {
        put_text(&mut labels, &flow_label(flow));
    }
    if let Some(parent) = &job.parent {
        put_text(&mut labels, &parent_label(&parent.job));
    }
    if let Some(dedup) = dedup {
        put_text(&mut labels, &dedup_label(&dedup.key));
    }
    put_text(&mut bytes, &labels);
    match &job.parent {
        Some(parent) => {
            bytes.push(match parent.job.queue == job.queue {
                true => b'l',
                false => b'-',
            });
            bytes.extend_from_slice(parent.job.id.as_bytes());
            bytes.extend_from_slice(&crate::store::encode::token(parent.token));
        }
        None => {
            bytes.push(b'-');
            bytes.extend_from_slice(&[0; 22]);
        }
    }
    bytes.extend_from_slice(&u16::try_from(job.depends_on.len()).unwrap_or(u16::MAX).to_be_bytes());
    for (i, dependency) in job.depends_on.iter().enumerate() {
        let name = match around.needs.get(i) {
            Some(Stands::Elsewhere(letter)) => {
                bytes.push(*letter);
                dependency.queue.as_str()
            }
            _ => {
                bytes.push(b'l');
                ""
            }
        };
        put_job(&mut bytes, dependency.id, name);
    }
    bytes
        .extend_from_slice(&u16::try_from(around.promised.len()).unwrap_or(u16::MAX).to_be_bytes());
    for dependent in &around.promised {
        put_job(&mut bytes, dependent.id, dependent.queue.as_str());
    }
    bytes
}

/// A job's id, and the name of its queue with its length.
fn put_job(bytes: &mut Vec<u8>, id: JobId, queue: &str) {
    bytes.extend_from_slice(id.as_bytes());
    bytes.push(u8::try_from(queue.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(queue.as_bytes());
}

/// Bytes that are read from the front.
struct Cursor<'b> {
    rest: &'b [u8],
}

impl<'b> Cursor<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], Error> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| damaged("a job", "it is too short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    fn moment(&mut self) -> Result<Timestamp, Error> {
        self.take(8).map(to_moment)
    }

    /// Bytes behind their length in so many bytes.
    fn sized(&mut self, length: usize) -> Result<&'b [u8], Error> {
        let size = usize::try_from(to_number(self.take(length)?)).unwrap_or(usize::MAX);
        self.take(size)
    }

    fn text(&mut self, length: usize) -> Result<&'b str, Error> {
        std::str::from_utf8(self.sized(length)?).map_err(|error| damaged("a text of a job", error))
    }
}

/// Reads jobs of one queue, of which the next is mostly like the last.
#[derive(Debug)]
pub(crate) struct Reader<'q> {
    queue: &'q QueueName,
    now: Timestamp,
    last_job_type: Option<JobType>,
    last_options: Option<(Vec<u8>, Arc<JobOptions>)>,
}

impl<'q> Reader<'q> {
    pub(crate) fn new(queue: &'q QueueName, now: Timestamp) -> Self {
        Self { queue, now, last_job_type: None, last_options: None }
    }

    /// A job from the two strings that it is stored in, with the payload if that stands
    /// there and is wanted.
    pub(crate) fn job(
        &mut self,
        fixed: Vec<u8>,
        life: &[u8],
        with_payload: bool,
    ) -> Result<Job, Error> {
        let total = fixed.len();
        let short = || damaged("a job", "it is too short");
        let (all, id_bytes) = fixed.split_at_checked(total.wrapping_sub(16)).ok_or_else(short)?;
        let mut id = [0; 16];
        id.copy_from_slice(id_bytes);
        let mut cursor = Cursor { rest: all };
        cursor.take(27)?;
        let base = to_signed(cursor.take(8)?);
        let enqueued_at = cursor.moment()?;

        let mut life = Cursor { rest: life };
        let state = life.byte()?;
        let (flags, apart) = (life.byte()?, life.byte()?);
        let version = to_number(life.take(6)?);
        let token = Token(to_number(life.take(6)?));
        let until = life.moment()?;
        let seq = to_number(life.take(8)?);
        let (place, due) = (life.moment()?, life.moment()?);
        let mut worker = [0; 16];
        worker.copy_from_slice(life.take(16)?);
        let started_at = to_moment_or_none(life.take(8)?).filter(|_| apart & apart::RUN != 0);
        let state = self.state(state, due)?;
        let (mut lease, mut finished_at) = (None, None);
        match state {
            State::Active => {
                lease = Some(Lease { token, until, worker: WorkerId::from_bytes(worker) });
            }
            state if state.is_terminal() => finished_at = Some(until),
            _ => {}
        }
        let expires = match flags & flag::EXPIRES {
            0 => None,
            _ => Some(cursor.moment()?).filter(|_| apart & apart::DROPPED == 0),
        };
        let partition = match flags & flag::PARTITION {
            0 => None,
            _ => Some(key(PartitionKey::new(cursor.text(2)?))?),
        };
        let dedup = match flags & flag::DEDUP {
            0 => None,
            _ => Some(DedupRecord {
                key: key(DedupKey::new(cursor.text(2)?))?,
                held_until: to_moment_or_none(cursor.take(8)?),
                latest: to_moment_or_none(cursor.take(8)?),
            }),
        };
        let mut dependencies = Dependencies::default();
        if flags & flag::DEPENDS != 0 {
            dependencies.open = u32::try_from(to_number(cursor.take(4)?)).unwrap_or(0);
            dependencies.broken = u32::try_from(to_number(cursor.take(4)?)).unwrap_or(0);
        }
        if flags & flag::LABELS != 0 {
            cursor.sized(2)?;
        }
        let job_type = self.job_type(cursor.text(1)?)?;
        let options = self.options(cursor.sized(2)?)?;
        let rare: Rare = match cursor.sized(4)? {
            [] => Rare::default(),
            bytes => {
                serde_json::from_slice(bytes).map_err(|error| unreadable("a job's keys", &error))?
            }
        };
        let payload_at = total - 16 - cursor.rest.len();
        let is_inline = apart & apart::PAYLOAD == 0;
        let payload = (with_payload && is_inline).then(|| {
            // The bytes are kept as they came: nothing is copied.
            Payload::from(bytes_between(fixed, payload_at, total - 16))
        });
        Ok(Job {
            id: JobId::from_bytes(id),
            queue: self.queue.clone(),
            job_type,
            payload,
            options,
            course: Course::default(),
            state,
            version,
            seq,
            order: OrderRule {
                base,
                mode: match flags & flag::AGED {
                    0 => OrderMode::Ranked,
                    _ => OrderMode::Aged,
                },
            },
            due,
            place,
            enqueued_at,
            started_at,
            finished_at,
            expires,
            lease,
            cancel_requested: flags & flag::ASKED != 0,
            result: None,
            progress: None,
            key: rare.key,
            dedup,
            partition,
            tags: rare.tags,
            flow: rare.flow,
            parent: rare.parent,
            dependencies,
            has_dependents: flags & flag::NEEDED != 0,
        })
    }

    /// Puts what is kept apart of a job in its place.
    pub(crate) fn put_apart(job: &mut Job, letter: &[u8], bytes: Vec<u8>) -> Result<(), Error> {
        match letter {
            b"p" => job.payload = Some(Payload::from(bytes)),
            b"r" => job.result = Some(Payload::from(bytes)),
            b"c" => {
                job.course = Course::decode(Some(&bytes))
                    .map_err(|error| unreadable("a job's course", &error))?;
            }
            b"g" => {
                job.progress = Some(
                    Progress::decode(&bytes)
                        .map_err(|error| unreadable("a job's progress", &error))?,
                );
            }
            _ => return Err(damaged("a job", "something unknown is kept apart of it")),
        }
        Ok(())
    }

    /// Its moment comes by itself.
    fn state(&self, letter: u8, due: Timestamp) -> Result<State, Error> {
        Ok(match letter {
            b'b' => State::Blocked,
            b'p' | b'r' if due > self.now => State::Scheduled,
            b'p' | b'r' => State::Waiting,
            b'a' => State::Active,
            b'c' => State::Completed,
            b'f' => State::Failed,
            b'x' => State::Cancelled,
            b'e' => State::Expired,
            _ => return Err(damaged("the state of a job", "there is no such state")),
        })
    }

    fn job_type(&mut self, text: &str) -> Result<JobType, Error> {
        if let Some(last) = self.last_job_type.as_ref().filter(|last| last.as_str() == text) {
            return Ok(last.clone());
        }
        let job_type = key(JobType::new(text))?;
        self.last_job_type = Some(job_type.clone());
        Ok(job_type)
    }

    fn options(&mut self, stored: &[u8]) -> Result<Arc<JobOptions>, Error> {
        if stored.is_empty() {
            return Ok(JobOptions::shared_default());
        }
        if let Some((known, options)) = &self.last_options
            && known == stored
        {
            return Ok(Arc::clone(options));
        }
        let options =
            JobOptions::decode(Some(stored)).map_err(|error| unreadable("job options", &error))?;
        let options = Arc::new(options);
        self.last_options = Some((stored.to_vec(), Arc::clone(&options)));
        Ok(options)
    }
}

fn bytes_between(mut all: Vec<u8>, from: usize, to: usize) -> Vec<u8> {
    all.truncate(to);
    all.drain(..from);
    all
}

fn key<T>(read: Result<T, impl std::fmt::Display>) -> Result<T, Error> {
    read.map_err(|error| damaged("a name of a job", error))
}

/// The letter that records have for a state.
pub(crate) const fn letters_of(state: State) -> &'static str {
    match state {
        State::Blocked => "b",
        State::Scheduled | State::Waiting => "p",
        State::Active => "a",
        State::Completed => "c",
        State::Failed => "f",
        State::Cancelled => "x",
        State::Expired => "e",
    }
}

/// Where a job stands in a listing of what is overdue.
pub(crate) fn overdue_place(at: Timestamp, seq: u64) -> [u8; 16] {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&moment(at));
    place[8..].copy_from_slice(&seq.to_be_bytes());
    place
}
