//! What a running job tells about itself.

use serde::{Deserialize, Serialize};

use super::course::clean;

/// How many lines of log a job keeps: its last ones.
pub const MAX_LOG_LINES: usize = 20;

/// The longest line of log or progress message that is kept, in bytes.
pub const MAX_LINE_BYTES: usize = 1024;

/// How far a job has come, and its last lines of log. Kept with the job; a
/// backend stores the opaque bytes of [`Progress::encode`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// How much is done, in whatever unit the handler counts.
    pub done: u64,
    /// How much there is to do, if the handler knows.
    pub total: Option<u64>,
    /// What the job is at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The last lines of log, oldest first, at most [`MAX_LOG_LINES`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

impl Progress {
    /// Sets what the job is at, cut to [`MAX_LINE_BYTES`], without NUL.
    pub fn say(&mut self, message: &str) {
        self.message = Some(clean(message, MAX_LINE_BYTES));
    }

    /// Adds a line of log, cut to [`MAX_LINE_BYTES`], without NUL, and forgets
    /// the oldest beyond the last [`MAX_LOG_LINES`].
    pub fn log(&mut self, line: &str) {
        self.log.push(clean(line, MAX_LINE_BYTES));
        let excess = self.log.len().saturating_sub(MAX_LOG_LINES);
        self.log.drain(..excess);
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Serialising numbers and strings into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the stored form back.
    ///
    /// # Errors
    /// If the bytes are not what [`Progress::encode`] made.
    pub fn decode(stored: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_keeps_its_last_lines_within_their_bounds() {
        let mut progress = Progress { done: 3, total: Some(9), ..Progress::default() };
        progress.say(&"m".repeat(5000));
        for n in 0..100 {
            progress.log(&format!("line {n}\0"));
        }
        assert_eq!(progress.message.as_deref().map(str::len), Some(MAX_LINE_BYTES));
        assert_eq!(progress.log.len(), MAX_LOG_LINES);
        assert_eq!(progress.log[0], "line 80\u{fffd}");
        assert_eq!(Progress::decode(&progress.encode()).unwrap(), progress);
    }
}
