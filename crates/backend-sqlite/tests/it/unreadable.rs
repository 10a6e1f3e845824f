//! Rows that nobody can read hold nothing up.

use std::time::Duration;

use windlass_core::backend::{
    Overdue, OverdueQuery, PutRepeatable, RepeatablePut, RepeatablesQuery,
};
use windlass_core::decide::{overdue, repeat};
use windlass_core::model::{
    JobOptions, JobTemplate, JobType, Missed, Overlap, PartitionKey, Partitions, Payload,
    QueueSpec, Repeatable, RepeatableKey, State,
};
use windlass_core::schedule::Schedule;
use windlass_core::{Backend, BackendExt};

use crate::fixture::{Home, count, declare, dequeue, numbered, queue};

/// More than the largest page has, ten times over.
const BEYOND_HELP: u32 = 10_001;

#[tokio::test]
async fn a_lost_lease_behind_ten_thousand_that_nobody_can_help_is_taken_over_in_the_same_round() {
    let home = Home::new();
    let backend = home.open().await;
    let spec = declare(&backend).await;
    for batch in (0..BEYOND_HELP).collect::<Vec<_>>().chunks(1000) {
        backend.enqueue(batch.iter().map(|n| numbered(*n)).collect()).await.unwrap();
    }
    let leased =
        dequeue(&backend, 10_000).await.jobs.len() + dequeue(&backend, 10).await.jobs.len();
    assert_eq!(leased, BEYOND_HELP as usize);
    home.connection().execute_batch("UPDATE windlass_jobs SET course = X'00', hooks = 2").unwrap();
    // The one that can be helped ran out last, and so stands behind all of them.
    home.clock.advance(Duration::from_micros(1));
    backend.enqueue(vec![numbered(BEYOND_HELP)]).await.unwrap();
    assert_eq!(dequeue(&backend, 10).await.jobs.len(), 1);
    home.clock.advance(Duration::from_secs(30));

    let (mut calls, mut rescued, mut after) = (0, 0, None);
    loop {
        let what = Overdue::LostLeases;
        let query = OverdueQuery { queue: queue(), what, after, limit: 500 };
        let page = backend.overdue(query).await.unwrap();
        calls += 1;
        let decided: Vec<_> =
            page.jobs.iter().filter_map(|job| overdue(job, &spec, what, page.now)).collect();
        rescued += decided.len();
        backend.apply_through(decided).await.unwrap();
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    eprintln!("{BEYOND_HELP} rows beyond help: {calls} calls to rescue {rescued} job behind them");
    assert_eq!((calls, rescued), (BEYOND_HELP.div_ceil(500), 1));
    assert_eq!(count(&backend, State::Waiting).await, 1);
}

#[tokio::test]
async fn what_is_damaged_besides_the_json_holds_nothing_up_either() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    let damages = [
        "course = CAST('{\"errors\": 7}' AS BLOB)",
        "options = X'ff'",
        "job_type = 'not a type'",
        "progress = X'78'",
        "partition = ''",
        "open = -1",
        "rare = '7'",
    ];
    let all = u32::try_from(damages.len()).unwrap() + 2;
    backend.enqueue((0..all).map(numbered).collect()).await.unwrap();
    assert_eq!(dequeue(&backend, 100).await.jobs.len(), all as usize);
    for (seq, damage) in (1..).zip(damages) {
        let changed = home
            .connection()
            .execute(
                &format!(
                    "UPDATE windlass_jobs SET {damage} WHERE seq = (
                        SELECT seq FROM windlass_jobs ORDER BY seq LIMIT 1 OFFSET {seq} - 1)"
                ),
                [],
            )
            .unwrap();
        assert_eq!(changed, 1, "{damage}");
    }
    // What its lease says is damaged, too.
    let of_lease = "UPDATE windlass_leases SET worker = X'00' WHERE job = (
        SELECT job FROM windlass_leases ORDER BY job DESC LIMIT 1 OFFSET 1)";
    assert_eq!(home.connection().execute(of_lease, []).unwrap(), 1);
    home.clock.advance(Duration::from_secs(30));
    let query = OverdueQuery { queue: queue(), what: Overdue::LostLeases, after: None, limit: 500 };
    let page = backend.overdue(query).await.unwrap();
    assert_eq!((page.jobs.len(), page.next), (1, None));
    assert_eq!(page.jobs[0].id, numbered(all - 1).id);
}

fn hourly(key: &str) -> Repeatable {
    Repeatable {
        key: RepeatableKey::new(key).unwrap(),
        queue: queue(),
        template: JobTemplate {
            job_type: JobType::new("t").unwrap(),
            payload: Payload::from("CANARY"),
            options: JobOptions::default(),
            partition: None,
            tags: Vec::new(),
        },
        schedule: Schedule::every(Duration::from_secs(3600)).unwrap(),
        start: None,
        end: None,
        count: None,
        missed: Missed::default(),
        overlap: Overlap::default(),
    }
}

#[tokio::test]
async fn a_repeatable_that_nobody_can_read_keeps_no_other_from_firing_and_tells_no_payload() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    for key in ["a", "b", "c"] {
        let record = repeat::put(None, hourly(key), backend.now().await.unwrap()).unwrap();
        let put = PutRepeatable { record, guard: None, jobs: Vec::new() };
        assert_eq!(backend.put_repeatable(put).await.unwrap(), RepeatablePut::Stored);
    }
    let damaged = home.connection().execute(
        "UPDATE windlass_repeatables SET record = replace(record, '\"job_type\":\"t\"', '\"job_type\":\"CANARY!\"')
         WHERE repeatable_key = 'b'",
        [],
    );
    assert_eq!(damaged.unwrap(), 1);
    home.clock.advance(Duration::from_secs(3600));
    let due = backend.repeatables(RepeatablesQuery::Due(100)).await.unwrap();
    let keys: Vec<_> = due.records.iter().map(|record| record.spec.key.as_str()).collect();
    assert_eq!(keys, ["a", "c"]);

    let of_queue = backend.repeatables(RepeatablesQuery::OfQueue(queue())).await.unwrap_err();
    let told = format!("{of_queue:#} {of_queue:?}");
    assert!(told.contains("a repeatable that no version of this program writes"), "{told}");
    assert!(!told.contains("CANARY"), "{told}");
}

#[tokio::test]
async fn a_row_that_nobody_can_read_at_the_head_of_a_queue_holds_nothing_up() {
    let home = Home::new();
    let backend = home.open().await;
    declare(&backend).await;
    backend.enqueue((0..3).map(numbered).collect()).await.unwrap();
    home.connection()
        .execute_batch("UPDATE windlass_jobs SET options = X'ff' WHERE seq = 1")
        .unwrap();
    assert_eq!(dequeue(&backend, 1).await.jobs.len(), 1, "the one behind it");
    assert_eq!(dequeue(&backend, 9).await.jobs.len(), 1);
    assert_eq!(dequeue(&backend, 9).await.jobs.len(), 0);
    assert_eq!(count(&backend, State::Waiting).await, 1, "it is still there");
}

#[tokio::test]
async fn a_row_that_nobody_can_read_at_the_head_of_a_line_holds_nothing_up() {
    let home = Home::new();
    let backend = home.open().await;
    let spec = QueueSpec { partitions: Some(Partitions::default()), ..QueueSpec::new(queue()) };
    backend.declare(&spec).await.unwrap();
    let in_line = |number| {
        let mut job = numbered(number);
        job.partition = Some(PartitionKey::new("p").unwrap());
        job
    };
    backend.enqueue((0..2).map(in_line).collect()).await.unwrap();
    home.connection()
        .execute_batch("UPDATE windlass_jobs SET options = X'ff' WHERE seq = 1")
        .unwrap();
    let leased = dequeue(&backend, 9).await.jobs;
    assert_eq!(leased.iter().map(|job| job.seq).collect::<Vec<_>>(), [2]);
}
