//! What a keeper does about jobs that nobody holds any more.

use std::sync::Arc;
use std::time::Duration;

use windlass_conformance::{Trouble, Troubled};
use windlass_runtime::backend::Ask;
use windlass_runtime::decide::{Attempt, Outcome, finish};
use windlass_runtime::model::{State, WorkerId};
use windlass_runtime::{Durable, JobError, testing::Kit};

use crate::support::{Number, Other, store};

/// How many blocked jobs there are: more than a keeper looks at in one call.
const BLOCKED: u64 = 600;

#[tokio::test]
async fn a_gate_that_cannot_be_decided_holds_up_nobody_else() {
    let (client, clock) = store();
    let queue = client.queue("q").declare().await.unwrap();
    let kit = Kit::new(client.backend().clone(), clock.clone());
    // A job waits for its child, and many others for another job.
    queue.enqueue(Number(0)).await.unwrap();
    let parent = |_: Number, ctx: Durable| async move {
        ctx.spawn("child", Other).await?.result::<()>().await?;
        Ok::<_, JobError>(())
    };
    kit.drain(|worker| worker.queue(&queue).handle(parent)).await.unwrap();
    let first = queue.enqueue(Other).await.unwrap();
    let mut blocked = Vec::new();
    for n in 1..=BLOCKED {
        blocked.push(queue.enqueue(Number(n)).after(&first).await.unwrap());
    }
    // Both come to their end, and the process dies before it looks at what follows.
    clock.advance(Duration::from_secs(3600));
    let backend = client.backend();
    let worker = WorkerId::from_bytes([1; 16]);
    let lease = Duration::from_secs(30);
    let ask = Ask { queue: queue.name().clone(), worker, max: 10, lease };
    let ended = backend.dequeue(ask).await.unwrap().jobs.into_iter().filter_map(|job| {
        let outcome = Outcome::Success { result: None };
        let token = job.lease?.token;
        (job.job_type.as_str() == "other")
            .then(|| finish(&job, queue.spec(), &Attempt { token, outcome }).unwrap())
    });
    let ended: Vec<_> = ended.collect();
    assert_eq!(ended.len(), 2);
    backend.apply(ended).await.unwrap();
    assert_eq!(blocked[0].state().await.unwrap(), State::Blocked);
    // The parent of the gate cannot be read.
    let troubled = Troubled::new(Arc::clone(backend), Trouble::Fails, 1).only(&["job"]);
    let kit = Kit::new(Arc::new(troubled), clock);
    let swept = kit.drain(|worker| worker.queue(&queue).handle(|_: Number| async {})).await;
    assert!(swept.unwrap_err().is_transient(), "somebody is told");
    for job in blocked {
        assert_eq!(job.state().await.unwrap(), State::Waiting);
    }
}
