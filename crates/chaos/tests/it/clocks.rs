//! Processes whose clocks are wrong by an hour (fault F20).
//!
//! Processes on one embedded store share the machine's clock with it, so that
//! real ones cannot differ. Here the store's clock differs from the machine's,
//! and stands still while the process's time goes on for hours.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use windlass::memory::{MemoryBackend, MemoryConfig};
use windlass::model::{Clock, ManualClock, State, Timestamp};
use windlass::{Data, Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "quick")]
struct Quick;

#[derive(Serialize, Deserialize, Job)]
#[job(name = "endless")]
struct Endless;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

async fn quick(_: Quick) {}

async fn endless(_: Endless, end: Data<Arc<Notify>>) {
    end.notified().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_stores_clock_says_what_is_due_expired_or_lost() {
    let machine = Timestamp::from(SystemTime::now());
    for start in [machine.before(HOUR), machine, machine.after(HOUR)] {
        let clock = ManualClock::starting_at(start);
        let config =
            MemoryConfig { clock: Clock::Manual(clock.clone()), ..MemoryConfig::default() };
        let windlass = Windlass::new(MemoryBackend::with(config));
        let queue = windlass.queue("q").declare().await.unwrap();
        let shut = windlass.queue("shut").concurrency(0).declare().await.unwrap();
        let end = Arc::new(Notify::new());
        let worker = windlass.worker().queue(&queue).queue(&shut).data(Arc::clone(&end));
        let worker = worker.handle(quick).handle(endless).start().await.unwrap();

        let plain = queue.enqueue(Quick).await.unwrap();
        let delayed = queue.enqueue(Quick).delay(10 * MINUTE).await.unwrap();
        let at = queue.enqueue(Quick).at(start.after(10 * MINUTE)).await.unwrap();
        let expiring = shut.enqueue(Quick).expires_after(10 * MINUTE).await.unwrap();
        let running = queue.enqueue(Endless).await.unwrap();

        // Two hours of the process, none of the store.
        tokio::time::sleep(2 * HOUR).await;
        assert_eq!(plain.state().await.unwrap(), State::Completed, "{start}");
        assert_eq!(delayed.state().await.unwrap(), State::Scheduled, "{start}");
        assert_eq!(at.state().await.unwrap(), State::Scheduled, "{start}");
        assert_eq!(expiring.state().await.unwrap(), State::Waiting, "{start}");
        let job = running.job().await.unwrap();
        assert_eq!((job.state, job.course.stalls), (State::Active, 0), "{start}");

        clock.advance(10 * MINUTE - Duration::from_micros(1));
        tokio::time::sleep(MINUTE).await;
        assert_eq!(delayed.state().await.unwrap(), State::Scheduled, "{start}");
        assert_eq!(expiring.state().await.unwrap(), State::Waiting, "{start}");

        clock.advance(Duration::from_micros(1));
        tokio::time::sleep(MINUTE).await;
        assert_eq!(delayed.state().await.unwrap(), State::Completed, "{start}");
        assert_eq!(at.state().await.unwrap(), State::Completed, "{start}");
        assert_eq!(expiring.state().await.unwrap(), State::Expired, "{start}");
        assert_eq!(delayed.job().await.unwrap().started_at, Some(clock.now()), "{start}");
        end.notify_one();
        worker.stop().await;
    }
}
