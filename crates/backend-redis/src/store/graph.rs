//! What jobs of different queues have to tell each other (rules N1 to N3, N5).

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use windlass_core::model::{Dependency, Job, JobId, JobRef, NewJob, QueueName, State, Timestamp};
use windlass_core::{Error, ErrorKind};

use super::enqueue::{Noting, abroad_of, read_id};
use super::queues::read_name;
use super::reply::Reply;
use super::{Arguments, Place, Script, Store, read_jobs};
use crate::error::damaged;

/// So long somebody waits for another queue to hear what it is told.
const GRACE: Duration = Duration::from_secs(2);

/// So many doubts one look answers, as `src/scripts/read_outbox.lua` has it.
const DOUBTS: usize = 100;

/// Within this time a batch over several queues is stored, or never will be.
const STORED_WITHIN: Duration = Duration::from_secs(3600);

/// A message of a queue to another one: the field and the value in its outbox.
struct Message {
    field: Vec<u8>,
    value: Vec<u8>,
}

impl Message {
    /// What the other queue is told, and its name.
    fn split(&self) -> Result<(Vec<u8>, QueueName), Error> {
        let of_count = 1;
        let of_need = 7;
        let at = if self.field.first() == Some(&b'c') { of_count } else { of_need };
        let (told, name) = self
            .value
            .split_at_checked(at)
            .ok_or_else(|| damaged("a message between queues", "it is too short"))?;
        let mut whole = self.field.clone();
        whole.extend_from_slice(told);
        Ok((whole, read_name(name)?))
    }
}

/// Reads the messages of an answer.
fn read_messages(reply: &mut Reply) -> Result<Vec<Message>, Error> {
    let mut list = reply.list()?;
    let mut messages = Vec::new();
    while !list.is_at_end() {
        messages.push(Message { field: list.bytes()?, value: list.bytes()? });
    }
    Ok(messages)
}

impl Store {
    /// Jobs of a queue by their ids, those that are stored, and the store's time.
    pub(crate) async fn read(
        &self,
        queue: &QueueName,
        ids: &[JobId],
        full: bool,
    ) -> Result<(Vec<Job>, Timestamp), Error> {
        let mut arguments = Arguments::with_room_for(ids.len() + 1);
        arguments.add(if full { "1" } else { "0" });
        for id in ids {
            arguments.add(id.as_bytes());
        }
        let mut reply = self.call(Place::Queue(queue), Script::ReadJobs, arguments).await?;
        let now = reply.moment()?;
        Ok((read_jobs(&mut reply, queue, now, full)?, now))
    }

    /// How dependencies in `of` stand for jobs of a queue, pair by pair: o, c, b, or - for
    /// one that is not there.
    pub(super) async fn link_jobs(
        &self,
        of: &QueueName,
        queue: &QueueName,
        pairs: &[(JobId, JobId)],
        noting: Noting,
    ) -> Result<Vec<u8>, Error> {
        let mut arguments = Arguments::with_room_for(pairs.len() + 1);
        arguments.add(queue.as_str());
        for (dependency, id) in pairs {
            let mut pair = Vec::with_capacity(33);
            pair.extend_from_slice(dependency.as_bytes());
            pair.extend_from_slice(id.as_bytes());
            pair.push(match noting {
                Noting::Ask => b'a',
                Noting::Will => b'r',
                Noting::Does => b'n',
            });
            arguments.add(pair);
        }
        let mut reply = self.call(Place::Queue(of), Script::Link, arguments).await?;
        reply.moment()?;
        reply.bytes()
    }

    /// Takes back that jobs, which are not stored, depend on some of other queues.
    pub(super) async fn unlink(&self, queue: &QueueName, jobs: &[&NewJob]) -> Result<(), Error> {
        let ids: Vec<JobId> =
            jobs.iter().filter(|job| !abroad_of(job).is_empty()).map(|job| job.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        // One that was stored before still depends on them.
        let stored: Vec<JobId> =
            self.read(queue, &ids, false).await?.0.iter().map(|job| job.id).collect();
        for job in jobs.iter().filter(|job| !stored.contains(&job.id)) {
            for (other, positions) in abroad_of(job) {
                let told = positions.into_iter().map(|i| gone(b'u', job.depends_on[i].id, job.id));
                self.hear(other, queue, told.collect()).await?;
            }
        }
        Ok(())
    }

    /// Lets a queue hear what another one has to tell. Answers the jobs about which
    /// core has to decide.
    async fn hear(
        &self,
        queue: &QueueName,
        from: &QueueName,
        told: Vec<Vec<u8>>,
    ) -> Result<Vec<Job>, Error> {
        let mut arguments = Arguments::with_room_for(told.len() + 1);
        arguments.add(from.as_str());
        for one in told {
            arguments.add(one);
        }
        let mut reply = self.call(Place::Queue(queue), Script::Hear, arguments).await?;
        let now = reply.moment()?;
        read_jobs(&mut reply, queue, now, false)
    }

    /// Carries the messages of an answer to where they are to be heard. What came of the
    /// call is done all the same: whom they do not reach now, the sweep tells.
    pub(super) async fn tell_others(&self, queue: &QueueName, reply: &mut Reply) -> Vec<Job> {
        let told = match read_messages(reply) {
            Ok(messages) => self.deliver(queue, messages).await,
            Err(error) => Err(error),
        };
        told.unwrap_or_else(|error| {
            let error = format!("{error:#}");
            tracing::warn!(queue = queue.as_str(), error, "other queues are told later");
            Vec::new()
        })
    }

    /// Carries messages, side by side and not for long: a queue that is away keeps neither
    /// others from being told nor whoever tells from going on.
    async fn deliver(&self, from: &QueueName, messages: Vec<Message>) -> Result<Vec<Job>, Error> {
        let mut by_queue: BTreeMap<QueueName, Vec<Message>> = BTreeMap::new();
        for message in messages {
            by_queue.entry(message.split()?.1).or_default().push(message);
        }
        let carried = by_queue
            .into_iter()
            .filter(|(to, _)| !self.away.contains(to))
            .map(|(to, messages)| self.clone().carry_for_a_while(from.clone(), to, messages));
        let mut named = Vec::new();
        let mut failed = None;
        for carried in join_all(carried).await {
            match carried {
                Ok(of_queue) => named.extend(of_queue),
                Err(error) => failed = Some(error),
            }
        }
        // Those that were named are found by the sweep of the queues that were told.
        failed.map_or(Ok(named), Err)
    }

    /// Waits no longer than `GRACE` for what is carried on in a task of its own. Until that
    /// has come to its end, nobody else waits for this queue.
    async fn carry_for_a_while(
        self,
        from: QueueName,
        to: QueueName,
        messages: Vec<Message>,
    ) -> Result<Vec<Job>, Error> {
        let late = format!("the queue {to} does not answer yet; it is told later");
        let carrier = tokio::spawn(async move {
            let mut carried = pin!(self.carry(&from, &to, messages));
            match timeout(GRACE, &mut carried).await {
                Ok(answer) => answer,
                Err(_) => {
                    let _away = self.away.enter(&to);
                    carried.await
                }
            }
        });
        match timeout(GRACE, carrier).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(damaged("a message between queues", error)),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, late)),
        }
    }

    async fn carry(
        &self,
        from: &QueueName,
        to: &QueueName,
        messages: Vec<Message>,
    ) -> Result<Vec<Job>, Error> {
        let told: Result<Vec<Vec<u8>>, Error> =
            messages.iter().map(|message| Ok(message.split()?.0)).collect();
        let named = self.hear(to, from, told?).await?;
        let mut arguments = Arguments::with_room_for(3 * messages.len());
        for message in messages {
            arguments.add("o").add(message.field).add(message.value);
        }
        self.call(Place::Queue(from), Script::Heard, arguments).await?;
        Ok(named)
    }

    /// Asks the dependencies of jobs, which are in doubt about those of other queues.
    pub(super) async fn settle_doubts(
        &self,
        queue: &QueueName,
        ids: &[JobId],
    ) -> Result<Vec<Job>, Error> {
        let mut named = Vec::new();
        if ids.is_empty() {
            return Ok(named);
        }
        let (jobs, now) = self.read(queue, ids, false).await?;
        let (mut linked, mut asked) = (Vec::new(), Vec::new());
        for job in jobs {
            let (mut told, mut is_settled) = (Vec::new(), true);
            for (other, dependencies) in by_queue(self.needs(queue, job.id).await?) {
                if other == *queue {
                    continue;
                }
                let pairs: Vec<_> = dependencies.iter().map(|id| (*id, job.id)).collect();
                let letters = self.link_jobs(&other, queue, &pairs, Noting::Does).await?;
                asked.extend(dependencies.iter().map(|id| (other.clone(), *id, job.id)));
                for (dependency, letter) in dependencies.into_iter().zip(letters) {
                    match letter {
                        b'o' => {}
                        b'c' => told.push(count(dependency, job.id, b'c')),
                        // One of the same batch may be yet to be stored. Should nobody
                        // come to do it, it never ends.
                        b'-' if now.since(job.enqueued_at) < STORED_WITHIN => is_settled = false,
                        _ => told.push(count(dependency, job.id, b'b')),
                    }
                }
            }
            if !told.is_empty() {
                named.extend(self.hear(queue, queue, told).await?);
            }
            if is_settled {
                let mut arguments = Arguments::default();
                arguments.add("d").add(job.id.as_bytes());
                self.call(Place::Queue(queue), Script::Heard, arguments).await?;
            }
            linked.push(job.id);
        }
        self.unlink_removed(queue, &linked, &asked).await?;
        Ok(named)
    }

    /// Takes back what was noted of jobs that were removed while it was.
    async fn unlink_removed(
        &self,
        queue: &QueueName,
        linked: &[JobId],
        asked: &[(QueueName, JobId, JobId)],
    ) -> Result<(), Error> {
        if linked.is_empty() {
            return Ok(());
        }
        let there = self.read(queue, linked, false).await?.0;
        let there: HashSet<JobId> = there.iter().map(|job| job.id).collect();
        let mut told: BTreeMap<&QueueName, Vec<Vec<u8>>> = BTreeMap::new();
        for (other, dependency, id) in asked.iter().filter(|(_, _, id)| !there.contains(id)) {
            told.entry(other).or_default().push(gone(b'g', *dependency, *id));
        }
        for (other, told) in told {
            self.hear(other, queue, told).await?;
        }
        Ok(())
    }

    /// Completes what a process that has died has left between queues, as far as those can
    /// be reached.
    pub(super) async fn sweep_graph(&self, queue: &QueueName) -> Result<(), Error> {
        let (mut cursor, mut doubts_after) = (b"0".to_vec(), Vec::new());
        let mut failed = Ok(());
        loop {
            let mut arguments = Arguments::with_room_for(2);
            arguments.add(cursor).add(doubts_after);
            let mut reply = self.call(Place::Queue(queue), Script::ReadOutbox, arguments).await?;
            reply.moment()?;
            let told = self.deliver(queue, read_messages(&mut reply)?).await;
            let next = reply.bytes()?;
            let in_doubt: Result<Vec<JobId>, Error> =
                reply.all_bytes()?.iter().map(|bytes| read_id(bytes)).collect();
            let in_doubt = in_doubt?;
            let settled = self.settle_doubts(queue, &in_doubt).await;
            failed = failed.and(told.map(drop)).and(settled.map(drop));
            let is_read = next == b"0";
            if is_read && in_doubt.len() < DOUBTS {
                return failed;
            }
            cursor = if is_read { Vec::new() } else { next };
            doubts_after = match in_doubt.last() {
                Some(last) if in_doubt.len() == DOUBTS => last.as_bytes().to_vec(),
                // Behind all of them.
                _ => vec![0xff; 17],
            };
        }
    }

    /// What a job depends on, in order.
    async fn needs(&self, queue: &QueueName, id: JobId) -> Result<Vec<JobRef>, Error> {
        let mut arguments = Arguments::default();
        arguments.add(id.as_bytes());
        let mut reply = self.call(Place::Queue(queue), Script::ReadNeeds, arguments).await?;
        reply.moment()?;
        let list = reply.list()?.bytes()?;
        let mut needs = Vec::new();
        let mut rest = list.as_slice();
        while let Some((size, behind)) = rest.split_first() {
            let short = || damaged("what a job depends on", "it is too short");
            let (name, behind) = behind.split_at_checked(usize::from(*size)).ok_or_else(short)?;
            let (id, behind) = behind.split_at_checked(16).ok_or_else(short)?;
            let queue = if name.is_empty() { queue.clone() } else { read_name(name)? };
            needs.push(JobRef { queue, id: read_id(id)? });
            rest = behind;
        }
        Ok(needs)
    }

    /// The jobs that depend on this one, without payload.
    pub(crate) async fn dependents(&self, job: &JobRef) -> Result<Vec<Job>, Error> {
        let mut arguments = Arguments::default();
        arguments.add(job.id.as_bytes());
        let mut reply = self.call(Place::Queue(&job.queue), Script::ReadNeeders, arguments).await?;
        reply.moment()?;
        let mut found = Vec::new();
        for bytes in reply.all_bytes()? {
            let (id, name) = bytes
                .split_at_checked(16)
                .ok_or_else(|| damaged("who depends on a job", "it is too short"))?;
            let queue = if name.is_empty() { job.queue.clone() } else { read_name(name)? };
            found.push(JobRef { queue, id: read_id(id)? });
        }
        let mut jobs = Vec::new();
        for (queue, ids) in by_queue(found) {
            jobs.extend(self.read(&queue, &ids, false).await?.0);
        }
        jobs.sort_unstable_by_key(|job| job.seq);
        Ok(jobs)
    }

    /// The jobs that this one depends on, and what they returned.
    pub(crate) async fn dependencies(&self, job: &JobRef) -> Result<Vec<Dependency>, Error> {
        let needs = self.needs(&job.queue, job.id).await?;
        let mut found: BTreeMap<JobRef, Job> = BTreeMap::new();
        for (queue, ids) in by_queue(needs.clone()) {
            for job in self.read(&queue, &ids, true).await?.0 {
                found.insert(job.reference(), job);
            }
        }
        Ok(needs
            .into_iter()
            .map(|job| {
                let found = found.remove(&job);
                let state = found.as_ref().map(|found| found.state);
                let completed = found.filter(|found| found.state == State::Completed);
                Dependency { job, state, result: completed.and_then(|found| found.result) }
            })
            .collect())
    }

    /// A job with payload and result, and the store's time.
    pub(crate) async fn job(&self, job: &JobRef) -> Result<Option<(Job, Timestamp)>, Error> {
        let (mut found, now) = self.read(&job.queue, &[job.id], true).await?;
        Ok(found.pop().map(|job| (job, now)))
    }
}

fn by_queue(jobs: Vec<JobRef>) -> BTreeMap<QueueName, Vec<JobId>> {
    let mut found: BTreeMap<QueueName, Vec<JobId>> = BTreeMap::new();
    for job in jobs {
        found.entry(job.queue).or_default().push(job.id);
    }
    found
}

/// That a dependent is gone (g), or was not stored (u), as it is told.
fn gone(how: u8, dependency: JobId, id: JobId) -> Vec<u8> {
    let mut told = pair(b'n', dependency, id);
    told.push(how);
    told.extend_from_slice(&[0; 6]);
    told
}

/// That a dependency has ended so, as it is told.
fn count(dependency: JobId, id: JobId, how: u8) -> Vec<u8> {
    let mut told = pair(b'c', dependency, id);
    told.push(how);
    told
}

fn pair(letter: u8, dependency: JobId, id: JobId) -> Vec<u8> {
    let mut told = vec![letter];
    told.extend_from_slice(dependency.as_bytes());
    told.extend_from_slice(id.as_bytes());
    told
}
