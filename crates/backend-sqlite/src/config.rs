//! Where the store is and how it is opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use windlass_core::model::Clock;
use windlass_core::{Error, ErrorKind};

/// Where the store is and how it is opened.
///
/// The fields may be changed before it is given to
/// [`SqliteBackend::open`](crate::SqliteBackend::open).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqliteConfig {
    /// The file. It is created if it does not exist; its directory is not.
    pub path: PathBuf,
    /// Whose time the store goes by. Default: the machine's. Processes on one
    /// file share one machine, and so one time.
    pub clock: Clock,
    /// How hard a write is pushed towards the disk. Default:
    /// [`Synchronous::Full`].
    pub synchronous: Synchronous,
    /// How many threads read, 1 to 64. Default 2.
    pub readers: usize,
    /// Whether the file may hold tables of others. Default:
    /// [`Neighbours::Refused`].
    pub neighbours: Neighbours,
    /// For how long a write waits for another process that is writing, before
    /// it fails as unavailable. Default: one minute.
    pub busy_limit: Duration,
}

/// How hard a write is pushed towards the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// An acknowledged write has reached the disk and survives a power cut.
    #[default]
    Full,
    /// An acknowledged write has reached the operating system: it survives the
    /// death of the process. A power cut may take back the last writes, never
    /// the file as a whole.
    Normal,
}

/// Whether the file may hold tables of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Neighbours {
    /// A file that holds tables, but none of ours, is taken for a mistake.
    #[default]
    Refused,
    /// Our tables, whose names all begin with `windlass_`, are created beside
    /// those of the application. This is what it takes to enqueue a job in the
    /// application's own transaction.
    Welcome,
}

impl SqliteConfig {
    /// A store in this file, with every default.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            clock: Clock::default(),
            synchronous: Synchronous::default(),
            readers: 2,
            neighbours: Neighbours::default(),
            busy_limit: Duration::from_secs(60),
        }
    }

    /// Reads a URL: `sqlite:jobs.db`, `sqlite:/var/lib/app/jobs.db` or
    /// `sqlite:///var/lib/app/jobs.db`, and behind a question mark any of
    /// `synchronous=full|normal`, `readers=1..64` and
    /// `neighbours=refused|welcome`, joined by `&`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it is none of these, or names an in-memory
    /// database.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let rest = url.strip_prefix("sqlite:").ok_or_else(|| {
            // The URL of something else may hold a password: it is not quoted.
            invalid("this is not a SQLite URL; use sqlite:FILE, as in sqlite:jobs.db")
        })?;
        let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.strip_prefix("//").unwrap_or(path);
        let mut config = Self::new(path);
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=').unwrap_or((option, "")) {
                ("synchronous", "full") => config.synchronous = Synchronous::Full,
                ("synchronous", "normal") => config.synchronous = Synchronous::Normal,
                ("neighbours", "refused") => config.neighbours = Neighbours::Refused,
                ("neighbours", "welcome") => config.neighbours = Neighbours::Welcome,
                ("readers", count) => {
                    config.readers =
                        count.parse().ok().filter(|count| READERS.contains(count)).ok_or_else(
                            || invalid("readers has another value than it takes; use 1 to 64"),
                        )?;
                }
                // Only what is known is quoted: the rest may be a secret that
                // went astray.
                (name @ ("synchronous" | "neighbours"), _) => {
                    return Err(invalid(format!(
                        "{name} has another value than it takes; use {OPTIONS}"
                    )));
                }
                _ => {
                    return Err(invalid(format!(
                        "what stands behind the question mark is not an option of a SQLite URL; \
                         use {OPTIONS}"
                    )));
                }
            }
        }
        config.check()?;
        Ok(config)
    }

    /// Checks what SQLite would understand in another way than its caller.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let text = self.path.to_string_lossy();
        if self.path == Path::new("") {
            return Err(invalid("the path of the SQLite file is empty; name a file"));
        }
        if text == ":memory:" || text.starts_with("file:") {
            return Err(invalid(format!(
                "{text:?} cannot hold jobs: the store opens several connections, and each would \
                 see another database; name a file, or use the in-memory backend"
            )));
        }
        if text.contains('\0') {
            return Err(invalid("the path of the SQLite file contains NUL; leave it out"));
        }
        if !READERS.contains(&self.readers) {
            let context = format!("{} threads cannot read; use 1 to 64 readers", self.readers);
            return Err(invalid(context));
        }
        Ok(())
    }
}

/// How many threads may read.
const READERS: std::ops::RangeInclusive<usize> = 1..=64;

/// What may stand behind the question mark.
const OPTIONS: &str = "synchronous=full|normal, readers=1..64, neighbours=refused|welcome";

fn invalid(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file_and_options() {
        let config = SqliteConfig::parse("sqlite:a/b.db?synchronous=normal&readers=3").unwrap();
        assert_eq!(config.path, Path::new("a/b.db"));
        assert_eq!((config.synchronous, config.readers), (Synchronous::Normal, 3));
        assert_eq!(config.neighbours, Neighbours::Refused);
        for (url, path) in [
            ("sqlite:jobs.db", "jobs.db"),
            ("sqlite:/var/jobs.db", "/var/jobs.db"),
            ("sqlite:///var/jobs.db?neighbours=welcome", "/var/jobs.db"),
            ("sqlite://jobs.db", "jobs.db"),
        ] {
            assert_eq!(SqliteConfig::parse(url).unwrap().path, Path::new(path), "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_right_is_refused_with_what_would_be() {
        for (url, expected) in [
            ("postgres:x", "use sqlite:FILE"),
            ("sqlite:", "name a file"),
            ("sqlite::memory:", "use the in-memory backend"),
            ("sqlite:file:x?mode=memory", "is not an option"),
            ("sqlite:file:x", "name a file, or use the in-memory backend"),
            ("sqlite:x?readers=0", "use 1 to 64"),
            ("sqlite:x?readers=18446744073709551616", "use 1 to 64"),
            ("sqlite:x?readers", "use 1 to 64"),
            ("sqlite:x?synchronous=off", "synchronous=full|normal"),
            ("sqlite:x?neighbours", "neighbours=refused|welcome"),
            ("sqlite:x?readers=2;synchronous=full", "use 1 to 64"),
            ("sqlite:a\0b", "contains NUL; leave it out"),
        ] {
            let error = SqliteConfig::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn no_secret_of_a_url_is_quoted() {
        for url in [
            "postgres://user:CANARY@host/db",
            "CANARY",
            "sqlite:x?password=CANARY",
            "sqlite:x?CANARY",
            "sqlite:x?synchronous=CANARY",
            "sqlite:x?readers=CANARY",
        ] {
            let error = SqliteConfig::parse(url).unwrap_err();
            assert!(!format!("{error:#} {error:?}").contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn more_readers_than_make_sense_are_refused() {
        for readers in [0, 65, usize::MAX] {
            let config = SqliteConfig { readers, ..SqliteConfig::new("jobs.db") };
            let error = config.check().unwrap_err().to_string();
            assert_eq!(error, format!("{readers} threads cannot read; use 1 to 64 readers"));
        }
    }
}
