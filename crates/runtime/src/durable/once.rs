//! How something is done once: what comes before it, and how it is recorded.

use serde::Serialize;
use serde::de::DeserializeOwned;
use windlass_core::decide::{Outcome, Retryable};
use windlass_core::model::{
    FIRST_RESULT, FailureKind, NewStep, Payload, Step, StepName, StepRecorded,
};

use super::entry::{self, Kind, Reason};
use super::journal::{Call, is_the_same};
use super::{Durable, step_name};
use crate::context::StopReason;
use crate::error::{Error, Result};
use crate::outcome::JobError;
use crate::worker::store_backoff;

impl Durable {
    /// What comes before everything: what is recorded is read, and steps that have failed
    /// while the handler goes on are recorded as such, so that they fail in each attempt.
    pub(super) async fn begin(&self, call: &Call<'_>) -> Result<()> {
        let journal = self.journal();
        // Also for whoever waits for another call that reads: what it does then is not known.
        let _busy = journal.busy();
        journal.load(self.running()).await?;
        for failed in &call.dealt_with {
            self.record(failed.clone()).await?;
        }
        // Those beside it take their positions first. If it answered at once, because it is
        // recorded, whoever stops at its error (`try_join!`) would never come to them.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Does something once: answers with what is recorded at its position, or does it and
    /// records what came of it.
    pub(super) async fn once<T: Serialize + DeserializeOwned>(
        &self,
        kind: Kind,
        name: impl Into<String>,
        run: impl AsyncFnOnce(u32) -> Result<T>,
    ) -> Result<T> {
        self.placed(kind, name, run).await.map(|(_, value)| value)
    }

    /// The same, with its position.
    pub(super) async fn placed<T: Serialize + DeserializeOwned>(
        &self,
        kind: Kind,
        name: impl Into<String>,
        run: impl AsyncFnOnce(u32) -> Result<T>,
    ) -> Result<(u32, T)> {
        let name = step_name(name)?;
        let call = self.journal().enter(kind, &name, 1)?;
        let position = call.position;
        let ran = self.once_in(&call, kind, name, run).await;
        call.answer(ran).map(|value| (position, value))
    }

    async fn once_in<T: Serialize + DeserializeOwned>(
        &self,
        call: &Call<'_>,
        kind: Kind,
        name: StepName,
        run: impl AsyncFnOnce(u32) -> Result<T>,
    ) -> Result<T> {
        let (journal, position) = (self.journal(), call.position);
        self.begin(call).await?;
        if let Some(step) = journal.expect(self.id(), position, kind, &name)? {
            if entry::kind(&step) == Some(Kind::Failure) {
                let error = entry::read::<Reason>(&step)?.error(&name);
                return Err(self.unkept(error));
            }
            return entry::read(&step);
        }
        let _busy = journal.busy();
        let ran = match kind {
            Kind::Step => journal.within_step(run(position)).await,
            _ => run(position).await,
        };
        let kept = ran.and_then(|value| {
            let outcome = self.written(kind, &value).map_err(|error| self.unkept(error))?;
            Ok((outcome, value))
        });
        let (outcome, value) = match kept {
            Ok(kept) => kept,
            Err(error) => {
                if let (Kind::Step, Some(reason)) = (kind, Reason::of(&error)) {
                    let outcome = entry::write(Kind::Failure, &reason)?;
                    journal.has_failed(Step { position, name, outcome });
                }
                return Err(error);
            }
        };
        self.record(Step { position, name, outcome }).await?;
        Ok(value)
    }

    /// What is recorded of a value.
    fn written<T: Serialize>(&self, kind: Kind, value: &T) -> Result<Payload> {
        let outcome = entry::write(kind, value)?;
        // What the store has of children and the like is not for the caller to bound.
        let bounded = matches!(kind, Kind::Step | Kind::Value | Kind::Read);
        let (size, max) = (outcome.len(), self.running().spec.max_payload);
        if bounded && size > max {
            return Err(Error::ResultTooLarge { size, max });
        }
        Ok(outcome)
    }

    /// What an error means for the job if it is passed on. A result that cannot be kept would
    /// not be another one the next time, and to try again would repeat the work.
    fn unkept(&self, error: Error) -> Error {
        if matches!(error, Error::ResultTooLarge { .. } | Error::Encode { .. }) {
            let message = format!("{error:#}");
            let (kind, retry) = (FailureKind::Result, Retryable::No);
            let means = Outcome::Failure { kind, message: message.clone(), retry };
            self.journal().failed(message, means);
        }
        error
    }

    /// Records a step under the lease, whatever it takes: it has been done. A store that is
    /// away is waited for; if the lease is lost meanwhile, the handler is dropped.
    pub(super) async fn record(&self, step: Step) -> Result<()> {
        if step.position >= FIRST_RESULT {
            return Err(Error::Endless(step.position as usize));
        }
        let journal = self.journal();
        let _busy = journal.busy();
        let mut failures = 0;
        let answer = loop {
            let new = NewStep {
                job: self.reference(),
                token: self.token(),
                position: step.position,
                name: step.name.clone(),
                outcome: step.outcome.clone(),
            };
            match self.client().record_step(new).await {
                Err(error) if error.is_transient() => {
                    failures += 1;
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "a step is recorded after a while"
                    );
                    tokio::time::sleep(store_backoff(failures)).await;
                }
                answer => break answer?,
            }
        };
        match answer {
            StepRecorded::Recorded => {}
            // A first try whose answer was lost, unless the code is another one by now.
            StepRecorded::Existing(existing) => {
                let kind = entry::kind(&step);
                let kind = kind.ok_or_else(|| Error::LeaseLost(self.id()))?;
                is_the_same(self.id(), existing, kind, &step.name)?;
            }
            StepRecorded::StaleLease => {
                self.running().stop(StopReason::LeaseLost);
                return Err(Error::LeaseLost(self.id()));
            }
        }
        journal.note(step);
        Ok(())
    }

    /// What the failure of a step is for the handler, and for the job if it is passed on.
    pub(super) fn failed(&self, name: &str, error: JobError) -> Error {
        let outcome = error.into_outcome();
        let said = match &outcome {
            Outcome::Failure { message, .. } => message.clone(),
            Outcome::Snooze(_) => "it wants to be called again later".to_owned(),
            _ => "it did not come to an end".to_owned(),
        };
        let error = Error::Step { name: name.to_owned(), message: said };
        let told = format!("{error:#}");
        let means = match outcome {
            Outcome::Failure { kind, retry, .. } => {
                Outcome::Failure { kind, message: told.clone(), retry }
            }
            other => other,
        };
        self.journal().failed(told, means);
        error
    }
}
