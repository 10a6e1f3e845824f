//! Keeps the loops of a worker alive.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::store_backoff;

/// Runs a loop until it ends by itself. One that panics, by a fault of ours or
/// of a backend, is begun anew, loudly: a worker must not go deaf in silence.
pub(super) async fn supervise<F: Future<Output = ()>>(name: &str, begin: impl Fn() -> F) {
    let mut failures = 0;
    while AssertUnwindSafe(begin()).catch_unwind().await.is_err() {
        failures += 1;
        tracing::error!(task = name, failures, "a part of the worker panicked; it begins anew");
        tokio::time::sleep(store_backoff(failures)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_begins_anew_and_one_that_ends_does_not() {
        let begun = Cell::new(0);
        supervise("test", || {
            begun.set(begun.get() + 1);
            let nth = begun.get();
            async move { assert!(nth > 3, "a fault") }
        })
        .await;
        assert_eq!(begun.get(), 4);
    }
}
