//! The keyspace: what lies where, and in which order.
//!
//! The store is one sorted map of bytes. A key begins with its [`Space`], and
//! its parts sort as the values that they stand for do. So every question of a
//! queue ("the first in line", "leases that have run out") is a walk along the
//! keys with a common beginning.

use windlass::model::{JobId, OrderKey, PartitionKey, QueueName, Timestamp};

/// What a key leads to. In brackets, what follows it in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Space {
    /// A number that only grows (name).
    Counter,
    /// What a queue is declared to be (queue).
    Queue,
    /// How many jobs are in a state (queue, state).
    Count,
    /// A job (id).
    Job,
    /// Its payload (id).
    Payload,
    /// Its result (id).
    Result,
    /// A recorded step (job, position).
    Step,
    /// Who waits for a job (job, sequence of the dependent).
    Dependent,

    // Indexes: each leads to the id of a job.
    /// Every job (sequence).
    Every,
    /// Every job of a queue (queue, sequence).
    OfQueue,
    /// Blocked jobs about which core has to decide (queue, sequence).
    Unblocked,
    /// Pending jobs at the moment of their next change (queue, moment,
    /// sequence).
    Ripening,
    /// Pending jobs whose moment has come (queue, moment, sequence).
    Ready,
    /// Jobs that never started, by when they expire (queue, moment, sequence).
    Expiring,
    /// Jobs in line (queue, partition, order key).
    Line,
    /// Jobs that join a line later (queue, partition, moment, sequence).
    Arriving,
    /// Active jobs, by the end of their lease (queue, moment, sequence).
    Lease,
    /// The same within a partition (queue, partition, moment, sequence).
    LineLease,
    /// Ended jobs, by when they ended (queue, state, moment, sequence).
    Ended,

    // Lines, which are partitions, and the one line of a queue without them.
    /// What a line remembers (queue, partition).
    LineRow,
    /// Lines that can start a job now (queue, order key of the first).
    Startable,
    /// Lines that time opens (queue, moment, partition).
    Opening,
    /// Lines that time lets forget (queue, moment, partition).
    Fading,

    /// Who has a deduplication key (queue, key).
    Dedup,
    /// Deduplication keys that only time frees (queue, moment, key).
    Held,
    /// A repeatable (queue, key).
    Repeatable,
    /// Repeatables by when they are due (moment, queue, key).
    Due,
    /// A worker (id).
    Worker,
}

/// A key, part by part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    pub(crate) fn new(space: Space) -> Self {
        Self(vec![space as u8])
    }

    pub(crate) fn of_queue(space: Space, queue: &QueueName) -> Self {
        Self::new(space).text(queue.as_str())
    }

    pub(crate) fn of_job(space: Space, job: JobId) -> Self {
        let mut key = Self::new(space);
        key.0.extend_from_slice(job.as_bytes());
        key
    }

    pub(crate) fn of_line(space: Space, queue: &QueueName, line: Option<&PartitionKey>) -> Self {
        Self::of_queue(space, queue).line(line)
    }

    /// No name and no key contains NUL, so that it can end them (rule E5).
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    pub(crate) fn line(mut self, line: Option<&PartitionKey>) -> Self {
        self.0.push(u8::from(line.is_some()));
        self.text(line.map_or("", PartitionKey::as_str))
    }

    /// Big endian, so that bytes sort as numbers do.
    pub(crate) fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// With the sign turned, so that negative numbers sort before the others.
    pub(crate) fn signed(self, number: i64) -> Self {
        self.number(number.cast_unsigned() ^ (1 << 63))
    }

    pub(crate) fn moment(self, moment: Timestamp) -> Self {
        self.signed(moment.as_micros())
    }

    pub(crate) fn order(self, order: OrderKey) -> Self {
        self.signed(order.primary).moment(order.place).number(order.seq)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Every key that begins with this one.
    pub(crate) fn below(&self) -> Keys {
        Keys { from: self.0.clone(), until: successor(&self.0) }
    }
}

/// A stretch of keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// The first one.
    pub(crate) from: Vec<u8>,
    /// The first one behind it.
    pub(crate) until: Vec<u8>,
}

impl Keys {
    /// Only what lies behind this key and all that begins with it.
    pub(crate) fn behind(self, key: &Key) -> Self {
        Self { from: successor(&key.0), ..self }
    }

    /// Only what lies before this key.
    pub(crate) fn before(self, key: &Key) -> Self {
        Self { until: key.0.clone(), ..self }
    }

    /// Only what lies before this key, begins with it or is it.
    pub(crate) fn up_to(self, key: &Key) -> Self {
        Self { until: successor(&key.0), ..self }
    }
}

/// The first key behind all that begin with these bytes.
fn successor(bytes: &[u8]) -> Vec<u8> {
    let mut next = bytes.to_vec();
    // The first byte is a space's, of which there are far fewer than 255.
    while let Some(last) = next.pop() {
        if last < u8::MAX {
            next.push(last + 1);
            break;
        }
    }
    next
}
