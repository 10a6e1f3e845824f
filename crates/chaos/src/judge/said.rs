//! What processes said beside their histories.

use windlass::model::Timestamp;

use crate::fact::Nature;

/// A line that a process said.
#[derive(Debug)]
pub(super) struct Line<'l> {
    /// When, by this machine's clock. A panic does not say.
    pub(super) at: Option<Timestamp>,
    pub(super) text: &'l str,
}

impl<'l> Line<'l> {
    /// Takes a line apart, if there is something in it.
    pub(super) fn read(line: &'l str) -> Option<Self> {
        let line = line.trim();
        let timed = line.split_once(' ').and_then(|(at, text)| Some((at.parse().ok()?, text)));
        match timed {
            Some((at, text)) => {
                Some(Self { at: Some(Timestamp::from_micros(at)), text: text.trim_start() })
            }
            None => Some(Self { at: None, text: line }).filter(|line| !line.text.is_empty()),
        }
    }

    /// Whether it tells of an error, rather than of a lost lease or an unknown
    /// job type: those are what is going on here.
    pub(super) fn trouble(&self) -> Option<Nature> {
        if !self.text.starts_with("WARN") {
            return Some(Nature::Lasting);
        }
        // Settling waits for what is over by itself, and divides its batch for
        // anything else.
        let lasting = self.text.contains("a batch is refused");
        let nature = if lasting { Nature::Lasting } else { Nature::Passing };
        self.text.contains("error=").then_some(nature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_are_trouble_and_a_warning_is_over_by_itself() {
        let at = Some(Timestamp::from_micros(1_700_000_000_000_000));
        for (line, at, trouble) in [
            ("1700000000000000  WARN job{queue=bulk}: the lease is lost", at, None),
            ("1700000000000000  WARN asking again error=\"away\"", at, Some(Nature::Passing)),
            (
                "1700000000000000  WARN a batch is refused; settling one by one error=\"x\"",
                at,
                Some(Nature::Lasting),
            ),
            ("1700000000000000 ERROR a job cannot be settled", at, Some(Nature::Lasting)),
            ("thread 'main' panicked at src/main.rs:1:1:", None, Some(Nature::Lasting)),
            ("note: run with `RUST_BACKTRACE=1`", None, Some(Nature::Lasting)),
        ] {
            let read = Line::read(line).unwrap();
            assert_eq!((read.at, read.trouble()), (at, trouble), "{line}");
        }
        assert!(Line::read(" ").is_none());
    }
}
