//! What a dequeue sees, and the time that it tells.

use std::sync::Arc;
use std::time::Duration;

use windlass_core::Backend;
use windlass_core::backend::{
    Applied, Ask, Dequeued, Expiry, Guard, LeaseGuard, Target, Transition,
};
use windlass_core::decide::{JobRequest, enqueue};
use windlass_core::model::{
    End, Event, JobId, JobType, PartitionKey, Partitions, Payload, QueueName, QueueSpec, WorkerId,
};
use windlass_postgres::PostgresBackend;
use windlass_postgres::sqlx::{self, AssertSqlSafe, Connection, Row};

use crate::server::Server;

async fn ask(backend: &PostgresBackend, spec: &QueueSpec) -> Dequeued {
    let ask = Ask {
        queue: spec.name.clone(),
        worker: WorkerId::from_bytes([1; 16]),
        max: 1,
        lease: Duration::from_secs(60),
    };
    backend.dequeue(ask).await.unwrap()
}

/// The end of a job that a dequeue was waiting for may be later than when the
/// dequeue began.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_starts_no_earlier_than_the_one_ended_that_its_partition_waited_for() {
    let server = Server::find();
    let schema = format!("order_{}", std::process::id());
    let backend = Arc::new(PostgresBackend::connect(server.config(&schema)).await.unwrap());
    let mut spec = QueueSpec::new(QueueName::new("lines").unwrap());
    spec.partitions = Some(Partitions::default());
    backend.declare(&spec).await.unwrap();
    let jobs = [1, 2].map(|nth| {
        let id = JobId::from_bytes([nth; 16]);
        let mut job = JobRequest::new(id, JobType::new("t").unwrap(), Payload::from("null"));
        job.partition = Some(PartitionKey::new("p").unwrap());
        enqueue(&spec, job).unwrap()
    });
    backend.enqueue(jobs.to_vec()).await.unwrap();
    let first = ask(&backend, &spec).await.jobs.remove(0);

    // Dequeues read the clock, and then come to this table.
    let mut other = server.connect().await;
    let mut lock = other.begin().await.unwrap();
    let table = format!("{schema}.partitions");
    let statement = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *lock).await.unwrap();
    let second = {
        let (backend, spec) = (Arc::clone(&backend), spec.clone());
        tokio::spawn(async move { ask(&backend, &spec).await })
    };
    loop {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass";
        let waiting = sqlx::query(waiting).bind(&table).fetch_one(&mut *lock).await.unwrap();
        if waiting.get::<i64, _>(0) > 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    let end = Transition {
        job: first.reference(),
        guard: Guard {
            version: first.version,
            lease: LeaseGuard::Held(first.lease.unwrap().token),
        },
        to: Target::Ended { end: End::Completed, result: None },
        course: None,
        payload: None,
        expiry: Expiry::Unchanged,
        steps: Vec::new(),
        event: Event::Completed,
    };
    let applied = backend.apply(vec![end]).await.unwrap();
    assert!(matches!(applied.outcomes[..], [Applied::Applied]), "{applied:?}");
    lock.rollback().await.unwrap();

    let second = second.await.unwrap();
    let started = second.jobs[0].started_at;
    let first = backend.job(&first.reference()).await.unwrap().unwrap().job;
    assert!(started >= first.finished_at, "{started:?} is before {:?}", first.finished_at);
    assert_eq!(started, Some(second.now));
    drop(backend);
    server.drop(&schema).await;
}
