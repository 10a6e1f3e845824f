//! Windlass on Postgres: durable background jobs on the database that is already
//! there.
//!
//! ```no_run
//! # async fn example() -> Result<(), windlass_core::Error> {
//! use windlass_postgres::{PostgresBackend, PostgresConfig};
//!
//! let config = PostgresConfig::parse("postgres://app:secret@localhost/app")?;
//! let backend = PostgresBackend::connect(config).await?;
//! # drop(backend);
//! # Ok(())
//! # }
//! ```

mod backend;
mod config;
mod error;
mod record;
mod store;
mod transaction;
mod wakeup;

pub use backend::PostgresBackend;
pub use config::{Listen, Pooler, PostgresConfig};
/// The client library, in the version whose transactions this crate takes.
pub use sqlx;
