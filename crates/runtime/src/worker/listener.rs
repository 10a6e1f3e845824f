//! Passes notices on to whom they concern.

use std::sync::Arc;

use futures_util::StreamExt;
use windlass_core::backend::NoticeStream;
use windlass_core::model::{Interest, Notice};

use super::builder::Parts;
use super::pool::Pool;
use super::store_backoff;

/// Passes notices on to whom they concern, from `first` on if it is there.
pub(super) async fn listen(parts: Arc<Parts>, pools: Vec<Arc<Pool>>, first: Option<NoticeStream>) {
    let watch = || parts.shared.client.backend().watch(Interest::Work);
    let mut notices = first.unwrap_or_else(watch);
    let mut silences = 0;
    loop {
        while let Some(notice) = notices.next().await {
            silences = 0;
            for pool in &pools {
                let concerned = match &notice {
                    Notice::Queue(queue) => *queue == pool.queue,
                    Notice::Anything => true,
                    _ => false,
                };
                if concerned {
                    // The one that is woken last runs first.
                    parts.hint.notify_one();
                    pool.ask.notify_one();
                }
            }
        }
        // The stream has ended. Polling goes on meanwhile: a notice is only a
        // hint.
        silences += 1;
        tokio::time::sleep(store_backoff(silences)).await;
        notices = watch();
        // What was said meanwhile went unheard.
        pools.iter().for_each(|pool| pool.ask.notify_one());
    }
}
