//! Unit tests of handlers: on the in-memory backend, with a clock that the
//! test moves, and without a worker in the background.
//!
//! `cargo run --example testing` tells the story of one invoice;
//! `cargo test --example testing` runs the tests below.

#![allow(clippy::print_stdout, reason = "a program, not a library")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::testing::{Kit, kit};
use windlass::{Client, Data, Job, JobError, Queue, WorkerBuilder};

const DAY: Duration = Duration::from_secs(24 * 3600);

// ── the application ────────────────────────────────────────────────────────

#[derive(Debug, PartialEq, Serialize, Deserialize, Job)]
#[job(name = "invoice.send", queue = "invoices", retries = 3)]
#[job(backoff = fixed("10m"), jitter = 0.0)]
struct SendInvoice {
    number: u64,
    to: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Job)]
#[job(name = "invoice.remind", queue = "invoices")]
struct Remind {
    number: u64,
    to: String,
}

/// Sends mail. In a test, it only notes what it would have sent.
#[derive(Debug, Default)]
struct Mailer {
    sent: Mutex<Vec<String>>,
    down: AtomicBool,
}

impl Mailer {
    fn send(&self, to: &str, what: &str) -> Result<(), JobError> {
        if !to.contains('@') {
            // No other attempt would help.
            return Err(JobError::permanent(format!("{to:?} is not an address")));
        }
        if self.down.load(Ordering::SeqCst) {
            return Err(JobError::new("the mail server does not answer"));
        }
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push(format!("{what} to {to}"));
        Ok(())
    }

    fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sends the invoice, and enqueues the reminder. Should it be run twice, the
/// key makes the second reminder the first.
async fn send(job: SendInvoice, client: Client, mailer: Data<Arc<Mailer>>) -> Result<(), JobError> {
    let SendInvoice { number, to } = job;
    mailer.send(&to, &format!("invoice {number}"))?;
    let queue = client.queue_of::<Remind>().await?;
    let key = format!("remind-{number}");
    queue.enqueue(Remind { number, to }).delay(14 * DAY).key(key).await?;
    Ok(())
}

async fn remind(job: Remind, mailer: Data<Arc<Mailer>>) -> Result<(), JobError> {
    mailer.send(&job.to, &format!("reminder of invoice {}", job.number))
}

/// What the application's worker does, and its tests too.
fn works(worker: WorkerBuilder, queue: &Queue, mailer: &Arc<Mailer>) -> WorkerBuilder {
    worker.queue(queue).data(Arc::clone(mailer)).handle(send).handle(remind)
}

// ── what a test needs ──────────────────────────────────────────────────────

/// The application on a store of its own, whose time stands still.
struct Office {
    kit: Kit,
    queue: Queue,
    mailer: Arc<Mailer>,
}

impl Office {
    async fn open() -> windlass::Result<Self> {
        let kit = kit();
        let queue = kit.client().queue("invoices").declare().await?;
        Ok(Self { kit, queue, mailer: Arc::default() })
    }

    /// Runs what is ready, and answers how many attempts that took.
    async fn drain(&self) -> windlass::Result<usize> {
        self.kit.drain(|worker| works(worker, &self.queue, &self.mailer)).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let office = Office::open().await?;
    let invoice = SendInvoice { number: 7, to: "ada@example.org".into() };
    let handle = office.queue.enqueue(invoice).await?;

    office.mailer.down.store(true, Ordering::SeqCst);
    println!("{}: {} attempt", office.kit.clock().now(), office.drain().await?);
    let job = handle.job().await?;
    println!("  it is {} until {}: {}", job.state, job.due, job.course.errors[0].message);

    office.mailer.down.store(false, Ordering::SeqCst);
    office.kit.advance(Duration::from_secs(600));
    println!("{}: {} attempt", office.kit.clock().now(), office.drain().await?);
    println!("  it is {}", handle.state().await?);

    office.kit.advance(14 * DAY);
    println!("{}: {} attempt", office.kit.clock().now(), office.drain().await?);
    println!("sent: {}", office.mailer.sent().join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use windlass::model::{FailureKind, State};

    use super::*;

    fn invoice(to: &str) -> SendInvoice {
        SendInvoice { number: 7, to: to.into() }
    }

    #[tokio::test]
    async fn an_invoice_is_sent_and_its_reminder_waits_for_two_weeks() {
        let office = Office::open().await.unwrap();
        office.queue.enqueue(invoice("ada@example.org")).await.unwrap();
        assert_eq!(office.drain().await.unwrap(), 1);
        assert_eq!(office.mailer.sent(), ["invoice 7 to ada@example.org"]);

        // What a handler has enqueued is there to be looked at.
        let reminder = Remind { number: 7, to: "ada@example.org".into() };
        assert_eq!(office.kit.enqueued::<Remind>().await.unwrap(), [reminder]);
        assert_eq!(office.kit.count::<Remind>(State::Scheduled).await.unwrap(), 1);

        office.kit.advance(14 * DAY - Duration::from_micros(1));
        assert_eq!(office.drain().await.unwrap(), 0);
        office.kit.advance(Duration::from_micros(1));
        assert_eq!(office.drain().await.unwrap(), 1);
        assert_eq!(office.mailer.sent()[1], "reminder of invoice 7 to ada@example.org");
    }

    #[tokio::test]
    async fn a_server_that_is_down_is_tried_again_until_attempts_are_used_up() {
        let office = Office::open().await.unwrap();
        office.mailer.down.store(true, Ordering::SeqCst);
        let handle = office.queue.enqueue(invoice("ada@example.org")).await.unwrap();
        for attempt in 1..=3 {
            assert_eq!(office.drain().await.unwrap(), 1, "attempt {attempt}");
            let job = handle.job().await.unwrap();
            assert_eq!((job.state, job.course.failed_attempts), (State::Scheduled, attempt));
            office.kit.advance(Duration::from_secs(600));
        }
        assert_eq!(office.drain().await.unwrap(), 1);
        assert_eq!(handle.state().await.unwrap(), State::Failed);
        assert_eq!(office.kit.enqueued::<Remind>().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_wrong_address_is_not_tried_again() {
        let office = Office::open().await.unwrap();
        let handle = office.queue.enqueue(invoice("nobody")).await.unwrap();
        office.drain().await.unwrap();
        let job = handle.job().await.unwrap();
        assert_eq!((job.state, job.course.failed_attempts), (State::Failed, 1));
        assert_eq!(job.course.errors[0].kind, FailureKind::Error);
        assert_eq!(job.course.errors[0].message, "\"nobody\" is not an address");
    }

    #[tokio::test]
    async fn an_invoice_that_is_sent_again_has_one_reminder() {
        let office = Office::open().await.unwrap();
        let handle = office.queue.enqueue(invoice("ada@example.org")).await.unwrap();
        office.drain().await.unwrap();
        assert!(handle.retry().await.unwrap());
        office.drain().await.unwrap();
        assert_eq!(office.mailer.sent().len(), 2);
        assert_eq!(office.kit.jobs_of::<Remind>().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn repeatables_fire_as_the_clock_is_moved() {
        let office = Office::open().await.unwrap();
        let daily = office.queue.repeat("daily", invoice("ada@example.org"));
        daily.cron("30 6 * * *", "Europe/Berlin").await.unwrap();
        for day in 1..=3 {
            office.kit.advance(DAY);
            assert_eq!(office.drain().await.unwrap(), 1, "day {day}");
        }
        assert_eq!(office.mailer.sent().len(), 3);
    }
}
