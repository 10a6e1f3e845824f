//! Workers that have been heard of.

use std::time::Duration;

use windlass_core::Error;
use windlass_core::model::{Beat, WorkerInfo, WorkerSeen};

use super::encode::{length, to_moment};
use super::{Arguments, Place, Script, Store};
use crate::error::{damaged, unreadable};

impl Store {
    /// Notes a worker's sign of life.
    pub(crate) async fn beat(&self, beat: &Beat) -> Result<(), Error> {
        let mut arguments = Arguments::with_room_for(3);
        match beat {
            Beat::Alive { worker, forget_after } => {
                let told =
                    serde_json::to_vec(worker).map_err(|error| unreadable("a worker", &error))?;
                arguments.add(worker.id.as_bytes()).add(told).add(length(*forget_after));
            }
            Beat::Leaving(id) => {
                arguments.add(id.as_bytes()).add("").add(length(Duration::ZERO));
            }
        }
        self.call(Place::Registry, Script::Beat, arguments).await.map(|_| ())
    }

    /// The workers that have been heard of, by when they first were.
    pub(crate) async fn workers(&self) -> Result<Vec<WorkerSeen>, Error> {
        let arguments = Arguments::default();
        let mut reply = self.call(Place::Registry, Script::ReadWorkers, arguments).await?;
        reply.moment()?;
        let short = || damaged("a worker", "it is too short");
        let mut seen = Vec::new();
        for bytes in reply.all_bytes()? {
            let (since, rest) = bytes.split_at_checked(8).ok_or_else(short)?;
            let (beat_at, told) = rest.split_at_checked(8).ok_or_else(short)?;
            let worker: WorkerInfo =
                serde_json::from_slice(told).map_err(|error| unreadable("a worker", &error))?;
            let (since, beat_at) = (to_moment(since), to_moment(beat_at));
            seen.push(WorkerSeen { worker, since, beat_at });
        }
        seen.sort_by_key(|seen| (seen.since, seen.worker.id));
        Ok(seen)
    }
}
