//! Repeatables, fired by a worker's keeper.

use std::time::Duration;

use windlass_runtime::backend::{RepeatablePut, RepeatablesQuery};
use windlass_runtime::decide::repeat::{self, Previous};
use windlass_runtime::model::{Missed, State};
use windlass_runtime::{Error, testing::Kit};

use crate::support::{Number, queue, store, worker};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_repeatable_fires_at_its_moments_and_can_be_paused_and_removed() {
    let (client, clock) = store();
    let kit = Kit::new(client.backend().clone(), clock);
    let queue = client.queue("q").declare().await.unwrap();
    let drain = async || {
        kit.drain(|worker| worker.queue(&queue).handle(|_: Number| async {})).await.unwrap()
    };
    let hourly = queue.repeat("hourly", Number(1)).cron("0 * * * *", "UTC").await.unwrap();
    // The clock of the kit stands on the hour.
    let next = hourly.upcoming(2).await.unwrap();
    let now = kit.clock().now();
    assert_eq!(next, [now.after(MINUTE * 60), now.after(MINUTE * 120)]);
    assert_eq!(drain().await, 0);
    kit.advance(MINUTE * 60);
    assert_eq!(drain().await, 1);
    assert_eq!(drain().await, 0);

    assert!(hourly.pause().await.unwrap());
    assert!(!hourly.pause().await.unwrap());
    kit.advance(MINUTE * 600);
    assert_eq!(drain().await, 0);
    assert!(hourly.resume().await.unwrap());
    assert_eq!(drain().await, 0);
    hourly.run_now().await.unwrap().unwrap();
    assert_eq!(drain().await, 1);
    kit.advance(MINUTE * 60);
    assert_eq!(drain().await, 1);
    assert!(hourly.remove().await.unwrap());
    kit.advance(MINUTE * 60);
    assert_eq!(drain().await, 0);
    assert_eq!(kit.count::<Number>(State::Completed).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn putting_the_same_again_changes_nothing_and_something_else_replaces_it() {
    let (queue, _) = queue().await;
    let put = |n| queue.repeat("r", Number(n)).every(MINUTE);
    let handle = put(1).await.unwrap();
    let version = async || handle.record().await.unwrap().unwrap().version;
    let first = version().await;
    put(1).await.unwrap();
    assert_eq!(version().await, first);
    put(2).missed(Missed::Skip).await.unwrap();
    assert_eq!(version().await, first + 1);
    assert_eq!(queue.repeatables().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeatable_that_could_never_fire_is_refused_when_it_is_put() {
    let (queue, _) = queue().await;
    let none = queue.repeat("r", Number(1)).await.unwrap_err();
    assert!(matches!(none, Error::NoSchedule(_)), "{none}");
    let wrong = queue.repeat("r", Number(1)).cron("61 * * * *", "UTC").await.unwrap_err();
    assert!(matches!(wrong, Error::Schedule(_)), "{wrong}");
    let never = queue.repeat("r", Number(1)).cron("0 0 30 2 *", "UTC").await.unwrap_err();
    assert!(matches!(never, Error::NeverFires(_)), "{never}");
    let over = windlass_runtime::model::Timestamp::EPOCH;
    let over = queue.repeat("r", Number(1)).every(MINUTE).end(over).await.unwrap_err();
    assert!(matches!(over, Error::NeverFires(_)), "{over}");
    let split = queue.repeat("r", Number(1)).every(MINUTE).partition("p").await.unwrap_err();
    assert!(matches!(split, Error::Job(_)), "{split}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_fires_what_is_due_by_itself() {
    let (queue, clock) = queue().await;
    let handle = queue.repeat("r", Number(1)).every(MINUTE).count(3).await.unwrap();
    let worker = worker(&queue).handle(|_: Number| async {}).start().await.unwrap();
    for _ in 0..5 {
        clock.advance(MINUTE);
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    worker.stop().await;
    assert_eq!(handle.record().await.unwrap().unwrap().fired, 3);
    assert_eq!(queue.stats().await.unwrap().count(State::Completed), 3);
}

#[tokio::test]
async fn a_keeper_that_read_a_repeatable_before_it_was_removed_fires_nothing_of_it() {
    let (queue, clock) = queue().await;
    let old = queue.repeat("r", Number(1)).every(MINUTE).await.unwrap();
    clock.advance(MINUTE);
    // It has decided what to fire, and is held up before it says so.
    let backend = queue.client().backend();
    let due = backend.repeatables(RepeatablesQuery::Due(10)).await.unwrap();
    let fired = repeat::fire(&due.records[0], queue.spec(), due.now, Previous::Ended);
    assert!(old.remove().await.unwrap());
    let new = queue.repeat("r", Number(2)).every(MINUTE * 60).await.unwrap();
    let kept = new.record().await.unwrap();
    let answer = backend.put_repeatable(fired.unwrap().unwrap()).await.unwrap();
    assert!(matches!(answer, RepeatablePut::Stale(_)), "{answer:?}");
    assert_eq!(new.record().await.unwrap(), kept);
    assert_eq!(queue.stats().await.unwrap().count(State::Waiting), 0);
}
