//! The facts by job and by lease.

use std::collections::{HashMap, HashSet};

use windlass::model::{JobId, State, Timestamp};

use super::{Evidence, LeaseId, Process, Record};
use crate::fact::{Acknowledged, Fact, Noted, Start};

/// The facts by job and by lease.
pub(super) struct Index<'e> {
    pub(super) evidence: &'e Evidence,
    pub(super) records: HashMap<JobId, &'e Record>,
    /// What was acknowledged, the first time for each job.
    pub(super) acknowledged: HashMap<JobId, &'e Acknowledged>,
    /// Every start, and the process in which it was.
    pub(super) starts: Vec<(&'e Start, &'e Process)>,
    /// The starts of each job, by token.
    pub(super) by_job: HashMap<JobId, Vec<&'e Start>>,
    /// When handlers that came to their end did.
    pub(super) finished: HashMap<LeaseId, Timestamp>,
    /// Those of which nobody knows when: they were dropped, or could not ask the
    /// store for the time.
    dropped: HashSet<LeaseId>,
}

impl<'e> Index<'e> {
    pub(super) fn new(evidence: &'e Evidence) -> Self {
        let mut index = Self {
            evidence,
            records: evidence.records.iter().map(|record| (record.id, record)).collect(),
            acknowledged: HashMap::new(),
            starts: Vec::new(),
            by_job: HashMap::new(),
            finished: HashMap::new(),
            dropped: HashSet::new(),
        };
        for (process, fact) in index.facts() {
            match fact {
                Fact::Acknowledged(known) => {
                    index.acknowledged.entry(known.job).or_insert(known);
                }
                Fact::Started(start) => {
                    index.starts.push((start, process));
                    index.by_job.entry(start.job).or_default().push(start);
                }
                Fact::Finished { job, token, at } => {
                    index.finished.insert((*job, *token), *at);
                }
                Fact::Dropped { job, token } => {
                    index.dropped.insert((*job, *token));
                }
                _ => {}
            }
        }
        for starts in index.by_job.values_mut() {
            starts.sort_by_key(|start| start.token);
        }
        index
    }

    /// Every fact, and the process that knew it.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&'e Process, &'e Fact)> + use<'e> {
        self.noted().map(|(process, noted)| (process, &noted.fact))
    }

    /// The same, with when it was noted.
    pub(super) fn noted(&self) -> impl Iterator<Item = (&'e Process, &'e Noted)> + use<'e> {
        let processes = &self.evidence.processes;
        processes.iter().flat_map(|process| process.facts.iter().map(move |noted| (process, noted)))
    }

    /// When the lease of a start was live for certain: from its beginning until
    /// the handler came to its end, or until it could first have been taken
    /// over. Heartbeats may have kept it for longer; that is not known here. Where
    /// the handler's end is not known either, nothing is certain.
    pub(super) fn surely_live(&self, start: &Start) -> (Timestamp, Timestamp) {
        let lease = (start.job, start.token);
        if self.dropped.contains(&lease) {
            return (start.at, start.at);
        }
        let finished = self.finished.get(&lease).copied();
        (start.at, finished.unwrap_or(Timestamp::MAX).min(start.until))
    }

    /// The starts that are known of a job.
    pub(super) fn starts_of(&self, job: JobId) -> &[&'e Start] {
        self.by_job.get(&job).map_or(&[], Vec::as_slice)
    }

    /// When a job first started, as far as is known.
    pub(super) fn first_start(&self, record: &Record) -> Option<Timestamp> {
        let known = self.starts_of(record.id).iter().map(|start| start.at).min();
        known.into_iter().chain(record.ending.started_at).min()
    }
}

impl Record {
    /// How it ended, if it has.
    pub(super) fn end(&self) -> Option<State> {
        Some(self.ending.state).filter(|state| state.is_terminal())
    }
}
