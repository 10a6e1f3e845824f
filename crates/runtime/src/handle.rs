//! A job seen from outside.

use std::marker::PhantomData;
use std::time::Duration;

use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use windlass_core::backend::BackendExt;
use windlass_core::decide::control::Wish;
use windlass_core::model::{
    Dependency, Interest, Job as JobRecord, JobId, JobRef, Notice, Progress, State, Timestamp,
    When, json,
};

use crate::client::Client;
use crate::error::{Error, Result};

/// How often a waiting caller looks by itself: first soon, then less and less
/// often. Notices make it look at once; it does not depend on them (rule Q6).
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// A job seen from outside, by this or another process. Cloning is cheap.
pub struct JobHandle<J = ()> {
    client: Client,
    of: JobRef,
    marker: PhantomData<fn() -> J>,
}

// By hand, because none of this takes that the job's own type can be shown.
impl<J> std::fmt::Debug for JobHandle<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("JobHandle").field(&self.of).finish()
    }
}

impl<J> Clone for JobHandle<J> {
    fn clone(&self) -> Self {
        Self::new(self.client.clone(), self.of.clone())
    }
}

impl<J> From<JobHandle<J>> for JobRef {
    fn from(handle: JobHandle<J>) -> Self {
        handle.of
    }
}

impl<J> From<&JobHandle<J>> for JobRef {
    fn from(handle: &JobHandle<J>) -> Self {
        handle.of.clone()
    }
}

impl<J> JobHandle<J> {
    pub(crate) fn new(client: Client, of: JobRef) -> Self {
        Self { client, of, marker: PhantomData }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.of.id
    }

    /// Its id and its queue.
    #[must_use]
    pub fn reference(&self) -> &JobRef {
        &self.of
    }

    /// The job as it is now.
    ///
    /// # Errors
    /// [`Error::Gone`] if there is none, [`Error::Store`].
    pub async fn job(&self) -> Result<JobRecord> {
        self.client.job(&self.of).await?.ok_or(Error::Gone(self.of.id))
    }

    /// The state it is in now.
    ///
    /// # Errors
    /// As [`JobHandle::job`].
    pub async fn state(&self) -> Result<State> {
        Ok(self.job().await?.state)
    }

    /// How far it has come, as far as it has told.
    ///
    /// # Errors
    /// As [`JobHandle::job`].
    pub async fn progress(&self) -> Result<Option<Progress>> {
        Ok(self.job().await?.progress)
    }

    /// Waits until it has ended, and answers with the job.
    ///
    /// # Errors
    /// As [`JobHandle::job`]. A store that is away for a while is waited for.
    pub async fn wait(&self) -> Result<JobRecord> {
        let mut notices = self.client.backend().watch(Interest::Jobs);
        let mut look = FIRST_LOOK;
        loop {
            match self.job().await {
                Ok(job) if job.state.is_terminal() => return Ok(job),
                Ok(_) => {}
                Err(error) if error.is_transient() => {
                    tracing::warn!(error = format!("{error:#}"), job = %self.of.id, "waiting for the store");
                }
                Err(error) => return Err(error),
            }
            let until = tokio::time::sleep(look);
            tokio::pin!(until);
            look = (look * 2).min(LAST_LOOK);
            loop {
                tokio::select! {
                    () = &mut until => break,
                    notice = notices.next() => match notice {
                        Some(Notice::Job { job, .. }) if job.id != self.of.id => {}
                        // Its own notices come too; those of its queue would
                        // make a busy one look all the time.
                        Some(Notice::Queue(_)) => {}
                        // Anything at all may be nothing to this job; a busy
                        // store says it all the time.
                        Some(Notice::Anything) => {
                            let soon = tokio::time::Instant::now() + FIRST_LOOK;
                            if until.deadline() > soon {
                                until.as_mut().reset(soon);
                            }
                        }
                        Some(_) => break,
                        // No more notices: the clock alone has to do.
                        None => {
                            until.as_mut().await;
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Waits until it has ended, and answers with what it returned.
    ///
    /// # Errors
    /// [`Error::NotCompleted`] if it ended in another way, [`Error::Decode`] if
    /// the result is something else, [`Error::Gone`] if it was removed, as a
    /// queue that keeps nothing does at once.
    pub async fn result<T: DeserializeOwned>(&self) -> Result<T> {
        let job = self.wait().await?;
        if job.state != State::Completed {
            let error = job.course.errors.into_iter().next_back().map(Box::new);
            return Err(Error::NotCompleted { id: job.id, state: job.state, error });
        }
        decode_result(job.result.as_ref().map(|result| result.as_slice()))
    }

    /// The jobs that it waits for, and what they returned.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn dependencies(&self) -> Result<Vec<Dependency>> {
        Ok(self.client.backend().dependencies(&self.of).await?)
    }

    /// The jobs that wait for it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn dependents(&self) -> Result<Vec<JobRecord>> {
        Ok(self.client.backend().dependents(&self.of).await?)
    }

    /// Cancels it: at once if it does not run; a running one is asked to stop.
    /// Answers whether that changed anything.
    ///
    /// # Errors
    /// [`Error::Control`] if it has ended in another way.
    pub async fn cancel(&self) -> Result<bool> {
        self.control(Wish::Cancel).await
    }

    /// Lets it start so much later than now (rule D1).
    ///
    /// # Errors
    /// [`Error::Control`] unless it is scheduled or waiting.
    pub async fn delay(&self, delay: Duration) -> Result<bool> {
        self.control(Wish::Delay(When::After(delay))).await
    }

    /// Lets it start at this moment.
    ///
    /// # Errors
    /// [`Error::Control`] unless it is scheduled or waiting.
    pub async fn delay_until(&self, moment: Timestamp) -> Result<bool> {
        self.control(Wish::Delay(When::At(moment))).await
    }

    /// Lets it start now.
    ///
    /// # Errors
    /// [`Error::Control`] unless it is scheduled or waiting.
    pub async fn promote(&self) -> Result<bool> {
        self.control(Wish::Promote).await
    }

    /// Starts it afresh although it has ended; its history stays (rule C2).
    ///
    /// # Errors
    /// [`Error::Control`] unless it has ended, or if its deduplication key is
    /// taken.
    pub async fn retry(&self) -> Result<bool> {
        self.control(Wish::Retry).await
    }

    /// Removes it for good.
    ///
    /// # Errors
    /// [`Error::Control`] if it is active or blocked, or another job needs it.
    pub async fn remove(&self) -> Result<bool> {
        self.control(Wish::Remove).await
    }

    async fn control(&self, wish: Wish) -> Result<bool> {
        Ok(self.client.backend().control(&self.of, wish).await?)
    }
}

/// Reads a result; none at all stands for `()`.
pub(crate) fn decode_result<T: DeserializeOwned>(result: Option<&[u8]>) -> Result<T> {
    serde_json::from_slice(result.unwrap_or(b"null"))
        .map_err(|error| Error::Decode { what: "result", message: json::problem(&error) })
}
