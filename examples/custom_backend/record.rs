//! A job as it is stored, and in which indexes it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use windlass::model::{
    Course, DedupKey, DedupRecord, Dependencies, End, FlowId, Job, JobId, JobKey, JobOptions,
    JobRef, JobType, Lease, NewJob, OrderKey, OrderMode, OrderRule, PartitionKey, Progress,
    QueueName, State, Tag, Timestamp, Token, When, WorkerId,
};

use crate::keys::{Key, Space};

/// A job as it is stored. Payload and result lie beside it, so that listings
/// need not read them. `options`, `course` and `progress` are core's own: they
/// are carried, and never looked into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: JobId,
    pub(crate) queue: QueueName,
    pub(crate) seq: u64,
    pub(crate) version: u64,
    pub(crate) stand: Stand,
    /// As of when its indexes hold: whether it is ready, in line or past its
    /// expiry is judged by this moment.
    pub(crate) seen: Timestamp,
    pub(crate) due: Timestamp,
    pub(crate) place: Timestamp,
    pub(crate) base: i64,
    pub(crate) order_mode: u8,
    pub(crate) job_type: JobType,
    pub(crate) options: JobOptions,
    pub(crate) course: Course,
    pub(crate) progress: Option<Progress>,
    pub(crate) enqueued_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) cancel_requested: bool,
    pub(crate) key: Option<JobKey>,
    pub(crate) dedup: Option<StoredDedup>,
    pub(crate) partition: Option<PartitionKey>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) flow: Option<FlowId>,
    pub(crate) parent: Option<JobRef>,
    pub(crate) depends_on: Vec<JobRef>,
    /// How many of those have not ended.
    pub(crate) open: u32,
    /// How many of those ended in another way than completed.
    pub(crate) broken: u32,
    pub(crate) has_dependents: bool,
}

/// Where a job stands. Whether a pending one is scheduled or waiting is a
/// question of time, and not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stand {
    Blocked,
    Pending,
    Active { token: Token, until: Timestamp, worker: WorkerId },
    Ended { end: End, at: Timestamp },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredDedup {
    pub(crate) key: DedupKey,
    pub(crate) held_until: Option<Timestamp>,
    pub(crate) latest: Option<Timestamp>,
}

impl Record {
    /// A new job as it is stored at `now`.
    pub(crate) fn new(job: &NewJob, seq: u64, now: Timestamp) -> Self {
        let due = job.due.resolve(now);
        Self {
            id: job.id,
            queue: job.queue.clone(),
            seq,
            version: 1,
            stand: if job.depends_on.is_empty() { Stand::Pending } else { Stand::Blocked },
            seen: now,
            due,
            place: due,
            base: job.order.base,
            order_mode: job.order.mode.code(),
            job_type: job.job_type.clone(),
            options: (*job.options).clone(),
            course: Course::default(),
            progress: None,
            enqueued_at: now,
            started_at: None,
            expires: job.expires.map(|expires| expires.resolve(now)),
            cancel_requested: false,
            key: job.key.clone(),
            dedup: job.dedup.as_ref().map(|dedup| StoredDedup {
                key: dedup.key.clone(),
                held_until: dedup.hold.map(|length| When::After(length).resolve(now)),
                latest: dedup.latest.map(|length| When::After(length).resolve(now)),
            }),
            partition: job.partition.clone(),
            tags: job.tags.clone(),
            flow: job.flow,
            parent: job.parent.as_ref().map(|parent| parent.job.clone()),
            depends_on: job.depends_on.clone(),
            open: 0,
            broken: 0,
            has_dependents: false,
        }
    }

    /// The state it is in at `now`, with no help from any scanner (rule O4).
    pub(crate) fn state(&self, now: Timestamp) -> State {
        match self.stand {
            Stand::Blocked => State::Blocked,
            Stand::Pending if self.due <= now => State::Waiting,
            Stand::Pending => State::Scheduled,
            Stand::Active { .. } => State::Active,
            Stand::Ended { end, .. } => end.into(),
        }
    }

    pub(crate) fn lease(&self) -> Option<Lease> {
        match self.stand {
            Stand::Active { token, until, worker } => Some(Lease { token, until, worker }),
            _ => None,
        }
    }

    pub(crate) fn end(&self) -> Option<End> {
        match self.stand {
            Stand::Ended { end, .. } => Some(end),
            _ => None,
        }
    }

    /// Whether core has to decide about it, should it be blocked.
    pub(crate) fn is_unblocked(&self) -> bool {
        self.stand == Stand::Blocked && (self.open == 0 || self.broken > 0)
    }

    pub(crate) fn reference(&self) -> JobRef {
        JobRef { queue: self.queue.clone(), id: self.id }
    }

    /// The job as callers see it at `now`.
    pub(crate) fn view(&self, now: Timestamp) -> Job {
        Job {
            id: self.id,
            queue: self.queue.clone(),
            job_type: self.job_type.clone(),
            payload: None,
            options: Arc::new(self.options.clone()),
            course: self.course.clone(),
            state: self.state(now),
            version: self.version,
            seq: self.seq,
            order: self.order(),
            due: self.due,
            place: self.place,
            enqueued_at: self.enqueued_at,
            started_at: self.started_at,
            finished_at: match self.stand {
                Stand::Ended { at, .. } => Some(at),
                _ => None,
            },
            expires: self.expires,
            lease: self.lease(),
            cancel_requested: self.cancel_requested,
            result: None,
            progress: self.progress.clone(),
            key: self.key.clone(),
            dedup: self.dedup.clone().map(|dedup| DedupRecord {
                key: dedup.key,
                held_until: dedup.held_until,
                latest: dedup.latest,
            }),
            partition: self.partition.clone(),
            tags: self.tags.clone(),
            flow: self.flow,
            parent: self.parent.clone(),
            dependencies: Dependencies { open: self.open, broken: self.broken },
            has_dependents: self.has_dependents,
        }
    }

    /// The keys of the indexes that it is in: a function of the record alone.
    /// A change of a job replaces the keys of the old record by those of the
    /// new one, so that no index can be forgotten.
    pub(crate) fn index(&self) -> Vec<Key> {
        let of_queue = |space| Key::of_queue(space, &self.queue);
        let in_line = |space| Key::of_line(space, &self.queue, self.partition.as_ref());
        let at = |key: Key, moment| key.moment(moment).number(self.seq);

        let mut keys = vec![
            Key::new(Space::Every).number(self.seq),
            of_queue(Space::OfQueue).number(self.seq),
        ];
        let expires = self.expires.filter(|_| self.started_at.is_none());
        if let (Stand::Blocked | Stand::Pending, Some(expires)) = (self.stand, expires) {
            keys.push(at(of_queue(Space::Expiring), expires));
        }
        match self.stand {
            Stand::Blocked if self.is_unblocked() => {
                keys.push(of_queue(Space::Unblocked).number(self.seq));
            }
            Stand::Blocked => {}
            Stand::Pending => {
                let joins = self.joins();
                if self.due <= self.seen {
                    keys.push(at(of_queue(Space::Ready), self.due));
                }
                if expires.is_none_or(|expires| expires > self.due.max(self.seen)) {
                    keys.push(if joins <= self.seen {
                        in_line(Space::Line).order(self.order_key())
                    } else {
                        at(in_line(Space::Arriving), joins)
                    });
                }
                let changes = [Some(self.due), Some(joins), expires].into_iter().flatten();
                if let Some(next) = changes.filter(|moment| *moment > self.seen).min() {
                    keys.push(at(of_queue(Space::Ripening), next));
                }
            }
            Stand::Active { until, .. } => {
                keys.push(at(of_queue(Space::Lease), until));
                keys.push(at(in_line(Space::LineLease), until));
            }
            Stand::Ended { end, at: ended } => {
                let key = of_queue(Space::Ended).number(State::from(end).code().into());
                keys.push(at(key, ended));
            }
        }
        keys
    }

    /// When it joins the line. In a partition, at the moment of its place:
    /// from then on it holds up what stands behind it, even while it is put
    /// off. Elsewhere, when it is due.
    pub(crate) fn joins(&self) -> Timestamp {
        if self.partition.is_some() { self.place } else { self.due }
    }

    /// Where it stands in line (rule O1).
    pub(crate) fn order_key(&self) -> OrderKey {
        self.order().key(self.place, self.seq)
    }

    fn order(&self) -> OrderRule {
        // The codes are those that this file wrote.
        let mode = OrderMode::from_code(self.order_mode).unwrap_or_default();
        OrderRule { base: self.base, mode }
    }
}
