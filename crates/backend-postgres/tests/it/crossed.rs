//! Calls that cross a transaction of somebody else's at its narrowest place: they have
//! looked, and what they saw is no longer so when they write.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;
use windlass_core::Backend;
use windlass_core::backend::{
    Again, Clean, CleanWhich, EnqueueAnswer, Enqueued, Extend, Extended, Refusal,
};
use windlass_core::decide::{Dedup, JobRequest, OnDuplicate};
use windlass_core::model::{
    DedupKey, Job, JobKey, JobRef, ManualClock, NewJob, Parent, QueueName, QueueSpec, State, Token,
};
use windlass_postgres::{PostgresBackend, sqlx};

use crate::fixture::*;

/// A backend whose calls are told apart from others by their name.
struct Crossing {
    home: Home,
    backend: PostgresBackend,
}

impl Crossing {
    /// With a connection such as an application has.
    async fn new() -> (Self, PgConnection) {
        let home = Home::new();
        let mut config = home.config();
        config.server = config.server.application_name(&format!("windlass {}", home.schema));
        let backend = PostgresBackend::connect(config).await.unwrap();
        backend.declare(&spec()).await.unwrap();
        let users = home.connection().await;
        (Self { home, backend }, users)
    }

    /// Makes a call, and comes back when it waits for somebody's lock.
    async fn waits<T, F>(&self, call: impl FnOnce(PostgresBackend) -> F) -> JoinHandle<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let call = tokio::spawn(call(self.backend.clone()));
        self.until_waiting(&format!("windlass {}", self.home.schema)).await;
        call
    }

    /// Waits until a connection of this name waits for somebody's lock.
    async fn until_waiting(&self, name: &str) {
        let waiting = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
             AND application_name = '{name}'"
        );
        until("it waits", || async { self.home.number(&waiting).await > 0 }).await;
    }

    async fn state(&self, job: &NewJob) -> Option<State> {
        self.backend.job(&reference(job)).await.unwrap().map(|seen| seen.job.state)
    }
}

fn reference(job: &NewJob) -> JobRef {
    JobRef { queue: job.queue.clone(), id: job.id }
}

fn keyed(key: &str) -> NewJob {
    new_job(JobRequest { key: Some(JobKey::new(key).unwrap()), ..request() })
}

fn unique(key: &str, hold: Option<Duration>) -> JobRequest {
    let key = DedupKey::new(key).unwrap();
    let dedup = Some(Dedup { key, on_duplicate: OnDuplicate::ReturnExisting, hold });
    JobRequest { dedup, ..request() }
}

fn after(job: &NewJob) -> NewJob {
    new_job(JobRequest { depends_on: vec![reference(job)], ..request() })
}

fn child(parent: &Job, token: Token, request: JobRequest) -> NewJob {
    let job = JobRef { queue: parent.queue.clone(), id: parent.id };
    new_job(JobRequest { parent: Some(Parent { job, token }), ..request })
}

/// All that are in a state, or all but the newest.
fn clean(state: State, keep: Option<u64>) -> Clean {
    let all = CleanWhich::OlderThan(Duration::ZERO);
    let which = keep.map_or(all, CleanWhich::BeyondNewest);
    Clean { queue: queue(), state, which, limit: 1_000 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_to_be_stored_is_though_its_twin_was_removed_meanwhile() {
    let (at, mut users) = Crossing::new().await;
    // They are stored in the order of their ids.
    let mut batch = vec![keyed("a"), keyed("b")];
    batch.sort_by_key(|job| job.id);
    enqueue(&at.backend, vec![batch[0].clone()]).await;
    let mut transaction = users.begin().await.unwrap();
    at.backend.enqueue_in(&mut transaction, vec![batch[1].clone()]).await.unwrap();
    // The first one is there; of the second one it waits to know.
    let again = batch.clone();
    let call = at.waits(async |backend| backend.enqueue(again).await).await;
    assert_eq!(at.home.open().await.clean(clean(State::Waiting, None)).await.unwrap(), 1);
    transaction.rollback().await.unwrap();

    let EnqueueAnswer::Stored { outcomes, .. } = call.await.unwrap().unwrap() else { panic!() };
    assert_eq!(outcomes, [Enqueued::Stored, Enqueued::Stored]);
    for job in &batch {
        assert_eq!(at.state(job).await, Some(State::Waiting), "it was acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleaning_leaves_a_waiting_job_that_somebody_came_to_depend_on() {
    let (at, mut users) = Crossing::new().await;
    let needed = new_job(request());
    enqueue(&at.backend, vec![needed.clone()]).await;
    let dependent = after(&needed);
    let mut transaction = users.begin().await.unwrap();
    at.backend.enqueue_in(&mut transaction, vec![dependent.clone()]).await.unwrap();
    let call = at.waits(async |backend| backend.clean(clean(State::Waiting, None)).await).await;
    transaction.commit().await.unwrap();

    assert_eq!(call.await.unwrap().unwrap(), 0);
    assert_eq!(at.state(&needed).await, Some(State::Waiting));
    assert_eq!(at.state(&dependent).await, Some(State::Blocked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_clean_at_once_keep_as_many_of_the_newest_as_one() {
    let (at, mut users) = Crossing::new().await;
    enqueue(&at.backend, jobs(30)).await;
    let ends = take(&at.backend, 30).await.iter().map(done).collect();
    apply(&at.backend, ends).await;
    let mut transaction = users.begin().await.unwrap();
    let text = "SELECT count(*) FROM windlass.clean(NULL, 'q', 4, NULL, 20, 1000)";
    let gone: i64 =
        sqlx::query_scalar(at.home.sql(text)).fetch_one(&mut *transaction).await.unwrap();
    assert_eq!(gone, 11, "ten, and a row in front");
    let call =
        at.waits(async |backend| backend.clean(clean(State::Completed, Some(20))).await).await;
    transaction.commit().await.unwrap();

    assert_eq!(call.await.unwrap().unwrap(), 0);
    assert_eq!(at.backend.stats(&queue()).await.unwrap().count(State::Completed), 20);
}

/// A batch over two queues tidies up both; what it has written of one has a number before
/// it looks at the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_tidies_up_and_then_stores_hides_nothing_of_what_it_stores() {
    let (at, mut users) = Crossing::new().await;
    let other = QueueSpec::new(QueueName::new("other").unwrap());
    at.backend.declare(&other).await.unwrap();
    // As many entries as are tidied up, and nothing that a dequeue would still find.
    for _ in 0..64 {
        enqueue(&at.backend, jobs(1)).await;
    }
    let mut taken = take(&at.backend, 100).await;
    let mut transaction = users.begin().await.unwrap();
    let numbered = "SELECT pg_current_xact_id()::text";
    sqlx::query(numbered).execute(&mut *transaction).await.unwrap();
    enqueue(
        &at.home.open().await,
        vec![NewJob { queue: other.name.clone(), ..new_job(request()) }],
    )
    .await;
    for _ in 0..64 {
        enqueue(&at.backend, jobs(1)).await;
    }
    let tidy = "SELECT windlass.keep_house(id) FROM windlass.queues WHERE name = 'q'";
    sqlx::query(at.home.sql(tidy)).execute(&mut *transaction).await.unwrap();
    at.backend.enqueue_in(&mut transaction, jobs(1)).await.unwrap();
    transaction.commit().await.unwrap();

    assert_eq!(at.backend.stats(&queue()).await.unwrap().count(State::Waiting), 65);
    taken.extend(take(&at.backend, 100).await);
    assert_eq!(taken.len(), 129);
    let stats = at.backend.stats(&queue()).await.unwrap();
    assert_eq!((stats.count(State::Waiting), stats.count(State::Active)), (0, 129));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_whose_key_comes_free_in_the_middle_is_held_to_its_parents_lease_too() {
    let (at, mut users) = Crossing::new().await;
    enqueue(&at.backend, vec![new_job(unique("taken", None))]).await;
    let holder = take(&at.backend, 1).await.remove(0);
    let mut transaction = users.begin().await.unwrap();
    at.backend.enqueue_in(&mut transaction, vec![new_job(unique("in doubt", None))]).await.unwrap();
    // Under a lease that its parent never had.
    let stale = child(&holder, Token(987_654_321), unique("taken", None));
    let batch = vec![new_job(unique("in doubt", None)), stale.clone()];
    let call = at.waits(async |backend| backend.enqueue(batch).await).await;
    apply(&at.home.open().await, vec![done(&holder)]).await;
    transaction.rollback().await.unwrap();

    let answer = call.await.unwrap().unwrap();
    let EnqueueAnswer::Refused { index, why, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(index, 1);
    assert!(matches!(why, Refusal::StaleParent(_)), "{why:?}");
    assert_eq!(at.state(&stale).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_lives_on_while_its_child_waits_to_be_committed() {
    let home = Home::new();
    let clock = ManualClock::new();
    let backend = home.open_by(&clock).await;
    backend.declare(&spec()).await.unwrap();
    enqueue(&backend, jobs(1)).await;
    let parent = take(&backend, 1).await.remove(0);
    let token = parent.lease.as_ref().unwrap().token;
    let mut users = home.connection().await;
    let mut transaction = users.begin().await.unwrap();
    let born = child(&parent, token, request());
    backend.enqueue_in(&mut transaction, vec![born]).await.unwrap();

    clock.advance(LEASE / 2);
    let job = JobRef { queue: queue(), id: parent.id };
    let beat = Extend { job, token, lease: LEASE, progress: None };
    let (answers, now) = backend.extend(vec![beat]).await.unwrap();
    let until = now.after(LEASE);
    assert_eq!(answers, [Extended::Held { until, cancel_requested: false }]);
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_held_from_when_its_job_was_stored_and_not_from_when_it_began_to_wait() {
    let (at, mut users) = Crossing::new().await;
    let hold = Duration::from_secs(600);
    let mut transaction = users.begin().await.unwrap();
    let first = vec![new_job(unique("k", Some(hold)))];
    at.backend.enqueue_in(&mut transaction, first).await.unwrap();
    let batch = vec![new_job(unique("k", Some(hold)))];
    let call = at.waits(async |backend| backend.enqueue(batch).await).await;
    transaction.rollback().await.unwrap();

    let answer = call.await.unwrap().unwrap();
    assert!(matches!(answer, EnqueueAnswer::Stored { .. }), "{answer:?}");
    let text = "SELECT d.held_until - j.enqueued_at FROM windlass.dedup d \
                JOIN windlass.jobs j ON j.id = d.job WHERE j.dedup_held = d.held_until";
    assert_eq!(at.home.number(text).await, 600_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_passes_over_a_job_that_is_held_asks_for_it_again_soon() {
    let (at, mut users) = Crossing::new().await;
    let held = new_job(request());
    enqueue(&at.backend, vec![held.clone()]).await;
    let mut transaction = users.begin().await.unwrap();
    at.backend.enqueue_in(&mut transaction, vec![after(&held)]).await.unwrap();
    let answer = dequeue(&at.backend, 10).await;
    assert!(answer.jobs.is_empty());
    assert!(matches!(answer.again, Again::At(_)), "{:?}: nobody is told later", answer.again);
    transaction.rollback().await.unwrap();
    assert_eq!(take(&at.backend, 10).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enqueue_in_a_transaction_that_meets_another_is_tried_again_there() {
    let (at, mut users) = Crossing::new().await;
    let job = JobRequest { key: Some(JobKey::new("k").unwrap()), ..unique("d", None) };
    let mut others = at.home.connection().await;
    let mut first = others.begin().await.unwrap();
    at.backend.enqueue_in(&mut first, vec![new_job(job.clone())]).await.unwrap();
    let backend = at.backend.clone();
    let name = format!("windlass users of {}", at.home.schema);
    sqlx::query("SELECT set_config('application_name', $1, false)")
        .bind(&name)
        .execute(&mut users)
        .await
        .unwrap();
    // Without the deduplication key: what it meets is the id.
    let same = new_job(JobRequest { dedup: Some(dedup("another")), ..job });
    let call = tokio::spawn(async move {
        let mut second = users.begin().await.unwrap();
        let answer = backend.enqueue_in(&mut second, vec![same]).await;
        second.commit().await.unwrap();
        answer
    });
    at.until_waiting(&name).await;
    first.commit().await.unwrap();

    let answer = call.await.unwrap().unwrap();
    let EnqueueAnswer::Stored { outcomes, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(outcomes, [Enqueued::Existing]);
}

fn dedup(key: &str) -> Dedup {
    unique(key, None).dedup.unwrap()
}
