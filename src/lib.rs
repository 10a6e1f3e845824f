//! Durable background jobs for Rust, on the store you already have.
//!
//! One set of scheduling rules, decided once in a pure core; interchangeable
//! backends that only store, order, compare and count; one conformance suite
//! that each of them must pass.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use windlass::{Job, JobError, Windlass};
//!
//! #[derive(Serialize, Deserialize, Job)]
//! #[job(name = "email.welcome", retries = 5, timeout = "30s")]
//! struct Welcome {
//!     to: String,
//! }
//!
//! async fn welcome(job: Welcome) -> Result<String, JobError> {
//!     Ok(format!("welcome, {}", job.to))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> windlass::Result<()> {
//! let windlass = Windlass::connect("memory:").await?;
//! let emails = windlass.queue("emails").concurrency(10).declare().await?;
//! let handle = emails.enqueue(Welcome { to: "ada".into() }).key("welcome-42").await?;
//!
//! let worker = windlass.worker().queue(&emails).handle(welcome).start().await?;
//! let said: String = handle.result().await?;
//! assert_eq!(said, "welcome, ada");
//! worker.stop().await;
//! # Ok(()) }
//! ```
//!
//! # Features
//!
//! | feature | what it brings | URL |
//! |---|---|---|
//! | `memory` (default) | jobs in this process, for unit tests | `memory:` |
//! | `sqlite` (default) | jobs in one file, for several processes | `sqlite:jobs.db` |
//! | `postgres` | jobs in a database, for several machines | `postgres://user:password@host/database` |
//! | `redis` | jobs on a Redis or Valkey server, or a cluster of them | `redis://user:password@host` |
//! | `tls-rustls` (default) | encrypted connections to servers, in Rust | `…?sslmode=verify-full` |
//! | `tls-native` | the same, by the operating system's library | |
//!
//! # Where things are
//!
//! - [`Windlass`] connects; [`Client`], to which it derefs, is what you ask.
//! - [`Queue`] enqueues, [`WorkerBuilder`] runs, [`JobHandle`] looks on.
//! - [`model`] has the nouns, [`decide`] the rules, [`backend`] the contract
//!   for stores of your own.

mod connect;
#[cfg(all(doctest, feature = "memory", feature = "sqlite", feature = "postgres"))]
mod guide;
#[cfg(feature = "memory")]
pub mod testing;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transaction;

pub use connect::Windlass;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use transaction::{CompleteInTransaction, EnqueueInTransaction};
pub use windlass_macros::Job;
pub use windlass_runtime::*;

/// The in-memory backend.
#[cfg(feature = "memory")]
pub use windlass_memory as memory;
/// The backend on a Postgres server.
#[cfg(feature = "postgres")]
pub use windlass_postgres as postgres;
/// The backend on a Redis or Valkey server, or a cluster of them.
#[cfg(feature = "redis")]
pub use windlass_redis as redis;
/// The embedded backend on one file.
#[cfg(feature = "sqlite")]
pub use windlass_sqlite as sqlite;
