//! Work that goes on while something is done to the connections, or to the server.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinHandle;
use windlass_core::Backend;
use windlass_core::backend::{Applied, BackendExt, EnqueueAnswer, Enqueued, Overdue, OverdueQuery};
use windlass_core::decide;
use windlass_core::model::{Filter, JobId, ManualClock, QueueName, QueueSpec, State};
use windlass_redis::RedisBackend;

use crate::fixture::*;

/// Tasks that enqueue, lease and end jobs until they are told to stop.
pub(crate) struct Load {
    queues: Vec<QueueName>,
    stops: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Figures>>,
}

/// What a task has seen.
#[derive(Default)]
struct Figures {
    acknowledged: Vec<JobId>,
    /// How often each job was leased.
    leased: HashMap<JobId, usize>,
    /// How often an answer was another than it would have been undisturbed.
    wrong: usize,
}

/// What became of the jobs of a load whose server was lost.
#[derive(Debug)]
pub(crate) struct Loss {
    pub(crate) acknowledged: usize,
    /// Acknowledged, and neither there nor ever leased.
    pub(crate) lost: usize,
    /// How many times at most jobs of one task went before one that is there. When a
    /// server is lost, those go that it was given last.
    pub(crate) gaps: usize,
    pub(crate) leased_twice: usize,
    /// Answers that somebody who had seen the earlier ones did not expect.
    pub(crate) wrong: usize,
}

impl Load {
    /// One task for each of these handles, over these queues.
    pub(crate) async fn start(handles: &[RedisBackend], queues: &[QueueName]) -> Self {
        let (stops, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        for queue in queues {
            handles[0].declare(&QueueSpec::new(queue.clone())).await.expect("declare");
        }
        let start = |(task, handle): (usize, &RedisBackend)| {
            let queue = queues[task % queues.len()].clone();
            let (stops, calls) = (Arc::clone(&stops), Arc::clone(&calls));
            tokio::spawn(work(handle.clone(), queue, stops, calls))
        };
        let tasks = handles.iter().enumerate().map(start).collect();
        Self { queues: queues.to_vec(), stops, calls, tasks }
    }

    /// How many calls were answered so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Waits until so many further calls were answered.
    pub(crate) async fn goes_on(&self, calls: u64) {
        let wanted = self.calls() + calls;
        until("calls are answered", || async { self.calls() >= wanted }).await;
    }

    /// Ends it, drains the queues, and holds that nothing was lost, done twice or
    /// answered wrongly. Answers a line of figures.
    pub(crate) async fn end(self, backend: &RedisBackend) -> String {
        let calls = self.calls();
        let queues = self.queues.clone();
        let mut all = Figures::default();
        for figures in self.stop().await {
            all.acknowledged.extend(figures.acknowledged);
            all.wrong += figures.wrong;
            add(&mut all.leased, figures.leased);
        }
        let mut completed = 0;
        for queue in &queues {
            drain(backend, queue, &mut all.leased).await;
            let stats = backend.stats(queue).await.expect("stats");
            completed += stats.count(State::Completed);
            assert_eq!(stats.jobs.iter().sum::<u64>(), stats.count(State::Completed), "{stats:?}");
        }
        let lost = all.acknowledged.iter().filter(|id| !all.leased.contains_key(id)).count();
        let twice = all.leased.values().filter(|times| **times > 1).count();
        let figures = format!(
            "{calls} calls, {} jobs acknowledged: lost {lost}, leased twice {twice}, answered \
             wrongly {}, errors 0",
            all.acknowledged.len(),
            all.wrong,
        );
        assert_eq!((lost, twice, all.wrong), (0, 0, 0), "{figures}");
        assert_eq!(completed, all.acknowledged.len() as u64, "{figures}");
        figures
    }

    /// Ends it, and has every job end that is there, if need be after its lease has run
    /// out by the clock of the backend. For servers that were lost, and with them
    /// what they alone had.
    pub(crate) async fn end_after_loss(self, backend: &RedisBackend, clock: &ManualClock) -> Loss {
        let queues = self.queues.clone();
        let tasks = self.stop().await;
        let mut leased = HashMap::new();
        let mut stored = HashSet::new();
        for figures in &tasks {
            add(&mut leased, figures.leased.clone());
        }
        for queue in &queues {
            drain(backend, queue, &mut leased).await;
            take_over(backend, queue, clock).await;
            drain(backend, queue, &mut leased).await;
            let stats = backend.stats(queue).await.expect("stats");
            assert_eq!(stats.jobs.iter().sum::<u64>(), stats.count(State::Completed), "{stats:?}");
            let filter = Filter { queue: Some(queue.clone()), ..Filter::default() };
            stored.extend(list(backend, filter).await.iter().map(|job| job.id));
        }
        let mut loss = Loss {
            acknowledged: 0,
            lost: 0,
            gaps: 0,
            leased_twice: leased.values().filter(|times| **times > 1).count(),
            wrong: 0,
        };
        for figures in tasks {
            let ids = figures.acknowledged;
            loss.acknowledged += ids.len();
            loss.wrong += figures.wrong;
            let is_gone = |id: &JobId| !stored.contains(id);
            loss.lost += ids.iter().filter(|id| is_gone(id) && !leased.contains_key(*id)).count();
            let gaps = ids.windows(2).filter(|two| is_gone(&two[0]) && !is_gone(&two[1])).count();
            loss.gaps = loss.gaps.max(gaps);
        }
        loss
    }

    async fn stop(self) -> Vec<Figures> {
        self.stops.store(true, Ordering::SeqCst);
        let mut all = Vec::new();
        for task in self.tasks {
            all.push(task.await.expect("no call fails"));
        }
        all
    }
}

fn add(all: &mut HashMap<JobId, usize>, some: HashMap<JobId, usize>) {
    for (id, times) in some {
        *all.entry(id).or_default() += times;
    }
}

/// Leases and ends what stands in line.
async fn drain(backend: &RedisBackend, queue: &QueueName, leased: &mut HashMap<JobId, usize>) {
    loop {
        let found = take_of(backend, queue, 1000).await;
        if found.is_empty() {
            return;
        }
        for job in &found {
            *leased.entry(job.id).or_default() += 1;
        }
        apply(backend, found.iter().map(done).collect()).await;
    }
}

/// Has every lease run out, and takes its job over.
async fn take_over(backend: &RedisBackend, queue: &QueueName, clock: &ManualClock) {
    clock.advance(LEASE * 2);
    let spec = QueueSpec::new(queue.clone());
    loop {
        let what = Overdue::LostLeases;
        let query = OverdueQuery { queue: queue.clone(), what, after: None, limit: 1000 };
        let page = backend.overdue(query).await.expect("overdue");
        if page.jobs.is_empty() {
            return;
        }
        let back = page.jobs.iter().filter_map(|job| decide::overdue(job, &spec, what, page.now));
        backend.apply_through(back.collect()).await.expect("a take-over");
    }
}

async fn work(
    backend: RedisBackend,
    queue: QueueName,
    stops: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
) -> Figures {
    let mut figures = Figures::default();
    while !stops.load(Ordering::SeqCst) {
        let batch = vec![new_job_in(&queue, request()), new_job_in(&queue, request())];
        let ids: Vec<JobId> = batch.iter().map(|job| job.id).collect();
        match backend.enqueue(batch).await.expect("enqueue") {
            EnqueueAnswer::Stored { outcomes, .. } => {
                figures.wrong += outcomes.iter().filter(|one| **one != Enqueued::Stored).count();
            }
            refused => panic!("{refused:?}"),
        }
        figures.acknowledged.extend(ids);
        calls.fetch_add(1, Ordering::SeqCst);
        let leased = take_of(&backend, &queue, 2).await;
        calls.fetch_add(1, Ordering::SeqCst);
        for job in &leased {
            *figures.leased.entry(job.id).or_default() += 1;
        }
        let answer = backend.apply(leased.iter().map(done).collect()).await.expect("apply");
        let applied = |outcome: &&Applied| matches!(outcome, Applied::Applied);
        figures.wrong += leased.len() - answer.outcomes.iter().filter(applied).count();
        calls.fetch_add(1, Ordering::SeqCst);
    }
    figures
}
