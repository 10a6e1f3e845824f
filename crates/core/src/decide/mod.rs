//! The rules: what becomes of a job, decided once, for every backend.
//!
//! Each file answers one question. Everything here is a pure function from
//! what is known to what is to be done: no clock, no randomness, no store.

pub mod control;
mod declare;
mod dependency;
pub mod durable;
mod enqueue;
mod finish;
pub mod limit;
mod missed;
mod order;
mod overdue;
pub mod repeat;
mod retention;
pub mod shards;

pub use declare::{Declaration, InvalidQueue, check_queue, declare};
pub use dependency::unblocked;
pub use enqueue::{
    Conflict, Dedup, InvalidJob, JobRequest, MAX_TAGS, OnDuplicate, check_graph, conflict, enqueue,
};
pub use finish::{Attempt, MAX_UNKNOWN_TYPE_DELAY, Outcome, Retryable, finish};
pub use order::{order_rule, rank};
pub use overdue::overdue;
pub use retention::cleaning;

use crate::backend::{Expiry, Guard, LeaseGuard, Target, Transition};
use crate::model::{Event, Job};

/// A change of a job as it was seen, that touches nothing but where it stands.
fn transition(job: &Job, to: Target, event: Event) -> Transition {
    Transition {
        job: job.reference(),
        guard: Guard { version: job.version, lease: LeaseGuard::Any },
        to,
        course: None,
        payload: None,
        expiry: Expiry::Unchanged,
        steps: Vec::new(),
        event,
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Jobs to decide about.

    use std::sync::Arc;

    use crate::model::*;

    pub(crate) fn queue() -> QueueName {
        QueueName::new("q").unwrap()
    }

    pub(crate) const fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    /// A waiting job whose fields all differ.
    pub(crate) fn waiting() -> Job {
        Job {
            id: JobId::from_bytes([7; 16]),
            queue: queue(),
            job_type: JobType::new("t").unwrap(),
            payload: None,
            options: Arc::new(JobOptions {
                retry: Retry { jitter: 0.0, max_attempts: 3, ..Retry::default() },
                ..JobOptions::default()
            }),
            course: Course::default(),
            state: State::Waiting,
            version: 11,
            seq: 5,
            order: OrderRule::default(),
            due: at(200),
            place: at(200),
            enqueued_at: at(100),
            started_at: None,
            finished_at: None,
            expires: None,
            lease: None,
            cancel_requested: false,
            result: None,
            progress: None,
            key: None,
            dedup: None,
            partition: None,
            tags: Vec::new(),
            flow: None,
            parent: None,
            dependencies: Dependencies::default(),
            has_dependents: false,
        }
    }

    pub(crate) const TOKEN: Token = Token(4);

    /// An active job under [`TOKEN`].
    pub(crate) fn active() -> Job {
        Job {
            state: State::Active,
            started_at: Some(at(300)),
            lease: Some(Lease {
                token: TOKEN,
                until: at(900),
                worker: WorkerId::from_bytes([9; 16]),
            }),
            ..waiting()
        }
    }
}
