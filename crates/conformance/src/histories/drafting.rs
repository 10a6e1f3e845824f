//! What a history's numbers stand for: names, requests, repeatables.

use std::sync::Arc;
use std::time::Duration;

use windlass_core::decide::{Dedup, JobRequest, OnDuplicate, Outcome};
use windlass_core::model::{
    Backoff, FailureKind, JobId, JobOptions, JobRef, JobTemplate, JobType, OnBrokenDependency,
    Parent, PartitionKey, Payload, PriorityMode, QueueName, QueueSpec, Repeatable, RepeatableKey,
    Retry, Tag, When, WorkerId, WorkerInfo,
};
use windlass_core::schedule::Schedule;

use super::op::{Broken, Draft, Ending, Pick, Plan, Policy};
use crate::fixture::{dedup_key, job_key, partition_key, queue_name, secs, tag};

/// The n-th of these, from the beginning again behind the last.
pub(super) fn nth<T>(of: &[T], pick: Pick) -> Option<&T> {
    of.get(usize::from(pick).checked_rem(of.len())?)
}

/// The n-th name of a kind.
fn name(kind: &str, pick: Pick, of: u8) -> String {
    format!("{kind}{}", pick % of)
}

pub(super) fn queue(pick: Pick) -> QueueName {
    queue_name(["a", "b", "c"][usize::from(pick) % 3])
}

pub(super) fn job_type(pick: Pick) -> JobType {
    JobType::new(name("type", pick, 2)).expect("a valid job type")
}

pub(super) fn key(pick: Pick) -> windlass_core::model::JobKey {
    job_key(&name("key", pick, 3))
}

pub(super) fn dedup(pick: Pick) -> windlass_core::model::DedupKey {
    dedup_key(&name("only", pick, 2))
}

pub(super) fn partition(pick: Pick) -> PartitionKey {
    partition_key(&name("part", pick, 3))
}

pub(super) fn label(pick: Pick) -> Tag {
    tag(&name("tag", pick, 2))
}

pub(super) fn repeatable_key(pick: Pick) -> RepeatableKey {
    RepeatableKey::new(name("again", pick, 2)).expect("a valid key")
}

/// Bytes that no text consists of, and their number.
pub(super) fn payload(number: u8) -> Payload {
    Payload::from(vec![number, 0xff, 0])
}

pub(super) fn worker(pick: Pick) -> WorkerInfo {
    WorkerInfo {
        id: WorkerId::from_bytes([pick; 16]),
        host: "host".to_owned(),
        pid: u32::from(pick),
        queues: vec![queue(pick)],
        concurrency: 1,
        running: 0,
    }
}

/// What a draft means in this queue, and what follows if its deduplication key
/// is taken.
pub(super) fn request(
    draft: &Draft,
    spec: &QueueSpec,
    id: JobId,
    depends_on: Vec<JobRef>,
    parent: Option<Parent>,
) -> JobRequest {
    let retry = Retry {
        max_attempts: draft.attempts,
        backoff: Backoff::Fixed(secs(2)),
        ..Retry::default()
    };
    let on_broken_dependency = match draft.broken {
        Broken::Cancels => OnBrokenDependency::Cancel,
        Broken::Runs => OnBrokenDependency::Run,
    };
    JobRequest {
        priority: draft.priority.filter(|_| spec.priority != PriorityMode::Disabled),
        options: Arc::new(JobOptions { retry, on_broken_dependency, ..JobOptions::default() }),
        due: draft.due,
        expires: draft.expires.map(When::After),
        key: draft.key.map(key),
        dedup: draft.dedup.map(|(pick, policy)| Dedup {
            key: dedup(pick),
            on_duplicate: on_duplicate(policy),
            hold: match policy {
                Policy::Throttle(hold) => Some(hold),
                _ => None,
            },
        }),
        partition: spec.partitions.as_ref().map(|_| partition(draft.partition)),
        tags: draft.tag.map(label).into_iter().collect(),
        depends_on,
        parent,
        ..JobRequest::new(id, job_type(draft.kind), payload(draft.payload))
    }
}

pub(super) const fn on_duplicate(policy: Policy) -> OnDuplicate {
    match policy {
        Policy::Reject | Policy::Throttle(_) => OnDuplicate::Reject,
        Policy::ReturnExisting => OnDuplicate::ReturnExisting,
        Policy::Debounce(latest) => OnDuplicate::Replace { latest },
    }
}

pub(super) fn outcome(ending: &Ending) -> Outcome {
    match ending {
        Ending::Success(result) => Outcome::Success { result: result.map(payload) },
        Ending::Failure(retry) => {
            Outcome::Failure { kind: FailureKind::Error, message: "no".to_owned(), retry: *retry }
        }
        Ending::Snooze(due) => Outcome::Snooze(*due),
        Ending::Release => Outcome::Release,
        Ending::UnknownType => Outcome::UnknownType,
        Ending::Cancelled => Outcome::Cancelled,
    }
}

pub(super) fn repeatable(plan: &Plan, spec: &QueueSpec, pick: Pick) -> Repeatable {
    let template = JobTemplate {
        job_type: job_type(pick),
        payload: payload(plan.payload),
        options: JobOptions::default(),
        partition: spec.partitions.as_ref().map(|_| partition(pick)),
        tags: vec![label(pick)],
    };
    Repeatable {
        key: repeatable_key(pick),
        queue: spec.name.clone(),
        template,
        schedule: Schedule::every(plan.every).expect("a valid period"),
        start: None,
        end: None,
        count: plan.count,
        missed: plan.missed,
        overlap: plan.overlap,
    }
}

/// Longer than any history.
pub(super) const FOR_EVER: Duration = secs(1_000_000);
