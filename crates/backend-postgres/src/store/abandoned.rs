//! Calls whose callers went away.
//!
//! A call that was sent goes on at the server, whoever waits for it. A caller that
//! goes away leaves it to a task of its own, so that no connection is left in the
//! middle of something; and later calls wait until those before them that nobody
//! waits for have come to their end, so that each has happened, or has not, when
//! the next one looks.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long later calls wait for earlier ones.
const PATIENCE: Duration = Duration::from_secs(1);

/// The calls of one handle that nobody waits for any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Abandoned {
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
    any: Arc<AtomicBool>,
}

impl Abandoned {
    /// Waits until they have come to their end.
    pub(super) async fn settled(&self) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            self.any.store(false, Ordering::Release);
            std::mem::take(&mut *tasks)
        };
        let all = async {
            for task in tasks {
                // How it ended is nobody's business.
                let _ = task.await;
            }
        };
        // One that waits for somebody's lock must not stop everything else.
        let _ = timeout(PATIENCE, all).await;
    }

    /// Runs a call to its end once it has begun, whether or not anybody waits for
    /// it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> T {
        Attended { abandoned: self, call: Some(Box::pin(call)), has_begun: false }.await
    }
}

/// A call that somebody waits for.
struct Attended<'a, T: Send + 'static> {
    abandoned: &'a Abandoned,
    /// Absent once it has come to its end.
    call: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    has_begun: bool,
}

impl<T: Send + 'static> Future for Attended<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.has_begun = true;
        let Some(call) = self.call.as_mut() else { return Poll::Pending };
        let answer = call.as_mut().poll(context);
        if answer.is_ready() {
            self.call = None;
        }
        answer
    }
}

impl<T: Send + 'static> Drop for Attended<'_, T> {
    fn drop(&mut self) {
        let Some(call) = self.call.take().filter(|_| self.has_begun) else { return };
        // Where the runtime has ended, so have its connections.
        let Ok(runtime) = Handle::try_current() else { return };
        let task = runtime.spawn(async move {
            call.await;
        });
        let mut tasks = self.abandoned.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.push(task);
        self.abandoned.any.store(true, Ordering::Release);
    }
}
