//! The job that is measured: it does nothing.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use windlass::Job;

/// What most payloads are cut from.
const PAD: &str = match str::from_utf8(&[b'x'; 1024]) {
    Ok(pad) => pad,
    Err(_) => "",
};

/// Does nothing.
#[derive(Clone, Debug, Serialize, Deserialize, Job)]
#[job(name = "noop")]
pub(crate) struct Noop {
    pub(crate) n: u64,
    pad: Cow<'static, str>,
}

impl Noop {
    /// A job whose payload has about so many bytes.
    pub(crate) fn new(n: u64, bytes: usize) -> Self {
        // {"n":123456,"pad":""} has about 22.
        let bytes = bytes.saturating_sub(22);
        // Making the caller's own data is not what is measured.
        let pad = match PAD.get(..bytes) {
            Some(pad) => Cow::Borrowed(pad),
            None => Cow::Owned("x".repeat(bytes)),
        };
        Self { n, pad }
    }
}
