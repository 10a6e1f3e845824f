//! The write-ahead log: how far it grows, and that nothing of ours pins it.

use std::path::Path;
use std::time::Duration;

use windlass_core::Backend;
use windlass_core::backend::{Overdue, OverdueQuery, RepeatablesQuery};
use windlass_core::model::{Detail, Direction, Filter, JobRef, JobsQuery, State};
use windlass_sqlite::SqliteBackend;

use crate::fixture::{Home, count, declare, numbered, queue, with_payload};

const MIB: u64 = 1 << 20;

/// Beyond so much, a log is cut back once nobody reads from its beginning.
const KEPT: u64 = 64 * MIB;

/// How large the log of a file is.
fn log_of(file: &Path) -> u64 {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).map_or(0, |log| log.len())
}

/// Writes so many jobs of 1 MiB less a little, and answers how large the log
/// was at most.
async fn write(home: &Home, backend: &SqliteBackend, jobs: std::ops::Range<u32>) -> u64 {
    let mut largest = 0;
    for n in jobs {
        backend.enqueue(vec![with_payload(n, vec![b'x'; 1_000_000])]).await.unwrap();
        largest = largest.max(log_of(&home.path()));
    }
    largest
}

#[tokio::test]
async fn a_reader_that_stays_open_makes_the_log_grow_and_its_end_cuts_it_back() {
    // By hand, with many more: the figure for a reader of ten minutes.
    let jobs = match std::env::var("WINDLASS_LOG_JOBS") {
        Ok(jobs) => jobs.parse().expect("a number of jobs"),
        Err(_) => 100,
    };
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    let alone = write(&home, &backend, 0..40).await;
    assert!(alone < 24 * MIB, "with nobody in the way it stays small: {alone} bytes");

    let reader = home.connection();
    reader.execute_batch("BEGIN").unwrap();
    let read = || -> u32 {
        reader.query_row("SELECT count(*) FROM windlass_jobs", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(read(), 40);
    let pinned = write(&home, &backend, 40..40 + jobs).await;
    assert!(pinned > u64::from(jobs) * 1_000_000, "the reader pins it: {pinned} bytes");
    assert_eq!(read(), 40, "the reader sees what it saw");
    reader.execute_batch("COMMIT").unwrap();

    // A write finds that the log can be copied into the file, the next one
    // begins the log anew.
    write(&home, &backend, 1_000_000..1_000_003).await;
    let after = log_of(&home.path());
    eprintln!(
        "log: {} MiB with no reader, {} MiB after {jobs} jobs of 1 MB under an open one, {} MiB \
         after its end",
        alone / MIB,
        pinned / MIB,
        after / MIB
    );
    assert!(after <= KEPT, "{after} bytes");
    assert_eq!(count(&backend, State::Waiting).await, u64::from(jobs) + 43);
    backend.close().await;
    let sound: String =
        home.connection().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[tokio::test]
async fn no_read_of_ours_pins_the_log_once_it_is_answered() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    backend.enqueue((0..2000).map(numbered).collect()).await.unwrap();
    let job = JobRef { queue: queue(), id: numbered(1).id };
    let page = |after, detail| JobsQuery {
        filter: Filter { queue: Some(queue()), ..Filter::default() },
        direction: Direction::OldestFirst,
        after,
        limit: 1000,
        detail,
    };
    for _ in 0..3 {
        // Both threads that read have their turn.
        for after in [None, Some(1000)] {
            let (full, summary) = (page(after, Detail::Full), page(after, Detail::Summary));
            let (full, summary) = tokio::join!(backend.jobs(full), backend.jobs(summary));
            assert_eq!(full.unwrap().jobs.len() + summary.unwrap().jobs.len(), 2000);
        }
        backend.job(&job).await.unwrap().unwrap();
        backend.stats(&queue()).await.unwrap();
        backend.queues().await.unwrap();
        backend.dependents(&job).await.unwrap();
        backend.dependencies(&job).await.unwrap();
        backend.steps(&job).await.unwrap();
        backend.workers().await.unwrap();
        backend.repeatables(RepeatablesQuery::Due(10)).await.unwrap();
        for what in Overdue::ALL {
            let query = OverdueQuery { queue: queue(), what, after: None, limit: 10 };
            backend.overdue(query).await.unwrap();
        }
        // One whose caller goes away meanwhile, too.
        drop(tokio::time::timeout(Duration::ZERO, backend.jobs(page(None, Detail::Full))).await);
        backend.now().await.unwrap();
        backend.stats(&queue()).await.unwrap();
        backend.stats(&queue()).await.unwrap();

        // Cutting the log back to nothing takes that nobody reads from it.
        let conn = home.connection();
        conn.busy_timeout(Duration::from_secs(10)).unwrap();
        let busy: i64 =
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
        assert_eq!((busy, log_of(&home.path())), (0, 0));
        backend.enqueue(vec![numbered(5000)]).await.unwrap();
    }
}
