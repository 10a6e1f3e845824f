//! The testing kit: run jobs step by step, on a clock that the test moves.
//!
//! ```
//! use std::time::Duration;
//! use serde::{Deserialize, Serialize};
//! use windlass::{Job, model::State, testing};
//!
//! #[derive(Serialize, Deserialize, Job)]
//! struct Remind {
//!     whom: String,
//! }
//!
//! async fn remind(job: Remind) -> Result<String, String> {
//!     Ok(format!("hello, {}", job.whom))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> windlass::Result<()> {
//! let kit = testing::kit();
//! let queue = kit.client().queue("reminders").declare().await?;
//! queue.enqueue(Remind { whom: "ada".into() }).delay(Duration::from_secs(3600)).await?;
//!
//! assert_eq!(kit.drain(|worker| worker.queue(&queue).handle(remind)).await?, 0);
//! kit.advance(Duration::from_secs(3600));
//! assert_eq!(kit.drain(|worker| worker.queue(&queue).handle(remind)).await?, 1);
//! assert_eq!(kit.count::<Remind>(State::Completed).await?, 1);
//! # Ok(()) }
//! ```

use std::sync::Arc;

use windlass_memory::{MemoryBackend, MemoryConfig};
use windlass_runtime::model::{Clock, ManualClock};

pub use windlass_runtime::testing::Kit;

/// A kit on a fresh store in memory, whose clock stands at
/// 2024-01-01T00:00:00Z.
#[must_use]
pub fn kit() -> Kit {
    let clock = ManualClock::new();
    let config = MemoryConfig { clock: Clock::Manual(clock.clone()), ..MemoryConfig::default() };
    Kit::new(Arc::new(MemoryBackend::with(config)), clock)
}
