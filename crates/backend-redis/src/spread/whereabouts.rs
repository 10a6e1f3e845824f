//! Where jobs were seen that do not stand where their ids say.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use windlass_core::model::JobId;

/// How many jobs a generation has.
const GENERATION: usize = 8192;

/// The shards of jobs, of two generations: what was not asked for in one is forgotten
/// with the next. All of it is but a guess where to look first.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    generations: Mutex<[HashMap<JobId, u32>; 2]>,
}

impl Whereabouts {
    pub(super) fn note(&self, seen: impl Iterator<Item = (JobId, u32)>) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        for (job, shard) in seen {
            if generations[0].len() >= GENERATION {
                generations[1] = mem::take(&mut generations[0]);
            }
            generations[0].insert(job, shard);
        }
    }

    pub(super) fn of(&self, job: JobId) -> Option<u32> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let found = generations[0].get(&job).copied();
        found.or_else(|| {
            let shard = generations[1].remove(&job)?;
            generations[0].insert(job, shard);
            Some(shard)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> JobId {
        JobId::from_bytes((n as u128).to_be_bytes())
    }

    #[test]
    fn what_is_asked_for_is_kept_and_the_rest_forgotten() {
        let known = Whereabouts::default();
        assert_eq!(known.of(id(0)), None);
        for n in 0..5 * GENERATION {
            known.note([(id(n), 3)].into_iter());
            assert_eq!(known.of(id(7)), (n >= 7).then_some(3), "after {n}");
        }
        assert_eq!(known.of(id(8)), None, "nobody has asked for it");
        let generations = known.generations.lock().unwrap();
        assert!(generations.iter().all(|jobs| jobs.len() <= GENERATION + 1));
    }
}
