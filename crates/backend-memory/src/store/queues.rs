//! Declarations, pausing and figures.

use windlass_core::backend::hub::News;
use windlass_core::backend::{Declared, Result};
use windlass_core::decide::{Declaration, declare};
use windlass_core::model::{QueueInfo, QueueName, QueueSpec, QueueStats, Timestamp};

use super::Store;
use super::queue::Queue;

impl Store {
    pub(crate) fn declare(
        &mut self,
        spec: &QueueSpec,
        now: Timestamp,
        news: &mut News,
    ) -> Declared {
        let at = self.names.get(&spec.name).copied();
        let stored = at.map(|at| &*self.queues[at].spec);
        match (declare(stored, spec), at) {
            (Declaration::Unchanged, _) => Declared::Unchanged,
            (Declaration::Update, Some(at)) => {
                self.tick(at, now);
                self.queues[at].redeclare(spec.clone(), &self.jobs, now);
                news.touch(&spec.name);
                Declared::Updated
            }
            (Declaration::Conflict, Some(at)) => {
                Declared::Conflict(Box::new((*self.queues[at].spec).clone()))
            }
            // What is not stored can only be created.
            (_, None) | (Declaration::Create, Some(_)) => {
                let at = self.queues.insert(Queue::new(spec.clone(), now));
                self.names.insert(spec.name.clone(), at);
                news.touch(&spec.name);
                Declared::Created
            }
        }
    }

    pub(crate) fn pause(&mut self, queue: &QueueName) -> Result<()> {
        let at = self.queue_index(queue)?;
        self.queues[at].paused = true;
        Ok(())
    }

    pub(crate) fn resume(&mut self, queue: &QueueName, news: &mut News) -> Result<()> {
        let at = self.queue_index(queue)?;
        if std::mem::take(&mut self.queues[at].paused) {
            news.touch(queue);
        }
        Ok(())
    }

    pub(crate) fn queues(&self) -> Vec<QueueInfo> {
        self.names
            .values()
            .map(|at| &self.queues[*at])
            .map(|queue| QueueInfo { spec: (*queue.spec).clone(), paused: queue.paused })
            .collect()
    }

    pub(crate) fn stats(&mut self, queue: &QueueName, now: Timestamp) -> Result<QueueStats> {
        let at = self.queue_index(queue)?;
        self.tick(at, now);
        let stored = &mut self.queues[at];
        stored.starts.slide(stored.spec.limits.rate, now);
        Ok(QueueStats {
            queue: queue.clone(),
            jobs: stored.counts(),
            oldest_ready: stored.oldest_waiting(),
            leases: stored.leases.len() as u64,
            starts_in_window: u64::from(stored.starts.total()),
            paused: stored.paused,
            now,
        })
    }
}
