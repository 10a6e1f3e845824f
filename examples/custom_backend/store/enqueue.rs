//! New jobs (rules E1 to E5, N1).

use windlass::backend::{EnqueueAnswer, Enqueued, Refusal, Result};
use windlass::model::{Detail, Event, JobId, NewJob, Parent};

use super::Store;
use crate::keys::{Key, Space};
use crate::record::{Record, Stand};

/// What became of a batch, or which of its jobs cannot be stored.
pub(super) type Stored = std::result::Result<(Vec<Enqueued>, Vec<JobId>), (usize, Refusal)>;

impl Store<'_> {
    pub(crate) fn enqueue(&mut self, jobs: Vec<NewJob>) -> Result<EnqueueAnswer> {
        match self.store_all(&jobs)? {
            Ok((outcomes, blocked)) => {
                let mut unblocked = Vec::new();
                for id in blocked {
                    if let Some(record) = self.load(id)?.filter(Record::is_unblocked) {
                        unblocked.push(self.view(&record, Detail::Summary)?);
                    }
                }
                Ok(EnqueueAnswer::Stored { outcomes, unblocked, now: self.now })
            }
            Err((index, why)) => {
                // What was stored of the batch until here was not.
                self.undo();
                Ok(EnqueueAnswer::Refused { index, why, jobs })
            }
        }
    }

    /// Stores a batch. Answers what became of each job, and which are blocked.
    pub(super) fn store_all(&mut self, jobs: &[NewJob]) -> Result<Stored> {
        let mut outcomes = Vec::with_capacity(jobs.len());
        let mut blocked = Vec::new();
        for (index, job) in jobs.iter().enumerate() {
            match self.store(job)? {
                Ok(outcome) => {
                    if outcome == Enqueued::Stored && !job.depends_on.is_empty() {
                        blocked.push((index, job.id));
                    }
                    outcomes.push(outcome);
                }
                Err(why) => return Ok(Err((index, why))),
            }
        }
        // A dependency may stand behind its dependent in the batch.
        for (index, id) in &blocked {
            if let Err(why) = self.link(*id)? {
                return Ok(Err((*index, why)));
            }
        }
        Ok(Ok((outcomes, blocked.into_iter().map(|(_, id)| id).collect())))
    }

    /// Stores one job. Of one that will not be stored nothing else is looked at:
    /// the same batch again is no error, whatever has become of what it names.
    fn store(&mut self, job: &NewJob) -> Result<std::result::Result<Enqueued, Refusal>> {
        if self.find_queue(&job.queue)?.is_none() {
            return Ok(Err(Refusal::UnknownQueue(job.queue.clone())));
        }
        if let Some(existing) = self.load(job.id)? {
            let taken = existing.queue != job.queue;
            return Ok(if taken { Err(Refusal::IdTaken(job.id)) } else { Ok(Enqueued::Existing) });
        }
        if let Some(dedup) = &job.dedup
            && let Some(holder) = self.holder(&job.queue, &dedup.key)?
        {
            return Ok(Ok(match (holder.until, self.load(holder.by)?) {
                (_, Some(live)) if holder.live => {
                    Enqueued::Duplicate(Box::new(self.view(&live, Detail::Summary)?))
                }
                // A job that has ended has a key until some moment only.
                (until, _) => Enqueued::Held { by: holder.by, until: until.unwrap_or(self.now) },
            }));
        }
        if let Some(Parent { job: parent, token }) = &job.parent
            && !self.holds(parent, *token)?
        {
            return Ok(Err(Refusal::StaleParent(parent.clone())));
        }

        let mut record = Record::new(job, self.next("job")?, self.now);
        self.replace(None, Some(&mut record))?;
        self.pairs.put(&Key::of_job(Space::Payload, job.id), job.payload.as_slice())?;
        self.take_key(&record)?;
        self.news.happened(|| record.reference(), Event::Enqueued);
        if record.stand == Stand::Pending {
            self.news.touch(&job.queue);
        }
        Ok(Ok(Enqueued::Stored))
    }
}
