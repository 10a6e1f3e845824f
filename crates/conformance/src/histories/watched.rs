//! A store whose every answer is judged, and noted.

use std::sync::Arc;

use windlass_core::Backend;
use windlass_core::backend::{
    Again, Applied, ApplyAnswer, Ask, BackendExt, Clean, Dequeued, EnqueueAnswer, Enqueued, Error,
    Extend, OverduePage, OverdueQuery, PutRepeatable, RepeatablePut, Repeatables, RepeatablesQuery,
    Transition,
};
use windlass_core::model::{
    Beat, Detail, Direction, Filter, Job, JobId, JobRef, JobsQuery, ManualClock, NewJob, NewStep,
    Payload, QueueName, QueueSpec, RepeatableKey,
};

use super::model::{Check, Model, ensure};

/// How many jobs the longest page holds.
const PAGE: u32 = 1000;

/// Whether answers are noted, to be compared with those of another store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notes {
    Taken,
    None,
}

/// A store and the model that it is held to.
pub(super) struct Watched {
    backend: Arc<dyn Backend>,
    pub(super) model: Model,
    notes: Notes,
    /// What the contract fixes of each answer so far.
    transcript: Vec<String>,
}

/// A call fails in a way that no history provokes.
fn failed(error: Error) -> String {
    format!("a call failed: {error:#}")
}

impl Watched {
    pub(super) fn new(backend: Arc<dyn Backend>, clock: ManualClock, notes: Notes) -> Self {
        Self { backend, model: Model::new(clock), notes, transcript: Vec::new() }
    }

    pub(super) fn into_transcript(self) -> Vec<String> {
        self.transcript
    }

    fn note(&mut self, what: impl FnOnce(&Model) -> String) {
        if self.notes == Notes::Taken {
            self.transcript.push(what(&self.model));
        }
    }

    pub(super) async fn declare(&mut self, spec: &QueueSpec) -> Check {
        let answer = self.backend.declare(spec).await.map_err(failed)?;
        self.model.declare(spec, &answer)?;
        self.note(|_| format!("declared {answer:?}"));
        Ok(())
    }

    pub(super) async fn pause(&mut self, queue: &QueueName) -> Check {
        self.backend.pause(queue).await.map_err(failed)?;
        self.model.set_paused(queue, true);
        Ok(())
    }

    pub(super) async fn resume(&mut self, queue: &QueueName) -> Check {
        self.backend.resume(queue).await.map_err(failed)?;
        self.model.set_paused(queue, false);
        Ok(())
    }

    pub(super) async fn enqueue(&mut self, jobs: Vec<NewJob>) -> Check<EnqueueAnswer> {
        let answer = self.backend.enqueue(jobs.clone()).await.map_err(failed)?;
        self.model.enqueue(&jobs, &answer)?;
        self.note(|model| match &answer {
            EnqueueAnswer::Refused { .. } => "refused".to_owned(),
            EnqueueAnswer::Stored { outcomes, unblocked, .. } => {
                let outcomes: Vec<_> = outcomes
                    .iter()
                    .map(|outcome| match outcome {
                        Enqueued::Duplicate(job) => format!("duplicate of {}", job.id),
                        outcome => format!("{outcome:?}"),
                    })
                    .collect();
                format!("enqueued {outcomes:?}\n{}", model.plainly(unblocked))
            }
        });
        Ok(answer)
    }

    pub(super) async fn dequeue(&mut self, ask: Ask) -> Check<Dequeued> {
        let answer = self.backend.dequeue(ask.clone()).await.map_err(failed)?;
        self.model.dequeue(&ask, &answer)?;
        self.note(|model| {
            // Between two moments at which nothing happens, it is the store's.
            let more = answer.again == Again::Now;
            format!("dequeued at {}, more {more}\n{}", answer.now, model.plainly(&answer.jobs))
        });
        Ok(answer)
    }

    pub(super) async fn extend(&mut self, leases: Vec<Extend>) -> Check {
        let answer = self.backend.extend(leases.clone()).await.map_err(failed)?;
        self.model.extend(&leases, &answer)?;
        self.note(|_| format!("extended {answer:?}"));
        Ok(())
    }

    pub(super) async fn overdue(&mut self, query: OverdueQuery) -> Check<OverduePage> {
        let page = self.backend.overdue(query.clone()).await.map_err(failed)?;
        self.model.overdue(&query, &page)?;
        self.note(|model| format!("overdue {:?}\n{}", query.what, model.plainly(&page.jobs)));
        Ok(page)
    }

    pub(super) async fn apply(&mut self, transitions: &[Transition]) -> Check<ApplyAnswer> {
        let answer = self.backend.apply(transitions.to_vec()).await.map_err(failed)?;
        self.model.apply(transitions, &answer)?;
        self.note(|model| {
            let outcomes: Vec<_> = answer
                .outcomes
                .iter()
                .map(|outcome| match outcome {
                    Applied::Stale(job) => format!("stale {}", job.id),
                    outcome => format!("{outcome:?}"),
                })
                .collect();
            let mut unblocked = answer.unblocked.clone();
            unblocked.sort_unstable_by_key(|job| job.id);
            format!("applied {outcomes:?}\n{}", model.plainly(&unblocked))
        });
        Ok(answer)
    }

    pub(super) async fn record_step(&mut self, step: NewStep) -> Check {
        let answer = self.backend.record_step(step.clone()).await.map_err(failed)?;
        self.model.record_step(&step, &answer)?;
        self.note(|_| format!("recorded {answer:?}"));
        Ok(())
    }

    pub(super) async fn repeatables(&mut self, query: RepeatablesQuery) -> Check<Repeatables> {
        let answer = self.backend.repeatables(query.clone()).await.map_err(failed)?;
        match &query {
            RepeatablesQuery::One(queue, key) => self.model.one_repeatable(queue, key, &answer)?,
            RepeatablesQuery::OfQueue(queue) => self.model.repeatables_of(queue, &answer)?,
            RepeatablesQuery::Due(limit) => self.model.due_repeatables(*limit, &answer)?,
        }
        self.note(|_| format!("repeatables {}", answer.records.len()));
        Ok(answer)
    }

    pub(super) async fn put_repeatable(&mut self, put: PutRepeatable) -> Check<RepeatablePut> {
        let answer = self.backend.put_repeatable(put.clone()).await.map_err(failed)?;
        self.model.put_repeatable(&put, &answer)?;
        self.note(|_| format!("put {answer:?}"));
        Ok(answer)
    }

    pub(super) async fn remove_repeatable(
        &mut self,
        queue: &QueueName,
        key: &RepeatableKey,
    ) -> Check {
        let answer = self.backend.remove_repeatable(queue, key).await.map_err(failed)?;
        self.model.remove_repeatable(queue, key, answer)
    }

    pub(super) async fn clean(&mut self, clean: Clean) -> Check {
        let answer = self.backend.clean(clean.clone()).await.map_err(failed)?;
        let of_queue = Filter { queue: Some(clean.queue.clone()), ..Filter::default() };
        let left = self.pages(everything(of_queue, Detail::Summary)).await?;
        let left: Vec<JobId> = left.iter().map(|job| job.id).collect();
        self.model.clean(&clean, answer, &left)?;
        self.note(|_| format!("cleaned {answer}"));
        Ok(())
    }

    pub(super) async fn beat(&mut self, beat: Beat) -> Check {
        self.backend.beat(beat.clone()).await.map_err(failed)?;
        self.model.beat(&beat);
        let workers = self.backend.workers().await.map_err(failed)?;
        self.model.workers(&workers)
    }

    /// Looks at a job from every side. Answers it as it stands.
    pub(super) async fn look(&mut self, job: &JobRef) -> Check<Option<Job>> {
        let seen = self.backend.job(job).await.map_err(failed)?;
        self.model.job(job, seen.as_ref())?;
        let dependents = self.backend.dependents(job).await.map_err(failed)?;
        let dependencies = self.backend.dependencies(job).await.map_err(failed)?;
        let steps = self.backend.steps(job).await.map_err(failed)?;
        self.model.around(job, &dependents, &dependencies, &steps)?;
        self.note(|_| format!("{dependencies:?} {steps:?}"));
        Ok(seen.map(|seen| seen.job))
    }

    /// Walks a listing to its end.
    pub(super) async fn list(&mut self, query: JobsQuery) -> Check {
        let jobs = self.pages(query.clone()).await?;
        self.model.jobs(&query, &jobs)
    }

    async fn pages(&self, mut query: JobsQuery) -> Check<Vec<Job>> {
        let mut jobs = Vec::new();
        loop {
            let page = self.backend.jobs(query.clone()).await.map_err(failed)?;
            ensure!(page.jobs.len() <= query.limit as usize, "a page of {} jobs", page.jobs.len());
            let next = page.next;
            let on = page.jobs.last().map(|job| job.seq);
            jobs.extend(page.jobs);
            if next.is_none() {
                return Ok(jobs);
            }
            ensure!(next == on && next != query.after, "the next page begins after {next:?}");
            query.after = next;
        }
    }

    /// Looks at everything that can be seen of all queues.
    pub(super) async fn look_around(&mut self) -> Check {
        let queues = self.backend.queues().await.map_err(failed)?;
        self.model.queues(&queues)?;
        for queue in queues {
            let stats = self.backend.stats(&queue.spec.name).await.map_err(failed)?;
            self.model.stats(&stats)?;
            self.note(|_| {
                let (counts, leases, starts) = (stats.jobs, stats.leases, stats.starts_in_window);
                format!("{:?} {counts:?} {leases} {starts}", stats.queue)
            });
        }
        let query = everything(Filter::default(), Detail::Full);
        let mut jobs = self.pages(query.clone()).await?;
        self.model.jobs(&query, &jobs)?;
        self.note(|model| {
            // Only the order of each queue is fixed.
            jobs.sort_by(|a, b| a.queue.cmp(&b.queue));
            model.plainly(&jobs)
        });
        Ok(())
    }
}

impl Model {
    /// Jobs without what each store has of its own: sequence numbers, versions
    /// and tokens. With what a payload hides.
    fn plainly(&self, jobs: &[Job]) -> String {
        let bytes = |of: &Option<Payload>| of.as_ref().map(|payload| payload.as_slice().to_vec());
        let plain = |job: &Job| {
            let mut plain = job.clone();
            (plain.seq, plain.version) = (0, 0);
            if let Some(lease) = &mut plain.lease {
                lease.token = Default::default();
            }
            let (payload, result) = (bytes(&job.payload), bytes(&job.result));
            format!("{plain:?} {payload:?} {result:?}")
        };
        jobs.iter().map(plain).collect::<Vec<_>>().join("\n")
    }
}

fn everything(filter: Filter, detail: Detail) -> JobsQuery {
    JobsQuery { filter, direction: Direction::OldestFirst, after: None, limit: PAGE, detail }
}
