//! What a handler can take and return.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use tower::{Layer, Service};
use windlass_runtime::model::{FailureKind, JobId, State};
use windlass_runtime::{Attempt, BoxError, Call, Client, Context, Data, Error, JobError, blocking};

use crate::support::{Number, Other, queue, until, worker};

#[tokio::test(start_paused = true)]
async fn a_handler_takes_the_job_and_extractors_and_returns_a_result() {
    let (queue, _) = queue().await;
    async fn handle(
        job: Number,
        context: Context,
        client: Client,
        id: JobId,
        attempt: Attempt,
        factor: Data<u64>,
    ) -> Result<u64, JobError> {
        assert_eq!((context.id(), attempt, context.is_last_attempt()), (id, Attempt(1), false));
        assert_eq!(client.queues().await?.len(), 1);
        Ok(job.0 * *factor)
    }
    let handle_ = queue.enqueue(Number(6)).await.unwrap();
    let worker = worker(&queue).data(7_u64).handle(handle).start().await.unwrap();
    assert_eq!(handle_.result::<u64>().await.unwrap(), 42);
    assert_eq!(worker.stop().await.settled, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_returned_is_nothing_stored() {
    let (queue, _) = queue().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let worker = worker(&queue).handle(|_: Number| async {}).start().await.unwrap();
    handle.result::<()>().await.unwrap();
    assert_eq!(handle.job().await.unwrap().result, None);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_value_fails_the_attempt_and_says_which() {
    let (queue, _) = queue().await;
    let handle = queue.enqueue(Number(1)).retries(0).await.unwrap();
    async fn wants(_: Number, _: Data<String>) {}
    let worker = worker(&queue).handle(wants).start().await.unwrap();
    let error = handle.result::<()>().await.unwrap_err();
    assert!(error.to_string().contains("shares no alloc::string::String"), "{error}");
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_does_not_decode_fails_for_good_with_its_own_kind() {
    let (queue, _) = queue().await;
    let handle = queue.enqueue_raw("number", &serde_json::json!({"no": 1})).await.unwrap();
    let worker = worker(&queue).handle(|_: Number| async {}).start().await.unwrap();
    match handle.result::<()>().await.unwrap_err() {
        Error::NotCompleted { state: State::Failed, error: Some(error), .. } => {
            assert_eq!((error.kind, error.attempt), (FailureKind::Decode, 1));
        }
        other => panic!("{other}"),
    }
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_of_an_unknown_type_stays_for_a_worker_that_knows_it() {
    let (queue, clock) = queue().await;
    let handle = queue.enqueue(Other).await.unwrap();
    let ignorant = worker(&queue).handle(|_: Number| async {}).start().await.unwrap();
    let job = until(&handle, State::Scheduled).await;
    assert_eq!((job.course.failed_attempts, job.course.errors.len()), (0, 0));
    ignorant.stop().await;
    clock.advance(std::time::Duration::from_secs(60));
    let knowing = worker(&queue).handle(|_: Other| async {}).start().await.unwrap();
    until(&handle, State::Completed).await;
    knowing.stop().await;
}

#[tokio::test(start_paused = true)]
async fn raw_handlers_see_json() {
    let (queue, _) = queue().await;
    let handle = queue.enqueue(Number(5)).await.unwrap();
    let echo = |job: serde_json::Value| async move { Ok::<_, String>(job) };
    let worker = worker(&queue).handle_raw("number", echo).start().await.unwrap();
    assert_eq!(handle.result::<u64>().await.unwrap(), 5);
    worker.stop().await;
}

#[tokio::test]
async fn a_blocking_handler_does_not_stall_the_runtime() {
    let (queue, _) = queue().await;
    let (send, receive) = std::sync::mpsc::channel();
    let receive = Mutex::new(receive);
    let first = queue.enqueue(Number(1)).await.unwrap();
    let second = queue.enqueue(Number(2)).await.unwrap();
    // On this one thread, the first job blocks until the second has run.
    let work = blocking(move |job: Number| -> Result<u64, String> {
        if job.0 == 1 {
            receive.lock().unwrap().recv().map_err(|error| error.to_string())
        } else {
            send.send(10).map_err(|error| error.to_string())?;
            Ok(job.0)
        }
    });
    let worker = worker(&queue).handle(work).start().await.unwrap();
    assert_eq!(first.result::<u64>().await.unwrap(), 10);
    assert_eq!(second.result::<u64>().await.unwrap(), 2);
    worker.stop().await;
}

/// A layer that counts and refuses every other job.
#[derive(Clone)]
struct Picky(Arc<AtomicUsize>);

#[derive(Clone)]
struct PickyService<S>(Arc<AtomicUsize>, S);

impl<S> Layer<S> for Picky {
    type Service = PickyService<S>;
    fn layer(&self, inner: S) -> PickyService<S> {
        PickyService(Arc::clone(&self.0), inner)
    }
}

impl<S> Service<Call> for PickyService<S>
where
    S: Service<Call, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>> {
        self.1.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let before = self.0.fetch_add(1, Ordering::SeqCst);
        if before == 0 {
            return Box::pin(async { Err("refused by the layer".into()) });
        }
        Box::pin(self.1.call(call))
    }
}

#[tokio::test(start_paused = true)]
async fn a_tower_layer_wraps_every_handler_and_its_errors_are_failures() {
    let (queue, _) = queue().await;
    let counter = Arc::new(AtomicUsize::new(0));
    let refused = queue.enqueue(Number(1)).retries(0).await.unwrap();
    let passed = queue.enqueue(Number(2)).await.unwrap();
    let handle = |job: Number| async move { Ok::<_, String>(job.0) };
    let picky = Picky(Arc::clone(&counter));
    let worker = worker(&queue).concurrency(1).layer(picky).handle(handle).start().await.unwrap();
    let error = refused.result::<u64>().await.unwrap_err();
    assert!(error.to_string().ends_with("refused by the layer"), "{error}");
    assert_eq!(passed.result::<u64>().await.unwrap(), 2);
    assert_eq!(counter.load(Ordering::SeqCst), 2);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn progress_and_log_are_kept_with_the_job() {
    let (queue, _) = queue().await;
    async fn work(_: Number, context: Context) {
        context.progress(1, 3);
        context.say("at it");
        for n in 0..30 {
            context.log(&format!("line {n}"));
        }
        // Told while it runs, and again when it is settled.
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        context.progress(3, 3);
    }
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let worker = worker(&queue).handle(work).start().await.unwrap();
    until(&handle, State::Active).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let halfway = handle.progress().await.unwrap().unwrap();
    assert_eq!((halfway.done, halfway.total), (1, Some(3)));
    handle.wait().await.unwrap();
    let end = handle.progress().await.unwrap().unwrap();
    assert_eq!((end.done, end.message.as_deref()), (3, Some("at it")));
    assert_eq!((end.log.len(), end.log[19].as_str()), (20, "line 29"));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_makes_no_sense_does_not_start() {
    let (queue, _) = queue().await;
    let said = |error: Error| error.to_string();
    let none = queue.client().worker().handle(|_: Number| async {}).start().await;
    assert!(said(none.unwrap_err()).contains("no queue"));
    let none = worker(&queue).start().await;
    assert!(said(none.unwrap_err()).contains("no handler"));
    let twice = worker(&queue).handle(|_: Number| async {}).handle(|_: Number| async {});
    assert!(said(twice.start().await.unwrap_err()).contains("two handlers"));
    let twice = worker(&queue).queue(&queue).handle(|_: Number| async {});
    assert!(said(twice.start().await.unwrap_err()).contains("given twice"));
}

#[tokio::test(start_paused = true)]
async fn each_start_draws_an_identity_of_its_own() {
    let (queue, _) = queue().await;
    let first = worker(&queue).handle(|_: Number| async {}).start().await.unwrap();
    let second = worker(&queue).handle(|_: Number| async {}).start().await.unwrap();
    assert_ne!(first.id(), second.id());
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(queue.client().workers().await.unwrap().len(), 2);
    first.stop().await;
    let left = queue.client().workers().await.unwrap();
    assert_eq!(left.iter().map(|seen| seen.worker.id).collect::<Vec<_>>(), [second.id()]);
    second.stop().await;
}
