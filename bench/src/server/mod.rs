//! A place of its own on a server for each run, so that runs do not see each other.

pub(crate) mod postgres;
pub(crate) mod redis;
