//! What Redis reports, as a kind and a sentence.

use std::fmt::Display;

use redis::RedisError;
use windlass_core::{Error, ErrorKind};

/// What became of a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server does not know the script: it is to be given whole.
    UnknownScript,
    /// It may have happened or not: the connection went, or the answer did not come.
    Unclear,
    /// It has not happened, and may if it is made again in a moment.
    Passing,
    /// It has not happened, and will not.
    Lasting,
}

/// What a report says about the call.
pub(crate) fn failure(error: &RedisError) -> Failure {
    match error.code().unwrap_or_default() {
        "NOSCRIPT" => Failure::UnknownScript,
        "BUSY" | "LOADING" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "READONLY" | "MOVED"
        | "ASK" | "UNBLOCKED" => Failure::Passing,
        "" if error.is_io_error()
            || error.is_timeout()
            || error.is_connection_dropped()
            || matches!(
                error.kind(),
                redis::ErrorKind::ClusterConnectionNotFound
                    | redis::ErrorKind::MasterNameNotFoundBySentinel
                    | redis::ErrorKind::NoValidReplicasFoundBySentinel
                    | redis::ErrorKind::EmptySentinelList
            ) =>
        {
            Failure::Unclear
        }
        _ => Failure::Lasting,
    }
}

/// What the server reports, as a kind and a sentence that says what would help.
pub(crate) fn from_redis(error: RedisError) -> Error {
    let code = error.code().unwrap_or_default().to_owned();
    let (kind, context) = match code.as_str() {
        "OOM" => (
            ErrorKind::Unavailable,
            "the Redis server is full: it has reached maxmemory; nothing was changed. Raise it \
             (CONFIG SET maxmemory …), or remove what is not needed",
        ),
        "MISCONF" => (
            ErrorKind::Unavailable,
            "the Redis server cannot write to its disk, and accepts nothing until it can; see its \
             log",
        ),
        "NOREPLICAS" => (
            ErrorKind::Unavailable,
            "the Redis server has fewer replicas than min-replicas-to-write wants",
        ),
        "BUSY" | "LOADING" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "MOVED" | "ASK" => (
            ErrorKind::Unavailable,
            "the Redis server is starting, moving keys, or waiting for a new master",
        ),
        "READONLY" => {
            (ErrorKind::Unavailable, "the Redis server is a replica; connect to its master")
        }
        "NOAUTH" | "WRONGPASS" => {
            (ErrorKind::Store, "Redis refuses this user; see the name and the password")
        }
        "NOPERM" => (
            ErrorKind::Store,
            "this user may not do that in Redis; the guide lists the rights that are needed",
        ),
        "WRONGTYPE" => (
            ErrorKind::Incompatible,
            "a key of the store is of another kind than it should be; something else uses this \
             prefix",
        ),
        _ if failure(&error) == Failure::Unclear => (
            ErrorKind::Unavailable,
            "the connection to the Redis server failed, or its answer did not come in time; see \
             that it runs and can be reached",
        ),
        _ if error.kind() == redis::ErrorKind::InvalidClientConfig => {
            (ErrorKind::Invalid, "the options of the connection to Redis cannot be used")
        }
        _ if error.kind() == redis::ErrorKind::AuthenticationFailed => {
            (ErrorKind::Store, "Redis refuses this user; see the name and the password")
        }
        _ => (ErrorKind::Store, "Redis reported an error"),
    };
    match error.kind() {
        // May quote the options, and with them the password.
        redis::ErrorKind::InvalidClientConfig => Error::new(kind, context),
        _ => Error::new(kind, context).with_source(error),
    }
}

/// What the store holds is not what any version writes.
pub(crate) fn damaged(what: &str, why: impl Display) -> Error {
    Error::new(ErrorKind::Incompatible, format!("{what} cannot be read: {why}"))
}

/// A stored value that does not decode. What it says is not quoted.
pub(crate) fn unreadable(what: &str, error: &serde_json::Error) -> Error {
    damaged(what, format!("line {}, column {}", error.line(), error.column()))
}
