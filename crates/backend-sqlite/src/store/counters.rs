//! How many jobs of a queue stand in each state.

use rusqlite::params;
use windlass_core::model::State;

use super::Store;
use super::query::{Query, Statements};
use crate::error::Outcome;
use crate::record::unsigned;

/// By how much the jobs of each state have become more or fewer in this
/// transaction.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Few queues are touched by one transaction: looking through them is
    /// cheaper than hashing.
    changes: Vec<(i64, [i64; 8])>,
}

impl Counters {
    pub(crate) fn clear(&mut self) {
        self.changes.clear();
    }

    pub(crate) fn add(&mut self, queue: i64, state: State, jobs: i64) {
        let state = usize::from(state.code());
        match self.changes.iter_mut().find(|(of, _)| *of == queue) {
            Some((_, changes)) => changes[state] += jobs,
            None => {
                let mut changes = [0; 8];
                changes[state] = jobs;
                self.changes.push((queue, changes));
            }
        }
    }

    fn get(&self, queue: i64, state: State) -> i64 {
        let found = self.changes.iter().find(|(of, _)| *of == queue);
        found.map_or(0, |(_, changes)| changes[usize::from(state.code())])
    }

    /// Writes the changes down.
    pub(crate) fn write(&mut self, statements: &mut Statements<'_>) -> Outcome<()> {
        for (queue, changes) in self.changes.drain(..) {
            for (state, jobs) in changes.into_iter().enumerate().filter(|(_, jobs)| *jobs != 0) {
                let state = i64::try_from(state).unwrap_or_default();
                statements.get(Query::AddToCounter)?.execute(params![queue, state, jobs])?;
            }
        }
        Ok(())
    }
}

impl Store<'_> {
    /// Notes that a job has left one state for another.
    pub(crate) fn count_move(&mut self, queue: i64, from: State, to: State) {
        if from != to {
            self.counters.add(queue, from, -1);
            self.counters.add(queue, to, 1);
        }
    }

    /// How many jobs of a queue stand in a state, this transaction included.
    pub(crate) fn count(&mut self, queue: i64, state: State) -> Outcome<u64> {
        let stored: i64 = super::connection::optional(
            self.statements
                .get(Query::ReadCounter)?
                .query_row(params![queue, state.code()], |row| row.get(0)),
        )?
        .unwrap_or(0);
        Ok(unsigned(stored + self.counters.get(queue, state)))
    }
}
