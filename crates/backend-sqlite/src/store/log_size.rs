//! Keeps an eye on the size of the write-ahead log.
//!
//! The log is cut back once nobody reads from its beginning any more. Our own
//! reads are short; somebody else's transaction that stays open, in whatever
//! process, pins it, and it grows with every write. That cannot be helped from
//! here, but it can be said before the disk is full.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::seldom::Seldom;

/// How often the size is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// From this size on it is told of: four times what is left of the log after
/// a burst.
const LARGE: u64 = 256 << 20;

/// Looks at the size of the log now and then.
#[derive(Debug)]
pub(crate) struct LogSize {
    log: PathBuf,
    looked: Option<Instant>,
    told: Seldom,
}

impl LogSize {
    /// For the log of this file.
    pub(crate) fn of(file: &Path) -> Self {
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        Self { log: log.into(), looked: None, told: Seldom::default() }
    }

    /// Tells if the log is large. To be called after writes.
    pub(crate) fn look(&mut self) {
        if let Some(bytes) = self.is_large(Instant::now(), LARGE) {
            tracing::warn!(
                log = %self.log.display(),
                mib = bytes >> 20,
                "the write-ahead log grows and is not cut back: a transaction that stays open, \
                 perhaps in another process, or a backup, still reads from its beginning; end it, \
                 or the disk fills up and reads become slow"
            );
        }
    }

    /// Its size, if that is to be told at this moment of the machine.
    fn is_large(&mut self, now: Instant, large: u64) -> Option<u64> {
        if self.looked.is_some_and(|last| now.duration_since(last) < LOOK_EVERY) {
            return None;
        }
        self.looked = Some(now);
        let bytes = std::fs::metadata(&self.log).ok()?.len();
        (bytes >= large && self.told.is_time(now)).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_log_is_told_of_once_a_minute_and_a_small_or_missing_one_never() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobs.db");
        let mut size = LogSize::of(&file);
        let begin = Instant::now();
        let mut at =
            |second, large| size.is_large(begin + Duration::from_millis(second), large).is_some();
        assert!(!at(0, 0), "there is no log");
        std::fs::write(folder.path().join("jobs.db-wal"), [0; 100]).unwrap();
        assert!(!at(999, 100), "it is looked at once a second");
        assert!(!at(1_000, 101), "it is small");
        assert!(at(2_000, 100));
        assert!(!at(4_000, 100), "it was just told");
        assert!(at(62_000, 100));
    }
}
