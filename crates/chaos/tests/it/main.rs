//! A short run of chaos, and whose clock counts.

mod chaos;
mod clocks;
