//! The rules of Windlass, and the contract of its stores.
//!
//! This crate is pure: it knows no runtime, no clock, no network and no
//! database. [`model`] has the nouns, [`decide`] the rules, [`backend`] the
//! contract that every store fulfils, [`schedule`] the moments of repeatable
//! jobs.
//!
//! Whoever writes a store implements [`Backend`] and lets the conformance
//! suite judge it; whoever runs jobs uses the `windlass` crate instead.

pub mod backend;
pub mod decide;
pub mod model;
pub mod schedule;

pub use backend::{Backend, BackendExt, Error, ErrorKind};
