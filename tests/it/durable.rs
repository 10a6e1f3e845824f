//! Durable jobs, flows and handles with real workers on every store, and the cookbook.

use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::model::State;
use windlass::{Context, Durable, Error, Job, JobError, Windlass};

use crate::digest::example;
use crate::server::{Prefix, Schema};

macro_rules! on_every_store {
    ($($test:ident)*) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test("memory:").await;
            })*
        }
        mod on_sqlite {
            $(#[tokio::test]
            async fn $test() {
                let folder = tempfile::tempdir().unwrap();
                super::$test(&format!("sqlite:{}", folder.path().join("jobs.db").display())).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $test() {
                let schema = super::Schema::new();
                super::$test(&schema.url()).await;
            })*
        }
        mod on_redis {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&super::Prefix::on("REDIS_URL").url()).await;
            })*
        }
        mod on_a_redis_cluster {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&super::Prefix::on("WINDLASS_TEST_REDIS_CLUSTER_URL").url()).await;
            })*
        }
    };
}

on_every_store! {
    a_parent_on_the_queue_of_its_children_with_one_slot_finishes
    many_children_are_gathered
    whoever_starts_anew_finds_jobs_and_waits_for_them
    a_flow_is_looked_at_and_cancelled_whole
    every_recipe_of_the_cookbook_works
}

#[derive(Serialize, Deserialize, Job)]
#[job(name = "durable.parent")]
struct Parent {
    children: u64,
}

#[derive(Serialize, Deserialize, Job)]
#[job(name = "durable.child")]
struct Child {
    number: u64,
}

#[derive(Serialize, Deserialize, Job)]
#[job(name = "durable.sum")]
struct Sum;

async fn parent(job: Parent, ctx: Durable) -> Result<u64, JobError> {
    let children = (1..=job.children).map(|number| Child { number });
    let children = ctx.spawn_all("children", children).await?;
    let results: Vec<u64> = children.results().await?;
    Ok(results.into_iter().sum())
}

async fn child(job: Child) -> Result<u64, JobError> {
    match job.number {
        0 => Err(JobError::permanent("nothing comes of nothing")),
        number => Ok(number),
    }
}

async fn sum(_: Sum, ctx: Context) -> Result<u64, JobError> {
    let parts = ctx.results_of::<Child, u64>().await?;
    Ok(parts.into_iter().filter_map(Result::ok).sum())
}

async fn a_parent_on_the_queue_of_its_children_with_one_slot_finishes(store: &str) {
    let windlass = Windlass::connect(store).await.unwrap();
    let queue = windlass.queue("narrow").concurrency(1).declare().await.unwrap();
    let handle = queue.enqueue(Parent { children: 5 }).await.unwrap();
    let worker = windlass.worker().queue(&queue).handle(parent).handle(child);
    let worker = worker.start().await.unwrap();
    assert_eq!(handle.result::<u64>().await.unwrap(), 15);
    // Waiting has used no attempt, and nothing is left but parent and children.
    assert_eq!(handle.status().await.unwrap().attempt, 1);
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.count(State::Completed), stats.count(State::Blocked)), (6, 0));
    worker.stop().await;
}

async fn many_children_are_gathered(store: &str) {
    let windlass = Windlass::connect(store).await.unwrap();
    let parents = windlass.queue("parents").declare().await.unwrap();
    let children = windlass.queue("children").declare().await.unwrap();
    let to = children.clone();
    let parent = move |job: Parent, ctx: Durable| {
        let to = to.clone();
        async move {
            let jobs = (1..=job.children).map(|number| to.enqueue(Child { number }));
            let children = ctx.spawn_all("children", jobs).await?;
            let results: Vec<u64> = children.results().await?;
            Ok::<u64, JobError>(results.into_iter().sum())
        }
    };
    let handle = parents.enqueue(Parent { children: 1000 }).await.unwrap();
    let worker = windlass.worker().queue(&parents).queue(&children);
    let worker = worker.handle(parent).handle(child).start().await.unwrap();
    assert_eq!(handle.result::<u64>().await.unwrap(), 500_500);
    worker.stop().await;
}

async fn whoever_starts_anew_finds_jobs_and_waits_for_them(store: &str) {
    // What is in memory is of one process.
    let first = Windlass::connect(store).await.unwrap();
    let again = match store {
        "memory:" => first.clone(),
        _ => Windlass::connect(store).await.unwrap(),
    };
    let queue = first.queue("anew").declare().await.unwrap();
    let handles = queue.enqueue_all((1..=20).map(|number| Child { number })).await.unwrap();
    let late = queue.enqueue(Child { number: 21 }).delay(Duration::from_secs(3600)).await.unwrap();
    let ids: Vec<_> = handles.iter().map(|handle| handle.id()).collect();
    drop((handles, queue, first));

    let mut found = Vec::new();
    for id in ids {
        found.push(again.find(id).await.unwrap().unwrap());
    }
    let nobody = windlass::model::JobId::from_bytes([9; 16]);
    assert!(again.find(nobody).await.unwrap().is_none());
    let queue = again.open_queue("anew").await.unwrap();
    let waiting = tokio::spawn({
        let (again, found, late) = (again.clone(), found.clone(), late.reference().clone());
        async move {
            let both = [late, found[7].reference().clone()];
            let first = again.wait_any(both).await.unwrap().unwrap();
            (first.0, again.wait_all(&found).await.unwrap())
        }
    });
    let worker = again.worker().queue(&queue).handle(child).start().await.unwrap();
    let (first, ended) = waiting.await.unwrap();
    assert_eq!((first, ended.len()), (1, 20));
    for (handle, job) in found.iter().zip(ended) {
        assert_eq!((handle.id(), job.state), (job.id, State::Completed));
    }
    late.remove().await.unwrap();
    assert!(matches!(again.wait_all([&late]).await, Err(Error::Gone(id)) if id == late.id()));
    assert!(again.wait_any(Vec::<windlass::JobHandle>::new()).await.unwrap().is_none());
    worker.stop().await;
}

async fn a_flow_is_looked_at_and_cancelled_whole(store: &str) {
    let windlass = Windlass::connect(store).await.unwrap();
    let queue = windlass.queue("flows").declare().await.unwrap();
    let other = windlass.queue("others").declare().await.unwrap();
    let mut stored = Vec::new();
    for _ in 0..2 {
        let mut flow = windlass.flow();
        let parts = [(1, &queue), (2, &other)]
            .map(|(number, queue)| flow.add(queue.enqueue(Child { number })).unwrap());
        let broken = flow.add(other.enqueue(Child { number: 0 })).unwrap();
        let strict = flow.add(queue.enqueue(Sum).after(broken.clone())).unwrap();
        let last = queue.enqueue(Sum).after_all(parts).after_ended(broken);
        let last = flow.add(last).unwrap();
        stored.push((flow.enqueue().await.unwrap().handle, strict, last));
    }
    let (first, strict, last) = &stored[0];
    let status = first.status().await.unwrap();
    assert_eq!((status.total(), status.open(), status.count(State::Blocked)), (5, 5, 2));
    assert_eq!(first.cancel().await.unwrap(), 5);
    assert_eq!(first.status().await.unwrap().count(State::Cancelled), 5);
    assert!(matches!(
        windlass.handle(last.clone()).result::<u64>().await,
        Err(Error::NotCompleted { state: State::Cancelled, .. })
    ));
    assert_eq!(windlass.handle(strict.clone()).state().await.unwrap(), State::Cancelled);

    // The other one goes on. Each edge has its own policy.
    let worker = windlass.worker().queue(&queue).queue(&other).handle(child).handle(sum);
    let worker = worker.start().await.unwrap();
    let (second, strict, last) = &stored[1];
    let again = windlass.flow_handle(second.id());
    let status = again.wait().await.unwrap();
    let counts = [State::Completed, State::Failed, State::Cancelled].map(|s| status.count(s));
    assert_eq!(counts, [3, 1, 1]);
    assert_eq!(windlass.handle(last.clone()).result::<u64>().await.unwrap(), 3);
    assert_eq!(windlass.handle(strict.clone()).state().await.unwrap(), State::Cancelled);
    worker.stop().await;
}

async fn every_recipe_of_the_cookbook_works(store: &str) {
    let store = store.to_owned();
    let run = move || Command::new(example("cookbook")).args(["--store", &store]).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().count(), 21, "{said}");
}
