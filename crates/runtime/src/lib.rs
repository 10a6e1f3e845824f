//! Runs Windlass jobs, on any backend: client, worker, keeper and testing kit.
//!
//! Most people use it through the `windlass` crate, which adds the backends
//! and `connect` by URL. It is generic over the store: everything here goes
//! through [`windlass_core::Backend`], and every rule is decided in
//! [`windlass_core::decide`].

mod batch;
mod client;
mod context;
mod durable;
mod encode;
mod enqueue;
mod error;
mod flow;
mod handle;
mod handler;
mod job;
mod outcome;
mod queue;
mod repeat;
mod service;
pub mod testing;
mod wait;
mod worker;

pub use client::Client;
pub use context::{Context, StopReason};
pub use durable::{Child, Children, Durable, IntoChild, Receive, StepCall};
pub use enqueue::{Enqueue, EnqueueAll, Prepared};
pub use error::{Error, Result};
pub use flow::{Flow, FlowHandle, FlowStatus, StoredFlow};
pub use handle::{JobHandle, Status};
pub use handler::{Attempt, Blocking, BlockingArgs, Data, FromContext, Handler, blocking};
pub use job::{Job, JobDefaults};
pub use outcome::{IntoOutcome, JobError};
pub use queue::{Queue, QueueBuilder};
pub use repeat::{Repeat, RepeatHandle};
pub use service::{Answer, BoxError, Call, JobService};
pub use windlass_core::{backend, decide, model, schedule};
pub use worker::{RunningWorker, WorkerBuilder, WorkerSummary};
