//! What each call does with the pairs. All of it runs inside one transaction
//! that has the store for itself, so that every call is one atomic step.

mod apply;
mod clean;
mod dedup;
mod dependencies;
mod dequeue;
mod enqueue;
mod lease;
mod lines;
mod looking;
mod queues;
mod repeatables;
mod steps;
mod workers;

use std::collections::BTreeSet;

use windlass::backend::hub::News;
use windlass::backend::{Error, ErrorKind, Result};
use windlass::model::{
    Detail, Job, JobId, JobRef, PartitionKey, Payload, QueueName, State, Timestamp,
};

use crate::keys::{Key, Keys, Space};
use crate::kv::Pairs;
use crate::record::{Record, Stand};

/// How many jobs a page holds at most.
const MAX_PAGE: u32 = 1000;

/// The store, during one transaction.
pub(crate) struct Store<'t> {
    pairs: Pairs<'t>,
    now: Timestamp,
    /// What there is to tell, once it is committed.
    news: News,
    /// Lines that have changed, and are not yet listed where they now belong.
    unsettled: BTreeSet<(QueueName, Option<PartitionKey>)>,
    undone: bool,
}

/// What a transaction comes to.
pub(crate) enum Finish {
    /// It is to be committed, and this told.
    Commit(News),
    /// There is nothing to commit.
    Nothing,
}

impl<'t> Store<'t> {
    /// Begins at the time of a clock. Time never runs backwards between two
    /// steps that changed anything: a machine's clock may be set back, and a
    /// lease must not come to life again by that.
    pub(crate) fn begin(pairs: Pairs<'t>, clock: Timestamp, news: News) -> Result<Self> {
        let last = pairs.read::<Timestamp>(&counter("clock"))?;
        let now = last.map_or(clock, |last| last.max(clock));
        Ok(Self { pairs, now, news, unsettled: BTreeSet::new(), undone: false })
    }

    pub(crate) fn finish(mut self) -> Result<Finish> {
        if self.undone {
            return Ok(Finish::Nothing);
        }
        self.settle()?;
        if !self.pairs.changed() {
            return Ok(Finish::Nothing);
        }
        self.pairs.write(&counter("clock"), &self.now)?;
        Ok(Finish::Commit(self.news))
    }

    /// Lets this transaction change nothing after all.
    fn undo(&mut self) {
        self.undone = true;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// The next number of a sequence. What was handed out once, by a
    /// transaction that committed, never comes again, however often jobs are
    /// removed.
    fn next(&mut self, sequence: &str) -> Result<u64> {
        let key = counter(sequence);
        let next = self.pairs.read::<u64>(&key)?.unwrap_or(0) + 1;
        self.pairs.write(&key, &next)?;
        Ok(next)
    }

    // ── jobs ───────────────────────────────────────────────────────────────

    fn load(&self, id: JobId) -> Result<Option<Record>> {
        self.pairs.read(&Key::of_job(Space::Job, id))
    }

    /// The job, if it is in the queue in which it is said to be.
    fn find(&self, job: &JobRef) -> Result<Option<Record>> {
        Ok(self.load(job.id)?.filter(|record| record.queue == job.queue))
    }

    /// The job that an index leads to.
    fn follow(&self, value: &[u8]) -> Result<Record> {
        let id: Option<[u8; 16]> = value.try_into().ok();
        let found = id.map(|id| self.load(JobId::from_bytes(id))).transpose()?.flatten();
        found.ok_or_else(|| Error::new(ErrorKind::Incompatible, "an index leads nowhere"))
    }

    /// The jobs that an index has at these keys, in its order.
    fn jobs_at(
        &self,
        keys: Keys,
    ) -> Result<impl DoubleEndedIterator<Item = Result<Record>> + use<'_, 't>> {
        Ok(self.pairs.walk(keys)?.map(|value| self.follow(&value?)))
    }

    /// Replaces a job by what it has become, with everything that goes by it:
    /// indexes, figures and its line. `None` is a job that is not there.
    fn replace(&mut self, old: Option<&Record>, new: Option<&mut Record>) -> Result<()> {
        let now = self.now;
        let new = new.map(|new| {
            new.seen = now;
            &*new
        });
        let before = old.map(Record::index).unwrap_or_default();
        let after = new.map(Record::index).unwrap_or_default();
        for key in before.iter().filter(|key| !after.contains(key)) {
            self.pairs.remove(key)?;
        }
        for record in [old, new].into_iter().flatten() {
            // What is blocked or has ended is in no line.
            if matches!(record.stand, Stand::Pending | Stand::Active { .. }) {
                self.unsettled.insert((record.queue.clone(), record.partition.clone()));
            }
        }
        if let Some(new) = new {
            for key in after.iter().filter(|key| !before.contains(key)) {
                self.pairs.put(key, new.id.as_bytes())?;
            }
            self.pairs.write(&Key::of_job(Space::Job, new.id), new)?;
        } else if let Some(old) = old {
            for space in [Space::Job, Space::Payload, Space::Result] {
                self.pairs.remove(&Key::of_job(space, old.id))?;
            }
        }
        // The figures count what the indexes say, as of the same moment.
        let counted = |record: &Record| (record.queue.clone(), record.state(record.seen));
        let (before, after) = (old.map(counted), new.map(counted));
        if before != after {
            if let Some((queue, state)) = before {
                self.count(&queue, state, -1)?;
            }
            if let Some((queue, state)) = after {
                self.count(&queue, state, 1)?;
            }
        }
        Ok(())
    }

    /// Stores the change of a job.
    fn change(&mut self, old: &Record, new: &mut Record) -> Result<()> {
        self.replace(Some(old), Some(new))
    }

    fn view(&self, record: &Record, detail: Detail) -> Result<Job> {
        let job = record.view(self.now);
        Ok(match detail {
            Detail::Summary => job,
            Detail::Full => Job {
                payload: Some(self.payload(Space::Payload, record.id)?.unwrap_or_default()),
                result: self.payload(Space::Result, record.id)?,
                ..job
            },
        })
    }

    fn payload(&self, space: Space, id: JobId) -> Result<Option<Payload>> {
        Ok(self.pairs.get(&Key::of_job(space, id))?.map(Payload::from))
    }

    // ── figures ────────────────────────────────────────────────────────────

    fn count(&mut self, queue: &QueueName, state: State, by: i64) -> Result<()> {
        let key = count_key(queue, state);
        let count = self.pairs.read::<u64>(&key)?.unwrap_or(0).saturating_add_signed(by);
        self.pairs.write(&key, &count)
    }

    fn counted(&self, queue: &QueueName, state: State) -> Result<u64> {
        Ok(self.pairs.read(&count_key(queue, state))?.unwrap_or(0))
    }
}

fn counter(name: &str) -> Key {
    Key::new(Space::Counter).text(name)
}

fn count_key(queue: &QueueName, state: State) -> Key {
    Key::of_queue(Space::Count, queue).number(state.code().into())
}
