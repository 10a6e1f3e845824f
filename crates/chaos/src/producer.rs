//! A producer process: enqueues jobs and writes down what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use windlass::model::{Backoff, State};
use windlass::{Enqueue, Error, Queue};

use crate::fact::{Acknowledged, Fact, History, IfBroken};
use crate::jobs::{Doomed, Flaky, Parent, Poison, Rare, Snoozy, Steps, Work};
use crate::plan::{DELAY_IN_LEASES, PARTITIONS, Queues};
use crate::worker::{join, leave_with_parent, persist, speak};
use crate::{Failure, Member};

/// How many callers enqueue at once in one process, so that they share
/// batches.
const CALLERS: u64 = 3;

/// How many jobs may stand in a queue before producers leave it alone for a
/// while: so that what is left in the end is drained soon.
const BACKLOG: u64 = 60;

/// How often they look.
const LOOK: Duration = Duration::from_millis(200);

/// How many deduplication keys are fought over.
const DEDUP_KEYS: u64 = 10;

/// How long a job key stays the same for everybody.
const KEY_PERIOD: u128 = 150;

/// How often a job that kills its process is enqueued.
const POISON_EVERY: Duration = Duration::from_secs(4);

/// One that enqueues.
struct Producer {
    history: History,
    queues: Queues,
    lease: Duration,
    /// Whether a queue is short enough, in the order of [`Queues::all`].
    open: [AtomicBool; 9],
    ended: AtomicBool,
}

/// Runs until standard input ends.
pub(crate) async fn run(member: Member) -> Result<(), Failure> {
    let ended = leave_with_parent()?;
    speak();
    let history = History::begin(&member.history)?;
    let (_, queues) = persist(&history, "connect", || join(&member.store)).await?;
    let producer = Arc::new(Producer {
        history,
        queues,
        lease: member.lease(),
        open: Default::default(),
        ended: AtomicBool::new(false),
    });
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let producer = Arc::clone(&producer);
        let random = fastrand::Rng::with_seed(member.seed ^ (caller + 1));
        callers.push(tokio::spawn(async move { producer.produce(random).await }));
    }
    let look = {
        let producer = Arc::clone(&producer);
        // One of them is enough for what kills processes.
        tokio::spawn(async move { producer.look(member.index == 0).await })
    };
    let _ = ended.await;
    producer.ended.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await?;
    }
    look.abort();
    Ok(())
}

impl Producer {
    /// Looks which queues are short enough, again and again.
    async fn look(&self, poisons: bool) {
        // At once: a process may not live until a while has passed.
        let mut poisoned: Option<Instant> = None;
        loop {
            for ((queue, _), open) in self.queues.all().iter().zip(&self.open) {
                match queue.stats().await {
                    Ok(stats) => {
                        let live = State::ALL.into_iter().filter(|state| !state.is_terminal());
                        let backlog: u64 = live.map(|state| stats.count(state)).sum();
                        open.store(backlog < BACKLOG, Ordering::Relaxed);
                    }
                    Err(error) => self.history.note_failure("stats", &error),
                }
            }
            let again = poisoned.is_none_or(|at| at.elapsed() >= POISON_EVERY);
            if poisons && again && self.is_open(&self.queues.poison) {
                poisoned = Some(Instant::now());
                self.poison().await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn is_open(&self, queue: &Queue) -> bool {
        let all = self.queues.all();
        let at = all.iter().position(|(of, _)| of.name() == queue.name());
        at.is_some_and(|at| self.open[at].load(Ordering::Relaxed))
    }

    async fn produce(&self, mut random: fastrand::Rng) {
        while !self.ended.load(Ordering::Relaxed) {
            let queues = &self.queues;
            match random.u32(..100) {
                0..30 if self.is_open(&queues.bulk) => self.bulk(&mut random).await,
                30..42 if self.is_open(&queues.limited) => {
                    let work = Work { ms: random.u64(20..100) };
                    self.store(&queues.limited, queues.limited.enqueue(work)).await;
                }
                42..60 if self.is_open(&queues.rated) => {
                    self.store(&queues.rated, queues.rated.enqueue(Work { ms: 1 })).await;
                }
                60..78 if self.is_open(&queues.lines) => self.line(&mut random).await,
                78..86 if self.is_open(&queues.flows) => self.flow(&mut random).await,
                86..96 if self.is_open(&queues.unique) => self.unique(&mut random).await,
                96..100 if self.is_open(&queues.rare) => {
                    let rare = Rare { ms: random.u64(50..800) };
                    self.store(&queues.rare, queues.rare.enqueue(rare)).await;
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(random.u64(5..50))).await;
        }
    }

    /// Enqueues a job and notes it if it was acknowledged.
    async fn store<J: 'static>(&self, queue: &Queue, job: Enqueue<J>) {
        self.store_as(job, Acknowledged::new_in(queue)).await;
    }

    async fn store_as<J: 'static>(&self, job: Enqueue<J>, known: Acknowledged) {
        match job.await {
            Ok(handle) => {
                self.history.note(Fact::Acknowledged(Acknowledged { job: handle.id(), ..known }));
            }
            Err(Error::Duplicate { key, existing }) => {
                let key = key.as_str().to_owned();
                self.history.note(Fact::Duplicate { key, existing: existing.id });
            }
            Err(error) => self.history.note_failure("enqueue", &error),
        }
    }

    async fn bulk(&self, random: &mut fastrand::Rng) {
        let queue = &self.queues.bulk;
        match random.u32(..100) {
            0..25 => self.batch(random).await,
            // Longer than a lease: heartbeats have to keep it.
            25..35 => {
                let lease = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
                let work = Work { ms: random.u64(lease / 5..lease * 5 / 2) };
                self.store(queue, queue.enqueue(work)).await;
            }
            35..50 => {
                let backoff = Backoff::Fixed(Duration::from_millis(100));
                let flaky = Flaky { ms: random.u64(..20) };
                self.store(queue, queue.enqueue(flaky).backoff(backoff)).await;
            }
            50..55 => self.store(queue, queue.enqueue(Snoozy)).await,
            55..70 => self.store(queue, queue.enqueue(Steps { ms: random.u64(5..400) })).await,
            70..80 => self.store(queue, queue.enqueue(Parent { ms: random.u64(..300) })).await,
            80..90 => {
                let delay = self.lease * DELAY_IN_LEASES;
                let mut known = Acknowledged::new_in(queue);
                known.delay = u64::try_from(delay.as_micros()).ok();
                self.store_as(queue.enqueue(Work { ms: 1 }).delay(delay), known).await;
            }
            // Everybody takes the same name at the same time (rule E3).
            _ => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let period = since.unwrap_or_default().as_millis() / KEY_PERIOD;
                let key = format!("period-{period}");
                let mut known = Acknowledged::new_in(queue);
                known.key = Some(key.clone());
                // It would be a false expiry.
                let job = queue.enqueue(Work { ms: 1 }).expires_after(Duration::from_secs(3600));
                self.store_as(job.key(key), known).await;
            }
        }
    }

    /// Many at once, all or none.
    async fn batch(&self, random: &mut fastrand::Rng) {
        let queue = &self.queues.bulk;
        let jobs: Vec<_> = (0..random.u64(2..20)).map(|_| Work { ms: random.u64(..20) }).collect();
        match queue.enqueue_all(jobs).await {
            Ok(handles) => {
                for handle in handles {
                    let known = Acknowledged::new(handle.id(), queue.name());
                    self.history.note(Fact::Acknowledged(known));
                }
            }
            Err(error) => self.history.note_failure("enqueue many", &error),
        }
    }

    async fn line(&self, random: &mut fastrand::Rng) {
        let queue = &self.queues.lines;
        let partition = format!("p{}", random.u64(..PARTITIONS));
        if random.u32(..6) == 0 {
            // It keeps its place while it waits to be tried again (rule P2).
            let backoff = Backoff::Fixed(Duration::from_millis(50));
            let job = queue.enqueue(Flaky { ms: 3 }).backoff(backoff);
            self.store(queue, job.partition(partition)).await;
        } else {
            let work = Work { ms: random.u64(5..40) };
            self.store(queue, queue.enqueue(work).partition(partition)).await;
        }
    }

    /// Two jobs, one that waits for both, and one that waits for that.
    async fn flow(&self, random: &mut fastrand::Rng) {
        let queue = &self.queues.flows;
        let broken = if random.bool() { IfBroken::Run } else { IfBroken::Cancel };
        let doomed = random.u32(..5) == 0;
        let stored = async {
            let mut flow = queue.client().flow();
            let first = match doomed {
                true => flow.add(queue.enqueue(Doomed))?,
                false => flow.add(queue.enqueue(Work { ms: random.u64(..60) }))?,
            };
            let second = flow.add(queue.enqueue(Work { ms: random.u64(..60) }))?;
            let mut both = queue.enqueue(Work { ms: 5 }).after(first).after(second);
            if broken == IfBroken::Run {
                both = both.even_if_broken();
            }
            let both = flow.add(both)?;
            flow.add(queue.enqueue(Work { ms: 1 }).after(both))?;
            flow.enqueue().await
        };
        match stored.await {
            Ok(flow) => {
                let ids: Vec<_> = flow.jobs.iter().map(|job| job.id).collect();
                for (at, after) in [(0, 0..0), (1, 0..0), (2, 0..2), (3, 2..3)] {
                    let mut known = Acknowledged::new(ids[at], queue.name());
                    known.after = ids[after].to_vec();
                    known.broken = if at == 2 { broken } else { IfBroken::Cancel };
                    self.history.note(Fact::Acknowledged(known));
                }
            }
            Err(error) => self.history.note_failure("enqueue flow", &error),
        }
    }

    async fn unique(&self, random: &mut fastrand::Rng) {
        let queue = &self.queues.unique;
        let key = format!("d{}", random.u64(..DEDUP_KEYS));
        let job = queue.enqueue(Work { ms: random.u64(..150) }).dedup(key);
        self.store(queue, job).await;
    }

    /// One that kills its process, and some that do not, in one queue.
    async fn poison(&self) {
        let queue = &self.queues.poison;
        self.store(queue, queue.enqueue(Work { ms: 5 })).await;
        self.store(queue, queue.enqueue(Poison)).await;
        for _ in 0..2 {
            self.store(queue, queue.enqueue(Work { ms: 5 })).await;
        }
    }
}
