//! What may start, in which order, and when to look again (rules O1 to O4, L1,
//! G1 to G5, P1 and P2).

use windlass_core::backend::{Again, Ask, Dequeued};
use windlass_core::model::{
    Detail, JobId, Lease, Limits, PartitionKey, QueueName, State, Timestamp,
};

use super::{Check, Entry, Model, Queue, ensure};

impl Model {
    pub(in super::super) fn dequeue(&mut self, ask: &Ask, answer: &Dequeued) -> Check {
        let now = self.now();
        self.is_now(answer.now)?;
        let queue = &self.queues[&ask.queue];
        ensure!(*answer.spec == queue.spec, "the declaration is {:?}", answer.spec);
        let expected = self.first(queue, &self.line(&ask.queue, now), now, ask.max as usize);
        let leased: Vec<JobId> = answer.jobs.iter().map(|job| job.id).collect();
        ensure!(leased == expected, "leased {leased:?}, not {expected:?}");
        for job in &answer.jobs {
            let lease = job.lease.ok_or("a job was given out without a lease")?;
            let at = self.find(&job.reference()).ok_or("a job that is not stored was leased")?;
            let entry = &mut self.jobs[at];
            ensure!(
                lease.token > entry.last_token,
                "{:?} of job {} came after {:?}",
                lease.token,
                job.id,
                entry.last_token
            );
            entry.last_token = lease.token;
            entry.version = entry.version.next();
            entry.job.state = State::Active;
            entry.job.started_at = Some(now);
            let until = now.after(ask.lease);
            entry.job.lease = Some(Lease { token: lease.token, until, worker: ask.worker });
            let partition = entry.job.partition.clone();
            let queue = self.queues.get_mut(&ask.queue).ok_or("a queue that is not declared")?;
            queue.starts.push((now, partition));
            self.meet(job, Detail::Full)?;
        }
        self.look_again(&ask.queue, ask.max as usize - leased.len(), answer.again)
    }

    /// Whether a dequeue that leased so many fewer than it might have may say
    /// this.
    fn look_again(&self, name: &QueueName, fewer: usize, again: Again) -> Check {
        let now = self.now();
        let queue = &self.queues[name];
        let line = self.line(name, now);
        let ran_out = |entry: &&Entry| entry.job.lease.is_some_and(|lease| lease.until <= now);
        if line.iter().any(ran_out) {
            // It may say that a take-over, which is due, makes room.
            return Ok(());
        }
        let until = match again {
            Again::Now => {
                ensure!(fewer == 0, "there is nothing more, but look at once");
                return Ok(());
            }
            Again::At(moment) => {
                ensure!(moment > now, "look again in the past, at {moment}");
                let changes = self.changes(queue, &line);
                ensure!(changes.contains(&moment), "look again at {moment}, when nothing happens");
                moment
            }
            Again::OnNotice => Timestamp::MAX,
        };
        let mut moments = self.changes(queue, &line);
        moments.push(now);
        moments.retain(|moment| (now..until).contains(moment));
        for moment in moments {
            // Leases that have run out by then are taken over, and make room.
            let line = self.line(name, moment);
            let kept = |entry: &&Entry| entry.job.lease.is_none_or(|lease| lease.until > moment);
            let line: Vec<_> = line.into_iter().filter(kept).collect();
            let next = self.first(queue, &line, moment, 1);
            ensure!(next.is_empty(), "look again {again:?}, but {next:?} may start at {moment}");
        }
        Ok(())
    }

    /// The jobs of a queue that are active, or in line at this moment, in the
    /// order in which they may start.
    fn line(&self, queue: &QueueName, moment: Timestamp) -> Vec<&Entry> {
        let of = |entry: &&Entry| {
            entry.job.queue == *queue
                && (entry.job.lease.is_some() || entry.is_pending() && !entry.has_expired(moment))
        };
        let mut line: Vec<&Entry> = self.jobs.iter().filter(of).collect();
        // The list is in the order of enqueue, and sorting keeps it.
        line.sort_by_key(|entry| {
            let key = entry.job.order.key(entry.job.place, 0);
            (key.primary, key.place)
        });
        line
    }

    /// The moments at which time changes something: a job becomes due or
    /// expires, a lease runs out, a start leaves its window.
    fn changes(&self, queue: &Queue, line: &[&Entry]) -> Vec<Timestamp> {
        let mut moments: Vec<Timestamp> = line.iter().map(|entry| entry.job.due).collect();
        for entry in line {
            moments.extend(entry.job.expires);
            moments.extend(entry.job.lease.map(|lease| lease.until));
        }
        let limits = [Some(&queue.spec.limits), queue.spec.partitions.as_ref().map(|p| &p.limits)];
        for rate in limits.into_iter().flatten().filter_map(|limits| limits.rate) {
            moments.extend(queue.starts.iter().map(|(moment, _)| moment.after(rate.period)));
        }
        moments
    }

    /// The first of a line that may start at this moment, one after the other.
    fn first(&self, queue: &Queue, line: &[&Entry], moment: Timestamp, max: usize) -> Vec<JobId> {
        let mut taken: Vec<&Entry> = Vec::new();
        // Partitions of which a job keeps its place, and is not due.
        let mut held: Vec<&PartitionKey> = Vec::new();
        if queue.paused {
            return Vec::new();
        }
        for entry in line.iter().filter(|entry| entry.job.lease.is_none()) {
            if taken.len() == max {
                break;
            }
            let job = &entry.job;
            if job.due > moment {
                held.extend(job.partition.as_ref().filter(|_| job.place <= moment));
                continue;
            }
            if job.partition.as_ref().is_some_and(|partition| held.contains(&partition)) {
                continue;
            }
            let all = queue.has_room(&queue.spec.limits, None, line, &taken, moment);
            let own = queue.spec.partitions.as_ref().is_none_or(|partitions| {
                let partition = job.partition.as_ref();
                queue.has_room(&partitions.limits, partition, line, &taken, moment)
            });
            if all && own {
                taken.push(entry);
            }
        }
        taken.into_iter().map(Entry::id).collect()
    }
}

impl Entry {
    pub(super) fn id(&self) -> JobId {
        self.job.id
    }
}

impl Queue {
    /// Whether limits leave room for one more job (of a partition, if it is
    /// theirs), beside those that are active or taken just now.
    fn has_room(
        &self,
        limits: &Limits,
        of: Option<&PartitionKey>,
        line: &[&Entry],
        taken: &[&Entry],
        moment: Timestamp,
    ) -> bool {
        let mine = |partition: &Option<PartitionKey>| of.is_none() || partition.as_ref() == of;
        let starting = taken.iter().filter(|entry| mine(&entry.job.partition)).count();
        let leased = line.iter().filter(|e| e.job.lease.is_some() && mine(&e.job.partition));
        let slot = limits.concurrency.is_none_or(|most| leased.count() + starting < most as usize);
        let start = limits.rate.is_none_or(|rate| {
            let since = moment.before(rate.period);
            let recent = self.starts.iter().filter(|(at, by)| *at > since && mine(by));
            recent.count() + starting < rate.limit as usize
        });
        slot && start
    }

    /// The starts that count against the queue's rate.
    pub(super) fn starts_in_window(&self, now: Timestamp) -> u64 {
        self.spec.limits.rate.map_or(0, |rate| {
            let since = now.before(rate.period);
            self.starts.iter().filter(|(at, _)| *at > since).count() as u64
        })
    }
}
