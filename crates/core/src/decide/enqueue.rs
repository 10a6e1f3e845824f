//! What is stored when a job is enqueued, and what follows when its
//! deduplication key is taken (rules E2 to E5, N1, O2 and P1).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{CancelRequest, Place, Target, Transition};
use crate::model::{
    DedupKey, Event, FlowId, Job, JobId, JobKey, JobOptions, JobRef, JobType, NewDedup, NewJob,
    OnBrokenDependency, Parent, PartitionKey, Payload, PriorityMode, QueueName, QueueSpec, State,
    Tag, Timestamp, When,
};

use super::order::order_rule;
use super::transition;

/// How many tags a job may have.
pub const MAX_TAGS: usize = 32;

/// What a caller wants to be enqueued, before it is checked.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// A fresh id; not used if there is a `key`.
    pub id: JobId,
    /// By which a worker finds the handler.
    pub job_type: JobType,
    /// What the handler is given.
    pub payload: Payload,
    /// The priority, if the caller gave one.
    pub priority: Option<i32>,
    /// What else the caller chose. Its `priority` is overwritten.
    pub options: Arc<JobOptions>,
    /// The moment it may start.
    pub due: When,
    /// When it expires if it has not started.
    pub expires: Option<When>,
    /// A name for it (rule E3).
    pub key: Option<JobKey>,
    /// Of which one live job may exist (rule E4).
    pub dedup: Option<Dedup>,
    /// Whose limits it runs under.
    pub partition: Option<PartitionKey>,
    /// Labels to search by.
    pub tags: Vec<Tag>,
    /// What it waits for.
    pub depends_on: Vec<JobRef>,
    /// What becomes of it when one of these does not complete (rule N2); of others, the
    /// options say it. Where one is named twice, what cancels holds.
    pub edges: Vec<(JobRef, OnBrokenDependency)>,
    /// The flow it belongs to.
    pub flow: Option<FlowId>,
    /// The job whose handler enqueues it.
    pub parent: Option<Parent>,
}

impl JobRequest {
    /// A job with every default.
    #[must_use]
    pub fn new(id: JobId, job_type: JobType, payload: Payload) -> Self {
        Self {
            id,
            job_type,
            payload,
            priority: None,
            options: JobOptions::shared_default(),
            due: When::Now,
            expires: None,
            key: None,
            dedup: None,
            partition: None,
            tags: Vec::new(),
            depends_on: Vec::new(),
            edges: Vec::new(),
            flow: None,
            parent: None,
        }
    }
}

/// A deduplication key and what is to follow when it is taken (rule E4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// The key.
    pub key: DedupKey,
    /// What follows when it is taken.
    pub on_duplicate: OnDuplicate,
    /// For how long from the enqueue the key stays taken, whatever becomes of
    /// the job.
    pub hold: Option<Duration>,
}

/// What follows when a deduplication key is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// An error that carries the id of the job that has it.
    #[default]
    Reject,
    /// The job that has it is returned; nothing changes.
    ReturnExisting,
    /// The job that has it gets the new payload and moment, if it has not
    /// started (debounce); otherwise it is returned.
    Replace {
        /// How long after its enqueue it runs at the latest.
        latest: Option<Duration>,
    },
}

/// A job that cannot be enqueued. The message says what is wrong and what
/// would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJob {
    /// The payload is too large.
    #[error(
        "the payload has {size} bytes, more than the {max} that queue {queue:?} takes; send a \
         reference instead, or declare the queue with a larger max_payload"
    )]
    PayloadTooLarge {
        /// The queue.
        queue: QueueName,
        /// How many bytes it has.
        size: usize,
        /// How many it may have.
        max: usize,
    },
    /// The queue has no priorities.
    #[error("queue {0:?} was declared without priorities; leave the priority out")]
    NoPriorities(QueueName),
    /// The priority is out of range.
    #[error("priority {0} is out of range; use -2147483647 to 2147483647")]
    PriorityOutOfRange(i32),
    /// The queue is partitioned.
    #[error("queue {0:?} is partitioned; give every job a partition key")]
    PartitionRequired(QueueName),
    /// The queue is not partitioned.
    #[error("queue {0:?} is not partitioned; leave the partition key out")]
    NoPartitions(QueueName),
    /// The retry policy makes no sense.
    #[error("the retry policy makes no sense: {0}")]
    Retry(&'static str),
    /// The time-out is zero.
    #[error("the time-out is zero; leave it out to have none")]
    ZeroTimeout,
    /// There are too many tags.
    #[error("the job has {0} tags; give it {MAX_TAGS} at most")]
    TooManyTags(usize),
    /// The jobs of a batch depend on each other in a circle.
    #[error(
        "job {0} depends on itself, by way of other jobs of its batch or directly; leave out one of \
         the dependencies that make the circle"
    )]
    Cycle(JobId),
}

/// Checks a request against its queue and makes of it what is stored.
///
/// # Errors
/// [`InvalidJob`] if it breaks a rule; the store has not been touched.
pub fn enqueue(spec: &QueueSpec, request: JobRequest) -> Result<NewJob, InvalidJob> {
    let queue = || spec.name.clone();
    if request.payload.len() > spec.max_payload {
        return Err(InvalidJob::PayloadTooLarge {
            queue: queue(),
            size: request.payload.len(),
            max: spec.max_payload,
        });
    }
    match request.priority {
        Some(_) if spec.priority == PriorityMode::Disabled => {
            return Err(InvalidJob::NoPriorities(queue()));
        }
        // The one number that has no negative: it could not be turned round.
        Some(i32::MIN) => return Err(InvalidJob::PriorityOutOfRange(i32::MIN)),
        _ => {}
    }
    match (&spec.partitions, &request.partition) {
        (Some(_), None) => return Err(InvalidJob::PartitionRequired(queue())),
        (None, Some(_)) => return Err(InvalidJob::NoPartitions(queue())),
        _ => {}
    }
    if let Some(problem) = request.options.retry.problem() {
        return Err(InvalidJob::Retry(problem));
    }
    if request.options.timeout == Some(Duration::ZERO) {
        return Err(InvalidJob::ZeroTimeout);
    }
    if request.tags.len() > MAX_TAGS {
        return Err(InvalidJob::TooManyTags(request.tags.len()));
    }

    let priority = request.priority.unwrap_or(0);
    let mut options = request.options;
    if options.priority != priority {
        Arc::make_mut(&mut options).priority = priority;
    }
    let depends_on = without_repeats(request.depends_on);
    let others = other_edges(&depends_on, &request.edges, options.on_broken_dependency);
    if !others.is_empty() {
        Arc::make_mut(&mut options).other_edges = others;
    }
    Ok(NewJob {
        id: request.key.as_ref().map_or(request.id, |key| JobId::derived(&spec.name, key)),
        queue: queue(),
        job_type: request.job_type,
        payload: request.payload,
        options,
        order: order_rule(spec, priority),
        due: request.due,
        expires: request.expires,
        key: request.key,
        dedup: request.dedup.map(|dedup| NewDedup {
            key: dedup.key,
            hold: dedup.hold,
            latest: match dedup.on_duplicate {
                OnDuplicate::Replace { latest } => latest,
                OnDuplicate::Reject | OnDuplicate::ReturnExisting => None,
            },
        }),
        partition: request.partition,
        tags: without_repeats(request.tags),
        depends_on,
        flow: request.flow,
        parent: request.parent,
    })
}

/// The places in `depends_on` of those whose policy is not that of the job.
fn other_edges(
    depends_on: &[JobRef],
    edges: &[(JobRef, OnBrokenDependency)],
    of_job: OnBrokenDependency,
) -> Vec<u32> {
    let mut chosen: HashMap<&JobRef, OnBrokenDependency> = HashMap::with_capacity(edges.len());
    for (job, policy) in edges {
        let so_far = chosen.entry(job).or_insert(*policy);
        if *policy == OnBrokenDependency::Cancel {
            *so_far = *policy;
        }
    }
    let differs = |job: &JobRef| chosen.get(job).is_some_and(|policy| *policy != of_job);
    (0..).zip(depends_on).filter(|(_, job)| differs(job)).map(|(place, _)| place).collect()
}

fn without_repeats<T: Clone + Eq + std::hash::Hash>(items: Vec<T>) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let mut seen = HashSet::with_capacity(items.len());
    items.into_iter().filter(|item| seen.insert(item.clone())).collect()
}

/// Checks that the jobs of a batch do not depend on each other in a circle.
///
/// The algorithm is Kahn's (1962): jobs without an unseen dependency in the
/// batch are taken away until none is left, or only circles are.
///
/// # Errors
/// [`InvalidJob::Cycle`] with a job that is in, or behind, a circle.
pub fn check_graph(jobs: &[NewJob]) -> Result<(), InvalidJob> {
    if jobs.iter().all(|job| job.depends_on.is_empty()) {
        return Ok(());
    }
    let index: HashMap<JobId, usize> = jobs.iter().enumerate().map(|(i, j)| (j.id, i)).collect();
    let mut open = vec![0_usize; jobs.len()];
    let mut dependents = vec![Vec::new(); jobs.len()];
    for (i, job) in jobs.iter().enumerate() {
        for dependency in &job.depends_on {
            if let Some(&of) = index.get(&dependency.id) {
                open[i] += 1;
                dependents[of].push(i);
            }
        }
    }
    let mut free: Vec<usize> = (0..jobs.len()).filter(|&i| open[i] == 0).collect();
    while let Some(i) = free.pop() {
        for &dependent in &dependents[i] {
            open[dependent] -= 1;
            if open[dependent] == 0 {
                free.push(dependent);
            }
        }
    }
    match open.iter().position(|&n| n > 0) {
        Some(i) => Err(InvalidJob::Cycle(jobs[i].id)),
        None => Ok(()),
    }
}

/// What follows when a deduplication key is taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Conflict {
    /// The caller gets an error.
    Reject,
    /// The caller gets the job that has the key.
    ReturnExisting,
    /// The job that has the key is changed, then returned. If the transition
    /// turns out stale, the question is asked again.
    Replace(Box<Transition>),
}

/// What follows when the key of a new job is taken by this one.
///
/// A debounce changes the existing job if it has not started: payload and
/// moment of one that is scheduled or waiting, the payload alone of one that is
/// blocked. Once its latest moment has passed, the moment and the place in line
/// stay as well. A job of another type is not changed: its handler would not
/// understand the payload.
#[must_use]
pub fn conflict(
    existing: &Job,
    now: Timestamp,
    on_duplicate: OnDuplicate,
    new: &NewJob,
) -> Conflict {
    match on_duplicate {
        OnDuplicate::Reject => Conflict::Reject,
        OnDuplicate::ReturnExisting => Conflict::ReturnExisting,
        OnDuplicate::Replace { .. } if existing.job_type != new.job_type => Conflict::Reject,
        OnDuplicate::Replace { .. } if existing.has_started() => Conflict::ReturnExisting,
        OnDuplicate::Replace { .. } => {
            let latest = existing.dedup.as_ref().and_then(|dedup| dedup.latest);
            let latest = latest.unwrap_or(Timestamp::MAX);
            let to = match existing.state {
                State::Blocked => Target::Stay { cancel: CancelRequest::Unchanged },
                State::Waiting if latest <= now => {
                    Target::Pending { due: When::Now, place: Place::Kept }
                }
                State::Scheduled | State::Waiting => {
                    let due = When::At(new.due.resolve(now).min(latest));
                    Target::Pending { due, place: Place::AtDue }
                }
                _ => return Conflict::ReturnExisting,
            };
            Conflict::Replace(Box::new(Transition {
                payload: Some(new.payload.clone()),
                ..transition(existing, to, Event::Changed)
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::samples::{at, queue, waiting};
    use crate::model::{DedupRecord, Partitions, Retry};

    fn request() -> JobRequest {
        JobRequest::new(
            JobId::from_bytes([1; 16]),
            JobType::new("t").unwrap(),
            Payload::from("12345"),
        )
    }

    fn with_options(options: JobOptions) -> JobRequest {
        JobRequest { options: Arc::new(options), ..request() }
    }

    #[test]
    fn each_edge_has_the_policy_that_was_chosen_for_it_or_that_of_the_job() {
        use OnBrokenDependency::{Cancel, Run};
        let on = |n: u8| JobRef { queue: queue(), id: JobId::from_bytes([n; 16]) };
        let table = [
            (Cancel, vec![], vec![]),
            (Cancel, vec![(2, Run)], vec![1]),
            (Cancel, vec![(1, Cancel), (3, Run)], vec![2]),
            (Cancel, vec![(2, Run), (2, Cancel)], vec![]),
            (Run, vec![(1, Cancel), (2, Run)], vec![0]),
        ];
        for (on_broken_dependency, edges, others) in table {
            let options = JobOptions { on_broken_dependency, ..JobOptions::default() };
            let request = JobRequest {
                depends_on: vec![on(1), on(2), on(1), on(3)],
                edges: edges.iter().map(|(n, policy)| (on(*n), *policy)).collect(),
                ..with_options(options)
            };
            let job = enqueue(&QueueSpec::new(queue()), request).unwrap();
            assert_eq!(job.options.other_edges, others, "{edges:?}");
        }
    }

    #[test]
    fn a_request_that_breaks_a_rule_is_refused_with_what_would_be_right() {
        let plain = QueueSpec::new(queue());
        let small = QueueSpec { max_payload: 4, ..plain.clone() };
        let unranked = QueueSpec { priority: PriorityMode::Disabled, ..plain.clone() };
        let split = QueueSpec { partitions: Some(Partitions::default()), ..plain.clone() };
        let partition = Some(PartitionKey::new("p").unwrap());
        let tags = (0..33).map(|n| Tag::new(n.to_string()).unwrap()).collect();
        let table = [
            (&small, request(), "the payload has 5 bytes"),
            (&unranked, JobRequest { priority: Some(0), ..request() }, "without priorities"),
            (&plain, JobRequest { priority: Some(i32::MIN), ..request() }, "out of range"),
            (&split, request(), "is partitioned"),
            (&plain, JobRequest { partition, ..request() }, "is not partitioned"),
            (&plain, JobRequest { tags, ..request() }, "has 33 tags; give it 32"),
            (
                &plain,
                with_options(JobOptions { retry: Retry::attempts(0), ..JobOptions::default() }),
                "max_attempts is 0",
            ),
            (
                &plain,
                with_options(JobOptions { timeout: Some(Duration::ZERO), ..JobOptions::default() }),
                "time-out is zero",
            ),
        ];
        for (spec, request, expected) in table {
            let message = enqueue(spec, request).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_id_derives_from_the_key_and_repeats_are_dropped() {
        let key = JobKey::new("welcome-42").unwrap();
        let tag = Tag::new("a").unwrap();
        let dependency = JobRef { queue: queue(), id: JobId::from_bytes([9; 16]) };
        let spec = QueueSpec::new(queue());
        let job = enqueue(
            &spec,
            JobRequest {
                key: Some(key.clone()),
                tags: vec![tag.clone(), tag],
                depends_on: vec![dependency.clone(), dependency],
                priority: Some(-4),
                ..request()
            },
        )
        .unwrap();
        assert_eq!(job.id, JobId::derived(&queue(), &key));
        assert_eq!((job.tags.len(), job.depends_on.len()), (1, 1));
        assert_eq!((job.options.priority, job.order.base), (-4, -4));
        assert_eq!(enqueue(&spec, request()).unwrap().id, request().id);
    }

    fn graph(edges: &[(u8, &[u8])]) -> Vec<NewJob> {
        let id = |n: u8| JobId::from_bytes([n; 16]);
        let spec = QueueSpec::new(queue());
        edges
            .iter()
            .map(|(n, on)| {
                let depends_on = on.iter().map(|&n| JobRef { queue: queue(), id: id(n) }).collect();
                enqueue(&spec, JobRequest { id: id(*n), depends_on, ..request() }).unwrap()
            })
            .collect()
    }

    #[test]
    fn a_batch_whose_jobs_wait_in_a_circle_is_refused() {
        assert_eq!(check_graph(&graph(&[(1, &[]), (2, &[1]), (3, &[1, 2, 77])])), Ok(()));
        assert_eq!(check_graph(&graph(&[(3, &[2]), (2, &[1]), (1, &[])])), Ok(()));
        for circle in [
            graph(&[(1, &[1])]),
            graph(&[(1, &[2]), (2, &[1])]),
            graph(&[(9, &[]), (1, &[9, 3]), (2, &[1]), (3, &[2])]),
        ] {
            assert!(matches!(check_graph(&circle), Err(InvalidJob::Cycle(_))));
        }
    }

    #[test]
    fn a_taken_key_leads_where_the_caller_chose() {
        let due = When::After(Duration::from_secs(5));
        let spec = QueueSpec::new(queue());
        let new = enqueue(&spec, JobRequest { due, ..request() }).unwrap();
        let decide = |job: &Job, on| conflict(job, at(1000), on, &new);
        let debounce = OnDuplicate::Replace { latest: Some(Duration::from_secs(99)) };
        let with_latest = |latest| {
            let key = DedupKey::new("k").unwrap();
            let record = DedupRecord { key, held_until: None, latest };
            Job { dedup: Some(record), ..waiting() }
        };
        let other = JobType::new("other").unwrap();

        assert_eq!(decide(&waiting(), OnDuplicate::Reject), Conflict::Reject);
        assert_eq!(decide(&waiting(), OnDuplicate::ReturnExisting), Conflict::ReturnExisting);
        assert_eq!(decide(&Job { job_type: other, ..waiting() }, debounce), Conflict::Reject);
        let started = Job { started_at: Some(at(9)), ..waiting() };
        assert_eq!(decide(&started, debounce), Conflict::ReturnExisting);

        let at_due = |due| Target::Pending { due: When::At(at(due)), place: Place::AtDue };
        let kept = Target::Pending { due: When::Now, place: Place::Kept };
        let stays = Target::Stay { cancel: CancelRequest::Unchanged };
        let table = [
            (State::Scheduled, None, at_due(5_001_000)),
            (State::Waiting, None, at_due(5_001_000)),
            (State::Waiting, Some(at(7000)), at_due(7000)),
            // Its latest moment has passed: it runs in its turn.
            (State::Waiting, Some(at(1000)), kept),
            (State::Blocked, Some(at(7000)), stays),
        ];
        for (state, latest, to) in table {
            let job = Job { state, ..with_latest(latest) };
            let Conflict::Replace(t) = decide(&job, debounce) else { panic!("{state}") };
            assert_eq!((&t.to, &t.payload), (&to, &Some(new.payload.clone())), "{state}");
        }
    }
}
