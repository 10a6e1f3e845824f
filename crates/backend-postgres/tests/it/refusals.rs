//! A server that says no, for a while or to one job (F28, R7).

use sqlx::{AssertSqlSafe, Connection, Executor};
use windlass_core::Backend;
use windlass_core::backend::{Applied, Target, Transition};
use windlass_core::decide::Outcome;
use windlass_core::model::{End, Payload, State};
use windlass_core::{Error, ErrorKind};
use windlass_postgres::{PostgresBackend, sqlx};

use crate::fixture::*;

fn is_refused_for_now(answer: Result<impl Sized, Error>, words: &str) {
    let error = answer.err().expect("it is refused");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
    assert!(error.to_string().contains(words), "{error:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_read_only_for_a_while_is_told_and_work_goes_on_after_it() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    enqueue(&backend, jobs(2)).await;
    let before = take(&backend, 1).await;
    // As after a failover: new connections are read-only, and the old ones end.
    let user = home.config().server.get_username().to_owned();
    let name = format!("windlass {}", home.schema);
    let mut config = home.config();
    config.server = config.server.application_name(&name);
    let backend = {
        backend.close().await;
        PostgresBackend::connect(config).await.unwrap()
    };
    // In this schema alone, so that no other test is hit: by a trigger of the
    // code that a replica answers with.
    home.run(
        "CREATE FUNCTION windlass.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'cannot execute INSERT in a read-only transaction' \
         USING ERRCODE = '25006'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT OR DELETE OR UPDATE ON windlass.journal \
         EXECUTE FUNCTION windlass.refuse()",
    )
    .await;
    for _ in 0..20 {
        is_refused_for_now(backend.enqueue(jobs(1)).await, "connect to the primary");
        is_refused_for_now(backend.dequeue(ask(1)).await, "connect to the primary");
        is_refused_for_now(backend.apply(vec![done(&before[0])]).await, "connect to the primary");
    }
    home.run("DROP TRIGGER refuse ON windlass.journal").await;
    apply(&backend, vec![done(&before[0])]).await;
    enqueue(&backend, jobs(1)).await;
    assert_eq!(take(&backend, 10).await.len(), 2);
    let open = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' \
         AND usename = '{user}'"
    );
    assert!(home.number(&open).await <= 8, "connections are given back");
    eprintln!("60 calls refused while read-only: acknowledged lost 0, resumed at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_read_only_by_its_settings_is_told_so_and_can_read() {
    let home = Home::new();
    home.open().await.declare(&spec()).await.unwrap();
    let mut config = home.config();
    config.server = config.server.options([("default_transaction_read_only", "on")]);
    let backend = PostgresBackend::connect(config).await.unwrap();
    for _ in 0..20 {
        is_refused_for_now(backend.enqueue(jobs(1)).await, "connect to the primary");
    }
    assert!(backend.stats(&queue()).await.is_ok(), "what only reads goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_too_long_is_refused_for_now_and_happens_not_at_all() {
    let home = Home::new();
    // On a busy machine, anything may take too long for the other one.
    let patient = home.open().await;
    patient.declare(&spec()).await.unwrap();
    let mut config = home.config();
    config.server = config.server.options([("statement_timeout", "300ms")]);
    let backend = PostgresBackend::connect(config).await.unwrap();
    let mut connection = home.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    transaction
        .execute(home.sql("LOCK TABLE windlass.jobs IN ACCESS EXCLUSIVE MODE"))
        .await
        .unwrap();
    is_refused_for_now(backend.enqueue(jobs(1)).await, "statement_timeout");
    transaction.rollback().await.unwrap();
    assert!(take(&patient, 10).await.is_empty());
    enqueue(&patient, jobs(1)).await;
    assert_eq!(take(&patient, 10).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_does_not_become_free_is_refused_for_now() {
    let home = Home::new();
    let patient = home.open().await;
    patient.declare(&spec()).await.unwrap();
    let mut config = home.config();
    config.server = config.server.options([("lock_timeout", "200ms")]);
    let backend = PostgresBackend::connect(config).await.unwrap();
    let mut connection = home.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    transaction
        .execute(home.sql("LOCK TABLE windlass.ready IN ACCESS EXCLUSIVE MODE"))
        .await
        .unwrap();
    is_refused_for_now(backend.enqueue(jobs(1)).await, "lock_timeout");
    transaction.rollback().await.unwrap();
    enqueue(&patient, jobs(1)).await;
    assert_eq!(take(&patient, 10).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_job_that_cannot_be_settled_does_not_harm_its_siblings() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    enqueue(&backend, jobs(5)).await;
    let leased = take(&backend, 5).await;
    // The server refuses a row, and not the client: what it holds is its own
    // business.
    home.run("ALTER TABLE windlass.ended ADD CONSTRAINT small CHECK (octet_length(result) < 1000)")
        .await;
    let ends: Vec<Transition> = (0..5)
        .map(|at| {
            let size = if at == 2 { 5000 } else { 5 };
            let result = Some(Payload::from(vec![b'x'; size]));
            settle(&leased[at], Outcome::Success { result })
        })
        .collect();
    let answer = backend.apply(ends).await.unwrap();
    for (at, outcome) in answer.outcomes.iter().enumerate() {
        match at {
            2 => assert!(matches!(outcome, Applied::Refused(_)), "{outcome:?}"),
            _ => assert!(matches!(outcome, Applied::Applied), "{outcome:?}"),
        }
    }
    assert!(!format!("{:?}", answer.outcomes[2]).contains("xxxx"), "no value is quoted");
    let stats = backend.stats(&queue()).await.unwrap();
    assert_eq!((stats.count(State::Completed), stats.count(State::Active)), (4, 1));
    // What the refused one came to can still be told.
    apply(&backend, vec![done(&leased[2])]).await;
    eprintln!("1 of 5 refused, siblings harmed 0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_no_row_can_hold_is_refused_alone() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    enqueue(&backend, jobs(2)).await;
    let leased = take(&backend, 2).await;
    let huge = Transition {
        to: Target::Ended {
            end: End::Completed,
            result: Some(Payload::from(vec![0_u8; 400_000_001])),
        },
        ..done(&leased[0])
    };
    let answer = backend.apply(vec![huge, done(&leased[1])]).await.unwrap();
    assert!(matches!(&answer.outcomes[0], Applied::Refused(e) if e.kind() == ErrorKind::Invalid));
    assert!(matches!(answer.outcomes[1], Applied::Applied));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_terminated_at_random_lose_nothing() {
    let home = Home::new();
    let name = format!("windlass {}", home.schema);
    let mut config = home.config();
    config.server = config.server.application_name(&name);
    let backend = PostgresBackend::connect(config).await.unwrap();
    backend.declare(&spec()).await.unwrap();
    let end = format!(
        "SELECT count(pg_terminate_backend(pid))::bigint FROM (SELECT pid FROM pg_stat_activity \
         WHERE application_name = '{name}' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2) AS chosen"
    );
    let mut acknowledged: i64 = 0;
    let (mut ended, mut refused) = (0, 0);
    for _ in 0..40 {
        let calls = (0..10).map(|_| backend.enqueue(jobs(1)));
        let (answers, killed) =
            tokio::join!(futures_util::future::join_all(calls), home.number(&end));
        ended += killed;
        for answer in answers {
            match answer {
                Ok(_) => acknowledged += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
                    refused += 1;
                }
            }
        }
    }
    let stored = home.number("SELECT count(*) FROM windlass.jobs").await;
    assert!(stored >= acknowledged, "{stored} stored, {acknowledged} acknowledged");
    // The first call may meet a connection that has ended.
    until("a call goes through", || async { backend.now().await.is_ok() }).await;
    loop {
        match backend.dequeue(ask(100)).await {
            Ok(leased) if leased.jobs.is_empty() => break,
            Ok(_) => {}
            // Its answer may be lost, and the jobs be leased all the same.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}"),
        }
    }
    let leased = home.number("SELECT count(*) FROM windlass.leases").await;
    assert_eq!(leased, stored, "every job that is stored is found");
    eprintln!(
        "{ended} connections terminated: {acknowledged} acknowledged, {refused} refused, lost 0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_session_keeps_its_settings() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    let mut connection = home.connection().await;
    let setting = "SELECT setting FROM pg_settings WHERE name = 'enable_seqscan'";
    let mut transaction = connection.begin().await.unwrap();
    backend.enqueue_in(&mut transaction, jobs(1)).await.unwrap();
    let now: String = sqlx::query_scalar(AssertSqlSafe(setting.to_owned()))
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(now, "on", "the functions' settings end with them");
}
