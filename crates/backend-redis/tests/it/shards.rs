//! Queues that are spread over shards: where their keys lie, and that nobody outside sees
//! more than one queue.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;
use windlass_core::backend::{Applied, BackendExt, Declared, EnqueueAnswer, Enqueued, Extend};
use windlass_core::decide::{self, JobRequest, shards};
use windlass_core::model::{
    Filter, Job, JobId, MAX_SHARDS, ManualClock, NewJob, PartitionKey, Partitions, QueueSpec, State,
};
use windlass_core::{Backend, ErrorKind};
use windlass_redis::redis;

use crate::fixture::*;
use crate::proxy::Proxy;

const SHARDS: u32 = 16;

fn spread(partitioned: bool) -> QueueSpec {
    let partitions = partitioned.then(Partitions::default);
    QueueSpec { shards: SHARDS, partitions, ..spec() }
}

fn of_partition(number: usize) -> NewJob {
    let partition = PartitionKey::new(format!("partition-{number}")).unwrap();
    let request = JobRequest { partition: Some(partition), ..request() };
    decide::enqueue(&spread(true), request).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_of_a_queue_with_shards_lie_in_many_slots_and_its_load_on_all_masters() {
    let home = Home::cluster();
    let backend = home.open().await;
    // So many that each master surely has some, wherever their slots are.
    let wide = QueueSpec { shards: MAX_SHARDS, ..spec() };
    backend.declare(&wide).await.unwrap();
    const BATCHES: usize = 40;
    for _ in 0..BATCHES {
        enqueue(&backend, jobs(50)).await;
    }
    let mut ran = HashSet::new();
    loop {
        let taken = take(&backend, 100).await;
        if taken.is_empty() {
            break;
        }
        ran.extend(taken.iter().map(|job| job.id));
        apply(&backend, taken.iter().map(done).collect()).await;
    }
    assert_eq!(ran.len(), BATCHES * 50);
    let (mut slots, mut by_master) = (BTreeSet::new(), Vec::new());
    for master in &mut home.server.masters().await {
        let (mut of_master, mut jobs) = (BTreeSet::new(), 0_u64);
        for key in master.keys(&home.prefix).await {
            let text = String::from_utf8_lossy(&key).into_owned();
            if text.starts_with(&format!("{{{}:q", home.prefix)) && text.ends_with(":jobs") {
                let slot: u16 = master.run(redis::cmd("CLUSTER").arg("KEYSLOT").arg(&key)).await;
                of_master.insert(slot);
                jobs += master.run::<u64>(redis::cmd("HLEN").arg(&key)).await;
            }
        }
        by_master.push((of_master.len(), jobs));
        slots.extend(of_master);
    }
    eprintln!("slots and jobs by master: {by_master:?}");
    // Two of them may have come upon one slot.
    assert!(slots.len() > MAX_SHARDS as usize - 8, "{} slots", slots.len());
    assert!(by_master.iter().filter(|(_, jobs)| *jobs >= 100).count() >= 3, "{by_master:?}");
    assert_eq!(by_master.iter().map(|(_, jobs)| jobs).sum::<u64>(), ran.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_of_several_handles_keep_the_order_of_every_partition() {
    const PARTITIONS: usize = 24;
    const EACH: usize = 12;
    let home = Home::single();
    let first = home.open().await;
    first.declare(&spread(true)).await.unwrap();
    let ran: Arc<Mutex<BTreeMap<String, Vec<JobId>>>> = Arc::default();
    let running: Arc<Mutex<HashSet<String>>> = Arc::default();
    let mut workers = JoinSet::new();
    for _ in 0..6 {
        // A handle has a connection and knowledge of its own, as a process has.
        let (backend, ran, running) = (home.open().await, Arc::clone(&ran), Arc::clone(&running));
        workers.spawn(async move {
            let all = PARTITIONS * EACH;
            while ran.lock().unwrap().values().map(Vec::len).sum::<usize>() < all {
                for job in take(&backend, 5).await {
                    let partition = job.partition.as_ref().unwrap().to_string();
                    assert!(running.lock().unwrap().insert(partition.clone()), "two at a time");
                    tokio::task::yield_now().await;
                    ran.lock().unwrap().entry(partition.clone()).or_default().push(job.id);
                    running.lock().unwrap().remove(&partition);
                    apply(&backend, vec![done(&job)]).await;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    // One process for each partition enqueues, while others do so for theirs.
    let mut producers = JoinSet::new();
    for partition in 0..PARTITIONS {
        let backend = first.clone();
        producers.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..EACH {
                let job = of_partition(partition);
                ids.push(job.id);
                enqueue(&backend, vec![job]).await;
            }
            (format!("partition-{partition}"), ids)
        });
    }
    let mut expected = BTreeMap::new();
    while let Some(produced) = producers.join_next().await {
        expected.extend([produced.unwrap()]);
    }
    let end = tokio::time::timeout(PATIENCE, async {
        while let Some(worker) = workers.join_next().await {
            worker.unwrap();
        }
    });
    end.await.expect("all jobs run");
    assert_eq!(*ran.lock().unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_lie_in_the_shard_that_core_decides() {
    let home = Home::single();
    let backend = home.open().await;
    backend.declare(&spread(false)).await.unwrap();
    let batch = jobs(64);
    enqueue(&backend, batch.clone()).await;
    let mut by_shard: HashMap<u32, HashSet<JobId>> = HashMap::new();
    for job in &batch {
        by_shard.entry(shards::of_job(job, SHARDS)).or_default().insert(job.id);
    }
    let mut master = home.server.masters().await.remove(0);
    for shard in 0..SHARDS {
        let name = shards::name(&queue(), shard);
        let key = format!("{{{}:{name}}}:jobs", home.prefix);
        let ids: Vec<Vec<u8>> = master.run(redis::cmd("HKEYS").arg(key)).await;
        let ids = ids.into_iter().map(|id| JobId::from_bytes(id.try_into().unwrap()));
        assert_eq!(ids.collect::<HashSet<_>>(), by_shard.remove(&shard).unwrap_or_default());
    }
    assert!(by_shard.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declaration_that_broke_off_anywhere_is_completed_by_the_next() {
    // What a process leaves that dies between two calls: a store in which only some of
    // the shards are declared. Here they are declared one by one, by removing the others.
    for left in 0..4 {
        let home = Home::single();
        let clock = ManualClock::new();
        let backend = home.open_by(&clock).await;
        let mut wanted = QueueSpec { shards: 4, ..spec() };
        backend.declare(&spec()).await.unwrap();
        enqueue(&backend, jobs(8)).await;
        backend.declare(&wanted).await.unwrap();
        let mut master = home.server.masters().await.remove(0);
        for shard in left + 1..4 {
            let name = shards::name(&queue(), shard);
            let _: u32 =
                master.run(redis::cmd("DEL").arg(format!("{{{}:{name}}}:meta", home.prefix))).await;
        }
        let other = home.open_by(&clock).await;
        assert_eq!(other.declare(&wanted).await.unwrap(), Declared::Unchanged);
        enqueue(&other, jobs(32)).await;
        assert_eq!(count(&other, &queue(), State::Waiting).await, 40);
        wanted.limits.concurrency = Some(8);
        assert_eq!(other.declare(&wanted).await.unwrap(), Declared::Updated);
        assert!(take(&backend, 100).await.len() <= 8);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_declared_before_there_were_shards_reads_and_reads_back_the_same() {
    let home = Home::single();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    let mut master = home.server.masters().await.remove(0);
    let key = format!("{{{}:{}}}:meta", home.prefix, queue());
    let stored: String = master.run(redis::cmd("HGET").arg(&key).arg("s")).await;
    assert!(!stored.contains("shards") && !stored.contains("extent"), "{stored}");
    assert_eq!(backend.queues().await.unwrap()[0].spec, spec());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_that_only_enqueues_hears_of_more_shards() {
    let home = Home::single();
    let (declaring, enqueuing) = (home.open().await, home.open().await);
    declaring.declare(&spec()).await.unwrap();
    enqueue(&enqueuing, jobs(1)).await;
    declaring.declare(&spread(false)).await.unwrap();
    let master = tokio::sync::Mutex::new(home.server.masters().await.remove(0));
    let last = shards::name(&queue(), SHARDS - 1);
    let key = format!("{{{}:{last}}}:jobs", home.prefix);
    let enqueued = AtomicU64::new(1);
    // Whoever has not heard puts all of them in the first one.
    until("it hears", || async {
        enqueue(&enqueuing, jobs(5)).await;
        enqueued.fetch_add(5, Ordering::SeqCst);
        let there: u64 = master.lock().await.run(redis::cmd("HLEN").arg(&key)).await;
        there > 0
    })
    .await;
    let enqueued = enqueued.into_inner();
    assert_eq!(count(&enqueuing, &queue(), State::Waiting).await, enqueued);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_of_a_former_life_opens_nothing_in_another_shard() {
    let home = Home::single();
    let backend = home.open().await;
    backend.declare(&spread(true)).await.unwrap();
    let key = windlass_core::model::JobKey::new("the same").unwrap();
    let mut old: Option<Job> = None;
    // The same id in one partition after another, and so in one shard after another.
    for number in 0..8 {
        let partition = Some(PartitionKey::new(format!("partition-{number}")).unwrap());
        let request = JobRequest { partition, key: Some(key.clone()), ..request() };
        let job = decide::enqueue(&spread(true), request).unwrap();
        match backend.enqueue(vec![job]).await.unwrap() {
            EnqueueAnswer::Stored { outcomes, .. } => assert_eq!(outcomes, [Enqueued::Stored]),
            refused => panic!("{refused:?}"),
        }
        let job = take(&backend, 1).await.remove(0);
        if let Some(old) = &old {
            assert_eq!(old.id, job.id);
            assert_ne!(old.lease.unwrap().token, job.lease.unwrap().token);
            let answer = backend.apply(vec![done(old)]).await.unwrap();
            assert!(!matches!(answer.outcomes[0], Applied::Applied), "{answer:?}");
        }
        apply(&backend, vec![done(&job)]).await;
        let removed = backend.control(&job.reference(), decide::control::Wish::Remove).await;
        assert!(removed.unwrap());
        old = Some(job);
    }
    assert_eq!(list(&backend, Filter::default()).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_not_spread_takes_one_call_for_each_call() {
    let home = Home::single();
    let proxy = Proxy::before(&home.server).await;
    let backend = connect(proxy.lead(&home.server, home.config())).await;
    backend.declare(&spec()).await.unwrap();
    let round = async || {
        enqueue(&backend, jobs(3)).await;
        let taken = take(&backend, 3).await;
        assert_eq!(taken.len(), 3);
        let extend = taken.iter().map(|job| Extend {
            job: job.reference(),
            token: job.lease.unwrap().token,
            lease: LEASE,
            progress: None,
        });
        backend.extend(extend.collect()).await.unwrap();
        look(&backend, &taken[0].reference()).await;
        apply(&backend, taken.iter().map(done).collect()).await;
    };
    // The first time, scripts and the declaration become known.
    round().await;
    let before = proxy.calls();
    for _ in 0..10 {
        round().await;
    }
    let calls = proxy.calls() - before;
    assert_eq!(calls, 50);
    // One that is spread over two takes one each as well where jobs are of one shard, and
    // no more than one for each shard otherwise.
    backend.declare(&QueueSpec { shards: 2, ..spec() }).await.unwrap();
    round().await;
    let before = proxy.calls();
    for _ in 0..10 {
        round().await;
    }
    let calls = proxy.calls() - before;
    assert!((50..=100).contains(&calls), "{calls} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_cannot_be_used_holds_up_its_own_jobs_only() {
    let home = Home::single();
    let backend = home.open().await;
    backend.declare(&spread(false)).await.unwrap();
    let all = jobs(200);
    enqueue(&backend, all.clone()).await;
    let (mut there, mut in_it) = (HashSet::new(), HashSet::new());
    for job in &all {
        match shards::of_job(job, SHARDS) {
            3 => in_it.insert(job.id),
            _ => there.insert(job.id),
        };
    }
    let mut master = home.server.masters().await.remove(0);
    let key = format!("{{{}:{}}}:meta", home.prefix, shards::name(&queue(), 3));
    let kept = format!("{key}-kept");
    let _: () = master.run(redis::cmd("RENAME").arg(&key).arg(&kept)).await;
    let _: () = master.run(redis::cmd("SET").arg(&key).arg("no hash")).await;
    let mut ran = HashSet::new();
    let error = loop {
        match backend.dequeue(ask(1000)).await {
            Ok(answer) => ran.extend(answer.jobs.iter().map(|job| job.id)),
            Err(error) => break error,
        }
    };
    assert_eq!(ran, there, "{error}");
    let _: () = master.run(redis::cmd("RENAME").arg(&kept).arg(&key)).await;
    let rest: HashSet<JobId> = take(&backend, 1000).await.iter().map(|job| job.id).collect();
    assert_eq!(rest, in_it);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_a_shard_gives_too_late_are_handed_back() {
    let home = Home::single();
    let (clock, proxy) = (ManualClock::new(), Proxy::before(&home.server).await);
    let looking = home.open_by(&clock).await;
    let backend = connect(proxy.lead(&home.server, home.config_by(&clock))).await;
    backend.declare(&QueueSpec { shards: 2, ..spec() }).await.unwrap();
    enqueue(&backend, jobs(20)).await;
    // The scripts become known.
    let first = take(&backend, 1).await;
    apply(&backend, first.iter().map(done).collect()).await;
    // The answer is lost, and it cannot be asked for again for a while.
    proxy.close();
    proxy.swallow(0, 1);
    let error = backend.dequeue(ask(19)).await.expect_err("no shard answers");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(count(&looking, &queue(), State::Active).await > 0, "they were leased");
    proxy.open();
    until("they are handed back", async || count(&looking, &queue(), State::Active).await == 0)
        .await;
    let again = take(&looking, 20).await;
    assert_eq!(again.len(), 19);
    assert!(again.iter().all(|job| job.course.stalls == 0 && job.course.failed_attempts == 0));
}
