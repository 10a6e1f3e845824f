//! A history lived on a store, operation by operation.

use std::sync::Arc;
use std::time::Duration;

use windlass_core::Backend;
use windlass_core::backend::{
    Applied, Ask, Clean, EnqueueAnswer, Enqueued, Extend, OverdueQuery, PutRepeatable,
    RepeatablesQuery, Transition,
};
use windlass_core::decide::control::{Wish, control};
use windlass_core::decide::repeat::{self, Previous};
use windlass_core::decide::{
    Attempt, Conflict, check_graph, conflict, enqueue, finish, overdue, unblocked,
};
use windlass_core::model::{
    Beat, Detail, Filter, Job, JobRef, JobsQuery, ManualClock, NewJob, NewStep, Parent, Progress,
    Timestamp, WorkerId,
};

use super::drafting::{self, nth};
use super::model::Check;
use super::op::{By, Draft, Ending, Follow, Held, History, On, Op, Pace, Pick, Policy};
use super::watched::{Notes, Watched};
use crate::fixture::{Ids, token};

/// A store in the middle of a history, and what its users remember.
struct Life {
    store: Watched,
    clock: ManualClock,
    ids: Ids,
    /// Every job as it was leased, the last ones last.
    leases: Vec<Job>,
    batches: Vec<Vec<NewJob>>,
    /// Decisions that nobody has carried out yet.
    decided: Vec<Transition>,
    /// What was, or could have been, put.
    puts: Vec<PutRepeatable>,
}

/// Lives a history on a fresh store, and answers what the store answered.
pub(super) async fn live(
    backend: Arc<dyn Backend>,
    clock: ManualClock,
    history: &History,
    notes: Notes,
) -> Check<Vec<String>> {
    let mut life = Life {
        store: Watched::new(backend, clock.clone(), notes),
        clock,
        ids: Ids::default(),
        leases: Vec::new(),
        batches: Vec::new(),
        decided: Vec::new(),
        puts: Vec::new(),
    };
    for spec in &history.queues {
        life.store.declare(spec).await?;
    }
    for (at, op) in history.ops.iter().enumerate() {
        let happened = async {
            life.happen(op).await?;
            life.store.look_around().await
        };
        happened.await.map_err(|why| format!("{why}\nat operation {at}: {op:?}"))?;
    }
    for job in life.store.model.stored() {
        life.store.look(&job).await?;
    }
    Ok(life.store.into_transcript())
}

impl Life {
    async fn happen(&mut self, op: &Op) -> Check {
        match op {
            Op::Advance(length) => {
                self.clock.advance(*length);
                Ok(())
            }
            Op::Enqueue { drafts, follow } => self.enqueue(drafts, *follow).await,
            Op::EnqueueAgain(pick) => match nth(&self.batches, *pick).cloned() {
                Some(batch) => self.store.enqueue(batch).await.map(drop),
                None => Ok(()),
            },
            Op::Dequeue { queue, max, lease } => {
                let (queue, worker) = (drafting::queue(*queue), WorkerId::from_bytes([7; 16]));
                let ask = Ask { queue, worker, max: *max, lease: *lease };
                let leased = self.store.dequeue(ask).await?.jobs;
                self.leases.extend(leased);
                Ok(())
            }
            Op::Settle { attempts, pace, follow } => self.settle(attempts, *pace, *follow).await,
            Op::Extend(wishes) => {
                let extend = |(held, lease, progress): &(Held, _, Option<u64>)| {
                    let job = self.held(*held)?;
                    let progress = progress.map(|done| Progress { done, ..Progress::default() });
                    let (job, token) = (job.reference(), token(job));
                    Some(Extend { job, token, lease: *lease, progress })
                };
                let leases = wishes.iter().filter_map(extend).collect();
                self.store.extend(leases).await
            }
            Op::Control { job, wish, pace, follow } => {
                self.control(*job, *wish, *pace, *follow).await
            }
            Op::Sweep { queue, what, limit, heartbeat, pace, follow } => {
                let queue = drafting::queue(*queue);
                let query = OverdueQuery { queue, what: *what, after: None, limit: *limit };
                self.sweep(query, *heartbeat, *pace, *follow).await
            }
            Op::Late { decided, follow } => {
                let late = decided.iter().filter_map(|pick| nth(&self.decided, *pick).cloned());
                let late: Vec<_> = late.collect();
                self.carry_out(late, Pace::Now, *follow).await.map(drop)
            }
            Op::Step { held, position, outcome } => {
                let Some(job) = self.held(*held) else { return Ok(()) };
                let step = NewStep {
                    job: job.reference(),
                    token: token(job),
                    position: *position,
                    name: windlass_core::model::StepName::new("step").expect("a valid name"),
                    outcome: drafting::payload(*outcome),
                };
                self.store.record_step(step).await
            }
            Op::Declare { queue, concurrency, rate, partitions } => {
                let mut spec = self.store.model.spec(&drafting::queue(*queue)).clone();
                spec.limits.concurrency = *concurrency;
                if let Some(stored) = &mut spec.limits.rate {
                    stored.limit = *rate;
                }
                if let Some(stored) = &mut spec.partitions {
                    stored.limits.concurrency = *partitions;
                }
                self.store.declare(&spec).await
            }
            Op::Pause(queue) => self.store.pause(&drafting::queue(*queue)).await,
            Op::Resume(queue) => self.store.resume(&drafting::queue(*queue)).await,
            Op::Repeat { queue, key, plan } => {
                let spec = self.store.model.spec(&drafting::queue(*queue)).clone();
                let wanted = drafting::repeatable(plan, &spec, *key);
                let query = RepeatablesQuery::One(spec.name, wanted.key.clone());
                let stored = self.store.repeatables(query).await?.records.pop();
                let guard = stored.as_ref().map(|record| record.version);
                match repeat::put(stored.as_ref(), wanted, self.clock.now()) {
                    Some(record) => {
                        let put = PutRepeatable { record, guard, jobs: Vec::new() };
                        self.puts.push(put.clone());
                        self.store.put_repeatable(put).await.map(drop)
                    }
                    None => Ok(()),
                }
            }
            Op::Fire { queue, pace } => self.fire(*queue, *pace).await,
            Op::FireLate(pick) => match nth(&self.puts, *pick).cloned() {
                Some(put) => self.store.put_repeatable(put).await.map(drop),
                None => Ok(()),
            },
            Op::Forget { queue, key } => {
                let key = drafting::repeatable_key(*key);
                self.store.remove_repeatable(&drafting::queue(*queue), &key).await
            }
            Op::Clean { queue, state, which, limit } => {
                let queue = drafting::queue(*queue);
                let (state, which, limit) = (*state, *which, *limit);
                self.store.clean(Clean { queue, state, which, limit }).await
            }
            Op::Beat { worker, leaves } => {
                let worker = drafting::worker(*worker);
                let beat = match leaves {
                    true => Beat::Leaving(worker.id),
                    false => Beat::Alive { worker, forget_after: drafting::FOR_EVER },
                };
                self.store.beat(beat).await
            }
            Op::Look(pick) => match nth(&self.store.model.stored(), *pick) {
                Some(job) => self.store.look(job).await.map(drop),
                None => Ok(()),
            },
            Op::List { queue, by, direction, page } => {
                let filter = self.filter(queue.map(drafting::queue), by);
                let (direction, limit) = (*direction, *page);
                let detail = Detail::Summary;
                let query = JobsQuery { filter, direction, after: None, limit, detail };
                self.store.list(query).await
            }
        }
    }

    /// The job under a lease, as it was leased.
    fn held(&self, held: Held) -> Option<&Job> {
        match held {
            Held::Ever(pick) => nth(&self.leases, pick),
            Held::Current(pick) => {
                let id = *nth(&self.store.model.active(), pick)?;
                self.leases.iter().rev().find(|job| job.id == id)
            }
        }
    }

    async fn enqueue(&mut self, drafts: &[Draft], follow: Follow) -> Check {
        let ids: Vec<_> = drafts.iter().map(|_| self.ids.job()).collect();
        let stored = self.store.model.stored();
        let mut jobs: Vec<NewJob> = Vec::new();
        let mut policies = Vec::new();
        for (draft, id) in drafts.iter().zip(&ids) {
            let spec = self.store.model.spec(&drafting::queue(draft.queue));
            let on = |on: &On| match on {
                On::Mate(pick) => nth(&ids, *pick).zip(nth(drafts, *pick)).map(|(id, mate)| {
                    let queue = drafting::queue(mate.queue);
                    let key = mate.key.map(drafting::key);
                    let id =
                        key.map_or(*id, |key| windlass_core::model::JobId::derived(&queue, &key));
                    JobRef { queue, id }
                }),
                On::Stored(pick) => nth(&stored, *pick).cloned(),
                On::Nothing => Some(JobRef { queue: drafting::queue(0), id: self.ids.job() }),
            };
            let depends_on = draft.depends_on.iter().filter_map(on).collect();
            let parent = draft.parent.and_then(|held| {
                let job = self.held(held)?;
                Some(Parent { job: job.reference(), token: token(job) })
            });
            let request = drafting::request(draft, spec, *id, depends_on, parent);
            let new = enqueue(spec, request).map_err(|why| format!("not a valid job: {why}"))?;
            jobs.push(new);
            policies.push(draft.dedup.map_or(Policy::Reject, |(_, policy)| policy));
        }
        if check_graph(&jobs).is_err() {
            jobs.iter_mut().for_each(|job| job.depends_on.clear());
        }
        self.batches.push(jobs.clone());
        let answer = self.store.enqueue(jobs.clone()).await?;
        let EnqueueAnswer::Stored { outcomes, unblocked, now } = answer else { return Ok(()) };
        self.follow(unblocked, follow).await?;
        for ((outcome, new), policy) in outcomes.iter().zip(&jobs).zip(policies) {
            if let Enqueued::Duplicate(existing) = outcome
                && let Conflict::Replace(transition) =
                    conflict(existing, now, drafting::on_duplicate(policy), new)
            {
                // Whether the answer was made before or after the batch was
                // linked is not fixed; the version that counts is.
                self.store.look(&existing.reference()).await?;
                self.carry_out(vec![*transition], Pace::Now, follow).await?;
            }
        }
        Ok(())
    }

    /// Ends attempts, each as it was leased; with those that turn out stale
    /// core decides again, as a worker does.
    async fn settle(&mut self, attempts: &[(Held, Ending)], pace: Pace, follow: Follow) -> Check {
        let mut ended = Vec::new();
        for (held, ending) in attempts {
            let Some(job) = self.held(*held) else { continue };
            let attempt = Attempt { token: token(job), outcome: drafting::outcome(ending) };
            ended.push((job.clone(), attempt));
        }
        let decide = |job: &Job, attempt: &Attempt, life: &Self| {
            finish(job, life.store.model.spec(&job.queue), attempt)
        };
        let first = ended.iter().filter_map(|(job, attempt)| decide(job, attempt, self)).collect();
        let outcomes = self.carry_out(first, pace, follow).await?;
        let again: Vec<_> = outcomes
            .iter()
            .zip(&ended)
            .filter_map(|(outcome, (_, attempt))| match outcome {
                Applied::Stale(job) => decide(job, attempt, self),
                _ => None,
            })
            .collect();
        self.carry_out(again, pace, follow).await.map(drop)
    }

    async fn control(&mut self, pick: Pick, wish: Wish, pace: Pace, follow: Follow) -> Check {
        let Some(job) = nth(&self.store.model.stored(), pick).cloned() else { return Ok(()) };
        let Some(seen) = self.store.look(&job).await? else { return Ok(()) };
        // As the runtime does, which never removes what is needed.
        let needed = self.store.model.is_job_needed(job.id);
        let pace = if wish == Wish::Remove { Pace::Now } else { pace };
        match control(&seen, wish) {
            Ok(Some(transition)) if wish != Wish::Remove || !needed => {
                self.carry_out(vec![transition], pace, follow).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Decides about everything of a kind that is overdue, a page at a time,
    /// perhaps after a heartbeat of those that it found.
    async fn sweep(
        &mut self,
        query: OverdueQuery,
        heartbeat: Option<Duration>,
        pace: Pace,
        follow: Follow,
    ) -> Check {
        let mut query = query;
        loop {
            let page = self.store.overdue(query.clone()).await?;
            let spec = self.store.model.spec(&query.queue);
            let decide = |job| overdue(job, spec, query.what, page.now);
            let decided = page.jobs.iter().filter_map(decide).collect();
            if let Some(lease) = heartbeat {
                let leases = page.jobs.iter().filter_map(|job| {
                    let (job, token) = (job.reference(), job.lease?.token);
                    Some(Extend { job, token, lease, progress: None })
                });
                self.store.extend(leases.collect()).await?;
            }
            self.carry_out(decided, pace, follow).await?;
            if page.next.is_none() {
                return Ok(());
            }
            query.after = page.next;
        }
    }

    /// Carries out decisions now, or keeps them for later.
    async fn carry_out(
        &mut self,
        decided: Vec<Transition>,
        pace: Pace,
        follow: Follow,
    ) -> Check<Vec<Applied>> {
        if decided.is_empty() {
            return Ok(Vec::new());
        }
        self.decided.extend(decided.iter().cloned());
        match pace {
            Pace::Later => Ok(Vec::new()),
            Pace::Now => {
                let answer = self.store.apply(&decided).await?;
                self.follow(answer.unblocked, follow).await?;
                Ok(answer.outcomes)
            }
        }
    }

    /// Decides about blocked jobs that an answer names, on down the graph,
    /// unless the answer was lost.
    async fn follow(&mut self, named: Vec<Job>, follow: Follow) -> Check {
        let mut named = named;
        while let Follow::Through = follow {
            let decided: Vec<_> = named.iter().filter_map(|job| unblocked(job, None)).collect();
            if decided.is_empty() {
                break;
            }
            named = self.store.apply(&decided).await?.unblocked;
        }
        Ok(())
    }

    /// Fires what is due of a queue.
    async fn fire(&mut self, queue: Pick, pace: Pace) -> Check {
        self.store.repeatables(RepeatablesQuery::Due(1)).await?;
        self.store.repeatables(RepeatablesQuery::Due(100)).await?;
        let spec = self.store.model.spec(&drafting::queue(queue)).clone();
        let of_queue = RepeatablesQuery::OfQueue(spec.name.clone());
        for record in self.store.repeatables(of_queue).await?.records {
            let previous = match record.last_job {
                None => Previous::Ended,
                Some(id) => {
                    let job = JobRef { queue: spec.name.clone(), id };
                    match self.store.look(&job).await? {
                        Some(job) if !job.state.is_terminal() => Previous::Live,
                        _ => Previous::Ended,
                    }
                }
            };
            let now: Timestamp = self.clock.now();
            let put = repeat::fire(&record, &spec, now, previous);
            let Some(put) = put.map_err(|why| format!("cannot fire: {why}"))? else { continue };
            self.puts.push(put.clone());
            if let Pace::Now = pace {
                self.store.put_repeatable(put).await?;
            }
        }
        Ok(())
    }

    fn filter(&self, queue: Option<windlass_core::model::QueueName>, by: &By) -> Filter {
        let all = Filter { queue, ..Filter::default() };
        match by {
            By::Nothing => all,
            By::States(states) => Filter { states: states.clone(), ..all },
            By::Kind(pick) => Filter { job_type: Some(drafting::job_type(*pick)), ..all },
            By::Key(pick) => Filter { key: Some(drafting::key(*pick)), ..all },
            By::Dedup(pick) => Filter { dedup: Some(drafting::dedup(*pick)), ..all },
            By::Partition(pick) => Filter { partition: Some(drafting::partition(*pick)), ..all },
            By::Tag(pick) => Filter { tag: Some(drafting::label(*pick)), ..all },
            By::Parent(pick) => {
                Filter { parent: nth(&self.leases, *pick).map(Job::reference), ..all }
            }
        }
    }
}
