//! The only place that talks to SQLite.
//!
//! A [`Store`] is a connection and what is known about the file; each of the
//! files beside this one adds the methods of one concern. The same methods run
//! on the writer's connection, on readers, and inside a caller's transaction.

mod apply;
mod clean;
pub(crate) mod connection;
mod counters;
mod dedup;
mod dependencies;
mod dequeue;
pub(crate) mod enqueue;
mod inbox;
mod insert;
pub(crate) mod lane;
mod lease;
mod limits;
mod listing;
mod log_size;
mod partitions;
pub(crate) mod query;
mod queues;
pub(crate) mod rare;
pub(crate) mod reader;
mod repeatables;
mod seldom;
mod steps;
#[cfg(test)]
mod tests;
mod workers;
pub(crate) mod writer;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use rusqlite::Connection;
use windlass_core::Error;
use windlass_core::backend::hub::News;
use windlass_core::model::{Clock, JobId, QueueName, QueueSpec, Timestamp};

use self::counters::Counters;
use self::query::{Query, Statements};
use self::seldom::Seldom;
use crate::error::Outcome;
use crate::record::{Codec, EncodedOptions};

/// The present moment, by the store's clock. Nothing else asks for the time.
pub(crate) fn now(clock: &Clock) -> Timestamp {
    match clock {
        Clock::Manual(clock) => clock.now(),
        Clock::Store => {
            let since = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            Timestamp::EPOCH.after(since)
        }
    }
}

/// A queue, as the transaction at hand sees it.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) id: i64,
    pub(crate) name: QueueName,
    pub(crate) spec: Arc<QueueSpec>,
    pub(crate) paused: bool,
}

/// A connection, its statements, and what the transaction at hand has gathered.
pub(crate) struct Store<'c> {
    pub(crate) conn: &'c Connection,
    clock: Clock,
    statements: Statements<'c>,
    codec: Codec<'c>,
    /// Declarations by their stored text: decoding one at each transaction
    /// would cost more than reading it.
    specs: HashMap<i64, (Vec<u8>, Arc<QueueSpec>)>,
    queues: HashMap<QueueName, Rc<Queue>>,
    /// The starts of queues whose rate is limited, oldest first.
    windows: HashMap<i64, VecDeque<(Timestamp, u32)>>,
    options: EncodedOptions,
    /// Jobs that were leased through this connection and on whose end nothing
    /// hung then: a hint that spares reading them when they end.
    leased: HashMap<JobId, Leased>,
    /// The store's time of this transaction.
    now: Timestamp,
    /// The next enqueue sequence, once it has been read.
    next_seq: Option<i64>,
    /// What is not yet written to the counters.
    counters: Counters,
    /// Partitions whose line or leases have changed since they were judged.
    unjudged: BTreeSet<(i64, Arc<str>)>,
    /// What is to be told after the commit.
    pub(crate) news: News,
    /// When unreadable rows were last told of.
    told_unreadable: Seldom,
}

impl<'c> Store<'c> {
    pub(crate) fn new(conn: &'c Connection, clock: Clock) -> Self {
        Self {
            conn,
            clock,
            statements: Statements::new(conn),
            codec: Codec::new(conn),
            specs: HashMap::new(),
            queues: HashMap::new(),
            windows: HashMap::new(),
            options: EncodedOptions::default(),
            leased: HashMap::new(),
            now: Timestamp::EPOCH,
            next_seq: None,
            counters: Counters::default(),
            unjudged: BTreeSet::new(),
            news: News::default(),
            told_unreadable: Seldom::default(),
        }
    }

    /// Begins a transaction's bookkeeping. To be called when the transaction
    /// has begun and holds its lock or its snapshot: whatever it sees was then
    /// written at an earlier time than its own.
    pub(crate) fn begin(&mut self, since: Since) {
        self.now = now(&self.clock);
        if since == Since::Unknown {
            self.next_seq = None;
            self.queues.clear();
            self.windows.clear();
        }
        self.counters.clear();
        self.unjudged.clear();
        self.news.clear();
    }

    /// Forgets what may not be so, after a transaction has failed.
    pub(crate) fn forget(&mut self) {
        self.codec.forget_queues();
        // A version that was rolled back is reached again, by other changes.
        self.leased.clear();
        self.begin(Since::Unknown);
    }

    /// Writes what the transaction has gathered. To be called before it
    /// commits.
    pub(crate) fn flush(&mut self) -> Outcome<()> {
        self.judge_partitions()?;
        self.counters.write(&mut self.statements)
    }

    /// The next enqueue sequence: behind every job that is stored, and behind
    /// every job that was the last and has been removed.
    fn next_seq(&mut self) -> Outcome<i64> {
        let seq = match self.next_seq {
            Some(seq) => seq,
            None => self.statements.get(Query::ReadNextSeq)?.query_row([], |row| row.get(0))?,
        };
        self.next_seq = Some(seq);
        Ok(seq)
    }

    /// Tells of rows that were passed over because nobody can read them: they
    /// must not keep the rest from being looked after, nor be passed over in
    /// silence.
    fn tell_unreadable(&mut self, what: &str, rows: usize, error: &Error) {
        if self.told_unreadable.is_time(std::time::Instant::now()) {
            tracing::error!(
                rows,
                error = format!("{error:#}"),
                "{what} that cannot be read are passed over; restore them from a backup, or remove \
                 their rows"
            );
        }
    }

    /// Sees to it that the number of a job that is about to be removed is not
    /// handed out again.
    fn retire_seq(&mut self, seq: i64) -> Outcome<()> {
        if seq + 1 == self.next_seq()? {
            self.statements.get(Query::WriteNextSeq)?.execute([seq + 1])?;
        }
        Ok(())
    }
}

/// What is known of a job since it was leased.
#[derive(Clone, Copy, Debug)]
struct Leased {
    seq: i64,
    /// The version it had then. Whatever has come to hang on it since has
    /// raised it.
    version: u64,
}

/// What is known about the file since the last transaction of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// Nobody else has changed it.
    Unchanged,
    /// Somebody may have.
    Unknown,
}
