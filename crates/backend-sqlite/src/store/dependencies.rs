//! Jobs that wait for jobs.

use std::collections::BTreeSet;

use rusqlite::params;
use windlass_core::model::{Dependency, Job, JobId, JobRef, Payload, State};

use super::query::Query;
use super::{Store, lane};
use crate::error::{Outcome, damaged};
use crate::record::bytes;

impl Store<'_> {
    /// Counts the end of a job with each that waits for it, once, and gathers
    /// those about which core has to decide.
    pub(crate) fn tell_dependents(
        &mut self,
        seq: i64,
        ended: State,
        undecided: &mut BTreeSet<i64>,
    ) -> Outcome<()> {
        let mut rows = self.statements.get(Query::OpenDependents)?.query([seq])?;
        let mut dependents: Vec<i64> = Vec::new();
        while let Some(row) = rows.next()? {
            dependents.push(row.get(0)?);
        }
        drop(rows);
        if dependents.is_empty() {
            return Ok(());
        }
        self.statements.get(Query::CloseDependencies)?.execute([seq])?;
        let broken = ended != State::Completed;
        for dependent in dependents {
            let decide: bool = self
                .statements
                .get(Query::CountEndedDependency)?
                .query_row(params![dependent, broken], |row| row.get(0))?;
            if decide {
                undecided.insert(dependent);
            }
        }
        Ok(())
    }

    /// The jobs that depend on this one.
    pub(crate) fn dependents(&mut self, job: &JobRef) -> Outcome<Vec<Job>> {
        let Some(found) = self.probe_in_queue(job)? else {
            return Ok(Vec::new());
        };
        self.read_jobs(Query::ListDependents, [found])
    }

    /// The jobs that this one depends on, and what they returned.
    pub(crate) fn dependencies(&mut self, job: &JobRef) -> Outcome<Vec<Dependency>> {
        let Some(found) = self.probe_in_queue(job)? else {
            return Ok(Vec::new());
        };
        let mut rows = self
            .statements
            .get(Query::ListDependencies)?
            .query(params![found, self.now.as_micros()])?;
        let mut dependencies = Vec::new();
        while let Some(row) = rows.next()? {
            let state = match row.get::<_, Option<i64>>(2)? {
                None => None,
                Some(lane) => Some(
                    lane::counted_state(lane)
                        .ok_or_else(|| damaged("the state of a job", format!("lane {lane}")))?,
                ),
            };
            dependencies.push(Dependency {
                job: JobRef {
                    queue: self.codec.queue_name(row.get(0)?)?,
                    id: JobId::from_bytes(row.get(1)?),
                },
                state,
                result: bytes(row, 3)?.map(|result| Payload::from(result.to_vec())),
            });
        }
        Ok(dependencies)
    }

    /// The number of a job, if it stands in the queue that the reference names.
    pub(crate) fn probe_in_queue(&mut self, job: &JobRef) -> Outcome<Option<i64>> {
        let Some(queue) = self.find_queue(&job.queue)? else {
            return Ok(None);
        };
        let found = self.probe(job.id)?;
        Ok(found.filter(|found| found.queue == queue.id).map(|found| found.seq))
    }
}
