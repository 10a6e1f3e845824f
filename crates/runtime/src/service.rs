//! Execution as a `tower` service, so that any tower layer fits round it.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tower::Service;
use tower::util::BoxCloneSyncService;
use windlass_core::decide::{Outcome, Retryable};
use windlass_core::model::{FailureKind, JobType};

use crate::context::Context;
use crate::handler::AnyHandler;
use crate::outcome::JobError;

/// What a layer may fail with. It counts as a failed attempt.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A job to be run: what goes into the service.
#[derive(Clone, Debug)]
pub struct Call {
    /// The job's context.
    pub context: Context,
}

/// What came of it: what comes out of the service.
#[derive(Debug)]
pub struct Answer(pub(crate) Outcome);

impl Answer {
    /// What came of the attempt.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.0
    }
}

/// The service that layers wrap.
pub type JobService = BoxCloneSyncService<Call, Answer, BoxError>;

/// Finds the handler of a job by its type.
#[derive(Clone, Default)]
pub(crate) struct Router {
    handlers: Arc<HashMap<JobType, Arc<dyn AnyHandler>>>,
}

impl Router {
    pub(crate) fn new(handlers: HashMap<JobType, Arc<dyn AnyHandler>>) -> Self {
        Self { handlers: Arc::new(handlers) }
    }

    fn route(&self, context: Context) -> BoxFuture<'static, Outcome> {
        match self.handlers.get(&context.job().job_type) {
            Some(handler) => Arc::clone(handler).call(context),
            None => std::future::ready(Outcome::UnknownType).boxed(),
        }
    }
}

impl Service<Call> for Router {
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        self.route(call.context).map(|outcome| Ok(Answer(outcome))).boxed()
    }
}

/// How a worker runs a job: straight, or through the user's layers.
#[derive(Clone)]
pub(crate) enum Execution {
    /// No layers: one box fewer and no clone for each job.
    Plain(Router),
    /// With layers.
    Layered(JobService),
}

impl Execution {
    pub(crate) fn run(&self, context: Context) -> BoxFuture<'static, Outcome> {
        match self {
            Self::Plain(router) => router.route(context),
            Self::Layered(service) => {
                let mut service = service.clone();
                async move {
                    let ready = std::future::poll_fn(|cx| service.poll_ready(cx)).await;
                    let answer = match ready {
                        Ok(()) => service.call(Call { context }).await,
                        Err(error) => Err(error),
                    };
                    match answer {
                        Ok(Answer(outcome)) => outcome,
                        Err(error) => JobError::of_kind(FailureKind::Error, error, Retryable::Yes)
                            .into_outcome(),
                    }
                }
                .boxed()
            }
        }
    }
}
