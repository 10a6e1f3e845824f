//! Queues that are spread over shards, as one.
//!
//! Below, in `store/`, each shard is a queue like any other, with a slot of its own: they
//! know nothing of each other, and tell each other of dependencies as queues do. Here a
//! call finds the shards that it concerns, and their answers become one. What a job's
//! shard is, is decided in [`shards`].
//!
//! - A new job goes where its keys say.
//! - A guard says by itself in which shard it is to be compared: versions and tokens carry
//!   the number of the shard. What is seen of a job is marked so on its way out; on its way
//!   in, the mark is left behind where numbers become 6 bytes (`store/encode.rs`).
//! - A job that only its id is known of is looked for where its id says, or where it was
//!   seen, and then everywhere.
//! - A declaration is kept whole with each shard, with its part of the bounds. The first
//!   shard also has over how many shards the queue is spread, and has the last word.
//!
//! A queue that was never spread is its own first shard: nothing of it is looked up on the
//! way of a call but what is known of its declaration.

mod change;
mod declare;
mod dequeue;
mod enqueue;
mod find;
mod look;
mod whereabouts;

use std::collections::HashMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use windlass_core::decide::shards::{self, Extent};
use windlass_core::model::{Job, JobRef, Lease, MAX_SHARDS, QueueName, Token};
use windlass_core::{Error, ErrorKind};

use crate::store::Store;
use dequeue::Late;
use whereabouts::Whereabouts;

/// For so long what is known of a declaration is taken for true by processes that only
/// enqueue, and so are not told with each answer.
const OLD: Duration = Duration::from_secs(5);

/// The store, in which queues may be spread.
pub(crate) struct Spread {
    store: Store,
    /// Under which names the shards of queues are kept.
    names: Mutex<HashMap<QueueName, Names>>,
    /// With which shard the next dequeue begins.
    turn: AtomicU32,
    whereabouts: Whereabouts,
    /// What shards gave that were not waited for.
    late: Arc<Late>,
    runtime: Handle,
}

/// The names of all shards that a queue can have, in order.
type Names = Arc<[QueueName]>;

impl Spread {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            names: Mutex::default(),
            turn: AtomicU32::new(0),
            whereabouts: Whereabouts::default(),
            late: Arc::default(),
            runtime: Handle::current(),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    fn names(&self, queue: &QueueName) -> Names {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(queue) {
            return Arc::clone(known);
        }
        let made: Names = (0..MAX_SHARDS).map(|shard| shards::name(queue, shard)).collect();
        names.insert(queue.clone(), Arc::clone(&made));
        made
    }

    /// Under which name a shard of a queue is kept.
    fn name(&self, queue: &QueueName, shard: u32) -> QueueName {
        match shard {
            0 => queue.clone(),
            _ => self.names(queue).get(shard as usize).unwrap_or(queue).clone(),
        }
    }

    /// The shards of a queue that is spread so.
    fn all_names(&self, queue: &QueueName, extent: Extent) -> Vec<QueueName> {
        self.names(queue).iter().take(extent.all as usize).cloned().collect()
    }

    /// Over which shards a queue is spread now.
    async fn look(&self, queue: &QueueName) -> Result<Extent, Error> {
        // One that is not declared is none; whatever is asked of it says so.
        Ok(self.store.look_at(queue).await?.map_or_else(Extent::default, |seen| seen.extent))
    }

    /// Whether a queue is known to be spread, and so: what it takes to go by it without a
    /// look.
    fn known_to_be_spread(&self, queue: &QueueName) -> Option<Extent> {
        self.store.known_extent(queue).filter(|extent| !extent.is_one())
    }
}

/// Marks a job of a shard as it is seen from outside.
fn mark(job: &mut Job, queue: &QueueName, shard: u32) {
    if shard == 0 {
        return;
    }
    job.queue = queue.clone();
    job.version = shards::seen_as(shard, job.version);
    job.lease = job
        .lease
        .map(|lease| Lease { token: Token(shards::seen_as(shard, lease.token.0)), ..lease });
}

/// The same for one of any queue.
fn mark_any(job: &mut Job) {
    if let Some((queue, shard)) = shards::split_name(&job.queue) {
        mark(job, &queue, shard);
    }
}

/// A job as it is called from outside.
fn queue_of(job: JobRef) -> JobRef {
    JobRef { queue: shards::queue_of(&job.queue), id: job.id }
}

/// An error that names the queue, and not its shard.
fn of_queue(error: Error, queue: &QueueName) -> Error {
    match error.kind() {
        ErrorKind::UnknownQueue => Error::unknown_queue(queue),
        _ => error,
    }
}

#[cfg(test)]
mod samples {
    //! Jobs as a shard has them.

    use std::sync::Arc;

    use windlass_core::model::*;

    /// A job whose sequence number, version and token are this number.
    pub(super) fn job(n: u8, state: State) -> Job {
        let moment = Timestamp::from_micros(1);
        let (token, worker) = (Token(n.into()), WorkerId::from_bytes([0; 16]));
        let lease = Lease { token, until: moment, worker };
        Job {
            id: JobId::from_bytes([n; 16]),
            queue: QueueName::new("q").unwrap(),
            job_type: JobType::new("t").unwrap(),
            payload: None,
            options: Arc::default(),
            course: Course::default(),
            state,
            version: n.into(),
            seq: n.into(),
            order: OrderRule::default(),
            due: moment,
            place: moment,
            enqueued_at: moment,
            started_at: None,
            finished_at: None,
            expires: None,
            lease: (state == State::Active).then_some(lease),
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
}
