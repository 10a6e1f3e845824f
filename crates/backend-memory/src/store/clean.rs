//! Removing jobs for good (rules N5, Q3 and Q4).

use windlass_core::backend::hub::News;
use windlass_core::backend::{Clean, CleanWhich, Error, ErrorKind, Result};
use windlass_core::model::{End, Event, JobRef, State, Timestamp};

use super::Store;
use super::slab::Slot;
use crate::record::Record;

impl Store {
    pub(crate) fn clean(&mut self, clean: &Clean, now: Timestamp, news: &mut News) -> Result<u64> {
        let at = self.queue_index(&clean.queue)?;
        self.tick(at, now);
        let found = match clean.state {
            State::Completed => self.ended(at, End::Completed, clean, now),
            State::Failed => self.ended(at, End::Failed, clean, now),
            State::Cancelled => self.ended(at, End::Cancelled, clean, now),
            State::Expired => self.ended(at, End::Expired, clean, now),
            State::Scheduled | State::Waiting => self.pending(at, clean, now),
            state => {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "jobs that are {state} cannot be cleaned; clean scheduled, waiting or \
                         ended ones"
                    ),
                ));
            }
        };
        // Nobody that has not ended depends on any of them, so that none is
        // unblocked.
        let mut touched = Vec::new();
        for slot in &found {
            let id = self.jobs[*slot].id;
            news.happened(|| JobRef { queue: clean.queue.clone(), id }, Event::Removed);
            self.remove(*slot, now, &mut touched);
        }
        if !found.is_empty() && !clean.state.is_terminal() && self.queues[at].is_limited() {
            news.touch(&clean.queue);
        }
        Ok(found.len() as u64)
    }

    fn ended(&self, at: Slot, end: End, clean: &Clean, now: Timestamp) -> Vec<Slot> {
        let line = &self.queues[at].ended[end as usize];
        let total = line.len();
        let in_order = line.after(None).map(|(_, slot)| slot);
        self.select(
            in_order,
            total,
            clean,
            |record| record.stand.ended().map_or(now, |ended| ended.at),
            now,
        )
    }

    fn pending(&self, at: Slot, clean: &Clean, now: Timestamp) -> Vec<Slot> {
        let queue = &self.queues[at];
        let total = queue.counts()[usize::from(clean.state.code())];
        let in_order = queue
            .all
            .after(None)
            .map(|(_, slot)| slot)
            .filter(|slot| self.jobs[*slot].state(now) == clean.state);
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        self.select(in_order, total, clean, |record| record.enqueued_at, now)
    }

    /// Those that may go, of jobs in the order in which they are to.
    fn select(
        &self,
        in_order: impl Iterator<Item = Slot>,
        total: usize,
        clean: &Clean,
        moment: impl Fn(&Record) -> Timestamp,
        now: Timestamp,
    ) -> Vec<Slot> {
        let (bound, until) = match clean.which {
            CleanWhich::OlderThan(age) => (total, now.before(age)),
            CleanWhich::BeyondNewest(kept) => {
                let kept = usize::try_from(kept).unwrap_or(usize::MAX);
                (total.saturating_sub(kept), Timestamp::MAX)
            }
        };
        in_order
            .take(bound)
            .take_while(|slot| moment(&self.jobs[*slot]) <= until)
            .filter(|slot| {
                let extra = self.jobs[*slot].extra.as_ref();
                extra.is_none_or(|extra| extra.live_dependents == 0)
            })
            .take(clean.limit as usize)
            .collect()
    }
}
