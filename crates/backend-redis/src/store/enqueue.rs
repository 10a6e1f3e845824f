//! New jobs (rules E1 to E5, N1).
//!
//! A batch of one queue that names no job of another is one call. Any other batch is
//! carried out queue by queue, and a dependency between two queues in steps, each of
//! which leaves something that is right and that the sweep completes
//! (`src/scripts/shared/graph.lua`): the dependency learns that somebody will depend on it
//! (if it comes with the same batch, as it is stored), and is kept from then on; then the
//! dependent is stored, in doubt; then the dependency learns that it is, and says how it
//! stands now.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use windlass_core::Error;
use windlass_core::backend::{EnqueueAnswer, Enqueued, Refusal};
use windlass_core::model::{
    Job, JobId, JobRef, NewJob, Parent, QueueName, State, Timestamp, Token,
};

use super::encode::to_moment;
use super::queues::UNKNOWN;
use super::reply::Reply;
use super::{Arguments, Outcome, Place, Script, Store, read_jobs};
use crate::error::damaged;
use crate::record::{Stands, Surroundings, entry, plain_entry};

/// How often a batch is looked around for anew because a key came free in the middle.
const SURPRISES: u32 = 5;

/// What a script has made of a batch of one queue.
pub(super) enum Batch {
    Stored { outcomes: Vec<Enqueued>, unblocked: Vec<Job>, now: Timestamp },
    Refused { index: usize, why: Refusal },
}

impl Store {
    /// Stores new jobs.
    pub(crate) async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<EnqueueAnswer, Error> {
        let Some(first) = jobs.first() else {
            let now = self.now().await?;
            return Ok(EnqueueAnswer::Stored { outcomes: Vec::new(), unblocked: Vec::new(), now });
        };
        let queue = first.queue.clone();
        if jobs.iter().all(|job| job.queue == queue && names_its_queue_only(job)) {
            let all: Vec<&NewJob> = jobs.iter().collect();
            return Ok(match self.store_batch(&queue, &all, &[]).await? {
                Batch::Stored { outcomes, unblocked, now } => {
                    EnqueueAnswer::Stored { outcomes, unblocked, now }
                }
                Batch::Refused { index, why } => EnqueueAnswer::Refused { index, why, jobs },
            });
        }
        self.enqueue_across(jobs).await
    }

    /// Stores jobs of one queue, all or none.
    pub(super) async fn store_batch(
        &self,
        queue: &QueueName,
        jobs: &[&NewJob],
        around: &[Surroundings],
    ) -> Result<Batch, Error> {
        let place = Place::Queue(queue);
        let is_promised = around.iter().any(|around| !around.promised.is_empty());
        let plain = if is_promised { None } else { plain_arguments_of(jobs)? };
        let plainly = match plain {
            Some(arguments) => Some(self.ask(place, Script::EnqueuePlain, arguments).await?),
            None => None,
        };
        let outcome = match plainly {
            Some(outcome) if !outcome.is_careful() => outcome,
            _ => self.ask(place, Script::Enqueue, arguments_of(jobs, around)?).await?,
        };
        match outcome {
            Outcome::Done(mut reply) => {
                let now = reply.moment()?;
                let outcomes = read_outcomes(&mut reply, queue, now)?;
                let unblocked = read_jobs(&mut reply, queue, now, false)?;
                Ok(Batch::Stored { outcomes, unblocked, now })
            }
            Outcome::Unknown => {
                Ok(Batch::Refused { index: 0, why: Refusal::UnknownQueue(queue.clone()) })
            }
            Outcome::Other(_, mut reply) => {
                let (index, why) = read_refusal(&mut reply, jobs)?;
                Ok(Batch::Refused { index, why })
            }
        }
    }

    async fn enqueue_across(&self, jobs: Vec<NewJob>) -> Result<EnqueueAnswer, Error> {
        let mut outcomes: Vec<Option<Enqueued>> = vec![None; jobs.len()];
        let mut unblocked = Vec::new();
        let mut now = UNKNOWN;
        let groups = groups(&jobs);
        let mut refused = None;
        for round in 0.. {
            // As much as can be is found out before anything is stored.
            let (around, fresh) = match self.look_around(&jobs).await? {
                Ok(found) => found,
                Err(why) => {
                    refused = Some(why);
                    break;
                }
            };
            refused = None;
            for (queue, indexes) in &groups {
                let batch: Vec<&NewJob> = indexes.iter().map(|index| &jobs[*index]).collect();
                let around: Vec<_> = indexes.iter().map(|index| around[*index].clone()).collect();
                let (of_batch, named) = match self.store_batch(queue, &batch, &around).await? {
                    Batch::Stored { outcomes, unblocked, now: at } => {
                        now = at;
                        (outcomes, unblocked)
                    }
                    // Somebody has changed something since.
                    Batch::Refused { index, why } => {
                        refused = Some((indexes[index], why));
                        break;
                    }
                };
                unblocked.extend(named);
                for (index, outcome) in indexes.iter().zip(of_batch) {
                    // One that a round before this one has stored exists by now.
                    if outcomes[*index] != Some(Enqueued::Stored) {
                        outcomes[*index] = Some(outcome);
                    }
                }
            }
            // What a job names was not looked for if it was not to be stored: its key has
            // come free since.
            let is_surprise = |(index, why): &(usize, Refusal)| {
                !fresh.contains(index) && !matches!(why, Refusal::UnknownQueue(_))
            };
            if round == SURPRISES || !refused.as_ref().is_some_and(is_surprise) {
                break;
            }
        }
        // Dependencies in other queues are asked now that their dependents are stored,
        // and what was noted for those that are not is taken back.
        for (queue, indexes) in &groups {
            let abroad: Vec<usize> = indexes
                .iter()
                .copied()
                .filter(|index| !abroad_of(&jobs[*index]).is_empty())
                .collect();
            let is_stored = |index: &usize| outcomes[*index] == Some(Enqueued::Stored);
            let (stored, others): (Vec<_>, Vec<_>) = abroad.into_iter().partition(is_stored);
            let ids: Vec<JobId> = stored.into_iter().map(|index| jobs[index].id).collect();
            unblocked.extend(self.settle_doubts(queue, &ids).await?);
            let others: Vec<&NewJob> = others.into_iter().map(|index| &jobs[index]).collect();
            self.unlink(queue, &others).await?;
        }
        if let Some((index, why)) = refused {
            return Ok(EnqueueAnswer::Refused { index, why, jobs });
        }
        let unblocked = self.look_again(unblocked).await?;
        let outcomes: Option<Vec<Enqueued>> = outcomes.into_iter().collect();
        let outcomes = outcomes.ok_or_else(|| damaged("an answer", "it ends too early"))?;
        Ok(EnqueueAnswer::Stored { outcomes, unblocked, now })
    }

    /// Jobs that were named to be decided about, as they stand now: some of them were
    /// changed since, when others of the batch were stored.
    async fn look_again(&self, named: Vec<Job>) -> Result<Vec<Job>, Error> {
        let mut by_queue: BTreeMap<QueueName, BTreeSet<JobId>> = BTreeMap::new();
        for job in named {
            by_queue.entry(job.queue).or_default().insert(job.id);
        }
        let mut found = Vec::new();
        for (queue, ids) in by_queue {
            let ids: Vec<JobId> = ids.into_iter().collect();
            let mut jobs = self.read(&queue, &ids, false).await?.0;
            jobs.retain(|job| job.state == State::Blocked);
            jobs.sort_unstable_by_key(|job| job.seq);
            found.extend(jobs);
        }
        Ok(found)
    }

    /// Finds how the jobs stand that those of a batch name, or why the batch cannot be
    /// stored. Dependencies in other queues are kept from now on. Answers, too, which
    /// jobs are to be stored.
    pub(super) async fn look_around(
        &self,
        jobs: &[NewJob],
    ) -> Result<Result<(Vec<Surroundings>, Vec<usize>), (usize, Refusal)>, Error> {
        let fresh = match self.which_are_new(jobs).await? {
            Ok(fresh) => fresh,
            Err(refused) => return Ok(Err(refused)),
        };
        let of_batch: HashMap<JobRef, usize> = fresh
            .iter()
            .map(|index| {
                (JobRef { queue: jobs[*index].queue.clone(), id: jobs[*index].id }, *index)
            })
            .collect();
        let parents = self.parents_of(jobs, &fresh).await?;
        // Of each job in order, its dependencies that are not stored with it.
        let named: Vec<(usize, usize)> = fresh
            .iter()
            .flat_map(|index| (0..jobs[*index].depends_on.len()).map(|at| (*index, at)))
            .filter(|(index, at)| !of_batch.contains_key(&jobs[*index].depends_on[*at]))
            .collect();
        let mut letters = self.ask_dependencies(jobs, &named, Noting::Ask).await?;
        for index in &fresh {
            if let Some(parent) = &jobs[*index].parent
                && !parents.contains(&(&parent.job, parent.token))
            {
                return Ok(Err((*index, Refusal::StaleParent(parent.job.clone()))));
            }
            for (at, dependency) in jobs[*index].depends_on.iter().enumerate() {
                if letters.get(&(*index, at)) == Some(&b'-') {
                    return Ok(Err((*index, Refusal::UnknownDependency(dependency.clone()))));
                }
            }
        }
        let abroad: Vec<(usize, usize)> = named
            .into_iter()
            .filter(|(index, at)| jobs[*index].depends_on[*at].queue != jobs[*index].queue)
            .collect();
        letters.extend(self.ask_dependencies(jobs, &abroad, Noting::Will).await?);
        let mut around = vec![Surroundings::default(); jobs.len()];
        for index in &fresh {
            let job = &jobs[*index];
            let stands = |(at, dependency): (usize, &JobRef)| match dependency.queue == job.queue {
                true => Stands::Here,
                // One that is stored with it has not ended.
                false => Stands::Elsewhere(letters.get(&(*index, at)).copied().unwrap_or(b'o')),
            };
            around[*index].needs = job.depends_on.iter().enumerate().map(stands).collect();
            for dependency in &job.depends_on {
                if dependency.queue != job.queue
                    && let Some(of) = of_batch.get(dependency)
                {
                    let dependent = JobRef { queue: job.queue.clone(), id: job.id };
                    around[*of].promised.push(dependent);
                }
            }
        }
        Ok(Ok((around, fresh)))
    }

    /// The parents whose leases are current, of those that new jobs of a batch name: a
    /// call for each queue.
    async fn parents_of<'j>(
        &self,
        jobs: &'j [NewJob],
        fresh: &[usize],
    ) -> Result<HashSet<(&'j JobRef, Token)>, Error> {
        let mut by_queue: BTreeMap<&QueueName, Vec<&Parent>> = BTreeMap::new();
        for parent in fresh.iter().filter_map(|index| jobs[*index].parent.as_ref()) {
            by_queue.entry(&parent.job.queue).or_default().push(parent);
        }
        let mut current = HashSet::new();
        for (queue, parents) in by_queue {
            let ids: BTreeSet<JobId> = parents.iter().map(|parent| parent.job.id).collect();
            let ids: Vec<JobId> = ids.into_iter().collect();
            let found = self.read(queue, &ids, false).await?.0;
            for parent in parents {
                let holds = |job: &&Job| {
                    job.id == parent.job.id
                        && job.lease.is_some_and(|lease| lease.token == parent.token)
                };
                if found.iter().find(holds).is_some() {
                    current.insert((&parent.job, parent.token));
                }
            }
        }
        Ok(current)
    }

    /// How dependencies stand, by the places of job and dependency: a call for each two
    /// queues.
    async fn ask_dependencies(
        &self,
        jobs: &[NewJob],
        places: &[(usize, usize)],
        noting: Noting,
    ) -> Result<HashMap<(usize, usize), u8>, Error> {
        let mut by_queues: BTreeMap<(&QueueName, &QueueName), Vec<(usize, usize)>> =
            BTreeMap::new();
        for (index, at) in places {
            let job = &jobs[*index];
            let queues = (&job.depends_on[*at].queue, &job.queue);
            by_queues.entry(queues).or_default().push((*index, *at));
        }
        let mut found = HashMap::new();
        for ((of, queue), places) in by_queues {
            let pairs: Vec<_> = places
                .iter()
                .map(|(index, at)| (jobs[*index].depends_on[*at].id, jobs[*index].id))
                .collect();
            let letters = self.link_jobs(of, queue, &pairs, noting).await?;
            found.extend(places.into_iter().zip(letters));
        }
        Ok(found)
    }

    /// Whether jobs could be stored in a queue, or in a shard of one: e there is a job
    /// with the id, t the deduplication key is taken, or -. Nothing if the queue was never
    /// declared.
    pub(crate) async fn peek(
        &self,
        queue: &QueueName,
        jobs: &[&NewJob],
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut arguments = Arguments::with_room_for(jobs.len());
        for job in jobs {
            let mut wish = job.id.as_bytes().to_vec();
            if let Some(dedup) = &job.dedup {
                wish.extend_from_slice(dedup.key.as_str().as_bytes());
            }
            arguments.add(wish);
        }
        match self.ask(Place::Queue(queue), Script::Peek, arguments).await? {
            Outcome::Done(mut reply) => {
                reply.moment()?;
                Ok(Some(reply.bytes()?))
            }
            _ => Ok(None),
        }
    }

    /// The places of those jobs of a batch that will be stored.
    async fn which_are_new(
        &self,
        jobs: &[NewJob],
    ) -> Result<Result<Vec<usize>, (usize, Refusal)>, Error> {
        let mut letters = vec![b'-'; jobs.len()];
        let mut unknown = Vec::new();
        for (queue, indexes) in groups(jobs) {
            let of_queue: Vec<&NewJob> = indexes.iter().map(|index| &jobs[*index]).collect();
            match self.peek(&queue, &of_queue).await? {
                Some(found) => {
                    for (index, letter) in indexes.into_iter().zip(found) {
                        letters[index] = letter;
                    }
                }
                None => unknown.extend(indexes.first().copied()),
            }
        }
        if let Some(index) = unknown.into_iter().min() {
            return Ok(Err((index, Refusal::UnknownQueue(jobs[index].queue.clone()))));
        }
        let (mut ids, mut keys) = (HashSet::new(), HashSet::new());
        let mut is_new = |index: &usize| {
            let job = &jobs[*index];
            letters[*index] == b'-'
                && !ids.contains(&(&job.queue, job.id))
                && job.dedup.as_ref().is_none_or(|dedup| keys.insert((&job.queue, &dedup.key)))
                && ids.insert((&job.queue, job.id))
        };
        Ok(Ok((0..jobs.len()).filter(|index| is_new(index)).collect()))
    }
}

/// Whether a job names no job of another queue.
fn names_its_queue_only(job: &NewJob) -> bool {
    job.parent.as_ref().is_none_or(|parent| parent.job.queue == job.queue)
        && job.depends_on.iter().all(|dependency| dependency.queue == job.queue)
}

/// The dependencies of a job in other queues: by queue, their places in the list.
pub(super) fn abroad_of(job: &NewJob) -> BTreeMap<&QueueName, Vec<usize>> {
    let mut found: BTreeMap<&QueueName, Vec<usize>> = BTreeMap::new();
    for (index, dependency) in job.depends_on.iter().enumerate() {
        if dependency.queue != job.queue {
            found.entry(&dependency.queue).or_default().push(index);
        }
    }
    found
}

/// By queue, the places of its jobs in a batch, in the order in which queues are named.
fn groups(jobs: &[NewJob]) -> Vec<(QueueName, Vec<usize>)> {
    let mut groups: Vec<(QueueName, Vec<usize>)> = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        match groups.iter_mut().find(|(queue, _)| *queue == job.queue) {
            Some((_, indexes)) => indexes.push(index),
            None => groups.push((job.queue.clone(), vec![index])),
        }
    }
    groups
}

/// The arguments of `src/scripts/shared/store_jobs.lua`.
pub(super) fn arguments_of(jobs: &[&NewJob], around: &[Surroundings]) -> Result<Arguments, Error> {
    let mut arguments = Arguments::with_room_for(2 * jobs.len() + 1);
    arguments.add_number(jobs.len());
    let none = Surroundings::default();
    for (index, job) in jobs.iter().enumerate() {
        let entry = entry(job, around.get(index).unwrap_or(&none))?;
        arguments.add(entry.head).add(entry.rest);
        if let Some(payload) = entry.payload {
            arguments.add(payload.as_slice());
        }
        if let Some(special) = entry.special {
            arguments.add(special);
        }
    }
    Ok(arguments)
}

/// The arguments of `src/scripts/enqueue_plain.lua`, if all of the jobs are such.
fn plain_arguments_of(jobs: &[&NewJob]) -> Result<Option<Arguments>, Error> {
    let mut arguments = Arguments::with_room_for(jobs.len());
    for job in jobs {
        match plain_entry(job)? {
            Some(entry) => arguments.add(entry),
            None => return Ok(None),
        };
    }
    Ok(Some(arguments))
}

fn read_outcomes(
    reply: &mut Reply,
    queue: &QueueName,
    now: Timestamp,
) -> Result<Vec<Enqueued>, Error> {
    let letters = reply.bytes()?;
    let mut told = reply.list()?;
    let mut outcomes = Vec::with_capacity(letters.len());
    for letter in letters {
        outcomes.push(match letter {
            b's' => Enqueued::Stored,
            b'e' => Enqueued::Existing,
            b'd' => {
                let mut piece = told.list()?;
                piece.number()?;
                let job = read_jobs(&mut piece, queue, now, false)?.pop();
                let job = job.ok_or_else(|| damaged("an answer", "a job is missing"))?;
                Enqueued::Duplicate(Box::new(job))
            }
            b'h' => {
                let mut piece = told.list()?;
                piece.number()?;
                Enqueued::Held { by: read_id(&piece.bytes()?)?, until: to_moment(&piece.bytes()?) }
            }
            _ => return Err(damaged("an answer", "there is no such outcome")),
        });
    }
    Ok(outcomes)
}

/// Reads why a batch was refused, and because of which of its jobs.
pub(super) fn read_refusal(reply: &mut Reply, jobs: &[&NewJob]) -> Result<(usize, Refusal), Error> {
    let letter = reply.bytes()?;
    let mut place = || -> Result<usize, Error> {
        Ok(usize::try_from(reply.number()?).unwrap_or(usize::MAX).wrapping_sub(1))
    };
    let (index, dependency) = (place()?, place()?);
    let missing = || damaged("an answer", "there is no such job");
    let job = jobs.get(index).ok_or_else(missing)?;
    let why = match letter.as_slice() {
        b"p" => {
            let parent = job.parent.as_ref().ok_or_else(missing)?;
            Refusal::StaleParent(parent.job.clone())
        }
        _ => {
            let dependency = job.depends_on.get(dependency).ok_or_else(missing)?;
            Refusal::UnknownDependency(dependency.clone())
        }
    };
    Ok((index, why))
}

/// What is noted with a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noting {
    /// Nothing: it is only asked how it stands.
    Ask,
    /// That a job will depend on it.
    Will,
    /// That a job depends on it.
    Does,
}

/// Reads the id of a job.
pub(super) fn read_id(bytes: &[u8]) -> Result<JobId, Error> {
    let bytes = bytes.try_into().map_err(|_| damaged("the id of a job", "it is not 16 bytes"))?;
    Ok(JobId::from_bytes(bytes))
}
