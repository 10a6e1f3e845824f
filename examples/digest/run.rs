//! A run over a tree: found where one was left unfinished, else begun.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use sha2::{Digest, Sha256};
use windlass::decide::OnDuplicate;
use windlass::model::{
    Detail, Direction, Filter, JobId, JobRef, JobType, JobsQuery, Keep, QueueStats, State,
};
use windlass::{Job, Queue, Windlass};

use crate::hash::hex;
use crate::scan::{Bytes, Scan};

/// A run over a tree. Its id is that of the job that scans the tree.
pub struct Run {
    /// The queue of this tree.
    pub queue: Queue,
    /// When it was begun.
    pub begun: Begun,
    scan: JobRef,
    /// How many jobs of earlier runs are still there.
    old: u64,
}

/// When a run was begun.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// By this process.
    Now,
    /// By another one, which may be dead or alive.
    Before,
}

/// How long what a run left behind is left alone.
const LEFTOVER: Duration = Duration::from_secs(600);

/// A run that has come to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The root is digested.
    Whole,
    /// The tree could not be scanned.
    NotScanned,
}

impl Run {
    /// Goes on with the unfinished run over this tree, or begins one.
    pub async fn find_or_begin(windlass: &Windlass, dir: &Path) -> anyhow::Result<Self> {
        let full = dir.canonicalize().with_context(|| format!("cannot read {}", dir.display()))?;
        // The path as it was given is part of the manifest, so it is part of
        // what a run is.
        let mut tree = Sha256::new();
        tree.update(full.as_os_str().as_bytes());
        tree.update([0]);
        tree.update(dir.as_os_str().as_bytes());
        let queue = windlass
            .queue(format!("digest.{}", &hex(&tree.finalize())[..16]))
            // Results are read at the end of the run, however long it takes.
            .keep_completed(Keep::Forever)
            .keep_other(Keep::Forever)
            // Being killed is nothing unusual here.
            .max_stalls(1000)
            .declare()
            .await?;

        if let Some(scan) = last_scan(&queue).await? {
            return Ok(Self { queue, begun: Begun::Before, scan, old: 0 });
        }
        // What earlier runs left behind. Not what is recent: another process
        // may begin, or report, at this very moment.
        for state in [State::Completed, State::Failed, State::Cancelled] {
            while queue.clean(state, LEFTOVER, 1000).await? > 0 {}
        }
        let old = ended(&queue.stats().await?);
        let scan = Scan { dir: Bytes::from(dir.as_os_str()) };
        let scan = queue
            .enqueue(scan)
            // Of two processes that begin at once, one does.
            .dedup_with("scan", OnDuplicate::ReturnExisting, None)
            .await?;
        Ok(Self { queue, begun: Begun::Now, scan: scan.into(), old })
    }

    /// The id of the run.
    pub fn id(&self) -> JobId {
        self.scan.id
    }

    /// The job that scans the tree.
    pub fn scan(&self) -> JobRef {
        self.scan.clone()
    }

    /// How far it has come: jobs that have ended, and all jobs.
    pub fn progress(&self, stats: &QueueStats) -> (u64, u64) {
        let all: u64 = stats.jobs.iter().sum();
        (ended(stats).saturating_sub(self.old), all.saturating_sub(self.old))
    }

    /// Whether it has come to its end: the scan, and every job it enqueued.
    pub async fn finished(&self, stats: &QueueStats) -> windlass::Result<Option<Finished>> {
        if ended(stats) < stats.jobs.iter().sum() {
            return Ok(None);
        }
        Ok(match self.queue.client().job(&self.scan).await?.map(|scan| scan.state) {
            // Without one, another process that shared the work has delivered.
            None | Some(State::Completed) => Some(Finished::Whole),
            Some(state) if state.is_terminal() => Some(Finished::NotScanned),
            Some(_) => None,
        })
    }

    /// Notes that its result is where it belongs, so that the next start
    /// begins a new run.
    pub async fn delivered(&self) -> windlass::Result<()> {
        match self.queue.client().handle(self.scan.clone()).remove().await {
            // Another process that shared the work was faster.
            Ok(_) | Err(windlass::Error::Gone(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn ended(stats: &QueueStats) -> u64 {
    State::ALL.into_iter().filter(|state| state.is_terminal()).map(|state| stats.count(state)).sum()
}

/// The job key of a run's root directory.
pub fn root_key(run: JobId) -> String {
    format!("{run}:root")
}

async fn last_scan(queue: &Queue) -> anyhow::Result<Option<JobRef>> {
    let filter = Filter { job_type: Some(JobType::new(Scan::NAME)?), ..queue.filter() };
    let query = JobsQuery {
        filter,
        direction: Direction::NewestFirst,
        after: None,
        limit: 1,
        detail: Detail::Summary,
    };
    let page = queue.client().jobs(query).await?;
    Ok(page.jobs.first().map(|job| job.reference()))
}
