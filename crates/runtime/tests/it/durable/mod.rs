//! Handlers whose steps are recorded (rules W1 to W5).

mod children;
mod messages;
mod replay;
mod side_by_side;
mod steps;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use windlass_conformance::{Trouble, Troubled};
use windlass_runtime::testing::Kit;
use windlass_runtime::{Handler, JobError, Queue};

use crate::support::{Number, store};

/// What handlers have done, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    /// The same, as a step.
    pub(crate) fn done(&self, what: &str) -> Result<(), JobError> {
        self.add(what);
        Ok(())
    }

    /// How often something was done since the last time.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|done| *done == what).count()
    }

    /// What was done since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A kit with a queue.
pub(crate) async fn kit() -> (Kit, Queue) {
    let (client, clock) = store();
    let queue = client.queue("q").declare().await.unwrap();
    (Kit::new(client.backend().clone(), clock), queue)
}

/// The same store, for a process of which the first call of this method goes wrong.
pub(crate) fn troubled(kit: &Kit, trouble: Trouble, method: &'static [&'static str]) -> Kit {
    let inner = Arc::clone(kit.client().backend());
    Kit::new(Arc::new(Troubled::new(inner, trouble, 1).only(method)), kit.clock().clone())
}

/// A call that is under way for longer than a test takes.
pub(crate) const LATE: Trouble = Trouble::Late { calls: u64::MAX };

/// Runs numbers with this handler until nothing is ready, and answers how many attempts
/// that were.
pub(crate) async fn drain<A, H>(kit: &Kit, queue: &Queue, handler: H) -> usize
where
    A: 'static,
    H: Handler<Number, A>,
{
    kit.drain(|worker| worker.queue(queue).handle(handler)).await.unwrap()
}

pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
