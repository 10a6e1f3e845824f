//! Taking over what ran out, beside transactions of the users' that stay open.

use sqlx::Connection;
use windlass_core::Backend;
use windlass_core::backend::{Applied, Overdue, OverdueQuery};
use windlass_core::decide::overdue;
use windlass_core::model::{ManualClock, State};
use windlass_postgres::sqlx;

use crate::fixture::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_that_is_not_committed_yet_holds_no_other_rescue_up() {
    let home = Home::new();
    let clock = ManualClock::new();
    let backend = home.open_by(&clock).await;
    backend.declare(&spec()).await.unwrap();
    enqueue(&backend, jobs(3)).await;
    let leased = take(&backend, 3).await;
    let mut connection = home.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    backend.apply_in(&mut transaction, &[done(&leased[1])]).await.unwrap();

    clock.advance(LEASE * 2);
    let query = OverdueQuery { queue: queue(), what: Overdue::LostLeases, after: None, limit: 100 };
    let page = backend.overdue(query).await.unwrap();
    let lost: Vec<_> = page
        .jobs
        .iter()
        .filter_map(|job| overdue(job, &spec(), Overdue::LostLeases, page.now))
        .collect();
    assert_eq!(lost.len(), 3);
    // It must come back while the transaction is open, however long that takes.
    let answer = tokio::time::timeout(PATIENCE, backend.apply(lost)).await;
    let outcomes = answer.expect("it does not wait for the transaction").unwrap().outcomes;
    let rescued: Vec<bool> =
        outcomes.iter().map(|outcome| matches!(outcome, Applied::Applied)).collect();
    assert_eq!(rescued, [true, false, true]);
    assert!(matches!(outcomes[1], Applied::Stale(_)), "{outcomes:?}");

    transaction.commit().await.unwrap();
    let stats = backend.stats(&queue()).await.unwrap();
    assert_eq!((stats.count(State::Completed), stats.count(State::Waiting)), (1, 2));
}
