//! The suite that every store of Windlass must pass, and anybody's own.
//!
//! Each case is a named test of its own, on a fresh store, driven through
//! [`Backend`](windlass_core::Backend) and core's decisions exactly as the
//! runtime drives them. All time is a manual clock's; nothing sleeps. A case
//! is named after its rule, such as
//! `lease::l2_a_stale_lease_cannot_complete_the_job`, and can be filtered by
//! that name on the command line.
//!
//! A store's whole test file, declared with `harness = false`:
//!
//! ```no_run
//! # fn main() {
//! # async fn my_backend(_: String, _: windlass_core::model::Clock)
//! #     -> Result<windlass_conformance::Deaf<dyn windlass_core::Backend>, windlass_core::Error> {
//! #     Err(windlass_core::Error::new(windlass_core::ErrorKind::Unavailable, "none"))
//! # }
//! use windlass_conformance::{main, opening};
//!
//! main(opening(|name, clock| async move {
//!     // A new name is a new, empty store; the same one again is a further
//!     // handle on the same store.
//!     my_backend(name, clock).await
//! }));
//! # }
//! ```
//!
//! Stores that have something to clean up implement [`Stores`] themselves.
//!
//! # What fails and what does not
//!
//! A store that cannot be reached fails every case. Only if the environment
//! says `WINDLASS_ALLOW_MISSING_STORE=1` do the cases count as ignored, each
//! with the reason, and only if opening answers
//! [`ErrorKind::Unavailable`](windlass_core::ErrorKind::Unavailable).
//!
//! Nothing can be left out: there is no list of exceptions to hand in. Cases
//! that concern a capability judge both answers, what is claimed and what is
//! not.
//!
//! # Notices are hints
//!
//! With `WINDLASS_DEAF=1` the whole suite runs behind [`Deaf`], which drops
//! every notice, and must pass just so.
//!
//! # The suite can fail
//!
//! Each run also plants faults in the store, one at a time, and checks that the
//! case meant for it finds each: `faults::…`. `cargo run -p
//! windlass-conformance --bin faults` prints which.
//!
//! # Random histories
//!
//! Beside the cases, each run lives a few hundred random [`histories`], and
//! shows that they find planted faults as well.
//!
//! # One call goes wrong
//!
//! [`Troubled`] makes one call of a store fail, lose its answer or come late,
//! for tests of what is built on a store.
//!
//! # The rules
//!
//! [`rules`] has the list; `cargo run -p windlass-conformance --bin rules`
//! prints which cases hold each one, and fails if a rule has none.

mod cases;
mod deaf;
pub mod faults;
mod fixture;
mod harness;
pub mod histories;
pub mod rules;
mod troubled;

pub use async_trait::async_trait;
pub use deaf::Deaf;
pub use harness::{Case, Stores, all_cases, main, opening, trials};
pub use troubled::{Happening, Trouble, Troubled};
