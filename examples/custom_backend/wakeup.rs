//! Notices: hints that make waiting short, and on which nothing depends (rule
//! Q6).

use futures_util::StreamExt;
use futures_util::stream::unfold;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};
use windlass::backend::NoticeStream;
use windlass::model::{Interest, Notice};

/// How many notices wait for a slow reader before it loses the oldest.
const BUFFER: usize = 1024;

/// Hands notices to those who watch, and makes nobody wait for them.
#[derive(Debug)]
pub(crate) struct Hub {
    work: Sender<Notice>,
    jobs: Sender<Notice>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self { work: channel(BUFFER).0, jobs: channel(BUFFER).0 }
    }

    /// Sends what a transaction has to tell, once it is committed.
    pub(crate) fn send(&self, notices: Vec<Notice>) {
        for notice in notices {
            let to = match notice {
                Notice::Job { .. } => &self.jobs,
                _ => &self.work,
            };
            // That nobody watches is no failure.
            let _ = to.send(notice);
        }
    }

    /// The stream ends when the hub is dropped, which the backend owns.
    pub(crate) fn watch(&self, interest: Interest) -> NoticeStream {
        let receiver = match interest {
            Interest::Work => self.work.subscribe(),
            Interest::Jobs => self.jobs.subscribe(),
        };
        unfold((receiver, interest), next).boxed()
    }
}

type Watcher = (Receiver<Notice>, Interest);

async fn next((mut receiver, interest): Watcher) -> Option<(Notice, Watcher)> {
    loop {
        let notice = match receiver.recv().await {
            Ok(notice) => notice,
            // It has lost some: looking at every queue makes up for that.
            Err(RecvError::Lagged(_)) if interest == Interest::Work => Notice::Anything,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return None,
        };
        return Some((notice, (receiver, interest)));
    }
}
