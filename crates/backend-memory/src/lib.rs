//! Jobs in memory: the executable reference of the rules.
//!
//! [`MemoryBackend`] keeps everything in the process, so that its jobs are as
//! durable as the process. It is what tests run on, with a clock that they
//! move, and it is fast enough for real work that may be lost with the
//! process. All handles are clones of one: nothing else can reach the store.
//!
//! ```
//! use windlass_core::model::{Clock, ManualClock};
//! use windlass_memory::{MemoryBackend, MemoryConfig};
//!
//! let clock = ManualClock::new();
//! let backend = MemoryBackend::with(MemoryConfig {
//!     clock: Clock::Manual(clock.clone()),
//!     ..MemoryConfig::default()
//! });
//! # let _ = backend;
//! ```
//!
//! # The house
//! `backend` is the trait, one line a method. Below it stands `store`, which
//! is plain data behind one lock: `line` is the sorted sequence that every
//! index is made of, `queue` has the indexes of a queue and says where a job
//! stands in them, `partitions` the lines of a partitioned queue; the other
//! files are named after what they do.
//!
//! One lock over everything makes every call one atomic step by construction.
//! It is a blocking lock that is never held across an await; calls take
//! batches, so that it is taken seldom and briefly.

mod backend;
mod config;
mod record;
mod store;

pub use backend::MemoryBackend;
pub use config::MemoryConfig;
