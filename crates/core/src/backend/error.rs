//! Why a store could not do what it was asked to.

use std::fmt;

/// A store's failure. Branch on [`Error::kind`]; report the whole chain.
///
/// Ordinary outcomes (a stale guard, a duplicate, a lost lease) are not
/// errors: the methods return them as values.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot be reached, or is busy or full, for now. Trying again
    /// later may succeed. Whether the call took effect is not known.
    Unavailable,
    /// The queue was never declared.
    UnknownQueue,
    /// The backend does not have the capability that this takes.
    Unsupported,
    /// What was given cannot be right, whoever is asked.
    Invalid,
    /// The store is not one of ours, was written by a newer version, or holds
    /// what no version writes.
    Incompatible,
    /// Anything else that the store's client reports.
    Store,
}

impl ErrorKind {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable)
    }
}

impl Error {
    /// A failure of this kind; the context says what was tried, or what is
    /// wrong and what would be right.
    #[must_use]
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// Adds what the store's client said.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The failure of a call for a queue that was never declared.
    #[must_use]
    pub fn unknown_queue(name: &crate::model::QueueName) -> Self {
        Self::new(
            ErrorKind::UnknownQueue,
            format!("queue {name:?} is not known to this store; declare it first"),
        )
    }

    /// What kind of failure it was.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// The alternate form, `{:#}`, adds what caused it, on down the chain.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        if f.alternate() {
            let mut cause = std::error::Error::source(self);
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alternate_form_shows_the_whole_chain() {
        let inner = Error::new(ErrorKind::Store, "second").with_source("third");
        let error = Error::new(ErrorKind::Store, "first").with_source(inner);
        assert_eq!(error.to_string(), "first");
        assert_eq!(format!("{error:#}"), "first: second: third");
    }
}
