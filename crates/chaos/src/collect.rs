//! What is stored in the end.

use std::collections::BTreeSet;

use windlass::model::{Detail, Direction, Job, JobsQuery};
use windlass::{Error, Queue, RepeatHandle, Windlass};

use crate::Failure;
use crate::jobs::{Steps, Work};
use crate::judge::{Book, Record, Repeated};
use crate::observer::ending;
use crate::plan::Queues;

/// How many jobs are read at a time.
const PAGE: u32 = 1000;

/// Every stored job, queue by queue.
pub(crate) async fn stored(windlass: &Windlass, queues: &Queues) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    for (queue, _) in queues.all() {
        let mut after = None;
        loop {
            let query = JobsQuery {
                filter: queue.filter(),
                direction: Direction::OldestFirst,
                after,
                limit: PAGE,
                detail: Detail::Full,
            };
            let page = windlass.jobs(query).await?;
            for job in page.jobs {
                records.push(record(windlass, job).await?);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(records)
}

async fn record(windlass: &Windlass, job: Job) -> Result<Record, Failure> {
    let mut steps = Vec::new();
    if job.job_type.as_str() == <Steps as windlass::Job>::NAME {
        for step in windlass.backend().steps(&job.reference()).await? {
            let outcome = String::from_utf8_lossy(step.outcome.as_slice()).into_owned();
            steps.push((step.position, outcome));
        }
    }
    Ok(Record {
        id: job.id,
        queue: job.queue.clone(),
        job_type: job.job_type.as_str().to_owned(),
        seq: job.seq,
        place: job.place,
        enqueued_at: job.enqueued_at,
        ending: ending(&job),
        snoozes: job.course.snoozes,
        last_failure: job.course.errors.last().map(|error| error.kind),
        key: job.key.map(|key| key.as_str().to_owned()),
        dedup: job.dedup.map(|dedup| dedup.key.as_str().to_owned()),
        partition: job.partition.map(|partition| partition.as_str().to_owned()),
        parent: job.parent.map(|parent| parent.id),
        steps,
    })
}

/// What the counters of each queue say.
pub(crate) async fn books(queues: &Queues) -> Result<Vec<Book>, Failure> {
    let mut books = Vec::new();
    for (queue, _) in queues.all() {
        let stats = queue.stats().await?;
        books.push(Book { queue: stats.queue, jobs: stats.jobs, leases: stats.leases });
    }
    Ok(books)
}

/// What the records of the repeatables say.
pub(crate) async fn repeatables(handles: &[RepeatHandle]) -> Result<Vec<Repeated>, Failure> {
    let mut repeated = Vec::new();
    for handle in handles {
        let record = handle.record().await?.ok_or("a repeatable is gone")?;
        let key = handle.key().as_str().to_owned();
        repeated.push(Repeated { key, fired: record.fired, next: record.next });
    }
    Ok(repeated)
}

/// Takes every deduplication key that was used, and gives it back: now that
/// everything has ended, each must be free. Answers how many were tried, and
/// which were not.
pub(crate) async fn try_keys(
    queues: &Queues,
    stored: &[Record],
) -> Result<(u64, Vec<String>), Failure> {
    let keys: BTreeSet<&String> = stored.iter().filter_map(|job| job.dedup.as_ref()).collect();
    let queue: &Queue = &queues.unique;
    let mut dangling = Vec::new();
    for key in &keys {
        match queue.enqueue(Work { ms: 0 }).dedup(key.as_str()).await {
            Ok(handle) => {
                handle.cancel().await?;
            }
            Err(Error::Duplicate { existing, .. }) => {
                dangling.push(format!("key {key:?} is still that of job {}", existing.id));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((keys.len() as u64, dangling))
}
