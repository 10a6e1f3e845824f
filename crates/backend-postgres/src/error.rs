//! What Postgres reports, as a kind and a sentence.

use std::io;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;
use windlass_core::{Error, ErrorKind};

/// The code by which our functions say that an id is another queue's; the
/// message is the number of the job.
const ID_TAKEN: &str = "WLIDT";

const NOT_ENCRYPTED: (ErrorKind, &str) = (
    ErrorKind::Store,
    "no encrypted connection to the Postgres server came about; see sslmode and the certificates \
     on both sides",
);

/// What the server reports, as a kind and a sentence that says what would help.
pub(crate) fn from_sqlx(error: sqlx::Error) -> Error {
    let (kind, context) = match &error {
        sqlx::Error::Database(of_server) => of_code(&**of_server),
        sqlx::Error::Tls(_) => NOT_ENCRYPTED,
        // The TLS library's own complaints, of a certificate for instance.
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => NOT_ENCRYPTED,
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => (
            ErrorKind::Unavailable,
            "the connection to the Postgres server failed; see that it runs and can be reached",
        ),
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => (
            ErrorKind::Unavailable,
            "no connection to the Postgres server became free in time; see that it runs, or allow \
             more connections",
        ),
        sqlx::Error::Configuration(_) => {
            (ErrorKind::Invalid, "the options of the connection to Postgres cannot be used")
        }
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => (
            ErrorKind::Incompatible,
            "the schema holds a value that no version of this program writes",
        ),
        _ => (ErrorKind::Store, "Postgres reported an error"),
    };
    // A report of the server may quote values: of these only the code is told.
    match error {
        sqlx::Error::Database(of_server) => {
            let code = of_server.code().unwrap_or_default().into_owned();
            let message = match of_server.try_downcast_ref::<PgDatabaseError>() {
                Some(_) if is_harmless(&code) => of_server.message().to_owned(),
                _ => String::from("see the log of the server"),
            };
            Error::new(kind, context).with_source(format!("SQLSTATE {code}: {message}"))
        }
        // May quote the options, and with them the password.
        sqlx::Error::Configuration(_) => Error::new(kind, context),
        error => Error::new(kind, context).with_source(error),
    }
}

/// Whether reports under a code speak of the server and not of what it was
/// given.
fn is_harmless(code: &str) -> bool {
    !(code.starts_with("22") || code.starts_with("23") || code.starts_with("P0"))
}

fn of_code(error: &dyn DatabaseError) -> (ErrorKind, &'static str) {
    let code = error.code().unwrap_or_default();
    let class = code.get(..2).unwrap_or_default();
    match (class, &*code) {
        (_, "25006") => (
            ErrorKind::Unavailable,
            "the Postgres server is read-only, as a replica or after a failover; connect to the \
             primary",
        ),
        (_, "25P01") => (
            ErrorKind::Invalid,
            "the connection is in no transaction; begin one, so that what it does and the jobs \
             commit together",
        ),
        (_, "25P02") => (
            ErrorKind::Invalid,
            "a statement of the transaction has failed before, so that it can only be rolled back",
        ),
        (_, "57014") => (
            ErrorKind::Unavailable,
            "Postgres cancelled the statement; raise statement_timeout if that was the reason",
        ),
        (_, "40001" | "40P01") => (
            ErrorKind::Unavailable,
            "the transaction met others again and again; keep transactions that enqueue or settle \
             short, and at READ COMMITTED",
        ),
        (_, "55P03") => (ErrorKind::Unavailable, "a lock did not become free within lock_timeout"),
        (_, "53100") => {
            (ErrorKind::Unavailable, "the disk of the Postgres server is full; make room")
        }
        ("53", _) => {
            (ErrorKind::Unavailable, "the Postgres server is short of memory, locks or connections")
        }
        ("08" | "57" | "58", _) => (
            ErrorKind::Unavailable,
            "the Postgres server ended the connection, is starting, or is shutting down",
        ),
        ("28", _) => (
            ErrorKind::Store,
            "Postgres refuses this user; see the name, the password and pg_hba.conf",
        ),
        (_, "3D000") => (ErrorKind::Store, "there is no such database on the Postgres server"),
        (_, "42501") => (
            ErrorKind::Store,
            "this user may not do that in Postgres; it needs CREATE on the database once, and then \
             all rights on the schema",
        ),
        (_, "42P01" | "42883" | "42703" | "42704" | "3F000") => (
            ErrorKind::Incompatible,
            "the schema is not there or was written by another version; connect anew",
        ),
        ("22", _) => (ErrorKind::Invalid, "Postgres cannot store a value that it was given"),
        ("XX", _) => (ErrorKind::Incompatible, "the Postgres database is damaged"),
        _ => (ErrorKind::Store, "Postgres reported an error"),
    }
}

/// Whether the same call may be made again at once: the server has undone it,
/// because it met another one.
pub(crate) fn is_collision(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(of_server) = error else { return false };
    matches!(of_server.code().as_deref(), Some("40001" | "40P01"))
}

/// Whether a call was undone because of what somebody else has committed since it looked.
pub(crate) fn is_outdated(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(of_server) = error else { return false };
    of_server.code().as_deref() == Some("40001")
}

/// Whether a connection is of no use any more, though it still answers.
pub(crate) fn is_on_wrong_server(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(of_server) = error else { return false };
    of_server.code().as_deref() == Some("25006")
}

/// Whether a key is there already.
pub(crate) fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(DatabaseError::is_unique_violation)
}

/// The number of the job whose id another queue has, if that is what an error
/// says.
pub(crate) fn id_taken(error: &sqlx::Error) -> Option<usize> {
    let sqlx::Error::Database(of_server) = error else { return None };
    match of_server.code().as_deref() {
        Some(ID_TAKEN) => of_server.message().parse().ok(),
        _ => None,
    }
}

/// Whether an error is about a single row that no version of this crate writes.
pub(crate) fn is_damaged(error: &Error) -> bool {
    error.kind() == ErrorKind::Incompatible
}

/// A row whose JSON does not say what it should. What it says is not told: it
/// may be a payload.
pub(crate) fn unreadable(what: &str, error: &serde_json::Error) -> Error {
    damaged(what, windlass_core::model::json::problem(error))
}

/// A row that no version of this crate writes.
pub(crate) fn damaged(
    what: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    let context = format!("the schema holds {what} that no version of this program writes");
    Error::new(ErrorKind::Incompatible, context).with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_not_trusted_is_told_apart_from_a_server_that_is_away() {
        let complaint = |kind| {
            let error = io::Error::new(kind, "invalid peer certificate: UnknownIssuer");
            let error = from_sqlx(sqlx::Error::Io(error));
            (error.kind(), format!("{error:#}"))
        };
        let (kind, said) = complaint(io::ErrorKind::InvalidData);
        assert_eq!(kind, ErrorKind::Store);
        assert!(said.contains("no encrypted connection") && said.contains("UnknownIssuer"));
        let (kind, said) = complaint(io::ErrorKind::ConnectionReset);
        assert_eq!(kind, ErrorKind::Unavailable);
        assert!(said.contains("see that it runs"), "{said}");
    }
}
