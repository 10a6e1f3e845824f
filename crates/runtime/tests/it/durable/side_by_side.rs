//! Calls that are polled together: `join!`, `try_join!` and streams (rules W1, W2 and W5).

use std::future::IntoFuture;

use windlass_runtime::model::State;
use windlass_runtime::{Durable, JobError};

use super::{LATE, drain, kit, secs, troubled};
use crate::support::Number;

#[tokio::test(start_paused = true)]
async fn a_step_beside_a_wait_is_run_before_its_job_is_suspended() {
    let (kit, queue) = kit().await;
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let to = kit.client().handle(handle.reference().clone());
    let work = move |_: Number, ctx: Durable| {
        let to = to.clone();
        async move {
            if ctx.attempt() == 1 {
                return Err(JobError::new("again"));
            }
            let ask = || async { to.send_once("answer", "the one", &42).await };
            let (answer, ()) = tokio::try_join!(
                ctx.receive::<u32>("answer").into_future(),
                ctx.step("ask", ask).into_future(),
            )?;
            Ok::<u32, JobError>(answer)
        }
    };
    drain(&kit, &queue, work.clone()).await;
    kit.advance(secs(60));
    // Both wait for the record, which takes a while.
    drain(&troubled(&kit, LATE, &["steps"]), &queue, work).await;
    assert_eq!(handle.state().await.unwrap(), State::Completed);
    assert_eq!(handle.result::<u32>().await.unwrap(), 42);
}
