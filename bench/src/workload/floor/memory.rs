//! A sorted map behind a lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::{Bare, OUTCOME};

/// A sorted map behind a lock.
#[derive(Default)]
pub(super) struct Queue(Mutex<Jobs>);

#[derive(Default)]
struct Jobs {
    /// By priority, moment and number.
    ready: BTreeMap<(i64, i64, usize), String>,
    leased: HashMap<usize, String>,
    done: Vec<(usize, String)>,
    steps: HashMap<(usize, usize), Vec<u8>>,
}

impl Bare for Queue {
    fn enqueue(&mut self, from: usize, count: usize, payload: &str) -> Result<()> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.ready.extend((from..from + count).map(|n| ((0, n as i64, n), payload.to_owned())));
        Ok(())
    }

    fn turn(&mut self, count: usize) -> Result<usize> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = &mut *jobs;
        jobs.done.extend(jobs.leased.drain());
        for _ in 0..count {
            let Some(((_, _, n), payload)) = jobs.ready.pop_first() else { break };
            jobs.leased.insert(n, payload);
        }
        Ok(jobs.leased.len())
    }

    fn record(&mut self, step: usize, at_once: usize) -> Result<()> {
        let jobs = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ids: Vec<usize> = jobs().leased.keys().copied().collect();
        for ids in ids.chunks(at_once) {
            jobs().steps.extend(ids.iter().map(|id| ((*id, step), OUTCOME.to_vec())));
        }
        Ok(())
    }
}
