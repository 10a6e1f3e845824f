//! One run of one case, on a thread that can be given up.

use std::any::Any;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use windlass_core::ErrorKind;

use super::case::Case;
use super::context::{Context, Hearing};
use super::stores::Stores;
use crate::faults::quietly;

/// The environment variable that turns an unreachable store from a failure
/// into ignored cases.
const ALLOW_MISSING: &str = "WINDLASS_ALLOW_MISSING_STORE";

/// After so long, in real time, a case counts as stuck.
const STUCK: Duration = Duration::from_secs(180);

/// What a run came to.
pub(super) enum Attempt {
    /// The store kept its promises.
    Passed,
    /// It broke one; carries the panic.
    Failed(Box<dyn Any + Send>),
    /// It could not be judged, and says why.
    Unjudged(String),
    /// There is no store, and that is allowed; says why.
    Ignored(String),
}

/// Whether failures are printed as they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Messages {
    /// They are.
    Printed,
    /// They are expected, and are not.
    Swallowed,
}

/// Runs a case on a fresh store.
pub(super) fn attempt(
    case: &'static Case,
    stores: Arc<dyn Stores>,
    hearing: Hearing,
    messages: Messages,
) -> Attempt {
    match on_a_thread(case.name(), messages, move || run(case, stores, hearing)) {
        Ran::Done(attempt) => attempt,
        Ran::Panicked(panic) => Attempt::Failed(panic),
        Ran::Stuck(why) => Attempt::Unjudged(why),
    }
}

/// What became of something that ran on a thread of its own.
pub(crate) enum Ran<T> {
    /// It came to its end.
    Done(T),
    /// It panicked.
    Panicked(Box<dyn Any + Send>),
    /// It did not come to its end in time, or could not begin; says why.
    Stuck(String),
}

/// Runs something on a thread of its own, because a store may block or spin
/// without ever giving control back: then the thread is left behind, and the
/// others go on.
pub(crate) fn on_a_thread<T: Send + 'static>(
    name: String,
    messages: Messages,
    run: impl FnOnce() -> T + Send + 'static,
) -> Ran<T> {
    let (sender, receiver) = mpsc::channel();
    let run = move || {
        let run = AssertUnwindSafe(run);
        let ran = match messages {
            Messages::Printed => catch_unwind(run),
            Messages::Swallowed => quietly(|| catch_unwind(run)),
        };
        // Nobody waits any more for what was given up.
        let _ = sender.send(ran.map_or_else(Ran::Panicked, Ran::Done));
    };
    if let Err(error) = thread::Builder::new().name(name).spawn(run) {
        return Ran::Stuck(format!("no thread for it: {error}"));
    }
    let stuck = format!("stuck: not done after {STUCK:?}");
    receiver.recv_timeout(STUCK).unwrap_or(Ran::Stuck(stuck))
}

fn run(case: &Case, stores: Arc<dyn Stores>, hearing: Hearing) -> Attempt {
    // Several threads, so that races are races. A store's own tasks live and
    // die with their case.
    let runtime = match Builder::new_multi_thread().worker_threads(4).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Attempt::Unjudged(format!("no runtime for it: {error}")),
    };
    runtime.block_on(async {
        let context = match Context::fresh(stores, hearing).await {
            Ok(context) => context,
            Err(error) if error.kind() == ErrorKind::Unavailable && is_missing_allowed() => {
                return Attempt::Ignored(format!("no store: {}", chain(&error)));
            }
            Err(error) => {
                return Attempt::Unjudged(format!("the store cannot be opened: {}", chain(&error)));
            }
        };
        case.run(&context).await;
        context.close().await;
        Attempt::Passed
    })
}

/// Whether a store that cannot be reached is no failure.
pub(crate) fn is_missing_allowed() -> bool {
    is_set(ALLOW_MISSING)
}

/// Whether an environment variable says yes.
pub(super) fn is_set(variable: &str) -> bool {
    env::var(variable).is_ok_and(|value| value == "1")
}

/// An error and everything behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use windlass_core::{Backend, Error};

    use super::*;
    use crate::deaf::Deaf;
    use crate::harness::{all_cases, opening};

    #[test]
    fn a_store_that_cannot_be_reached_fails_every_case() {
        let away = opening(|_, _| async {
            Err::<Deaf<dyn Backend>, _>(Error::new(ErrorKind::Unavailable, "nobody answers"))
        });
        let away: Arc<dyn Stores> = Arc::new(away);
        for case in all_cases() {
            match attempt(case, Arc::clone(&away), Hearing::Full, Messages::Printed) {
                Attempt::Unjudged(why) => assert!(why.contains("nobody answers"), "{why}"),
                _ => panic!("{case:?} was judged without a store"),
            }
        }
    }
}
