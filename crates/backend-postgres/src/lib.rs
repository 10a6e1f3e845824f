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
//!
//! # What it promises
//! - **Durability.** What was acknowledged is committed, and as durable as the
//!   server makes a commit: with `synchronous_commit = on` and `fsync = on`, both
//!   defaults, it survives a power cut. A failover to a replica that lags behind
//!   takes back what the replica had not received, unless
//!   `synchronous_standby_names` makes commits wait for it; leases that are taken
//!   back so are handed out again, under tokens of the new primary.
//! - **Several processes** on several machines. Only the server's clock counts.
//! - **One transaction.** Jobs can be enqueued and settled inside the caller's own
//!   transaction ([`PostgresBackend::enqueue_in`], [`PostgresBackend::apply_in`]).
//! - **Versions.** Postgres 13 and newer, in a database encoded in UTF-8. Needs no
//!   extension and no superuser: `CREATE` on the database for the first start, or a
//!   schema that this user owns.
//! - **Poolers.** One that gives each transaction any of its sessions has to be
//!   told of ([`Pooler::Transaction`]), and passes no notices on: listen elsewhere
//!   ([`Listen::At`]) or not at all ([`Listen::Off`]); workers then find work at
//!   their next poll.
//!
//! # How it is built
//! Each call is one statement, mostly of a function on the server (`functions/`):
//! one round trip, one transaction, and none that stays open between two round
//! trips, whatever becomes of the process. The functions store, order, compare and
//! count; what is to become of a job they are told.
//!
//! ## Why it does not rot
//! Postgres keeps a deleted row until no snapshot can see it any more. Where
//! somebody keeps one open (a report, a backup, a forgotten `BEGIN`), the rows that
//! a queue has done with pile up, and every query that begins at the front of an
//! index walks past all of them: so queues on Postgres slow down, by the minute.
//! Here,
//!
//! - a job's row is written once; where it stands is a narrow row in `scheduled`,
//!   `ready`, `leases` or `ended`, inserted once, deleted once, never updated on the
//!   way;
//! - nothing that is asked for again and again begins at the front: each dequeue
//!   knows, for each rank in `ready`, for `scheduled` and for `leases`, the first
//!   key that is alive, and begins there.
//!
//! That bound must never hide a job: transactions commit late, jobs return to old
//! places, better ranks come later. So it is not a guess with a margin but exact,
//! by the server's own snapshots. Every transaction that puts rows into these
//! tables writes one row into `journal`, with its number and the smallest keys it
//! has put there. A *checkpoint* says what was the first that is alive **in a
//! snapshot**, and carries that snapshot. Whoever dequeues takes the last checkpoint
//! and lowers its bounds by what the journal says of transactions that its snapshot
//! did not see: those that began later, and those that were under way then, by
//! number. A transaction that commits an hour late is such a one, and so is one that
//! was prepared; one that rolls back never appears. What the snapshot saw can go
//! from the journal, so that it stays short. The same rows carry by how much the
//! jobs of each state became more or fewer: figures cost the same however many jobs
//! there are.
//!
//! Nothing is known that could make the bounds wrong but a database that was
//! restored from a dump, where transactions are numbered anew: that is noticed and
//! mended when a process connects. For what nobody has thought of, the keeper looks
//! from the front all the same, once a minute, or once in a hundred times what the
//! look takes, if that is longer.
//!
//! What was tried, with a producer of 50,000 jobs/s beside one worker, history kept,
//! and a snapshot from before the first job held all the time, on two cores; the
//! first three as bare statements in batches of 500:
//!
//! | layout | jobs/s at the end against the beginning |
//! |---|---|
//! | one table, updated at lease and at end | 0.2 within two minutes |
//! | narrow rows as here, each scan from the front of its index | 0.3 within one minute |
//! | narrow rows as here, each scan from just before the last key leased: not exact, it may hide jobs | 1 |
//! | as it is, all rules on: 30,000,000 jobs in ten minutes | 0.97 (50,000/s, 60,000,000 dead rows) |
//!
//! A partitioned queue is not as safe: its notes of partitions to be judged, the
//! partitions' own rows and the head of each line are read from the front. So is the
//! look for jobs past their expiry.
//!
//! ## Why its plans hold
//! With the statistics of an empty table, Postgres finds a plan for the full one
//! that is fifty times too slow, and keeps it. The functions allow index order
//! only (`SET enable_seqscan = off` and the like hold within a function, so that no
//! pooler can lose them), and look single rows up one by one
//! (`CROSS JOIN LATERAL (… LIMIT 1)`). That alone was not enough: a table that is
//! empty when statistics are taken, as those of a queue that keeps up often are,
//! makes every index cost the same that has any of the columns of a condition. The
//! end of a job then went through all leases, and a queue that did 49,000 jobs/s did
//! 11,600. So what is looked for by one index is in no other: `leases` by
//! (queue, token, id) or by seq, `ended` by seq or by (queue, state, moment); what a
//! second index has in common with the first is hidden in an expression there.

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
