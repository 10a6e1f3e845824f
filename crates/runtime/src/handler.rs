//! Handlers: async functions that take the job first and extractors after it.

use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use windlass_core::decide::{Outcome, Retryable};
use windlass_core::model::{FailureKind, JobId, json};

use crate::client::Client;
use crate::context::Context;
use crate::job::Job;
use crate::outcome::{IntoOutcome, JobError};

/// An async function that handles jobs of type `J`. It takes the job first and
/// then up to eight extractors, and returns what [`IntoOutcome`] takes.
///
/// `A` is the list of extractors; it is there to keep implementations apart
/// and is always inferred.
pub trait Handler<J, A>: Send + Sync + 'static {
    /// Handles one job.
    fn call(&self, job: J, context: Context) -> impl Future<Output = Outcome> + Send;
}

/// What a handler can take besides the job.
pub trait FromContext: Sized + Send {
    /// Takes it out of the job's context.
    ///
    /// # Errors
    /// A [`JobError`] says what is missing; the attempt then fails.
    fn from_context(context: &Context) -> Result<Self, JobError>;
}

impl FromContext for Context {
    fn from_context(context: &Context) -> Result<Self, JobError> {
        Ok(context.clone())
    }
}

impl FromContext for Client {
    fn from_context(context: &Context) -> Result<Self, JobError> {
        Ok(context.client().clone())
    }
}

impl FromContext for JobId {
    fn from_context(context: &Context) -> Result<Self, JobError> {
        Ok(context.id())
    }
}

/// Which attempt this is, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt(pub u32);

impl FromContext for Attempt {
    fn from_context(context: &Context) -> Result<Self, JobError> {
        Ok(Self(context.attempt()))
    }
}

/// What the worker shares with its handlers under this type: see
/// [`WorkerBuilder::data`](crate::WorkerBuilder::data).
#[derive(Debug)]
pub struct Data<T>(pub Arc<T>);

impl<T> Clone for Data<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Data<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Send + Sync + 'static> FromContext for Data<T> {
    fn from_context(context: &Context) -> Result<Self, JobError> {
        context.data().map(Self).ok_or_else(|| {
            let name = std::any::type_name::<T>();
            JobError::new(format!(
                "this worker shares no {name}; give it one with data(…) when it is built"
            ))
        })
    }
}

/// A handler that blocks its thread: it runs on a thread of its own, so that
/// it does not stall the others. Made by [`blocking`].
#[derive(Clone, Debug)]
pub struct Blocking<F>(Arc<F>);

/// Makes a handler of a function that blocks its thread.
///
/// A thread cannot be dropped: time-outs, cancellations and lost leases reach
/// such a handler by [`Context::stop_reason`] only. The job is settled all the
/// same once its grace period is over, and its slot given to the next one while
/// the thread may still be at work. A function that can take long should look
/// at the reason from time to time.
pub fn blocking<F>(function: F) -> Blocking<F> {
    Blocking(Arc::new(function))
}

/// Keeps the implementations of [`Handler`] for [`Blocking`] apart.
#[derive(Debug)]
pub struct BlockingArgs<A>(PhantomData<A>);

macro_rules! handlers {
    ($($extractor:ident),*) => {
        impl<F, Fut, J, $($extractor,)*> Handler<J, ($($extractor,)*)> for F
        where
            F: Fn(J, $($extractor,)*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send,
            Fut::Output: IntoOutcome,
            J: Send + 'static,
            $($extractor: FromContext,)*
        {
            #[allow(non_snake_case, unused_variables)]
            async fn call(&self, job: J, context: Context) -> Outcome {
                $(
                    let $extractor = match $extractor::from_context(&context) {
                        Ok(value) => value,
                        Err(error) => return error.into_outcome(),
                    };
                )*
                self(job, $($extractor,)*).await.into_outcome()
            }
        }

        impl<F, R, J, $($extractor,)*> Handler<J, BlockingArgs<($($extractor,)*)>> for Blocking<F>
        where
            F: Fn(J, $($extractor,)*) -> R + Send + Sync + 'static,
            R: IntoOutcome,
            J: Send + 'static,
            $($extractor: FromContext + 'static,)*
        {
            #[allow(non_snake_case, unused_variables)]
            async fn call(&self, job: J, context: Context) -> Outcome {
                $(
                    let $extractor = match $extractor::from_context(&context) {
                        Ok(value) => value,
                        Err(error) => return error.into_outcome(),
                    };
                )*
                let function = Arc::clone(&self.0);
                on_a_thread(context, move || function(job, $($extractor,)*).into_outcome()).await
            }
        }
    };
}

/// Runs a function on a thread of its own, unless the job is told to stop
/// before one is free.
async fn on_a_thread(context: Context, run: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    let span = tracing::Span::current();
    let run = move || match context.stop_reason() {
        Some(_) => Outcome::Release,
        None => span.in_scope(run),
    };
    match tokio::task::spawn_blocking(run).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            // Caught again, and told, where all panics are.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Outcome::Release,
        },
    }
}

handlers!();
handlers!(A1);
handlers!(A1, A2);
handlers!(A1, A2, A3);
handlers!(A1, A2, A3, A4);
handlers!(A1, A2, A3, A4, A5);
handlers!(A1, A2, A3, A4, A5, A6);
handlers!(A1, A2, A3, A4, A5, A6, A7);
handlers!(A1, A2, A3, A4, A5, A6, A7, A8);

/// A handler whose types are forgotten.
pub(crate) trait AnyHandler: Send + Sync {
    fn call(self: Arc<Self>, context: Context) -> BoxFuture<'static, Outcome>;
}

/// A handler of typed jobs.
pub(crate) struct Typed<J, A, H> {
    handler: H,
    marker: PhantomData<fn() -> (J, A)>,
}

impl<J, A, H> Typed<J, A, H> {
    pub(crate) fn new(handler: H) -> Self {
        Self { handler, marker: PhantomData }
    }
}

impl<J: Job, A: 'static, H: Handler<J, A>> AnyHandler for Typed<J, A, H> {
    fn call(self: Arc<Self>, context: Context) -> BoxFuture<'static, Outcome> {
        let job: Result<J, _> = decode(&context);
        match job {
            Ok(job) => async move { self.handler.call(job, context).await }.boxed(),
            Err(error) => std::future::ready(error.into_outcome()).boxed(),
        }
    }
}

/// A handler of jobs as JSON, for tools that do not have their types.
pub(crate) struct Raw<A, H> {
    handler: H,
    marker: PhantomData<fn() -> A>,
}

impl<A, H> Raw<A, H> {
    pub(crate) fn new(handler: H) -> Self {
        Self { handler, marker: PhantomData }
    }
}

impl<A: 'static, H: Handler<serde_json::Value, A>> AnyHandler for Raw<A, H> {
    fn call(self: Arc<Self>, context: Context) -> BoxFuture<'static, Outcome> {
        match decode(&context) {
            Ok(job) => async move { self.handler.call(job, context).await }.boxed(),
            Err(error) => std::future::ready(error.into_outcome()).boxed(),
        }
    }
}

/// A payload that does not decode will not do so the next time either.
fn decode<J: serde::de::DeserializeOwned>(context: &Context) -> Result<J, JobError> {
    let payload = context.job().payload.as_ref().map_or(&b""[..], |payload| payload.as_slice());
    serde_json::from_slice(payload).map_err(|error| {
        let message =
            format!("the payload is not what the handler takes: {}", json::problem(&error));
        JobError::of_kind(FailureKind::Decode, message, Retryable::No)
    })
}
