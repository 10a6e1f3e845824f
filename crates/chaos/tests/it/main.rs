//! A short run of chaos, and whose clock counts.

mod chaos;
mod clocks;
mod edges;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "postgres")]
mod server;
