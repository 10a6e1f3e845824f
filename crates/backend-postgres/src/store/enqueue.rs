//! Storing new jobs.

use std::collections::HashMap;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, PgConnection, SqlStr};
use uuid::Uuid;
use windlass_core::Error;
use windlass_core::backend::{EnqueueAnswer, Enqueued, Refusal};
use windlass_core::model::{JobRef, NewJob, OrderMode, QueueName, Timestamp, When, micros};

use super::query::Query;
use super::{Store, run_in};
use crate::error::{damaged, from_sqlx, id_taken};
use crate::record::{answered_moment, facts, flag, id, rare_of, signed, uuid};

/// What an answer says about a job that is not stored, as
/// `functions/enqueue.sql` has it.
mod what {
    pub(super) const EXISTS: i64 = 4;
    pub(super) const DUPLICATE: i64 = 5;
    pub(super) const HELD: i64 = 6;
}

/// Whether a batch is part of the caller's own transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// It is a transaction of its own.
    Itself,
    /// It is; what is locked stays locked until the caller commits.
    Callers,
}

impl Store {
    /// Stores new jobs, all or none.
    pub(crate) async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<EnqueueAnswer, Error> {
        if jobs.is_empty() {
            let now = self.now().await?;
            return Ok(EnqueueAnswer::Stored { outcomes: Vec::new(), unblocked: Vec::new(), now });
        }
        let tidies = is_time_to_tidy(&jobs);
        if !tidies && let Some(answer) = self.enqueue_new(&jobs).await? {
            return Ok(answer);
        }
        let (query, arguments) = self.enqueue_call(&jobs, Within::Itself, tidies)?;
        let answer = self.run(query, arguments).await;
        self.enqueued(jobs, answer).await
    }

    /// Stores new jobs inside the caller's transaction.
    pub(crate) async fn enqueue_in(
        &self,
        connection: &mut PgConnection,
        jobs: Vec<NewJob>,
    ) -> Result<EnqueueAnswer, Error> {
        let answer = self.try_enqueue_in(connection, &jobs).await?;
        self.enqueued(jobs, answer).await
    }

    /// The same, with the server's own answer, for [`enqueued`](Self::enqueued).
    pub(super) async fn try_enqueue_in(
        &self,
        connection: &mut PgConnection,
        jobs: &[NewJob],
    ) -> Result<Result<Vec<PgRow>, sqlx::Error>, Error> {
        let (query, arguments) = self.enqueue_call(jobs, Within::Callers, false)?;
        Ok(run_in(connection, query, arguments).await)
    }

    fn enqueue_call(
        &self,
        jobs: &[NewJob],
        within: Within,
        tidies: bool,
    ) -> Result<(SqlStr, PgArguments), Error> {
        let encode = |error: sqlx::error::BoxDynError| damaged("a batch", error);
        let mut arguments = PgArguments::default();
        arguments.add(self.clock()).map_err(encode)?;
        if jobs.iter().all(stands_alone) {
            let turns = in_order_of_names(jobs);
            let in_turn: Vec<&NewJob> = match &turns {
                None => jobs.iter().collect(),
                Some(turns) => turns.iter().map(|turn| &jobs[*turn]).collect(),
            };
            Batch::of(in_turn)?.add(&mut arguments, Some(turns)).map_err(encode)?;
            arguments.add(tidies).map_err(encode)?;
            return Ok((self.queries.get(Query::EnqueuePlain), arguments));
        }
        Batch::of(jobs.iter().collect())?.add(&mut arguments, None).map_err(encode)?;
        Others::of(jobs).add(&mut arguments).map_err(encode)?;
        arguments.add(within == Within::Itself).map_err(encode)?;
        Ok((self.queries.get(Query::Enqueue), arguments))
    }

    /// What an answer of the server says.
    pub(super) async fn enqueued(
        &self,
        jobs: Vec<NewJob>,
        answer: Result<Vec<PgRow>, sqlx::Error>,
    ) -> Result<EnqueueAnswer, Error> {
        let rows = match answer {
            Ok(rows) => rows,
            Err(error) => {
                return match id_taken(&error) {
                    Some(index) if index < jobs.len() => {
                        let why = Refusal::IdTaken(jobs[index].id);
                        Ok(EnqueueAnswer::Refused { index, why, jobs })
                    }
                    _ => Err(from_sqlx(error)),
                };
            }
        };
        self.learn(&rows).await?;
        let mut reader = self.names.reader();
        let mut outcomes: Vec<Enqueued> = jobs.iter().map(|_| Enqueued::Stored).collect();
        let (mut unblocked, mut now) = (Vec::new(), Timestamp::EPOCH);
        for row in &rows {
            let facts = facts(row)?.unwrap_or_default();
            let fact = |at: usize| facts.get(at).copied().flatten().unwrap_or_default();
            let index = usize::try_from(fact(1)).unwrap_or_default();
            match (fact(0), fact(2)) {
                (0, _) => now = Timestamp::from_micros(fact(1)),
                (1, what) => {
                    let outcome = match what {
                        what::EXISTS => Enqueued::Existing,
                        what::DUPLICATE => Enqueued::Duplicate(Box::new(reader.job(row, now)?)),
                        what::HELD => Enqueued::Held { by: id(row)?, until: answered_moment(row)? },
                        _ => return Err(damaged("an answer", format!("outcome {what}"))),
                    };
                    if let Some(slot) = outcomes.get_mut(index) {
                        *slot = outcome;
                    }
                }
                (2, why) => {
                    let which = usize::try_from(fact(3)).unwrap_or_default();
                    let why = refusal(&jobs, index, why, which)?;
                    return Ok(EnqueueAnswer::Refused { index, why, jobs });
                }
                _ => unblocked.push(reader.job(row, now)?),
            }
        }
        Ok(EnqueueAnswer::Stored { outcomes, unblocked, now })
    }
}

/// Why a batch was refused; `which` counts dependencies or parents over the
/// whole batch.
fn refusal(jobs: &[NewJob], index: usize, why: i64, which: usize) -> Result<Refusal, Error> {
    let job =
        jobs.get(index).ok_or_else(|| damaged("an answer", "a job that was not asked for"))?;
    let named: Option<&JobRef> = match why {
        2 => jobs.iter().flat_map(|job| &job.depends_on).nth(which),
        3 => jobs.iter().filter_map(|job| job.parent.as_ref()).map(|parent| &parent.job).nth(which),
        _ => None,
    };
    Ok(match (why, named) {
        (1, _) => Refusal::UnknownQueue(job.queue.clone()),
        (2, Some(job)) => Refusal::UnknownDependency(job.clone()),
        (3, Some(job)) => Refusal::StaleParent(job.clone()),
        (4, _) => Refusal::IdTaken(job.id),
        _ => return Err(damaged("an answer", format!("refusal {why}"))),
    })
}

/// Whether this call also sees to the order of the store, as one in so many does.
/// Which one is left to chance, so that processes which make few calls take their
/// part; ids are made by chance.
fn is_time_to_tidy(jobs: &[NewJob]) -> bool {
    const ONE_IN: u16 = 512;
    let chance = jobs[0].id.as_bytes();
    u16::from_be_bytes([chance[14], chance[15]]).is_multiple_of(ONE_IN)
}

/// Whether a job can be stored without asking about any other one.
fn stands_alone(job: &NewJob) -> bool {
    job.dedup.is_none() && job.parent.is_none() && job.depends_on.is_empty()
}

/// The order in which jobs are inserted whose ids may derive from names, as
/// indices: two batches with the same names must not wait for each other
/// crosswise. `None`: as they come.
fn in_order_of_names(jobs: &[NewJob]) -> Option<Vec<usize>> {
    if jobs.len() == 1 || jobs.iter().all(|job| job.key.is_none()) {
        return None;
    }
    let mut turns: Vec<usize> = (0..jobs.len()).collect();
    // Stable: of two jobs with one id, the first is stored.
    turns.sort_by_key(|turn| jobs[*turn].id);
    Some(turns)
}

/// One field of a batch; nothing where it would hold nothing.
type Column<T> = Option<Vec<Option<T>>>;

/// An array, or nothing where it would hold nothing.
fn unless_empty<T>(values: Vec<Option<T>>) -> Column<T> {
    values.iter().any(Option::is_some).then_some(values)
}

/// A moment that the store resolves: a length of time from now, or an instant.
fn moments<'j>(
    whens: impl Iterator<Item = Option<&'j When>> + Clone,
) -> (Column<i64>, Column<i64>) {
    let after = whens.clone().map(|when| match when {
        Some(When::After(length)) => Some(micros(*length)),
        Some(When::Now) => Some(0),
        _ => None,
    });
    let at = whens.map(|when| match when {
        Some(When::At(moment)) => Some(moment.as_micros()),
        _ => None,
    });
    (unless_empty(after.collect()), unless_empty(at.collect()))
}

/// The queues that a batch names, and which of them each member names.
pub(super) fn queues_of<'j>(
    queues: impl Iterator<Item = &'j QueueName>,
) -> (Vec<&'j str>, Option<Vec<i32>>) {
    let mut names: Vec<&str> = Vec::new();
    let mut known: HashMap<&str, i32> = HashMap::new();
    let mut which: Vec<i32> = Vec::new();
    let mut last: Option<(&str, i32)> = None;
    for queue in queues {
        let name = queue.as_str();
        let number = match last {
            Some((text, number)) if text == name => number,
            _ => *known.entry(name).or_insert_with(|| {
                names.push(name);
                i32::try_from(names.len()).unwrap_or(i32::MAX)
            }),
        };
        last = Some((name, number));
        which.push(number);
    }
    let several = names.len() > 1;
    (names, several.then_some(which))
}

/// The fields of new jobs, each an array over the batch.
struct Batch<'j> {
    jobs: Vec<&'j NewJob>,
    options: Column<Vec<u8>>,
    rare: Column<String>,
    flags: Option<Vec<i32>>,
    label_of: Vec<i32>,
    label_kinds: Vec<i16>,
    labels: Vec<String>,
}

impl<'j> Batch<'j> {
    fn of(jobs: Vec<&'j NewJob>) -> Result<Self, Error> {
        let mut batch = Self {
            options: unless_empty(jobs.iter().map(|job| job.options.encode()).collect()),
            rare: unless_empty(jobs.iter().map(|job| rare_of(job)).collect::<Result<_, _>>()?),
            jobs: jobs.clone(),
            flags: None,
            label_of: Vec::new(),
            label_kinds: Vec::new(),
            labels: Vec::new(),
        };
        let mut flags = Vec::with_capacity(jobs.len());
        for (number, job) in (1..).zip(&jobs) {
            let before = batch.labels.len();
            batch.label(number, job);
            let has_labels = batch.labels.len() > before;
            flags.push(flags_of(job, has_labels));
        }
        batch.flags = flags.iter().any(|flags| *flags != 0).then_some(flags);
        Ok(batch)
    }

    fn label(&mut self, number: i32, job: &NewJob) {
        let mut add = |kind: Kind, text: String| {
            self.label_of.push(number);
            self.label_kinds.push(kind as i16);
            self.labels.push(text);
        };
        for tag in &job.tags {
            add(Kind::Tag, tag.as_str().to_owned());
        }
        if let Some(partition) = &job.partition {
            add(Kind::Partition, partition.as_str().to_owned());
        }
        if let Some(dedup) = &job.dedup {
            add(Kind::Dedup, dedup.key.as_str().to_owned());
        }
        if let Some(flow) = job.flow {
            add(Kind::Flow, flow.to_string());
        }
        if let Some(parent) = &job.parent {
            add(Kind::Parent, parent_label(&parent.job));
        }
    }

    /// Adds them in the order of the functions' parameters; `turns` is which
    /// job of the batch each is, where the function asks.
    fn add(
        &self,
        arguments: &mut PgArguments,
        turns: Option<Option<Vec<usize>>>,
    ) -> Result<(), sqlx::error::BoxDynError> {
        let jobs = &self.jobs;
        let (names, which) = queues_of(jobs.iter().map(|job| &job.queue));
        let (mut after, at) = moments(jobs.iter().map(|job| Some(&job.due)));
        // Nothing said means now.
        if jobs.iter().all(|job| matches!(job.due, When::Now | When::At(_))) {
            after = None;
        }
        let (expire_after, expire_at) = moments(jobs.iter().map(|job| job.expires.as_ref()));
        let aged: Vec<bool> = jobs.iter().map(|job| job.order.mode == OrderMode::Aged).collect();
        arguments.add(names)?;
        arguments.add(which)?;
        if let Some(turns) = turns {
            // Counted from 1, as the server counts.
            let number = |turn: usize| i32::try_from(turn + 1).unwrap_or(i32::MAX);
            arguments.add(turns.map(|turns| turns.into_iter().map(number).collect::<Vec<_>>()))?;
        }
        arguments.add(jobs.iter().map(|job| uuid(job.id.as_bytes())).collect::<Vec<_>>())?;
        arguments.add(jobs.iter().map(|job| job.job_type.as_str()).collect::<Vec<_>>())?;
        arguments.add(jobs.iter().map(|job| job.payload.as_slice()).collect::<Vec<_>>())?;
        arguments.add(&self.options)?;
        arguments.add(jobs.iter().map(|job| job.order.base).collect::<Vec<_>>())?;
        arguments.add(aged.contains(&true).then_some(aged))?;
        arguments.add(after)?;
        arguments.add(at)?;
        arguments.add(&self.flags)?;
        arguments.add(unless_empty(
            jobs.iter().map(|job| job.partition.as_ref().map(|key| key.as_str())).collect(),
        ))?;
        arguments.add(expire_after)?;
        arguments.add(expire_at)?;
        arguments.add(&self.rare)?;
        arguments.add(&self.label_of)?;
        arguments.add(&self.label_kinds)?;
        arguments.add(&self.labels)
    }
}

/// What else will know a new job.
fn flags_of(job: &NewJob, has_labels: bool) -> i32 {
    [
        (job.partition.is_some(), flag::PARTITION),
        (job.dedup.is_some(), flag::DEDUP),
        (job.expires.is_some(), flag::EXPIRES),
        (job.order.mode == OrderMode::Aged, flag::AGED),
        (!job.depends_on.is_empty(), flag::DEPENDENCIES),
        (has_labels, flag::LABELS),
    ]
    .into_iter()
    .filter_map(|(has, bit)| has.then_some(bit))
    .sum()
}

/// By what a job can be searched for. The number of each kind is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tag = 1,
    Partition = 2,
    Dedup = 3,
    Flow = 4,
    Parent = 5,
}

/// The label of the children of a job.
pub(super) fn parent_label(parent: &JobRef) -> String {
    format!("{}/{}", parent.queue, parent.id)
}

/// The place in a list, as the server counts.
fn place(at: usize) -> i32 {
    i32::try_from(at + 1).unwrap_or(i32::MAX)
}

/// What jobs ask about others.
#[derive(Default)]
struct Others<'j> {
    keys: Vec<Option<&'j str>>,
    holds: Vec<Option<i64>>,
    latest: Vec<Option<i64>>,
    twin: Vec<Option<i32>>,
    key_twin: Vec<Option<i32>>,
    needer: Vec<i32>,
    needed_in: Vec<&'j str>,
    needed: Vec<Uuid>,
    inside: Vec<Option<i32>>,
    needs_from: Vec<i32>,
    child: Vec<i32>,
    parent_in: Vec<&'j str>,
    parent: Vec<Uuid>,
    parent_token: Vec<i64>,
}

impl<'j> Others<'j> {
    fn of(jobs: &'j [NewJob]) -> Self {
        let mut others = Self::default();
        // The last job so far with an id, and with a key.
        let (mut ids, mut keys) = (HashMap::new(), HashMap::new());
        for (number, job) in (1..).zip(jobs) {
            let dedup = job.dedup.as_ref();
            others.twin.push(ids.insert(job.id, number));
            let key = dedup.map(|dedup| (&job.queue, &dedup.key));
            others.key_twin.push(key.and_then(|key| keys.insert(key, number)));
        }
        for (number, job) in (1_i32..).zip(jobs) {
            let dedup = job.dedup.as_ref();
            others.needs_from.push(place(others.needed.len()));
            others.keys.push(dedup.map(|dedup| dedup.key.as_str()));
            others.holds.push(dedup.and_then(|dedup| dedup.hold).map(micros));
            others.latest.push(dedup.and_then(|dedup| dedup.latest).map(micros));
            for needed in &job.depends_on {
                others.needer.push(number);
                others.needed_in.push(needed.queue.as_str());
                others.needed.push(uuid(needed.id.as_bytes()));
                let inside = ids.get(&needed.id).copied();
                let is_there = |number: &i32| {
                    usize::try_from(*number - 1).is_ok_and(|at| jobs[at].queue == needed.queue)
                };
                others.inside.push(inside.filter(is_there));
            }
            if let Some(parent) = &job.parent {
                others.child.push(number);
                others.parent_in.push(parent.job.queue.as_str());
                others.parent.push(uuid(parent.job.id.as_bytes()));
                others.parent_token.push(signed(parent.token.0));
            }
        }
        others.needs_from.push(place(others.needed.len()));
        others
    }

    fn add(self, arguments: &mut PgArguments) -> Result<(), sqlx::error::BoxDynError> {
        arguments.add(self.keys)?;
        arguments.add(self.holds)?;
        arguments.add(self.latest)?;
        arguments.add(unless_empty(self.twin))?;
        arguments.add(unless_empty(self.key_twin))?;
        arguments.add(self.needer)?;
        arguments.add(self.needed_in)?;
        arguments.add(self.needed)?;
        arguments.add(unless_empty(self.inside))?;
        arguments.add(self.needs_from)?;
        arguments.add(self.child)?;
        arguments.add(self.parent_in)?;
        arguments.add(self.parent)?;
        arguments.add(self.parent_token)
    }
}
