//! Partitions: the events of each user in order, different users at once, even
//! when one of them fails: `cargo run --example in_order`.

#![allow(clippy::print_stdout, reason = "a program, not a library")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::model::Backoff;
use windlass::{Attempt, Data, Job, JobError, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "event")]
struct Event {
    user: String,
    number: u32,
}

type Seen = Mutex<Vec<(String, u32)>>;

async fn handle(event: Event, attempt: Attempt, seen: Data<Arc<Seen>>) -> Result<(), JobError> {
    if event.number == 2 && attempt == Attempt(1) {
        // The partition waits for the retry; the other users go on.
        return Err(JobError::new("not this time"));
    }
    println!("{} {}", event.user, event.number);
    seen.lock().expect("no handler panics").push((event.user, event.number));
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let windlass = Windlass::connect("memory:").await?;
    let events = windlass.queue("events").partitioned().declare().await?;
    let mut handles = Vec::new();
    for number in 1..=4 {
        for user in ["ada", "ben", "cleo"] {
            let event = Event { user: user.into(), number };
            let soon = Backoff::Fixed(Duration::from_millis(50));
            handles.push(events.enqueue(event).partition(user).backoff(soon).await?);
        }
    }
    let seen = Arc::new(Seen::default());
    let worker = windlass.worker().queue(&events).data(Arc::clone(&seen)).handle(handle);
    let worker = worker.start().await?;
    for handle in handles {
        handle.result::<()>().await?;
    }
    worker.stop().await;

    let seen = seen.lock().expect("no handler panics");
    for user in ["ada", "ben", "cleo"] {
        let numbers: Vec<_> = seen.iter().filter(|(u, _)| u == user).map(|(_, n)| *n).collect();
        assert_eq!(numbers, [1, 2, 3, 4], "the events of {user} are out of order");
    }
    println!("each user's events came in order");
    Ok(())
}
