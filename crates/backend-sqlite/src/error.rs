//! What SQLite reports, as a kind and a sentence.

use rusqlite::ErrorCode;
use windlass_core::{Error, ErrorKind};

/// Why a piece of work on the store did not come to its end.
#[derive(Debug)]
pub(crate) enum Fail {
    /// It was refused before it changed anything.
    Refused(Error),
    /// It may have changed something: its transaction has to be rolled back.
    Broken(Error),
}

impl Fail {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Refused(error) | Self::Broken(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Fail {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(from_sqlite(error))
    }
}

/// What work on the store returns.
pub(crate) type Outcome<T> = Result<T, Fail>;

/// What SQLite reports, as a kind and a sentence that says what would help.
pub(crate) fn from_sqlite(error: rusqlite::Error) -> Error {
    let (kind, context) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            ErrorKind::Unavailable,
            "another connection holds the write lock of the SQLite file for too long; keep \
             transactions on this file short, and begin them with BEGIN IMMEDIATE",
        ),
        Some(ErrorCode::DiskFull) => (
            ErrorKind::Unavailable,
            "the disk, or the size that the SQLite file may have, is full; make room",
        ),
        Some(ErrorCode::SystemIoFailure) => (
            ErrorKind::Unavailable,
            "the operating system could not read or write the SQLite file; see that its disk is in \
             order and has room, and that no limit on the size of files stands in the way",
        ),
        Some(ErrorCode::OutOfMemory) => {
            (ErrorKind::Unavailable, "there is not enough memory for SQLite")
        }
        Some(ErrorCode::ReadOnly) => (
            ErrorKind::Store,
            "the SQLite file or its directory cannot be written to; give this user the right to \
             write to both",
        ),
        Some(ErrorCode::CannotOpen) => (
            ErrorKind::Store,
            "the SQLite file cannot be opened; its directory has to exist, and both have to be \
             writable",
        ),
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            (ErrorKind::Store, "access to the SQLite file is denied")
        }
        Some(ErrorCode::NotADatabase) => {
            (ErrorKind::Incompatible, "the file is not a SQLite database; name another one")
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            (ErrorKind::Incompatible, "the SQLite file is damaged; restore it from a backup")
        }
        Some(ErrorCode::TooBig) => (
            ErrorKind::Invalid,
            "a value is larger than the 1,000,000,000 bytes that SQLite stores",
        ),
        None if is_of_another_type(&error) => (
            ErrorKind::Incompatible,
            "the SQLite file holds a value that no version of this program writes",
        ),
        _ => (ErrorKind::Store, "SQLite reported an error"),
    };
    Error::new(kind, context).with_source(error)
}

/// Whether a column holds something else than its reader takes.
fn is_of_another_type(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

/// Whether an error is about a single row that no version of this crate writes,
/// and not about the file as a whole.
pub(crate) fn is_damaged(error: &Error) -> bool {
    let of_sqlite = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<rusqlite::Error>())
        .and_then(rusqlite::Error::sqlite_error_code);
    error.kind() == ErrorKind::Incompatible && of_sqlite.is_none()
}

/// A row whose JSON does not say what it should. What it says is not told: it
/// may be a payload.
pub(crate) fn unreadable(what: &str, error: &serde_json::Error) -> Fail {
    damaged(what, windlass_core::model::json::problem(error))
}

/// A row that no version of this crate writes.
pub(crate) fn damaged(
    what: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Fail {
    let context = format!("the SQLite file holds {what} that no version of this program writes");
    Fail::Broken(Error::new(ErrorKind::Incompatible, context).with_source(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_kind_and_a_sentence_that_helps() {
        for (code, kind, hint) in [
            (rusqlite::ffi::SQLITE_BUSY, ErrorKind::Unavailable, "BEGIN IMMEDIATE"),
            (rusqlite::ffi::SQLITE_FULL, ErrorKind::Unavailable, "make room"),
            (rusqlite::ffi::SQLITE_IOERR, ErrorKind::Unavailable, "operating system"),
            (rusqlite::ffi::SQLITE_READONLY, ErrorKind::Store, "cannot be written"),
            (rusqlite::ffi::SQLITE_CANTOPEN, ErrorKind::Store, "directory has to exist"),
            (rusqlite::ffi::SQLITE_NOTADB, ErrorKind::Incompatible, "not a SQLite database"),
            (rusqlite::ffi::SQLITE_CORRUPT, ErrorKind::Incompatible, "damaged"),
            (rusqlite::ffi::SQLITE_TOOBIG, ErrorKind::Invalid, "larger"),
            (rusqlite::ffi::SQLITE_MISUSE, ErrorKind::Store, "reported an error"),
        ] {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let error = from_sqlite(error);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(hint), "{error}");
        }
    }
}
