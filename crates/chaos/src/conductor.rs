//! Drives a run: starts processes, does them harm, lets the rest be drained,
//! and gathers what there is to judge by.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use windlass::backend::BackendExt;
use windlass::decide::control::Wish;
use windlass::model::{Detail, Direction, Filter, JobType, JobsQuery, Missed, State, Timestamp};
use windlass::{RepeatHandle, Windlass, backend};

use crate::crew::{Duty, Post, Setting, by_itself};
use crate::disturb::{Disturber, Trouble};
use crate::fact::{CallError, Fact, Nature, machine_time};
use crate::jobs::{LOOKED_FOR, Tick};
use crate::judge::{Died, Evidence, Incidents, Places, Process, RunInfo};
use crate::plan::{Queues, REPEATABLES, STOP_IN_LEASES, TICK, Terms};
use crate::{Failure, collect, integrity, observer};

/// How often the conductor looks at its processes.
const LOOK: Duration = Duration::from_millis(25);

/// How long a process that was told to end may take.
const TO_END: Duration = Duration::from_secs(60);

/// How long the store may take to tell its time before it is taken to be away.
const ANSWER: Duration = Duration::from_secs(1);

/// How often it is asked again where it was away before.
const TRIES: u32 = 100;

/// What a run is to be like.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) length: Duration,
    pub(crate) store: Option<String>,
    pub(crate) seed: u64,
    pub(crate) workers: u32,
    pub(crate) producers: u32,
    pub(crate) lease: Duration,
    pub(crate) drain: Duration,
    pub(crate) troubles: Vec<Trouble>,
    pub(crate) histories: Option<PathBuf>,
}

/// A run under way.
struct Conductor {
    windlass: Windlass,
    queues: Queues,
    setting: Setting,
    random: fastrand::Rng,
    posts: Vec<Post>,
    /// Those that have ended.
    past: Vec<Process>,
    incidents: Incidents,
    disturber: Disturber,
    /// When the store last told its time, and which.
    clock: Option<(Instant, Timestamp)>,
}

/// Conducts a run from its beginning to its end.
pub(crate) async fn conduct(orders: &Orders) -> Result<Evidence, Failure> {
    eprintln!("seed {}", orders.seed);
    let temporary = tempfile::Builder::new().prefix("windlass-chaos-").tempdir()?;
    let folder = orders.histories.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    if std::fs::read_dir(&folder)?.next().is_some() {
        return Err(format!("{} is not empty; name another folder", folder.display()).into());
    }
    let store = match &orders.store {
        Some(store) => store.clone(),
        None => integrity::fresh_store(&temporary)?,
    };
    let windlass = Windlass::connect(&store).await?;
    let queues = Queues::declare(&windlass).await?;
    let setting = Setting { store, folder, seed: orders.seed, lease: orders.lease };
    let mut random = fastrand::Rng::with_seed(orders.seed);
    let disturber = Disturber::new(&orders.troubles, &setting.folder, &mut random);
    let conductor = Conductor {
        windlass,
        queues,
        setting,
        random,
        disturber,
        clock: None,
        posts: Vec::new(),
        past: Vec::new(),
        incidents: Incidents::default(),
    };
    conductor.refuse_a_used_store().await?;
    conductor.run(orders, temporary).await
}

fn repeatable(nth: u32) -> String {
    format!("tick-{nth}")
}

impl Conductor {
    /// What was there before would be judged as if this run had done it.
    async fn refuse_a_used_store(&self) -> Result<(), Failure> {
        for (queue, _) in self.queues.all() {
            if queue.stats().await?.jobs.iter().any(|count| *count > 0) {
                return Err("this store has been used before; give it an empty one".into());
            }
        }
        Ok(())
    }

    async fn run(mut self, orders: &Orders, temporary: TempDir) -> Result<Evidence, Failure> {
        let terms = self.begin_ticks(orders).await?;
        for index in 0..orders.workers {
            self.posts.push(Post::begin(&self.setting, Duty::Worker, index)?);
        }
        for index in 0..orders.producers {
            self.posts.push(Post::begin(&self.setting, Duty::Producer, index)?);
        }
        let done = Arc::new(AtomicBool::new(false));
        let observer =
            tokio::spawn(observer::observe(self.queues.clone(), orders.lease, Arc::clone(&done)));

        self.wait_for_work(orders.drain).await?;
        let begin = machine_time();
        self.harm(orders).await?;
        self.wait_for_resumption(orders.drain).await?;
        self.end(Duty::Producer).await?;
        let drained = self.drain(orders.drain).await?;
        self.end(Duty::Worker).await?;
        done.store(true, Ordering::Relaxed);
        let observed = observer.await?;

        let run = RunInfo {
            seed: orders.seed,
            store: self.setting.store.split(':').next().unwrap_or_default().to_owned(),
            workers: orders.workers,
            producers: orders.producers,
            begin,
            length: orders.length,
            drained,
        };
        let stored = self.patiently(|| collect::stored(&self.windlass, &self.queues)).await?;
        let ticks = self.ticks()?;
        let repeatables = self.patiently(|| collect::repeatables(&ticks)).await?;
        let books = self.patiently(|| collect::books(&self.queues)).await?;
        let (keys_tried, dangling) =
            self.patiently(|| collect::try_keys(&self.queues, &stored)).await?;
        let integrity = integrity::check(&self.setting.store)?;
        Ok(Evidence {
            terms,
            processes: self.past,
            incidents: self.incidents,
            disturbances: self.disturber.done().to_vec(),
            observed,
            records: stored,
            books,
            repeatables,
            dangling,
            keys_tried,
            integrity,
            run,
            places: Places { histories: self.setting.folder.clone(), temporary: Some(temporary) },
        })
    }

    /// Waits until there is a job of every kind that is checked. From then on it
    /// is time that is given to the run, however slow the machine: a kind whose
    /// first job comes too late would go unchecked.
    async fn wait_for_work(&mut self, bound: Duration) -> Result<(), Failure> {
        let begin = Instant::now();
        let mut wanted: Vec<Filter> = Vec::new();
        for name in LOOKED_FOR {
            wanted.push(Filter { job_type: Some(JobType::new(name)?), ..Filter::default() });
        }
        for (queue, _) in self.queues.all() {
            // Its moments come by themselves.
            if queue.name() != self.queues.ticks.name() {
                wanted.push(queue.filter());
            }
        }
        while let Some(filter) = wanted.last() {
            if self.exists(filter).await? {
                wanted.pop();
                continue;
            }
            if begin.elapsed() > bound {
                return Err(format!("the producers enqueue nothing that fits {filter:?}").into());
            }
            self.refuse_a_broken_store()?;
            self.look_after().await?;
            tokio::time::sleep(LOOK * 4).await;
        }
        Ok(())
    }

    /// A store that does not work at all need not be harmed to see it.
    fn refuse_a_broken_store(&self) -> Result<(), Failure> {
        for post in &self.posts {
            for noted in post.facts(&self.setting)? {
                if let Fact::Failed { call, error, nature: Nature::Lasting } = noted.fact {
                    return Err(format!("{call} failed before any harm was done: {error}").into());
                }
            }
        }
        Ok(())
    }

    async fn exists(&self, filter: &Filter) -> Result<bool, Failure> {
        let query = JobsQuery {
            filter: filter.clone(),
            direction: Direction::NewestFirst,
            after: None,
            limit: 1,
            detail: Detail::Summary,
        };
        Ok(!self.windlass.jobs(query).await?.jobs.is_empty())
    }

    /// Puts the repeatables. Their moments are known beforehand: each has to be
    /// fired, once, whoever is there to do it.
    async fn begin_ticks(&mut self, orders: &Orders) -> Result<Terms, Failure> {
        let mut ahead = Duration::from_secs(2);
        let (ticks_from, ticks_until) = loop {
            let from = self.now().await?.after(ahead);
            let until = from.after(orders.length);
            for nth in 0..REPEATABLES {
                self.queues
                    .ticks
                    .repeat(repeatable(nth), Tick)
                    .every(TICK)
                    .start(from)
                    .end(until)
                    .missed(Missed::RunAll(1000))
                    .await?;
            }
            // All must be there before the first moment, and on a busy disk that takes its
            // time. No process is there yet that could fire one: they can be put again.
            if self.now().await? < from {
                break (from, until);
            }
            ahead *= 2;
        };
        let slots = self.queues.slots();
        Ok(Terms { lease: orders.lease, slots, ticks_from, ticks_until })
    }

    fn ticks(&self) -> Result<Vec<RepeatHandle>, Failure> {
        let handles = (0..REPEATABLES).map(|nth| self.queues.ticks.repeatable(&repeatable(nth)));
        Ok(handles.collect::<Result<_, _>>()?)
    }

    /// The store's time; while it is away, what it must be by now.
    async fn now(&mut self) -> Result<Timestamp, Failure> {
        let Some((then, time)) = self.clock.filter(|_| !self.disturber.is_idle()) else {
            let now = self.windlass.backend().now().await?;
            self.clock = Some((Instant::now(), now));
            return Ok(now);
        };
        match tokio::time::timeout(ANSWER, self.windlass.backend().now()).await {
            Ok(Ok(now)) => {
                self.clock = Some((Instant::now(), now));
                Ok(now)
            }
            Ok(Err(error)) if error.nature() == Nature::Lasting => Err(error.into()),
            Ok(Err(_)) | Err(_) => Ok(time.after(then.elapsed())),
        }
    }

    /// Bears with errors that are over by themselves, if something was done to
    /// the store.
    fn bear(&self, error: Failure) -> Result<(), Failure> {
        let client = error.downcast_ref::<windlass::Error>().map(CallError::nature);
        let nature =
            client.or_else(|| error.downcast_ref::<backend::Error>().map(CallError::nature));
        let bears = nature == Some(Nature::Passing) && !self.disturber.is_idle();
        if bears { Ok(()) } else { Err(error) }
    }

    /// Tries again what may fail once for something that was done to the store
    /// before.
    async fn patiently<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        for _ in 0..TRIES {
            match call().await {
                Ok(done) => return Ok(done),
                Err(error) => self.bear(error)?,
            }
            tokio::time::sleep(LOOK * 4).await;
        }
        call().await
    }

    /// Kills, stops, continues and restarts processes at random, and disturbs the
    /// store.
    async fn harm(&mut self, orders: &Orders) -> Result<(), Failure> {
        let begin = Instant::now();
        let mut next_worker_kill = self.soon(1500, 2500);
        let mut next_producer_kill = self.soon(2000, 4000);
        let mut next_stop = self.soon(1000, 2000);
        while begin.elapsed() < orders.length {
            self.look_after().await?;
            self.disturber.look(&mut self.random)?;
            if Instant::now() >= next_worker_kill {
                self.kill(Duty::Worker).await?;
                next_worker_kill = self.soon(1500, 2500);
            }
            if Instant::now() >= next_producer_kill {
                self.kill(Duty::Producer).await?;
                next_producer_kill = self.soon(2000, 4000);
            }
            if Instant::now() >= next_stop {
                self.stop(orders.lease * STOP_IN_LEASES)?;
                next_stop = self.soon(1500, 3000);
            }
            tokio::time::sleep(LOOK).await;
        }
        for post in &mut self.posts {
            if post.stopped_until.is_some() {
                post.carry_on()?;
            }
        }
        Ok(())
    }

    /// Waits until jobs are acknowledged and start after the last disturbance:
    /// those who are told to end now could not show that they go on.
    async fn wait_for_resumption(&mut self, bound: Duration) -> Result<(), Failure> {
        while self.disturber.is_under_way()? {
            self.look_after().await?;
            tokio::time::sleep(LOOK).await;
        }
        let Some(end) = self.disturber.done().last().map(|last| last.end) else { return Ok(()) };
        let begin = Instant::now();
        // The judge says what it means if it does not come to that.
        while begin.elapsed() < bound && !self.has_resumed(end)? {
            self.look_after().await?;
            tokio::time::sleep(LOOK * 4).await;
        }
        Ok(())
    }

    fn has_resumed(&self, end: Timestamp) -> Result<bool, Failure> {
        let (mut enqueued, mut started) = (false, false);
        for post in &self.posts {
            for noted in post.facts(&self.setting)?.iter().rev() {
                if noted.noted < end {
                    break;
                }
                enqueued |= matches!(noted.fact, Fact::Acknowledged(_));
                started |= matches!(noted.fact, Fact::Started(_));
            }
        }
        Ok(enqueued && started)
    }

    fn soon(&mut self, from_ms: u64, to_ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(self.random.u64(from_ms..to_ms))
    }

    /// Continues those whose time has come, and restarts those that have
    /// ended.
    async fn look_after(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        for at in 0..self.posts.len() {
            if self.posts[at].stopped_until.is_some_and(|until| until <= now) {
                self.posts[at].carry_on()?;
            }
            if let Some(status) = self.posts[at].ended()? {
                let died = by_itself(status, self.now().await?);
                self.incidents.aborts += u64::from(matches!(died, Died::Aborted(_)));
                self.bury(at, died)?;
                self.posts[at].begin_anew(&self.setting)?;
            }
        }
        Ok(())
    }

    fn bury(&mut self, at: usize, died: Died) -> Result<(), Failure> {
        self.past.push(self.posts[at].legacy(&self.setting, died)?);
        Ok(())
    }

    /// One of those with this duty, for which a question is answered with yes.
    fn choose(&mut self, suits: impl Fn(&Post) -> bool) -> Option<usize> {
        let suiting: Vec<_> = (0..self.posts.len()).filter(|at| suits(&self.posts[*at])).collect();
        self.random.choice(suiting)
    }

    /// Kills one and starts another in its place. Seldom one that is stopped:
    /// what it does once it goes on is of more interest.
    async fn kill(&mut self, duty: Duty) -> Result<(), Failure> {
        let any = self.random.u32(..5) == 0;
        let suits = |post: &Post| post.duty == duty && (any || post.stopped_until.is_none());
        let Some(at) = self.choose(suits) else { return Ok(()) };
        let before = self.now().await?;
        let status = self.posts[at].kill()?;
        let died = match by_itself(status, before) {
            // A job was faster.
            aborted @ Died::Aborted(_) => aborted,
            _ => Died::Killed(before),
        };
        match (died, duty) {
            (Died::Aborted(_), _) => self.incidents.aborts += 1,
            (_, Duty::Worker) => self.incidents.workers_killed += 1,
            (_, Duty::Producer) => self.incidents.producers_killed += 1,
        }
        self.bury(at, died)?;
        self.posts[at].begin_anew(&self.setting)
    }

    /// Stops one that is not: two at most at a time, so that the others get on.
    fn stop(&mut self, length: Duration) -> Result<(), Failure> {
        if self.posts.iter().filter(|post| post.stopped_until.is_some()).count() >= 2 {
            return Ok(());
        }
        // Workers are what has leases to lose.
        let duty = if self.random.u32(..4) == 0 { Duty::Producer } else { Duty::Worker };
        let Some(at) = self.choose(|post| post.duty == duty && post.stopped_until.is_none()) else {
            return Ok(());
        };
        if self.posts[at].ended()?.is_some() {
            return Ok(());
        }
        self.posts[at].stop(length)?;
        match duty {
            Duty::Worker => self.incidents.workers_stopped += 1,
            Duty::Producer => self.incidents.producers_stopped += 1,
        }
        Ok(())
    }

    /// Tells those with a duty to end, and waits until they have.
    async fn end(&mut self, duty: Duty) -> Result<(), Failure> {
        for post in self.posts.iter_mut().filter(|post| post.duty == duty) {
            post.dismiss();
        }
        let begin = Instant::now();
        while let Some(at) = self.posts.iter().position(|post| post.duty == duty) {
            let died = match self.posts[at].ended()? {
                Some(status) if status.success() => Died::Told,
                Some(status) => by_itself(status, self.now().await?),
                None if begin.elapsed() < TO_END => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                None => {
                    self.posts[at].kill()?;
                    Died::Unexpected
                }
            };
            self.bury(at, died)?;
            self.posts.remove(at);
        }
        Ok(())
    }

    /// Lets the workers finish what is left. Answers how long that took, if it
    /// came to an end.
    async fn drain(&mut self, bound: Duration) -> Result<Option<Duration>, Failure> {
        let begin = Instant::now();
        while begin.elapsed() < bound {
            // Jobs kill processes still.
            self.look_after().await?;
            match self.is_drained().await {
                Ok(true) => return Ok(Some(begin.elapsed())),
                Ok(false) => {}
                Err(error) => self.bear(error)?,
            }
            if let Err(error) = self.promote_rare().await {
                self.bear(error)?;
            }
            tokio::time::sleep(LOOK * 4).await;
        }
        Ok(None)
    }

    async fn is_drained(&self) -> Result<bool, Failure> {
        for tick in self.ticks()? {
            if tick.record().await?.is_some_and(|record| record.next.is_some()) {
                return Ok(false);
            }
        }
        for (queue, _) in self.queues.all() {
            let stats = queue.stats().await?;
            if State::ALL.into_iter().any(|s| !s.is_terminal() && stats.count(s) > 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Jobs that were handed back for being of an unknown type wait for up to a
    /// minute; an operator need not.
    async fn promote_rare(&self) -> Result<(), Failure> {
        let queue = Some(self.queues.rare.name().clone());
        let filter = Filter { queue, states: vec![State::Scheduled], ..Filter::default() };
        self.windlass.backend().control_all(filter, Wish::Promote).await?;
        Ok(())
    }
}
