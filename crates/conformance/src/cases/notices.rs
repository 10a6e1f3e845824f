//! Notices that a healthy store does deliver, within one process. The only
//! cases that wait for one; with every notice dropped they are left out.

use std::time::Duration;

use futures_util::StreamExt;
use windlass_core::backend::{NoticeStream, Support};
use windlass_core::decide::control::Wish;
use windlass_core::model::{Interest, Notice, QueueName};

use crate::fixture::done;
use crate::harness::{Context, case_table};

case_table! {
    [Q6] an_enqueue_is_noticed_by_whoever_waits_for_work,
    [C1] a_wish_to_cancel_an_active_job_is_noticed,
    [Q1] a_resumed_queue_is_noticed,
    [Q6] notices_reach_other_handles_where_that_is_claimed,
    [Q7 Q6] work_in_any_shard_is_noticed_as_that_of_the_queue,
}

/// How long to wait in real time for what should come at once. A store that
/// is this late is as good as one that sends nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a notice that there may be work in this queue.
async fn work_in(stream: &mut NoticeStream, queue: &QueueName) {
    let heard = async {
        while let Some(notice) = stream.next().await {
            match notice {
                Notice::Anything => return,
                Notice::Queue(name) if name == *queue => return,
                _ => {}
            }
        }
        panic!("the stream has ended while the backend lives");
    };
    let heard = tokio::time::timeout(PATIENCE, heard).await;
    assert!(heard.is_ok(), "no notice of work in queue {queue:?}");
}

/// A queue may have work.
async fn an_enqueue_is_noticed_by_whoever_waits_for_work(ctx: &Context) {
    let (queue, other) = (ctx.queue("q").await, ctx.queue("other").await);
    let mut streams = [ctx.backend().watch(Interest::Work), ctx.backend().watch(Interest::Work)];
    for _ in 0..3 {
        other.add_one().await;
        queue.add_one().await;
        for stream in &mut streams {
            work_in(stream, &queue.spec.name).await;
        }
        queue.work(done()).await;
    }
}

/// Or an active job of it was asked to stop: told at once where the backend
/// can notify.
async fn a_wish_to_cancel_an_active_job_is_noticed(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    queue.take_one().await;
    let mut stream = ctx.backend().watch(Interest::Work);
    queue.control(&job, Wish::Cancel).await;
    work_in(&mut stream, &queue.spec.name).await;
}

/// A queue that goes on may have work.
async fn a_resumed_queue_is_noticed(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_one().await;
    queue.backend().pause(&queue.spec.name).await.expect("pause");
    let mut stream = ctx.backend().watch(Interest::Work);
    queue.backend().resume(&queue.spec.name).await.expect("resume");
    work_in(&mut stream, &queue.spec.name).await;
}

/// Notices reach other processes.
async fn notices_reach_other_handles_where_that_is_claimed(ctx: &Context) {
    if ctx.backend().capabilities().notices == Support::No {
        return;
    }
    let queue = ctx.queue("q").await;
    // A stream ends with its handle, so this one has to live.
    let other = ctx.handle().await;
    let mut stream = other.watch(Interest::Work);
    queue.add_one().await;
    work_in(&mut stream, &queue.spec.name).await;
}

/// A queue with shards is one queue to whoever waits for work in it.
async fn work_in_any_shard_is_noticed_as_that_of_the_queue(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.shards = 4).await;
    for _ in 0..16 {
        let mut stream = ctx.backend().watch(Interest::Work);
        queue.add_one().await;
        work_in(&mut stream, &queue.spec.name).await;
        let job = queue.take_one().await;
        let mut stream = ctx.backend().watch(Interest::Work);
        queue.control(&job.reference(), Wish::Cancel).await;
        work_in(&mut stream, &queue.spec.name).await;
    }
}
