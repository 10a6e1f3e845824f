//! Messages between jobs, and from anybody to a job (rule W4).

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use windlass_core::backend::BackendExt;
use windlass_core::decide::durable::Told;
use windlass_core::model::{Awaits, FIRST_RESULT, JobRef, Step, StepName, Timestamp};

use super::entry::{self, Kind};
use super::journal::{Call, Wait};
use super::{Durable, step_name};
use crate::client::Client;
use crate::encode::encode;
use crate::error::{Error, Result};

/// The position of a message in the record of a receive. None: none came in time.
type Consumed = Option<u32>;

/// A message about to be received. Awaiting it does so; see [`Durable::receive`].
#[must_use = "nothing is received before this is awaited"]
pub struct Receive<'d, T> {
    durable: &'d Durable,
    topic: String,
    timeout: Option<Duration>,
    marker: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Receive<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receive")
            .field("topic", &self.topic)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl<T> Receive<'_, T> {
    /// How long the job waits for it, by the store's clock, from when it came here first.
    /// Without, as long as it takes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl<'d, T: DeserializeOwned + Send + 'd> IntoFuture for Receive<'d, T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>> + Send + 'd>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<T: DeserializeOwned> Receive<'_, T> {
    async fn run(self) -> Result<T> {
        let topic = step_name(self.topic)?;
        // With a time-out it has two positions: when it ends, and what came.
        let positions = if self.timeout.is_some() { 2 } else { 1 };
        let call = self.durable.journal().enter(Kind::Receive, &topic, positions)?;
        let received = self.durable.receive_in(&call, topic, self.timeout).await;
        call.answer(received)
    }
}

impl Durable {
    async fn receive_in<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        topic: StepName,
        timeout: Option<Duration>,
    ) -> Result<T> {
        let journal = self.journal();
        let (deadline_at, position) = match timeout {
            Some(_) => (Some(call.position), call.position + 1),
            None => (None, call.position),
        };
        let _receiving = journal.receive(position, &topic);
        self.begin(call).await?;
        if let Some(step) = journal.expect(self.id(), position, Kind::Receive, &topic)? {
            return self.consumed(entry::read(&step)?, &topic);
        }
        if let Some(message) = journal.next_message(position, &topic) {
            self.consume(position, &topic, Some(message)).await?;
            return self.consumed(Some(message), &topic);
        }
        let mut steps = Vec::new();
        let until = match (deadline_at, timeout) {
            (Some(at), Some(timeout)) => {
                match journal.expect(self.id(), at, Kind::Deadline, &topic)? {
                    Some(step) => entry::read::<Timestamp>(&step)?,
                    None => {
                        let _busy = journal.busy();
                        let deadline = self.client().backend().now().await?.after(timeout);
                        let outcome = entry::write(Kind::Deadline, &deadline)?;
                        steps.push(Step { position: at, name: topic.clone(), outcome });
                        deadline
                    }
                }
            }
            _ => self.in_the_far_future(),
        };
        if until <= self.leased_at() {
            self.consume(position, &topic, None).await?;
            return self.consumed(None, &topic);
        }
        let awaits = Awaits { topics: vec![topic], ..Awaits::default() };
        journal.wait(Wait { until, awaits, steps }).await
    }

    /// Receives the next message of a topic that this job has not consumed, sent with
    /// [`JobHandle::send`](crate::JobHandle::send) or [`Durable::send`], also before this
    /// job started. Until there is one, the job is suspended. Awaiting the answer does it.
    ///
    /// # Errors
    /// [`Error::NoMessage`] after [`Receive::timeout`], [`Error::Decode`] if it is something
    /// else (it is consumed all the same); otherwise as [`Durable::step`].
    pub fn receive<T: DeserializeOwned>(&self, topic: impl Into<String>) -> Receive<'_, T> {
        Receive { durable: self, topic: topic.into(), timeout: None, marker: PhantomData }
    }

    /// Sends a message to another job, once, whatever becomes of this attempt.
    ///
    /// # Errors
    /// [`Error::Gone`] if there is no such job, [`Error::Ended`] if it has ended; otherwise
    /// as [`Durable::step`].
    pub async fn send<T: Serialize + ?Sized>(
        &self,
        to: impl Into<JobRef>,
        topic: impl Into<String>,
        message: &T,
    ) -> Result<()> {
        let (to, topic, body) = (to.into(), topic.into(), encode("message", message)?);
        let name = step_name(topic)?;
        self.once(Kind::Send, name.as_str(), async |position| {
            // Known by who sends it and from where, so that a second try is the same message.
            let id = format!("{}/{position}", self.life());
            let told = Told::Message { topic: name.clone(), id: Some(id), body };
            tell(self.client(), &to, told).await
        })
        .await
    }

    async fn consume(&self, position: u32, topic: &StepName, message: Consumed) -> Result<()> {
        let outcome = entry::write(Kind::Receive, &message)?;
        self.record(Step { position, name: topic.clone(), outcome }).await
    }

    fn consumed<T: DeserializeOwned>(&self, message: Consumed, topic: &StepName) -> Result<T> {
        match message {
            Some(position) => self.journal().message(position),
            None => Err(Error::NoMessage(topic.as_str().to_owned())),
        }
    }
}

/// Tells a job something.
pub(super) async fn tell(client: &Client, to: &JobRef, told: Told) -> Result<()> {
    if client.backend().tell(to, vec![told]).await? {
        return Ok(());
    }
    match client.job(to).await? {
        Some(_) => Err(Error::Ended(to.id)),
        None => Err(Error::Gone(to.id)),
    }
}

/// Sends a message to a job; one with an id is sent once, however often it is tried.
pub(crate) async fn send<T: Serialize + ?Sized>(
    client: &Client,
    to: &JobRef,
    topic: String,
    id: Option<String>,
    message: &T,
) -> Result<()> {
    let body = encode("message", message)?;
    tell(client, to, Told::Message { topic: step_name(topic)?, id, body }).await
}

/// The last value that a job has set under a key.
pub(crate) async fn value_in<T: DeserializeOwned>(
    client: &Client,
    of: &JobRef,
    key: &str,
) -> Result<Option<T>> {
    let steps = client.backend().steps(of).await?;
    let is_it = |step: &&Step| {
        step.position < FIRST_RESULT
            && step.name.as_str() == key
            && entry::kind(step) == Some(Kind::Value)
    };
    steps.iter().rev().find(is_it).map(entry::read).transpose()
}
