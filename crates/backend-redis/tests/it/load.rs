//! Work that goes on while something is done to the connections, or to the server.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinHandle;
use windlass_core::Backend;
use windlass_core::backend::{Applied, EnqueueAnswer, Enqueued};
use windlass_core::model::{JobId, QueueName, QueueSpec, State};
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
        self.stops.store(true, Ordering::SeqCst);
        let calls = self.calls();
        let mut all = Figures::default();
        for task in self.tasks {
            let figures = task.await.expect("no call fails");
            all.acknowledged.extend(figures.acknowledged);
            all.wrong += figures.wrong;
            for (id, times) in figures.leased {
                *all.leased.entry(id).or_default() += times;
            }
        }
        let mut completed = 0;
        for queue in &self.queues {
            loop {
                let leased = take_of(backend, queue, 1000).await;
                if leased.is_empty() {
                    break;
                }
                for job in &leased {
                    *all.leased.entry(job.id).or_default() += 1;
                }
                apply(backend, leased.iter().map(done).collect()).await;
            }
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
