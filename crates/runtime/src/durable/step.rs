//! Steps that may fail, and are tried again.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use windlass_core::decide::{Outcome, Retryable};
use windlass_core::model::{Backoff, FailureKind, Retry};

use super::Durable;
use super::entry::Kind;
use crate::error::{Error, Result};
use crate::outcome::JobError;

/// A step about to be run. Awaiting it does so; see [`Durable::step`].
#[must_use = "nothing is run before the step is awaited"]
pub struct StepCall<'d, F> {
    durable: &'d Durable,
    name: String,
    run: F,
    retry: Retry,
    timeout: Option<Duration>,
}

impl<F> std::fmt::Debug for StepCall<'_, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StepCall").field(&self.name).finish_non_exhaustive()
    }
}

impl<'d, F> StepCall<'d, F> {
    pub(super) fn new(durable: &'d Durable, name: String, run: F) -> Self {
        let retry = Retry { max_attempts: 1, ..Retry::default() };
        Self { durable, name, run, retry, timeout: None }
    }

    /// How many further tries it gets within the attempt, default 0. They go on while the
    /// worker holds the job; with none left, the job's own retries follow.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retry.max_attempts = retries.saturating_add(1);
        self
    }

    /// How long it waits between two tries. Default: exponential from 1 s.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.retry.backoff = backoff;
        self
    }

    /// How long one try may take. After that it is dropped, and has failed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl<'d, F, Run, T, E> IntoFuture for StepCall<'d, F>
where
    F: FnMut() -> Run + Send + 'd,
    Run: Future<Output = std::result::Result<T, E>> + Send,
    T: Serialize + DeserializeOwned + Send,
    E: Into<JobError>,
{
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>> + Send + 'd>>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            let (durable, name) = (self.durable, self.name.clone());
            durable.once(Kind::Step, name, async move |_| self.tries().await).await
        })
    }
}

impl<F> StepCall<'_, F> {
    async fn tries<Run, T, E>(&mut self) -> Result<T>
    where
        F: FnMut() -> Run,
        Run: Future<Output = std::result::Result<T, E>>,
        E: Into<JobError>,
    {
        let mut failed = 0;
        loop {
            let error = match self.once().await {
                Ok(value) => return Ok(value),
                Err(error) => error.into_outcome(),
            };
            failed += 1;
            let wait = match &error {
                _ if failed >= self.retry.max_attempts => None,
                Outcome::Failure { retry: Retryable::Yes, .. } => {
                    Some(self.retry.wait(self.durable.id(), failed))
                }
                Outcome::Failure { retry: Retryable::After(wait), .. } => Some(*wait),
                _ => None,
            };
            let Some(wait) = wait else { return Err(self.given_up(error)) };
            tracing::info!(step = self.name, failed, ?wait, "a step is tried again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn once<Run, T, E>(&mut self) -> std::result::Result<T, JobError>
    where
        F: FnMut() -> Run,
        Run: Future<Output = std::result::Result<T, E>>,
        E: Into<JobError>,
    {
        let run = (self.run)();
        let Some(limit) = self.timeout else { return run.await.map_err(Into::into) };
        match tokio::time::timeout(limit, run).await {
            Ok(answer) => answer.map_err(Into::into),
            Err(_) => {
                let message = format!("it took longer than {limit:?}");
                Err(JobError::of_kind(FailureKind::Timeout, message, Retryable::Yes))
            }
        }
    }

    fn given_up(&self, outcome: Outcome) -> Error {
        self.durable.failed(&self.name, JobError::from_outcome(outcome))
    }
}
