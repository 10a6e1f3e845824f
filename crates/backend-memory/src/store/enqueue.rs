//! New jobs (rules E1 to E5, N1).

use std::collections::{HashMap, HashSet};

use windlass_core::backend::hub::News;
use windlass_core::backend::{EnqueueAnswer, Enqueued, Refusal};
use windlass_core::model::{
    DedupRecord, Detail, Event, JobId, JobRef, NewDedup, NewJob, Parent, QueueName, Timestamp, When,
};

use super::Store;
use super::slab::Slot;
use crate::record::{Extra, Record, Stand};

impl Store {
    pub(crate) fn enqueue(
        &mut self,
        jobs: Vec<NewJob>,
        now: Timestamp,
        news: &mut News,
    ) -> EnqueueAnswer {
        // The whole batch is checked before anything is stored, so that
        // nothing has to be undone.
        if let Err((index, why)) = self.check(&jobs, now) {
            return EnqueueAnswer::Refused { index, why, jobs };
        }
        let (outcomes, blocked) = self.store_all(jobs, now, news);
        let unblocked = blocked
            .into_iter()
            .filter(|slot| self.jobs[*slot].is_unblocked())
            .map(|slot| self.view(slot, now, Detail::Summary))
            .collect();
        EnqueueAnswer::Stored { outcomes, unblocked, now }
    }

    /// Why the batch cannot be stored, if it cannot.
    ///
    /// Nothing is looked at that is named by a job which will not be stored: the
    /// same batch again is no error, whatever has become of parents and
    /// dependencies since.
    pub(super) fn check(&self, jobs: &[NewJob], now: Timestamp) -> Result<(), (usize, Refusal)> {
        let Some(first) = jobs.first() else {
            return Ok(());
        };
        let (mut linked, mut mixed, mut orphaned) = (false, false, false);
        let mut known: Option<(&QueueName, Slot)> = None;
        for (index, job) in jobs.iter().enumerate() {
            mixed |= job.queue != first.queue;
            let queue = match known {
                Some((name, queue)) if *name == job.queue => queue,
                _ => match self.names.get_key_value(&job.queue) {
                    Some((name, queue)) => {
                        known = Some((name, *queue));
                        *queue
                    }
                    None => return Err((index, Refusal::UnknownQueue(job.queue.clone()))),
                },
            };
            if let Some(slot) = self.ids.get(job.id, &self.jobs) {
                if self.jobs[slot].queue != queue {
                    return Err((index, Refusal::IdTaken(job.id)));
                }
                continue;
            }
            // It may turn out not to be stored, and then that does not matter.
            orphaned |= self.stale_parent(job).is_some();
            linked |= !job.depends_on.is_empty();
        }
        if linked || mixed || orphaned {
            self.check_together(jobs, now)?;
        }
        Ok(())
    }

    /// What can only be wrong with several jobs together.
    fn check_together(&self, jobs: &[NewJob], now: Timestamp) -> Result<(), (usize, Refusal)> {
        // Which jobs of the batch will be stored: a dependency that turns out
        // to be a duplicate would never end.
        let mut fresh: HashMap<JobId, &NewJob> = HashMap::with_capacity(jobs.len());
        let mut keys = HashSet::new();
        for (index, job) in jobs.iter().enumerate() {
            if self.ids.get(job.id, &self.jobs).is_some() {
                continue;
            }
            if let Some(twin) = fresh.get(&job.id) {
                if twin.queue != job.queue {
                    return Err((index, Refusal::IdTaken(job.id)));
                }
                continue;
            }
            if let Some(dedup) = &job.dedup {
                let key = (&job.queue, &dedup.key);
                let queue = self.names.get(&job.queue);
                let holder = queue.and_then(|at| self.queues[*at].dedup.holder(&dedup.key, now));
                if holder.is_some() || !keys.insert(key) {
                    continue;
                }
            }
            fresh.insert(job.id, job);
        }
        for (index, job) in jobs.iter().enumerate() {
            if fresh.get(&job.id).is_none_or(|stored| !std::ptr::eq(*stored, job)) {
                continue;
            }
            if let Some(parent) = self.stale_parent(job) {
                return Err((index, Refusal::StaleParent(parent.clone())));
            }
            let unknown = job.depends_on.iter().find(|dependency| {
                let in_batch = fresh.get(&dependency.id);
                in_batch.is_none_or(|found| found.queue != dependency.queue)
                    && self.find(dependency).is_none()
            });
            if let Some(dependency) = unknown {
                return Err((index, Refusal::UnknownDependency(dependency.clone())));
            }
        }
        Ok(())
    }

    /// The job whose handler enqueues this one, if it has lost its lease.
    fn stale_parent<'a>(&self, job: &'a NewJob) -> Option<&'a JobRef> {
        let Parent { job: parent, token } = job.parent.as_ref()?;
        (!self.holds(parent, *token)).then_some(parent)
    }

    /// Stores a checked batch. Answers what became of each job, and where
    /// those are that are blocked.
    pub(super) fn store_all(
        &mut self,
        jobs: Vec<NewJob>,
        now: Timestamp,
        news: &mut News,
    ) -> (Vec<Enqueued>, Vec<Slot>) {
        let mut blocked = Vec::new();
        let mut last: Option<Slot> = None;
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            let at = match last {
                Some(at) if self.queues[at].spec.name == job.queue => at,
                _ => {
                    // The check has seen to it that there is one.
                    let Some(&at) = self.names.get(&job.queue) else { continue };
                    self.tick(at, now);
                    last = Some(at);
                    at
                }
            };
            outcomes.push(self.store(job, at, &mut blocked, now, news));
        }
        // A dependency may stand behind its dependent in the batch.
        for slot in &blocked {
            self.link(*slot);
            self.queues[self.jobs[*slot].queue].attach(&mut self.jobs, *slot, now);
        }
        (outcomes, blocked)
    }

    fn store(
        &mut self,
        job: NewJob,
        at: Slot,
        blocked: &mut Vec<Slot>,
        now: Timestamp,
        news: &mut News,
    ) -> Enqueued {
        let Self { jobs, ids, queues, .. } = self;
        let queue = &mut queues[at];
        if ids.get(job.id, jobs).is_some() {
            return Enqueued::Existing;
        }
        if let Some(dedup) = &job.dedup
            && let Some(holder) = queue.dedup.holder(&dedup.key, now)
        {
            let live = ids.get(holder.by, jobs).filter(|_| holder.live);
            return match live {
                Some(slot) => {
                    let job = jobs[slot].view(&queue.spec.name, now, Detail::Summary);
                    Enqueued::Duplicate(Box::new(job))
                }
                // A job that has ended has a key until some moment only.
                None => Enqueued::Held { by: holder.by, until: holder.until.unwrap_or(now) },
            };
        }
        self.last_seq += 1;
        let seq = self.last_seq;
        let reference = || JobRef { queue: job.queue.clone(), id: job.id };
        news.happened(reference, Event::Enqueued);
        let id = job.id;
        let record = record(job, at, seq, now);
        if let Some(dedup) = record.dedup() {
            queue.dedup.take(dedup, id, now);
        }
        let is_blocked = record.stand.is_blocked();
        let slot = jobs.insert(record);
        ids.insert(id, slot);
        queue.all.insert(seq, slot);
        if is_blocked {
            blocked.push(slot);
        } else {
            queue.attach(jobs, slot, now);
            news.touch(&queue.spec.name);
        }
        Enqueued::Stored
    }
}

/// A new job as it is stored.
fn record(job: NewJob, queue: Slot, seq: u64, now: Timestamp) -> Record {
    let due = job.due.resolve(now);
    let stand = if job.depends_on.is_empty() { Stand::Waiting } else { Stand::Blocked };
    let plain = job.expires.is_none()
        && job.key.is_none()
        && job.dedup.is_none()
        && job.tags.is_empty()
        && job.flow.is_none()
        && job.parent.is_none()
        && job.depends_on.is_empty();
    let extra = (!plain).then(|| {
        Box::new(Extra {
            expires: job.expires.map(|expires| expires.resolve(now)),
            key: job.key,
            dedup: job.dedup.map(|dedup| dedup_record(dedup, now)),
            tags: job.tags,
            flow: job.flow,
            parent: job.parent.map(|parent| parent.job),
            depends_on: job.depends_on,
            ..Extra::default()
        })
    });
    Record {
        id: job.id,
        queue,
        stand,
        parked: false,
        cancel_requested: false,
        job_type: job.job_type,
        payload: job.payload,
        options: job.options,
        course: None,
        version: 1,
        seq,
        order: job.order,
        due,
        place: due,
        enqueued_at: now,
        started_at: None,
        partition: job.partition,
        extra,
    }
}

fn dedup_record(dedup: NewDedup, now: Timestamp) -> DedupRecord {
    let moment = |length| When::After(length).resolve(now);
    DedupRecord {
        key: dedup.key,
        held_until: dedup.hold.map(moment),
        latest: dedup.latest.map(moment),
    }
}
