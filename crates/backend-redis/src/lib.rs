//! Windlass on Redis, Valkey and their clusters: durable background jobs on the server
//! that is already there.
//!
//! ```no_run
//! # async fn example() -> Result<(), windlass_core::Error> {
//! use windlass_redis::{RedisBackend, RedisConfig};
//!
//! let config = RedisConfig::parse("redis://app:secret@localhost:6379/0")?;
//! let backend = RedisBackend::connect(config).await?;
//! # drop(backend);
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! - **Durability.** What was acknowledged is as durable as the server makes it: with
//!   `appendonly yes` it survives a restart of the server, and with `appendfsync always`
//!   any end of its process or its machine. With `everysec` the last two seconds or so
//!   may go, if the machine does, or the process is killed while its disk is behind.
//!   Replication is asynchronous: a failover takes back what the replica had not
//!   received, unless [`RedisConfig::replicas`] makes each change wait until so many
//!   replicas have it. What it takes back may be a lease, too: its job runs again, and
//!   the next lease may have the same fencing token.
//! - **Several processes** on several machines. Only the server's clock counts; in a
//!   cluster, that of the master that has the queue.
//! - **Versions.** Redis 7 and newer, and Valkey; one server, a master that sentinels
//!   know, or a cluster. No module.
//! - **Between queues.** Each queue is in one slot, and so on one machine. A batch over
//!   several queues is stored queue by queue; dependencies between queues are completed
//!   by the sweep should a process die in between.
//!
//! - **Queues hotter than one machine** can be declared with several shards
//!   ([`QueueSpec::shards`](windlass_core::model::QueueSpec)): each shard is in a slot of its
//!   own, and a worker of the queue takes from all of them. What is relaxed across shards
//!   is listed at [`QueueSpec`](windlass_core::model::QueueSpec).
//!
//! # How it is built
//! Each call is one script (`src/scripts/*.lua`): one round trip, atomic. The scripts
//! store, order, compare and count; what is to become of a job they are told.
//!
//! - **A job is two strings**: what does not change is written once, where it stands is
//!   a short one beside it (`src/scripts/shared/record.lua`).
//! - **Most jobs stand in no index.** They are due as they are enqueued, and so stand in
//!   line as they stand in the pages that list all jobs: ids by enqueue sequence, 32 a
//!   page. A dequeue goes on where the last one came to. Sorted sets are for the others:
//!   later, ranked, tried again (`src/scripts/shared/place.lua`).
//! - **Nothing is left half done.** A script looks first and writes then; should a call
//!   fail all the same, what it wrote before is taken back
//!   (`src/scripts/shared/write.lua`).
//! - **A lost answer is no riddle.** Each changing call has a number; the server keeps the
//!   last number and answer for each client and slot. A call that is made again is
//!   recognised and gets the same answer.

mod backend;
mod config;
mod error;
mod record;
mod spread;
mod store;
mod wakeup;

pub use backend::RedisBackend;
pub use config::{Listen, RedisConfig, Servers};
/// The client library, in the version whose settings this crate takes.
pub use redis;
