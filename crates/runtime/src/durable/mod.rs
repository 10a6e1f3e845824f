//! Durable execution: handlers whose steps are recorded, so that a later attempt goes on
//! where the last one was.
//!
//! A handler that takes a [`Durable`] runs from its beginning each time. What it did before
//! is not done again: each call finds what was recorded at its position and answers with
//! that. So the code in between must do the same each time, and what takes time or has
//! effects belongs into a step.
//!
//! - `entry` what is recorded of each thing
//! - `journal` what is known while the handler runs, and when its job is suspended
//! - `once` how something is done once
//! - `step`, `children`, `messages` the things

mod children;
mod entry;
mod journal;
mod messages;
mod once;
mod step;

use std::ops::Deref;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use windlass_core::decide::durable::UNTIL_TOLD;
use windlass_core::model::{Awaits, JobRef, Step, StepName, Timestamp};

use self::entry::Kind;
use self::journal::{Call, Wait, is_the_same};
use crate::context::{Context, Running};
use crate::error::{Error, Result};
use crate::handler::FromContext;
use crate::outcome::JobError;

pub use self::children::{Child, Children, IntoChild};
pub(crate) use self::journal::{Journal, until_suspended};
pub use self::messages::Receive;
pub(crate) use self::messages::{send, value_in};
pub use self::step::StepCall;

/// What a durable handler records and waits with. Take it as an argument; it derefs to the
/// [`Context`].
///
/// ```
/// # use std::time::Duration;
/// # use windlass_runtime::{Durable, JobError};
/// # struct Onboard; struct Api;
/// # impl Api { async fn create(&self) -> Result<u64, String> { Ok(7) } }
/// # async fn example(ctx: Durable, api: Api) -> Result<u64, JobError> {
/// // Recorded once: a later attempt gets the recorded account.
/// let account: u64 = ctx.step("create account", || api.create()).await?;
/// // Holds no worker and no slot.
/// ctx.sleep(Duration::from_secs(86_400)).await?;
/// let approved: bool = ctx.receive("approval").timeout(Duration::from_secs(3600)).await?;
/// # let _ = approved;
/// # Ok(account) }
/// ```
///
/// Each call has its position: the first is 0, and so on, in the order in which they are
/// first polled. What is called in another order, or under another name, than what was
/// recorded at its position is [`Error::Diverged`] (rule W5). Calls that are polled together
/// (`join!`, `try_join!`) are fine as long as none of their branches goes on to further
/// calls; for that, spawn jobs. Calls must not be raced (`select!`, `tokio::time::timeout`):
/// which comes first is not recorded. [`StepCall::timeout`] and [`Receive::timeout`] are.
///
/// Whoever waits here gives the lease back: the future is dropped, and the handler runs from
/// its beginning when it is time (rule W2). That happens as soon as the handler awaits
/// nothing but such calls and things of its own, outside any step.
pub struct Durable {
    context: Context,
}

impl FromContext for Durable {
    fn from_context(context: &Context) -> std::result::Result<Self, JobError> {
        context.running().open_journal();
        Ok(Self { context: context.clone() })
    }
}

impl Deref for Durable {
    type Target = Context;
    fn deref(&self) -> &Context {
        &self.context
    }
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Durable").field(&self.context).finish()
    }
}

impl Durable {
    /// Runs something once: its first success is recorded, and a later attempt is answered
    /// with that instead of running it again (rule W1). Between the success and its record
    /// the process can die; so what must not happen twice should be given
    /// [`Context::id`] and the name, to know it by.
    ///
    /// Awaiting the answer does it; before that, [`StepCall::retries`] and
    /// [`StepCall::timeout`] say more. A step that fails fails the attempt if the handler
    /// passes the error on, and for good if it is [`JobError::permanent`] or the result
    /// cannot be kept.
    ///
    /// # Errors
    /// [`Error::Step`] if it fails, [`Error::Diverged`], [`Error::LeaseLost`],
    /// [`Error::Encode`], [`Error::Decode`], [`Error::ResultTooLarge`], [`Error::Name`].
    pub fn step<F>(&self, name: impl Into<String>, run: F) -> StepCall<'_, F> {
        StepCall::new(self, name.into(), run)
    }

    /// The same for what does not suspend.
    ///
    /// # Errors
    /// As [`Durable::step`].
    pub async fn step_sync<T, E>(
        &self,
        name: impl Into<String>,
        run: impl FnOnce() -> std::result::Result<T, E>,
    ) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        E: Into<JobError>,
    {
        let name = name.into();
        self.once(Kind::Step, name.clone(), async |_| {
            run().map_err(|error| self.failed(&name, error.into()))
        })
        .await
    }

    /// Lets the job go on after so long, by the store's clock. Meanwhile it is scheduled,
    /// and holds neither lease nor slot.
    ///
    /// # Errors
    /// [`Error::Diverged`], [`Error::Store`].
    pub async fn sleep(&self, length: Duration) -> Result<()> {
        self.sleep_for(|now| now.after(length)).await
    }

    /// Lets the job go on at this moment.
    ///
    /// # Errors
    /// As [`Durable::sleep`].
    pub async fn sleep_until(&self, moment: Timestamp) -> Result<()> {
        self.sleep_for(|_| moment).await
    }

    async fn sleep_for(&self, until: impl FnOnce(Timestamp) -> Timestamp) -> Result<()> {
        let name = step_name("sleep")?;
        let call = self.journal().enter(Kind::Sleep, &name, 1)?;
        let slept = self.sleep_in(&call, name, until).await;
        call.answer(slept)
    }

    async fn sleep_in(
        &self,
        call: &Call<'_>,
        name: StepName,
        until: impl FnOnce(Timestamp) -> Timestamp,
    ) -> Result<()> {
        let (journal, position) = (self.journal(), call.position);
        self.begin(call).await?;
        let (moment, steps) = match journal.expect(self.id(), position, Kind::Sleep, &name)? {
            Some(step) => (entry::read(&step)?, Vec::new()),
            None => {
                let _busy = journal.busy();
                let moment = until(self.client().backend().now().await?);
                let outcome = entry::write(Kind::Sleep, &moment)?;
                (moment, vec![Step { position, name, outcome }])
            }
        };
        // The moment of the lease: nobody has to look at a clock again.
        if moment <= self.leased_at() {
            for step in steps {
                self.record(step).await?;
            }
            return Ok(());
        }
        journal.wait(Wait { until: moment, awaits: Awaits::default(), steps }).await
    }

    /// The store's time, the same in every attempt.
    ///
    /// # Errors
    /// As [`Durable::step`].
    pub async fn now(&self) -> Result<Timestamp> {
        self.once(Kind::Now, "now", async |_| Ok(self.client().backend().now().await?)).await
    }

    /// A random number, the same in every attempt.
    ///
    /// # Errors
    /// As [`Durable::step`].
    pub async fn random(&self) -> Result<u64> {
        self.once(Kind::Random, "random", async |_| Ok(Uuid::new_v4().as_u64_pair().1)).await
    }

    /// Which version of a change this job runs. The first time it comes here, that is
    /// `latest`, and stays so for this job. One that had recorded anything behind this place
    /// before the change was made gets 0. A wait for children leaves no record there, and one
    /// for a message without a time-out only when it is over.
    ///
    /// That is how code is changed while jobs are in flight: put the new code behind
    /// `if ctx.version("a name for the change", 1).await? >= 1`, the old one into the `else`,
    /// and remove the latter when no job of before is left.
    ///
    /// # Errors
    /// [`Error::Diverged`], [`Error::Store`].
    pub async fn version(&self, change: impl Into<String>, latest: u32) -> Result<u32> {
        let name = step_name(change)?;
        let call = self.journal().enter(Kind::Version, &name, 1)?;
        let version = self.version_in(&call, name, latest).await;
        call.answer(version)
    }

    async fn version_in(&self, call: &Call<'_>, name: StepName, latest: u32) -> Result<u32> {
        let (journal, position) = (self.journal(), call.position);
        self.begin(call).await?;
        // What was recorded from here on was before there was this mark. A step may have left
        // its place empty.
        let recorded = journal.next_from(position);
        let is_it = |step: &Step| {
            step.position == position
                && is_the_same(self.id(), step.clone(), Kind::Version, &name).is_ok()
        };
        match recorded {
            Some(step) if is_it(&step) => entry::read(&step),
            Some(_) => {
                journal.give_back(position);
                Ok(0)
            }
            None => {
                let _busy = journal.busy();
                let outcome = entry::write(Kind::Version, &latest)?;
                self.record(Step { position, name, outcome }).await?;
                Ok(latest)
            }
        }
    }

    fn running(&self) -> &Running {
        self.context.running()
    }

    fn journal(&self) -> &Journal {
        self.running().open_journal()
    }

    /// When this attempt began, by the store's clock.
    fn leased_at(&self) -> Timestamp {
        self.job().started_at.unwrap_or(self.job().due)
    }

    /// This life of the job: stored anew under its key, it would be another one.
    fn life(&self) -> String {
        format!("{}@{}", self.id(), self.job().enqueued_at.as_micros())
    }

    /// A moment at which something else will have happened.
    fn in_the_far_future(&self) -> Timestamp {
        self.leased_at().after(UNTIL_TOLD)
    }

    /// Sets a value that others can read by its key, while this job is there: with
    /// [`JobHandle::value`](crate::JobHandle::value). The last one counts.
    ///
    /// # Errors
    /// As [`Durable::step`].
    pub async fn set_value<T: Serialize + ?Sized>(
        &self,
        key: impl Into<String>,
        value: &T,
    ) -> Result<()> {
        let value = serde_json::to_value(value).map_err(|error| Error::Encode {
            what: "value",
            message: windlass_core::model::json::problem(&error),
        })?;
        self.once(Kind::Value, key, async |_| Ok(value)).await.map(|_| ())
    }

    /// A value that a job has set, as it was when this job asked first.
    ///
    /// # Errors
    /// As [`Durable::step`].
    pub async fn value<T: Serialize + DeserializeOwned>(
        &self,
        of: impl Into<JobRef>,
        key: impl Into<String>,
    ) -> Result<Option<T>> {
        let (of, key) = (of.into(), key.into());
        self.once(Kind::Read, key.clone(), async |_| value_in(self.client(), &of, &key).await).await
    }
}

fn step_name(name: impl Into<String>) -> Result<StepName> {
    Ok(StepName::new(name.into())?)
}
