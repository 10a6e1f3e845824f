//! What is recorded of jobs, as a store with a fault might get it wrong.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use windlass_core::backend::{
    Applied, CancelRequest, Guard, LeaseGuard, Result, Target, Transition,
};
use windlass_core::model::{JobId, JobRef, NewStep, Step, StepRecorded};

use super::fault::Fault;
use super::faulty::Faulty;
use crate::fixture::forged;

impl Faulty {
    pub(super) async fn record_wrongly(
        &self,
        mut steps: Vec<NewStep>,
    ) -> Result<Vec<StepRecorded>> {
        if self.has(Fault::StepUnderStaleLease) {
            for step in &mut steps {
                step.token = self.current_token(&step.job).await?.unwrap_or(step.token);
            }
        }
        let mut answers = self.inner.record_steps(steps).await?;
        let stale = answers.iter().position(|answer| *answer == StepRecorded::StaleLease);
        if let (Fault::StepsStopAtStale, Some(first)) = (self.fault, stale) {
            answers[first..].fill(StepRecorded::StaleLease);
        }
        if self.has(Fault::StepOverwritten) {
            for answer in &mut answers {
                if matches!(answer, StepRecorded::Existing(_)) {
                    *answer = StepRecorded::Recorded;
                }
            }
        }
        Ok(answers)
    }

    pub(super) async fn read_wrongly(&self, job: &JobRef) -> Result<Vec<Step>> {
        let mut steps = self.inner.steps(job).await?;
        match self.fault {
            Fault::StepsUnsorted => steps.sort_by(|a, b| a.name.cmp(&b.name)),
            Fault::StepsToldOverwrite => {
                let told = self.told();
                steps.iter_mut().for_each(|step| {
                    if let Some(last) = told.get(&(job.id, step.position)) {
                        *step = last.clone();
                    }
                });
            }
            Fault::StepsOutliveJobs if steps.is_empty() => {
                let told = self.told();
                steps.extend(told.range((job.id, 0)..=(job.id, u32::MAX)).map(|(_, s)| s.clone()));
            }
            _ => {}
        }
        Ok(steps)
    }

    fn told(&self) -> MutexGuard<'_, BTreeMap<(JobId, u32), Step>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes with transitions, as a store might get it wrong.
    pub(super) async fn tell_wrongly(
        &self,
        transitions: &[Transition],
        outcomes: &[Applied],
    ) -> Result<()> {
        for (transition, outcome) in transitions.iter().zip(outcomes) {
            match (self.fault, outcome) {
                (Fault::StepsToldOverwrite | Fault::StepsOutliveJobs, Applied::Applied) => {
                    let steps = transition.steps.iter().cloned();
                    self.told().extend(steps.map(|s| ((transition.job.id, s.position), s)));
                }
                (Fault::StepsToldUnguarded, Applied::Stale(job))
                    if !transition.steps.is_empty() =>
                {
                    let guard = Guard { version: job.version, lease: LeaseGuard::Any };
                    let stay = Target::Stay { cancel: CancelRequest::Unchanged };
                    let mut forced = forged(job, guard, stay);
                    forced.steps.clone_from(&transition.steps);
                    self.inner.apply(vec![forced]).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
