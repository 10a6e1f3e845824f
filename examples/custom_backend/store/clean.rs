//! Removing jobs for good (rules N5, Q3 and Q4).

use std::collections::BTreeSet;

use windlass::backend::{Clean, CleanWhich, Error, ErrorKind, Result};
use windlass::model::{Event, State, Timestamp};

use super::Store;
use crate::keys::{Key, Space};
use crate::record::{Record, Stand};

impl Store<'_> {
    pub(crate) fn clean(&mut self, clean: &Clean) -> Result<u64> {
        let queue = self.queue(&clean.queue)?;
        if matches!(clean.state, State::Blocked | State::Active) {
            let what = format!(
                "jobs that are {} cannot be cleaned; clean scheduled, waiting or ended ones",
                clean.state
            );
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        self.pass_time(&clean.queue)?;
        let chosen = self.choose(clean)?;
        // Nobody that has not ended depends on any of them, so that none is
        // unblocked.
        let mut touched = BTreeSet::new();
        for record in &chosen {
            self.remove(record, &mut touched)?;
            self.news.happened(|| record.reference(), Event::Removed);
        }
        if !chosen.is_empty() && !clean.state.is_terminal() && queue.is_limited() {
            self.news.touch(&clean.queue);
        }
        Ok(chosen.len() as u64)
    }

    /// Those that may go, the first to end (or to be enqueued) first.
    fn choose(&self, clean: &Clean) -> Result<Vec<Record>> {
        let keys = if clean.state.is_terminal() {
            Key::of_queue(Space::Ended, &clean.queue).number(clean.state.code().into())
        } else {
            Key::of_queue(Space::OfQueue, &clean.queue)
        };
        let (bound, until) = match clean.which {
            CleanWhich::OlderThan(age) => (u64::MAX, self.now.before(age)),
            CleanWhich::BeyondNewest(kept) => {
                let total = self.counted(&clean.queue, clean.state)?;
                (total.saturating_sub(kept), Timestamp::MAX)
            }
        };
        let (mut seen, mut chosen) = (0, Vec::new());
        for record in self.jobs_at(keys.below())? {
            let record = record?;
            if record.state(self.now) != clean.state {
                continue;
            }
            let moment = match record.stand {
                Stand::Ended { at, .. } => at,
                _ => record.enqueued_at,
            };
            seen += 1;
            if seen > bound || moment > until || chosen.len() >= clean.limit as usize {
                break;
            }
            if !self.is_needed(&record)? {
                chosen.push(record);
            }
        }
        Ok(chosen)
    }
}
