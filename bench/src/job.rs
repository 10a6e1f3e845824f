//! The job that is measured: it does nothing.

use serde::{Deserialize, Serialize};
use windlass::Job;

/// Does nothing.
#[derive(Clone, Debug, Serialize, Deserialize, Job)]
#[job(name = "noop")]
pub(crate) struct Noop {
    pub(crate) n: u64,
    pad: String,
}

impl Noop {
    /// A job whose payload has about so many bytes.
    pub(crate) fn new(n: u64, bytes: usize) -> Self {
        // {"n":123456,"pad":""} has about 22.
        Self { n, pad: "x".repeat(bytes.saturating_sub(22)) }
    }
}
