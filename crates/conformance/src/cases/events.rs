//! Notices, as far as nothing may depend on one. These cases pass when every
//! notice is dropped.

use futures_util::{FutureExt, StreamExt};
use windlass_core::backend::NoticeStream;
use windlass_core::decide::control::Wish;
use windlass_core::model::{Event, Interest, JobId, Notice, State};

use crate::fixture::{done, failure, secs, success};
use crate::harness::{Context, case_table};

case_table! {
    [Q6] everything_goes_on_without_a_notice_being_read,
    [Q6] a_slow_reader_makes_nobody_wait,
    [Q6] a_notice_tells_of_what_has_happened_since_it_was_asked_for,
    [Q6] waiting_for_a_result_works_without_notices,
    [Q6] streams_may_be_dropped_at_any_time,
}

/// Everything that has arrived by now.
fn arrived(stream: &mut NoticeStream) -> Vec<Notice> {
    let mut notices = Vec::new();
    while let Some(Some(notice)) = stream.next().now_or_never() {
        notices.push(notice);
    }
    notices
}

/// Events are hints: a subscriber may miss some, and nothing depends on one.
async fn everything_goes_on_without_a_notice_being_read(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let _work = ctx.backend().watch(Interest::Work);
    let _jobs = ctx.backend().watch(Interest::Jobs);
    let first = queue.add_one().await;
    let last = queue.add(queue.job().depends_on([&first])).await;
    queue.work(failure("no")).await;
    ctx.advance(secs(60));
    queue.work(done()).await;
    assert_eq!(queue.work(done()).await.id, last.id);
    queue.add(queue.job().after(secs(5))).await;
    queue.backend().pause(&queue.spec.name).await.expect("pause");
    ctx.advance(secs(5));
    queue.backend().resume(&queue.spec.name).await.expect("resume");
    queue.work(done()).await;
    assert_eq!(queue.stats().await.count(State::Completed), 3);
}

/// A slow reader loses the oldest and makes nobody wait.
async fn a_slow_reader_makes_nobody_wait(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let mut streams =
        vec![ctx.backend().watch(Interest::Work), ctx.backend().watch(Interest::Jobs)];
    for _ in 0..20 {
        queue.add_all(queue.jobs(250)).await;
        let taken = queue.take(250).await;
        let settle = taken.iter().map(|job| queue.decide(job, done())).collect();
        queue.backend().apply(settle).await.expect("apply");
    }
    assert_eq!(queue.stats().await.count(State::Completed), 5000);
    // However many were lost, those that were kept are about this queue.
    for stream in &mut streams {
        for notice in arrived(stream) {
            match notice {
                Notice::Queue(name) => assert_eq!(name, queue.spec.name),
                Notice::Job { job, .. } => assert_eq!(job.queue, queue.spec.name),
                _ => {}
            }
        }
    }
}

/// A stream of notices from now on.
async fn a_notice_tells_of_what_has_happened_since_it_was_asked_for(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let before = queue.add_one().await;
    queue.work(done()).await;
    tokio::task::yield_now().await;
    let mut stream = ctx.backend().watch(Interest::Jobs);
    let after = queue.add_one().await;
    queue.work(failure("no")).await;
    queue.control(&after, Wish::Cancel).await;
    let about = |id: JobId, notices: &[Notice]| -> Vec<Event> {
        let events = notices.iter().filter_map(|notice| match notice {
            Notice::Job { job, event } if job.id == id => Some(*event),
            _ => None,
        });
        events.collect()
    };
    let notices = arrived(&mut stream);
    assert_eq!(about(before.id, &notices), [], "of what had happened before");
    // Any may be missing, but those that come tell the story in its order.
    let story = [Event::Enqueued, Event::Started, Event::Retried, Event::Cancelled];
    let mut rest = story.iter();
    for event in about(after.id, &notices) {
        assert!(rest.any(|expected| *expected == event), "{event} out of order: {notices:?}");
    }
    let others = notices.iter().filter_map(Notice::job_id);
    assert!(others.into_iter().all(|id| id == after.id), "of a job that is not there");
}

/// Waiting for a result works without them.
async fn waiting_for_a_result_works_without_notices(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let waits = queue.clone();
    let reference = job.clone();
    let waiter = tokio::spawn(async move {
        loop {
            let seen = waits.see(&reference).await;
            if seen.state.is_terminal() {
                return seen.result;
            }
            tokio::task::yield_now().await;
        }
    });
    queue.work(success("42")).await;
    let result = waiter.await.expect("the waiter");
    assert_eq!(result.map(|r| r.as_slice().to_vec()), Some(b"42".to_vec()));
}

/// Until the backend is dropped, or nobody listens any more.
async fn streams_may_be_dropped_at_any_time(ctx: &Context) {
    let queue = ctx.queue("q").await;
    for round in 0..50 {
        let mut stream = ctx.backend().watch(Interest::Jobs);
        queue.add_one().await;
        if round % 2 == 0 {
            arrived(&mut stream);
        }
        drop(stream);
        queue.work(done()).await;
    }
}
