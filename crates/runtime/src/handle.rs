//! A job seen from outside.

use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use windlass_core::backend::BackendExt;
use windlass_core::decide::control::Wish;
use windlass_core::model::{
    AttemptError, Dependency, Job as JobRecord, JobId, JobRef, JobType, Progress, State, Timestamp,
    When, json,
};

use crate::client::Client;
use crate::durable::{send, value_in};
use crate::error::{Error, Result};
use crate::wait::{Until, wait};

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

    /// What an onlooker wants to know of it.
    ///
    /// # Errors
    /// As [`JobHandle::job`].
    pub async fn status(&self) -> Result<Status> {
        Ok(Status::of(self.job().await?))
    }

    /// Waits until it has ended, and answers with the job. Any process can, also one that was
    /// started meanwhile; for several jobs at once see [`Client::wait_all`] and
    /// [`Client::wait_any`].
    ///
    /// # Errors
    /// As [`JobHandle::job`]. A store that is away for a while is waited for.
    pub async fn wait(&self) -> Result<JobRecord> {
        let mut ended = wait(&self.client, std::slice::from_ref(&self.of), Until::All).await?;
        ended.remove(&0).ok_or(Error::Gone(self.of.id))
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

    /// Sends it a message, which its handler gets by
    /// [`Durable::receive`](crate::Durable::receive), also if it has not started yet (rule
    /// W4). Messages of a topic come in the order in which they were sent.
    ///
    /// # Errors
    /// [`Error::Gone`] if there is no such job, [`Error::Ended`] if it has ended,
    /// [`Error::Name`], [`Error::Encode`], [`Error::Store`].
    pub async fn send<T: Serialize + ?Sized>(
        &self,
        topic: impl Into<String>,
        message: &T,
    ) -> Result<()> {
        send(&self.client, &self.of, topic.into(), None, message).await
    }

    /// The same for a message that is known by a name of its own: sent again under that
    /// name, because nobody knows whether the first try succeeded, it comes once.
    ///
    /// # Errors
    /// As [`JobHandle::send`].
    pub async fn send_once<T: Serialize + ?Sized>(
        &self,
        topic: impl Into<String>,
        id: impl Into<String>,
        message: &T,
    ) -> Result<()> {
        send(&self.client, &self.of, topic.into(), Some(id.into()), message).await
    }

    /// The value that its handler has set last under a key, with
    /// [`Durable::set_value`](crate::Durable::set_value).
    ///
    /// # Errors
    /// [`Error::Decode`] if it is something else, [`Error::Store`].
    pub async fn value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        value_in(&self.client, &self.of, key).await
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

/// What an onlooker wants to know of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Its type.
    pub job_type: JobType,
    /// Its state.
    pub state: State,
    /// The attempt that runs, or would run next, counted from 1.
    pub attempt: u32,
    /// How far it has come, as far as it has told.
    pub progress: Option<Progress>,
    /// Why its last attempt failed, if one did.
    pub error: Option<AttemptError>,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// The moment it may start, or could have.
    pub due: Timestamp,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Status {
    fn of(job: JobRecord) -> Self {
        Self {
            attempt: job.attempt(),
            job_type: job.job_type,
            state: job.state,
            progress: job.progress,
            error: job.course.errors.into_iter().next_back(),
            enqueued_at: job.enqueued_at,
            due: job.due,
            started_at: job.started_at,
            finished_at: job.finished_at,
        }
    }
}

/// Reads a result; none at all stands for `()`.
pub(crate) fn decode_result<T: DeserializeOwned>(result: Option<&[u8]>) -> Result<T> {
    serde_json::from_slice(result.unwrap_or(b"null"))
        .map_err(|error| Error::Decode { what: "result", message: json::problem(&error) })
}
