//! No job is ever hidden: everything that moves a job moves many at once, and at
//! each quiet point a dequeue finds what a count of everything says.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{Connection, PgConnection, Postgres, Transaction};
use windlass_core::backend::{Applied, EnqueueAnswer, Overdue, OverdueQuery, Transition};
use windlass_core::decide::{self, JobRequest, Outcome};
use windlass_core::model::{Job, JobId, ManualClock, NewJob, PriorityMode, QueueSpec, State, When};
use windlass_core::{Backend, decide::enqueue as decided};
use windlass_postgres::{PostgresBackend, sqlx};

use crate::fixture::*;

const WRITERS: u64 = 6;
const BATCHES: u64 = 6;
const ROUNDS: u64 = 5;

/// What the tasks of a run share.
struct Scene {
    home: Home,
    spec: QueueSpec,
    /// How many priorities there are.
    ranks: u64,
    clock: ManualClock,
    handles: Vec<PostgresBackend>,
    /// Jobs whose enqueue is committed.
    committed: Mutex<HashSet<JobId>>,
    /// Jobs that were leased at least once.
    leased: Mutex<HashSet<JobId>>,
    writing: AtomicBool,
}

/// A user's transaction that commits much later, and what it has enqueued.
struct Late {
    connection: PgConnection,
    ids: Vec<JobId>,
}

impl Scene {
    async fn new(spec: QueueSpec, ranks: u64) -> Arc<Self> {
        let home = Home::new();
        let clock = ManualClock::new();
        let mut handles = Vec::new();
        for _ in 0..3 {
            let mut config = home.config_by(&clock);
            config.connections = 4;
            handles.push(PostgresBackend::connect(config).await.unwrap());
        }
        handles[0].declare(&spec).await.unwrap();
        Arc::new(Self {
            home,
            spec,
            ranks,
            clock,
            handles,
            committed: Mutex::default(),
            leased: Mutex::default(),
            writing: AtomicBool::new(false),
        })
    }

    fn handle(&self, number: u64) -> &PostgresBackend {
        &self.handles[usize::try_from(number).unwrap() % self.handles.len()]
    }

    fn batch(&self, dice: &mut Dice) -> Vec<NewJob> {
        let size = 1 + dice.below(12);
        (0..size)
            .map(|_| {
                let priority = i32::try_from(dice.below(self.ranks)).unwrap();
                let due = match dice.below(3) {
                    0 => When::After(Duration::from_millis(dice.below(3000))),
                    _ => When::Now,
                };
                let priority = Some(priority);
                decided(&self.spec, JobRequest { priority, due, ..request() }).unwrap()
            })
            .collect()
    }

    fn commit(&self, ids: Vec<JobId>) {
        self.committed.lock().unwrap().extend(ids);
    }

    /// Enqueues by calls of the store's own and in transactions of a user's,
    /// some of which roll back.
    async fn write(&self, writer: u64, mut dice: Dice) {
        let backend = self.handle(writer);
        let mut connection = self.home.connection().await;
        for _ in 0..BATCHES {
            let batch = self.batch(&mut dice);
            let ids = batch.iter().map(|job| job.id).collect();
            if dice.below(2) == 0 {
                enqueue(backend, batch).await;
                self.commit(ids);
                continue;
            }
            let mut transaction = connection.begin().await.unwrap();
            enqueue_in(backend, &mut transaction, batch).await;
            for _ in 0..dice.below(6) {
                // As long as a round trip or a few.
                sqlx::query("SELECT 1").execute(&mut *transaction).await.unwrap();
            }
            if dice.below(4) == 0 {
                transaction.rollback().await.unwrap();
            } else {
                transaction.commit().await.unwrap();
                self.commit(ids);
            }
        }
    }

    /// Leases and settles until nobody writes and there is nothing to lease.
    async fn drain(&self, number: u64, mut dice: Dice) {
        let backend = self.handle(number);
        loop {
            let writing = self.writing.load(Ordering::SeqCst);
            let jobs = take(backend, 1 + u32::try_from(dice.below(20)).unwrap()).await;
            if jobs.is_empty() && !writing {
                return;
            }
            self.clock.advance(Duration::from_millis(20));
            self.settle(backend, jobs, &mut dice).await;
        }
    }

    /// Completes some, hands some back, puts some off, and loses the leases of
    /// some.
    async fn settle(&self, backend: &PostgresBackend, jobs: Vec<Job>, dice: &mut Dice) {
        self.leased.lock().unwrap().extend(jobs.iter().map(|job| job.id));
        let transitions: Vec<Transition> = jobs
            .iter()
            .filter_map(|job| {
                let outcome = match dice.below(12) {
                    0 => Outcome::Release,
                    1 => Outcome::Snooze(When::After(Duration::from_millis(dice.below(2000)))),
                    2 => Outcome::Snooze(When::Now),
                    3 => return None,
                    _ => Outcome::Success { result: None },
                };
                let token = job.lease.unwrap().token;
                decide::finish(job, &self.spec, &decide::Attempt { token, outcome })
            })
            .collect();
        // A lease may have been taken over meanwhile.
        for outcome in backend.apply(transitions).await.expect("apply").outcomes {
            assert!(matches!(outcome, Applied::Applied | Applied::Stale(_)), "{outcome:?}");
        }
    }

    /// Lets every lease run out and takes the jobs over.
    async fn take_over(&self) {
        self.clock.advance(LEASE);
        let query =
            OverdueQuery { queue: queue(), what: Overdue::LostLeases, after: None, limit: 1000 };
        let page = self.handles[1].overdue(query).await.unwrap();
        assert!(page.next.is_none());
        let lost: Vec<Transition> = page
            .jobs
            .iter()
            .filter_map(|job| decide::overdue(job, &self.spec, Overdue::LostLeases, page.now))
            .collect();
        apply(&self.handles[2], lost).await;
        assert_eq!(self.home.number("SELECT count(*) FROM windlass.leases").await, 0);
    }

    /// With nobody else at work, a dequeue finds every job that stands anywhere:
    /// first as the others have left it, then with the lost leases taken over.
    /// Answers how many those were.
    async fn quiet_point(&self, round: u64, dice: &mut Dice) -> usize {
        let before = self.find_all(round, dice).await;
        self.take_over().await;
        let alive = "SELECT count(*) FROM windlass.jobs j WHERE NOT EXISTS \
                     (SELECT 1 FROM windlass.ended e WHERE e.queue = j.queue AND e.seq = j.seq)";
        let alive = usize::try_from(self.home.number(alive).await).unwrap();
        assert_eq!(self.standing().await, alive);
        before + self.find_all(round, dice).await
    }

    /// How many jobs wait, as the tables say.
    async fn standing(&self) -> usize {
        let standing = "SELECT (SELECT count(*) FROM windlass.ready) \
                        + (SELECT count(*) FROM windlass.scheduled)";
        usize::try_from(self.home.number(standing).await).unwrap()
    }

    async fn find_all(&self, round: u64, dice: &mut Dice) -> usize {
        self.clock.advance(Duration::from_secs(10));
        let standing = self.standing().await;
        let backend = self.handle(round);
        let stats = backend.stats(&queue()).await.unwrap();
        assert_eq!(stats.count(State::Waiting), standing as u64, "by stats, round {round}");
        // In pieces, so that the bound has to move on by itself.
        let mut found = Vec::new();
        loop {
            let jobs = take(backend, 37).await;
            if jobs.is_empty() {
                break;
            }
            found.extend(jobs);
        }
        assert_eq!(found.len(), standing, "by dequeue, round {round}");
        let keys: Vec<_> = found.iter().map(Job::order_key).collect();
        assert!(keys.is_sorted(), "in order, round {round}");
        self.settle(backend, found, dice).await;
        standing
    }
}

async fn enqueue_in(
    backend: &PostgresBackend,
    transaction: &mut Transaction<'_, Postgres>,
    batch: Vec<NewJob>,
) {
    let answer = backend.enqueue_in(transaction, batch).await.expect("enqueue_in");
    assert!(matches!(answer, EnqueueAnswer::Stored { .. }), "{answer:?}");
}

async fn run(name: &str, spec: QueueSpec, ranks: u64) {
    let scene = Scene::new(spec, ranks).await;
    // An old snapshot, and an old transaction that writes, both kept open.
    let mut old = scene.home.connection().await;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT txid_current()")
        .execute(&mut old)
        .await
        .unwrap();
    let mut dice = Dice::new(ranks);
    let mut late: Vec<Late> = Vec::new();
    let mut seen = 0;
    for round in 0..ROUNDS {
        // Those of the last round commit in the middle of this one.
        let due = std::mem::take(&mut late);
        for number in 0..3 {
            let mut connection = scene.home.connection().await;
            // Begun by hand, as a user may.
            sqlx::raw_sql("BEGIN").execute(&mut connection).await.unwrap();
            let batch = scene.batch(&mut dice);
            let ids = batch.iter().map(|job| job.id).collect();
            scene.handle(number).enqueue_in(&mut connection, batch).await.unwrap();
            late.push(Late { connection, ids });
        }
        scene.writing.store(true, Ordering::SeqCst);
        let seed = move |task: u64| Dice::new(1000 * ranks + 100 * round + task);
        let spawn_writer = |task: u64| {
            let scene = Arc::clone(&scene);
            tokio::spawn(async move { scene.write(task, seed(task)).await })
        };
        let writers: Vec<_> = (0..WRITERS).map(spawn_writer).collect();
        let spawn_drain = |task: u64| {
            let scene = Arc::clone(&scene);
            tokio::spawn(async move { scene.drain(task, seed(50 + task)).await })
        };
        let drains: Vec<_> = (0..4).map(spawn_drain).collect();
        for (number, mut old) in due.into_iter().enumerate() {
            let end = if number == 0 { "ROLLBACK" } else { "COMMIT" };
            sqlx::raw_sql(end).execute(&mut old.connection).await.unwrap();
            if number != 0 {
                scene.commit(old.ids);
            }
        }
        for writer in writers {
            writer.await.unwrap();
        }
        scene.writing.store(false, Ordering::SeqCst);
        for drain in drains {
            drain.await.unwrap();
        }
        seen += scene.quiet_point(round, &mut dice).await;
    }
    for mut old in late {
        sqlx::raw_sql("COMMIT").execute(&mut old.connection).await.unwrap();
        scene.commit(old.ids);
    }
    while scene.quiet_point(0, &mut dice).await > 0 {}
    let committed = scene.committed.lock().unwrap().clone();
    let leased = scene.leased.lock().unwrap().clone();
    let hidden = committed.difference(&leased).count();
    let from_nowhere = leased.difference(&committed).count();
    assert_eq!((hidden, from_nowhere), (0, 0), "committed but not leased, and the reverse");
    let stats = scene.handles[0].stats(&queue()).await.unwrap();
    let ended = [State::Completed, State::Failed].map(|state| stats.count(state));
    assert_eq!(ended[0] + ended[1], committed.len() as u64);
    sqlx::raw_sql("ROLLBACK").execute(&mut old).await.unwrap();
    eprintln!("{name}: {} jobs, hidden {hidden}; {seen} of them at quiet points", committed.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_hidden_in_a_queue_of_few_ranks() {
    run("3 ranks", spec(), 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_hidden_in_a_queue_of_more_ranks_than_a_checkpoint_names() {
    let spec = QueueSpec { priority: PriorityMode::HighestFirst, ..spec() };
    run("300 ranks", spec, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_hidden_in_a_queue_with_ageing() {
    let spec = QueueSpec { aging: Some(Duration::from_millis(700)), ..spec() };
    run("ageing", spec, 5).await;
}
