//! Windlass on SQLite: durable background jobs in one file, with no server.
//!
//! ```no_run
//! # async fn example() -> Result<(), windlass_core::Error> {
//! use windlass_sqlite::{SqliteBackend, SqliteConfig};
//!
//! let backend = SqliteBackend::open(SqliteConfig::new("jobs.db")).await?;
//! # drop(backend);
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! - **Durability.** The file is in write-ahead mode. With
//!   [`Synchronous::Full`], the default, what was acknowledged survives a
//!   power cut; with [`Synchronous::Normal`] it survives the death of the
//!   process, and a power cut may take back the last moments. Leases, signs of
//!   life and progress are written without waiting for the disk in either mode:
//!   a power cut ends the workers on the machine, so that a lease that it takes
//!   back is held by nobody.
//! - **Several processes** may open one file on one machine. Writers wait for
//!   each other; "busy" reaches a caller only if somebody else holds the write
//!   lock for longer than [`SqliteConfig::busy_limit`]. A network file system
//!   is not supported, because SQLite's locks do not hold there.
//! - **One transaction.** Jobs can be enqueued and settled inside the caller's
//!   own transaction on the same file ([`SqliteBackend::enqueue_in`],
//!   [`SqliteBackend::apply_in`]).
//!
//! # How it is built
//! One thread per backend writes. Calls that come in while it is at work wait
//! together and share the next transaction, and so the next wait for the disk;
//! nothing is ever delayed to gather more. A few further threads read.
//! `store/` is the only part that talks to SQLite; each query is a file of its
//! own in `queries/`.

mod backend;
mod config;
mod error;
mod record;
mod store;
mod transaction;

pub use backend::SqliteBackend;
pub use config::{Neighbours, SqliteConfig, Synchronous};
/// The client library, in the version whose transactions this crate takes.
pub use rusqlite;
