//! Sugar over the trait: load, decide, apply, and again if somebody was
//! faster.

use async_trait::async_trait;
use futures_util::future::join_all;

use super::{Applied, Backend, Error, Result, Transition};
use crate::decide::control::{NotPossible, Wish, control};
use crate::decide::durable::{
    Told, gate_of, is_open_gate, needs_dependencies, outcomes, tell, untold, without_results,
};
use crate::decide::unblocked;
use crate::model::{
    DedupKey, Dependency, Detail, Direction, Filter, Gate, Job, JobId, JobRef, JobsQuery, NewStep,
    State, StepRecorded, Timestamp,
};

/// How many jobs a bulk call reads at a time.
const PAGE: u32 = 500;

/// How many blocked jobs are looked at side by side.
const AT_ONCE: usize = 32;

/// Why a wish was not granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is no such job.
    #[error("there is no job {0}; it may have been cleaned")]
    NotFound(JobId),
    /// The job's state does not allow it.
    #[error(transparent)]
    NotPossible(#[from] NotPossible),
    /// Another job, which has not ended, depends on it.
    #[error("job {0} cannot be removed: job {1}, which has not ended, depends on it")]
    Needed(JobId, JobId),
    /// Another job has its deduplication key.
    #[error("job {id} cannot be retried: its deduplication key {key:?} is taken by job {by}")]
    KeyTaken {
        /// The job.
        id: JobId,
        /// Its key.
        key: DedupKey,
        /// The job that has the key.
        by: JobId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

/// What every backend can do, because it can do what [`Backend`] says.
#[async_trait]
pub trait BackendExt: Backend {
    /// Carries out transitions and what follows from them for blocked jobs,
    /// on down the graph. Outcomes are those of the given ones, in order.
    ///
    /// # Errors
    /// As [`Backend::apply`]. If it fails half-way, the sweep does the rest.
    async fn apply_through(&self, transitions: Vec<Transition>) -> Result<Vec<Applied>> {
        let answer = self.apply(transitions).await?;
        self.release(answer.unblocked).await?;
        Ok(answer.outcomes)
    }

    /// Decides about blocked jobs that a call has named, on down the graph. The parents of
    /// gates are told before those go (rule W2). One that cannot be decided, because a job
    /// it belongs with cannot be read, holds up none of the others.
    ///
    /// # Errors
    /// As [`Backend::apply`]; the first one of those that could not be decided, when all
    /// others are.
    async fn release(&self, jobs: Vec<Job>) -> Result<()> {
        let (mut jobs, mut failure) = (jobs, None);
        loop {
            let mut transitions = Vec::with_capacity(jobs.len());
            // Those that need a look at others, side by side.
            for part in jobs.chunks(AT_ONCE) {
                for decided in join_all(part.iter().map(|job| self.decide_unblocked(job))).await {
                    match decided {
                        Ok(transition) => transitions.extend(transition),
                        Err(error) => failure = failure.or(Some(error)),
                    }
                }
            }
            if transitions.is_empty() {
                return failure.map_or(Ok(()), Err);
            }
            let answer = self.apply(transitions).await?;
            jobs = answer.unblocked;
            jobs.extend(answer.outcomes.into_iter().filter_map(|outcome| match outcome {
                Applied::Stale(job) => Some(*job),
                _ => None,
            }));
        }
    }

    /// Decides about a blocked job that a call has named. The parent of a gate is told first.
    ///
    /// # Errors
    /// As [`Backend::apply`].
    async fn decide_unblocked(&self, job: &Job) -> Result<Option<Transition>> {
        let opens = is_open_gate(job);
        if !opens && !needs_dependencies(job) {
            return Ok(unblocked(job, None));
        }
        let dependencies = self.dependencies(&job.reference()).await?;
        if opens {
            // One may have been retried since it ended, and will end again.
            let ended = |one: &Dependency| one.state.is_none_or(State::is_terminal);
            if !dependencies.iter().all(ended) {
                return Ok(None);
            }
            if let Some((parent, at)) = gate_of(job) {
                self.tell_results(parent, at, &dependencies).await?;
            }
        }
        Ok(unblocked(job, Some(&dependencies)))
    }

    /// Tells a job what those came to that it has spawned (rule W2). One that is gone, or was
    /// stored anew since, needs to know nothing.
    ///
    /// # Errors
    /// As [`Backend::apply`].
    async fn tell_results(
        &self,
        parent: &JobRef,
        Gate { position, life }: Gate,
        dependencies: &[Dependency],
    ) -> Result<()> {
        let told = Told::Results { position, outcomes: outcomes(dependencies) };
        match self.tell_life(parent, Some(life), vec![told]).await {
            Err(error) if !error.kind().is_transient() => {
                // More than the store takes in one piece; they can be read one by one.
                let told = Told::Results { position, outcomes: without_results(dependencies) };
                self.tell_life(parent, Some(life), vec![told]).await.map(|_| ())
            }
            other => other.map(|_| ()),
        }
    }

    /// Tells a job something (rules W2 and W4), in one step with what follows from it.
    /// Answers whether it did: a job that is not there, or has ended, is told nothing.
    ///
    /// # Errors
    /// As [`Backend::apply`], and what the store refuses.
    async fn tell(&self, job: &JobRef, told: Vec<Told>) -> Result<bool> {
        self.tell_life(job, None, told).await
    }

    /// The same, if the job is the one that was enqueued at this moment.
    ///
    /// # Errors
    /// As [`BackendExt::tell`].
    async fn tell_life(
        &self,
        job: &JobRef,
        life: Option<Timestamp>,
        told: Vec<Told>,
    ) -> Result<bool> {
        let Some(mut seen) = self.job(job).await?.map(|seen| seen.job) else {
            return Ok(false);
        };
        let named = |one: &Told| matches!(one, Told::Message { id: Some(_), .. });
        loop {
            if life.is_some_and(|life| life != seen.enqueued_at) {
                return Ok(false);
            }
            let mut left = told.clone();
            if told.iter().any(named) {
                // Read after the job: who tells it something meanwhile raises its version.
                left = untold(&self.steps(job).await?, &told);
                if left.is_empty() {
                    return Ok(true);
                }
            }
            let Some(transition) = tell(&seen, left) else {
                return Ok(false);
            };
            match self.apply_through(vec![transition]).await?.pop() {
                Some(Applied::Stale(now)) => seen = *now,
                Some(Applied::Refused(error)) => return Err(error),
                Some(Applied::Gone) => return Ok(false),
                Some(Applied::Applied | Applied::KeyTaken { .. }) | None => return Ok(true),
            }
        }
    }

    /// Records the outcome of one step, as [`Backend::record_steps`] does.
    ///
    /// # Errors
    /// As [`Backend::record_steps`].
    async fn record_step(&self, step: NewStep) -> Result<StepRecorded> {
        let answer = self.record_steps(vec![step]).await?.pop();
        answer.ok_or_else(|| Error::new(super::ErrorKind::Store, "a step was not answered"))
    }

    /// Grants an operator's wish about one job. Answers whether it changed
    /// anything.
    ///
    /// # Errors
    /// [`ControlError`] says why not.
    async fn control(&self, job: &JobRef, wish: Wish) -> std::result::Result<bool, ControlError> {
        let mut seen = match self.job(job).await? {
            Some(seen) => seen.job,
            None => return Err(ControlError::NotFound(job.id)),
        };
        loop {
            if wish == Wish::Remove && seen.has_dependents {
                let dependents = self.dependents(job).await?;
                if let Some(live) = dependents.iter().find(|job| !job.state.is_terminal()) {
                    return Err(ControlError::Needed(job.id, live.id));
                }
            }
            let Some(transition) = control(&seen, wish)? else {
                return Ok(false);
            };
            match self.apply_through(vec![transition]).await?.pop() {
                Some(Applied::Applied) => return Ok(true),
                Some(Applied::Stale(now)) => seen = *now,
                Some(Applied::KeyTaken { key, by }) => {
                    return Err(ControlError::KeyTaken { id: job.id, key, by });
                }
                Some(Applied::Refused(error)) => return Err(error.into()),
                Some(Applied::Gone) | None => return Err(ControlError::NotFound(job.id)),
            }
        }
    }

    /// Grants a wish about every job of a filter whose state allows it, and
    /// answers how many it changed.
    ///
    /// # Errors
    /// [`ControlError::Store`] if the store fails; what was changed until then
    /// stays.
    async fn control_all(
        &self,
        filter: Filter,
        wish: Wish,
    ) -> std::result::Result<u64, ControlError> {
        let mut changed = 0;
        let mut after = None;
        // Dependents mostly stand behind what they depend on. Cancelled first,
        // each is counted, and none is let loose by the end of another.
        let direction = match wish {
            Wish::Cancel => Direction::NewestFirst,
            _ => Direction::OldestFirst,
        };
        loop {
            let query = JobsQuery {
                filter: filter.clone(),
                direction,
                after,
                limit: PAGE,
                detail: Detail::Summary,
            };
            let page = self.jobs(query).await?;
            // Most jobs go in one call; the few that somebody else changed
            // meanwhile, or that others depend on, are looked at one by one.
            let (mut batch, mut single) = (Vec::new(), Vec::new());
            for job in &page.jobs {
                match control(job, wish) {
                    Ok(Some(_)) if wish == Wish::Remove && job.has_dependents => {
                        single.push(job.reference());
                    }
                    Ok(Some(transition)) => batch.push(transition),
                    Ok(None) | Err(_) => {}
                }
            }
            let jobs: Vec<JobRef> = batch.iter().map(|t| t.job.clone()).collect();
            for (job, outcome) in jobs.into_iter().zip(self.apply_through(batch).await?) {
                match outcome {
                    Applied::Applied => changed += 1,
                    Applied::Stale(_) => single.push(job),
                    Applied::Refused(error) => return Err(error.into()),
                    Applied::Gone | Applied::KeyTaken { .. } => {}
                }
            }
            for job in single {
                match self.control(&job, wish).await {
                    Ok(true) => changed += 1,
                    Err(ControlError::Store(error)) => return Err(error.into()),
                    Ok(false) | Err(_) => {}
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(changed),
            }
        }
    }
}

impl<B: Backend + ?Sized> BackendExt for B {}
