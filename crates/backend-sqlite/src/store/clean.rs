//! Removing jobs for good.

use std::collections::BTreeSet;

use rusqlite::params;
use windlass_core::backend::{Clean, CleanWhich};
use windlass_core::model::{Event, State, Timestamp};

use super::apply::Found;
use super::lane::{self, Known, hook};
use super::query::Query;
use super::queues::invalid;
use super::rare::labels_of;
use super::{Queue, Store};
use crate::error::Outcome;
use crate::record::signed;

/// How many jobs are looked at together.
const PAGE: u64 = 500;

impl Store<'_> {
    /// Removes jobs of one state and answers how many.
    pub(crate) fn clean(&mut self, clean: &Clean) -> Outcome<u64> {
        let queue = self.queue(&clean.queue)?;
        if matches!(clean.state, State::Blocked | State::Active) {
            return Err(invalid(format!(
                "jobs that are {} cannot be cleaned; name a terminal state, scheduled or waiting",
                clean.state
            )));
        }
        self.release_due(&queue)?;
        self.forget_dedup(queue.id)?;
        let (cutoff, mut reach) = match clean.which {
            CleanWhich::OlderThan(age) => (self.now.before(age), u64::MAX),
            CleanWhich::BeyondNewest(kept) => {
                let all = self.count(queue.id, clean.state)?;
                (Timestamp::MAX, all.saturating_sub(kept))
            }
        };
        let mut removed = 0;
        let mut after = (i64::MIN, -1);
        while removed < u64::from(clean.limit) && reach > 0 {
            // A page of jobs that have not ended is sorted for: one is enough.
            let page = match clean.state.is_terminal() {
                true => reach.min(PAGE),
                false => reach.min(u64::from(clean.limit).max(PAGE)),
            };
            let found = self.doomed(&queue, clean.state, cutoff, after, page)?;
            let last_page = (found.len() as u64) < page;
            for job in found {
                if removed == u64::from(clean.limit) {
                    break;
                }
                after = (job.job.finished_at.map_or(0, |moment| moment.as_micros()), job.seq);
                reach -= 1;
                if job.job.has_dependents && self.is_needed(job.seq)? {
                    continue;
                }
                if !clean.state.is_terminal() && job.hooks & hook::DEPENDENTS != 0 {
                    // Those that depend on it have ended: there is nothing left
                    // to decide about them.
                    self.tell_dependents(job.seq, State::Cancelled, &mut BTreeSet::new())?;
                }
                self.delete(&queue, &job)?;
                self.news.happened(|| job.job.reference(), Event::Removed);
                removed += 1;
            }
            if last_page {
                break;
            }
        }
        // Where one waited in front of others, they may start now.
        let had_line = queue.spec.partitions.is_some() && !clean.state.is_terminal();
        if removed > 0 && had_line {
            self.news.touch(&queue.name);
        }
        Ok(removed)
    }

    /// The first jobs of a state behind a place, as far as they are old enough.
    fn doomed(
        &mut self,
        queue: &Queue,
        state: State,
        cutoff: Timestamp,
        after: (i64, i64),
        limit: u64,
    ) -> Outcome<Vec<Found>> {
        let [first, second, third] = lane::of_state(state);
        let (cutoff, limit) = (cutoff.as_micros(), signed(limit));
        if state.is_terminal() {
            let params = params![queue.id, first, cutoff, after.0, after.1, limit];
            self.find_all(Query::ListEnded, params)
        } else {
            let params = params![queue.id, first, second, third, cutoff, after.1, limit];
            self.find_all(Query::ListPending, params)
        }
    }

    /// Whether a job that has not ended depends on this one.
    fn is_needed(&mut self, seq: i64) -> Outcome<bool> {
        Ok(self.statements.get(Query::FindLiveDependent)?.exists([seq])?)
    }

    /// Deletes a job, and all that belongs to nobody else.
    pub(crate) fn delete(&mut self, queue: &Queue, found: &Found) -> Outcome<()> {
        let Found { job, seq, lane, hooks, .. } = found;
        self.leave(Known::of(job, *seq, queue.id), *lane)?;
        if let Some(dedup) = &job.dedup {
            let key = dedup.key.as_str();
            self.give_up_dedup(queue.id, key, job.id, dedup.held_until)?;
        }
        if hooks & hook::LABELS != 0 {
            for (kind, label) in labels_of(job) {
                self.statements.get(Query::DeleteLabel)?.execute(params![
                    i64::from(kind),
                    label,
                    seq
                ])?;
            }
        }
        if hooks & hook::STEPS != 0 {
            self.statements.get(Query::DeleteSteps)?.execute([seq])?;
        }
        if hooks & hook::DEPENDENCIES != 0 {
            self.statements.get(Query::DeleteDependencies)?.execute([seq])?;
        }
        self.retire_seq(*seq)?;
        self.leave_beside(*seq, *lane)?;
        self.statements.get(Query::DeleteJob)?.execute([seq])?;
        self.counters.add(queue.id, found.counted(), -1);
        Ok(())
    }
}
