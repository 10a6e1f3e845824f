//! Calls whose callers went away.
//!
//! A call that was sent goes on at the server, whoever waits for it. Later calls
//! wait until those before them that nobody waits for have come to their end, so
//! that each has happened, or has not, when the next one looks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

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
        for task in tasks {
            // How it ended is nobody's business.
            let _ = task.await;
        }
    }

    /// Runs a call to its end, whether or not anybody waits for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let _ = tell.send(call.await);
        });
        let mut waiting = Waiting { abandoned: self, task: Some(task) };
        let answer = told.await.ok();
        waiting.task = None;
        answer
    }
}

/// A caller that waits for its call.
struct Waiting<'a> {
    abandoned: &'a Abandoned,
    task: Option<JoinHandle<()>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            let mut tasks = self.abandoned.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.push(task);
            self.abandoned.any.store(true, Ordering::Release);
        }
    }
}
