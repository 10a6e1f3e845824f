//! Declarations, pausing and figures (rules G3, Q1 and Q2).

use serde::{Deserialize, Serialize};
use windlass::backend::{Declared, Error, Result};
use windlass::decide::limit::horizon;
use windlass::decide::{Declaration, declare};
use windlass::model::{
    Limits, QueueInfo, QueueName, QueueSpec, QueueStats, Rate, State, Timestamp,
};

use super::Store;
use crate::keys::{Key, Space};

/// A queue as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QueueRow {
    pub(super) spec: QueueSpec,
    pub(super) paused: bool,
    pub(super) starts: Starts,
}

/// The starts that count against a rate: when, and how many, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Starts(pub(super) Vec<(Timestamp, u32)>);

impl Starts {
    /// Forgets what no longer counts. Without a rate nothing does.
    pub(super) fn slide(&mut self, rate: Option<Rate>, now: Timestamp) {
        match rate {
            Some(rate) => self.0.retain(|(moment, _)| *moment > horizon(rate, now)),
            None => self.0.clear(),
        }
    }

    /// Notes so many starts.
    pub(super) fn add(&mut self, rate: Option<Rate>, now: Timestamp, count: u32) {
        if rate.is_some() && count > 0 {
            self.0.push((now, count));
        }
    }
}

impl QueueRow {
    /// Whether the end of a job can let another one start.
    pub(super) fn is_limited(&self) -> bool {
        self.spec.limits != Limits::default() || self.spec.partitions.is_some()
    }
}

impl Store<'_> {
    pub(super) fn find_queue(&self, name: &QueueName) -> Result<Option<QueueRow>> {
        self.pairs.read(&Key::of_queue(Space::Queue, name))
    }

    pub(super) fn queue(&self, name: &QueueName) -> Result<QueueRow> {
        self.find_queue(name)?.ok_or_else(|| Error::unknown_queue(name))
    }

    pub(super) fn put_queue(&mut self, row: &QueueRow) -> Result<()> {
        self.pairs.write(&Key::of_queue(Space::Queue, &row.spec.name), row)
    }

    /// Core says what a declaration means for the stored one.
    pub(crate) fn declare(&mut self, spec: QueueSpec) -> Result<Declared> {
        let stored = self.find_queue(&spec.name)?;
        let name = spec.name.clone();
        match (declare(stored.as_ref().map(|row| &row.spec), &spec), stored) {
            (Declaration::Unchanged, _) => return Ok(Declared::Unchanged),
            (Declaration::Conflict, Some(row)) => {
                return Ok(Declared::Conflict(Box::new(row.spec)));
            }
            (Declaration::Update, Some(row)) => {
                self.put_queue(&QueueRow { spec, ..row })?;
                // Every line is to be judged by the new bounds.
                self.unsettle_all(&name)?;
                self.news.touch(&name);
                return Ok(Declared::Updated);
            }
            // What is not stored can only be created.
            (Declaration::Create, _) | (_, None) => {}
        }
        self.put_queue(&QueueRow { spec, paused: false, starts: Starts::default() })?;
        self.news.touch(&name);
        Ok(Declared::Created)
    }

    pub(crate) fn pause(&mut self, name: &QueueName) -> Result<()> {
        let row = self.queue(name)?;
        if !row.paused {
            self.put_queue(&QueueRow { paused: true, ..row })?;
        }
        Ok(())
    }

    pub(crate) fn resume(&mut self, name: &QueueName) -> Result<()> {
        let row = self.queue(name)?;
        if row.paused {
            self.put_queue(&QueueRow { paused: false, ..row })?;
            self.news.touch(name);
        }
        Ok(())
    }

    pub(crate) fn queues(&self) -> Result<Vec<QueueInfo>> {
        let mut all = Vec::new();
        for row in self.pairs.walk(Key::new(Space::Queue).below())? {
            let QueueRow { spec, paused, .. } = crate::kv::decode(&row?)?;
            all.push(QueueInfo { spec, paused });
        }
        Ok(all)
    }

    /// Counters and the first of an index: the cost does not grow with the
    /// number of jobs.
    pub(crate) fn stats(&mut self, name: &QueueName) -> Result<QueueStats> {
        let mut row = self.queue(name)?;
        self.pass_time(name)?;
        let mut jobs = [0; 8];
        for state in State::ALL {
            jobs[usize::from(state.code())] = self.counted(name, state)?;
        }
        let oldest = self.jobs_at(Key::of_queue(Space::Ready, name).below())?.next();
        row.starts.slide(row.spec.limits.rate, self.now);
        Ok(QueueStats {
            queue: name.clone(),
            jobs,
            oldest_ready: oldest.transpose()?.map(|record| record.due),
            leases: self.counted(name, State::Active)?,
            starts_in_window: row.starts.0.iter().map(|(_, count)| u64::from(*count)).sum(),
            paused: row.paused,
            now: self.now,
        })
    }
}
