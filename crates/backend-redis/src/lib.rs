//! Windlass on Redis, Valkey and their clusters: durable background jobs on the server
//! that is already there.

mod backend;
mod config;
mod error;
mod record;
mod store;
mod wakeup;

pub use backend::RedisBackend;
pub use config::{Listen, RedisConfig, Servers};
/// The client library, in the version whose settings this crate takes.
pub use redis;
