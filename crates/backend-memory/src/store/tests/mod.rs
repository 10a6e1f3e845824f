//! Many random calls, judged by a model that looks at every job each time.
//!
//! The model knows no index: it lists all jobs and finds by plain comparison
//! what a dequeue may lease, in which order, and when to look again.

mod model;

use std::collections::HashMap;
use std::time::Duration;

use windlass_core::backend::hub::News;
use windlass_core::backend::{
    Applied, Ask, Clean, CleanWhich, Extend, Overdue, OverdueQuery, Transition,
};
use windlass_core::decide::control::{Wish, control};
use windlass_core::decide::{
    Attempt, Dedup, JobRequest, OnDuplicate, Outcome, Retryable, enqueue, finish, overdue,
    unblocked,
};
use windlass_core::model::{
    DedupKey, Detail, Direction, FailureKind, Filter, Job, JobId, JobRef, JobType, JobsQuery,
    Limits, NewJob, PartitionKey, Partitions, Payload, QueueName, QueueSpec, Rate, State,
    Timestamp, When, WorkerId,
};

use super::Store;

/// Knuth's MMIX generator: varied and repeatable.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn micros(&mut self, up_to: u64) -> Duration {
        Duration::from_micros(self.roll(up_to))
    }

    fn when(&mut self) -> When {
        if self.roll(2) == 0 { When::Now } else { When::After(self.micros(50)) }
    }
}

/// A store with one queue, and what the model remembers of it.
struct Bench {
    store: Store,
    dice: Dice,
    spec: QueueSpec,
    now: Timestamp,
    last_id: u128,
    /// Every start: of which partition, when.
    starts: Vec<(Option<PartitionKey>, Timestamp)>,
}

impl Bench {
    fn new(seed: u64, partitions: Option<Partitions>, limits: Limits) -> Self {
        let name = QueueName::new("q").unwrap();
        let spec = QueueSpec { partitions, limits, max_stalls: 1, ..QueueSpec::new(name) };
        let mut bench = Self {
            store: Store::default(),
            dice: Dice(seed),
            spec: spec.clone(),
            now: Timestamp::from_micros(1000),
            last_id: 0,
            starts: Vec::new(),
        };
        bench.store.declare(&spec, bench.now, &mut News::default());
        bench
    }

    fn jobs(&self) -> Vec<Job> {
        let mut query = JobsQuery {
            filter: Filter::default(),
            direction: Direction::OldestFirst,
            after: None,
            limit: 7,
            detail: Detail::Full,
        };
        let mut all = Vec::new();
        loop {
            let page = self.store.jobs(&query, self.now);
            all.extend(page.jobs);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return all,
            }
        }
    }

    fn some_job(&mut self) -> Option<Job> {
        let jobs = self.jobs();
        let at = self.dice.roll(jobs.len().max(1) as u64) as usize;
        jobs.into_iter().nth(at)
    }

    fn new_job(&mut self) -> NewJob {
        self.last_id += 1;
        let id = JobId::from_bytes(self.last_id.to_be_bytes());
        let mut request = JobRequest::new(id, JobType::new("t").unwrap(), Payload::from("payload"));
        request.due = self.dice.when();
        request.priority = Some(self.dice.roll(3) as i32 - 1);
        if self.dice.roll(4) == 0 {
            request.expires = Some(When::After(self.dice.micros(60)));
        }
        if self.spec.partitions.is_some() {
            let key = format!("p{}", self.dice.roll(4));
            request.partition = PartitionKey::new(key).ok();
        }
        if self.dice.roll(3) == 0 {
            request.dedup = Some(Dedup {
                key: DedupKey::new(format!("k{}", self.dice.roll(3))).unwrap(),
                on_duplicate: OnDuplicate::Reject,
                hold: (self.dice.roll(2) == 0).then(|| self.dice.micros(40)),
            });
        }
        if self.dice.roll(5) == 0 {
            request.depends_on = self.some_job().iter().map(Job::reference).collect();
        }
        enqueue(&self.spec, request).unwrap()
    }

    fn apply(&mut self, transition: Option<Transition>) {
        let Some(transition) = transition else { return };
        let answer = self.store.apply(vec![transition], self.now, &mut News::default());
        let fine = matches!(answer.outcomes[0], Applied::Applied | Applied::KeyTaken { .. });
        assert!(fine, "{answer:?}");
        for job in answer.unblocked {
            self.apply(unblocked(&job, None));
        }
    }

    fn finish_one(&mut self) {
        let active: Vec<Job> =
            self.jobs().into_iter().filter(|job| job.state == State::Active).collect();
        let at = self.dice.roll(active.len().max(1) as u64) as usize;
        let Some(job) = active.get(at) else { return };
        let outcome = match self.dice.roll(6) {
            0 => Outcome::Failure {
                kind: FailureKind::Error,
                message: "no".to_owned(),
                retry: Retryable::After(self.dice.micros(40)),
            },
            1 => Outcome::Snooze(self.dice.when()),
            2 => Outcome::Release,
            _ => Outcome::Success { result: None },
        };
        let token = job.lease.unwrap().token;
        self.apply(finish(job, &self.spec, &Attempt { token, outcome }));
    }

    fn control_one(&mut self) {
        let wish = match self.dice.roll(5) {
            0 => Wish::Cancel,
            1 => Wish::Delay(self.dice.when()),
            2 => Wish::Promote,
            3 => Wish::Retry,
            _ => Wish::Remove,
        };
        if let Some(job) = self.some_job() {
            self.apply(control(&job, wish).ok().flatten());
        }
    }

    fn sweep(&mut self) {
        for what in Overdue::ALL {
            let queue = self.spec.name.clone();
            let mut query = OverdueQuery { queue, what, after: None, limit: 2 };
            let mut found = Vec::new();
            loop {
                let page = self.store.overdue(&query, self.now).unwrap();
                found.extend(page.jobs);
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
            let expected: Vec<JobId> = self.expected_overdue(what);
            let mut ids: Vec<JobId> = found.iter().map(|job| job.id).collect();
            ids.sort_unstable();
            assert_eq!(ids, expected, "{what:?}");
            for job in found {
                // One may have been changed with another one before it.
                let seen = self.store.job(&job.reference(), self.now).unwrap().job;
                self.apply(overdue(&seen, &self.spec, what, self.now));
            }
        }
    }

    fn change_limits(&mut self) {
        let limit = |dice: &mut Dice| Limits {
            concurrency: (dice.roll(2) == 0).then(|| dice.roll(4) as u32),
            rate: (dice.roll(2) == 0)
                .then(|| Rate { limit: dice.roll(4) as u32, period: Duration::from_micros(30) }),
        };
        self.spec.limits = limit(&mut self.dice);
        if self.spec.partitions.is_some() {
            let limits = limit(&mut self.dice);
            self.spec.partitions = Some(Partitions { limits, ..Partitions::default() });
        }
        self.store.declare(&self.spec, self.now, &mut News::default());
        // Starts are not noted while there is no rate, and fewer of them are
        // kept under a shorter one: the model begins anew at a quiet moment.
        self.now = self.now.after(Duration::from_micros(30));
        self.starts.clear();
    }

    fn extend_one(&mut self) {
        if let Some(job) = self.some_job()
            && let Some(lease) = job.lease
        {
            let wish = Extend {
                job: job.reference(),
                token: lease.token,
                lease: Duration::from_micros(1 + self.dice.roll(30)),
                progress: None,
            };
            self.store.extend(vec![wish], self.now, &mut News::default());
        }
    }

    fn clean(&mut self) {
        let state = State::ALL[self.dice.roll(8) as usize];
        let which = match self.dice.roll(2) {
            0 => CleanWhich::OlderThan(self.dice.micros(50)),
            _ => CleanWhich::BeyondNewest(self.dice.roll(5)),
        };
        let clean = Clean { queue: self.spec.name.clone(), state, which, limit: 3 };
        let cleaned = self.store.clean(&clean, self.now, &mut News::default());
        let refused = matches!(state, State::Blocked | State::Active);
        assert_eq!(cleaned.is_err(), refused);
    }

    fn dequeue(&mut self) {
        let max = 1 + self.dice.roll(4) as u32;
        let expected = self.expected_leases(max as usize);
        let ask = Ask {
            queue: self.spec.name.clone(),
            worker: WorkerId::from_bytes([1; 16]),
            max,
            lease: Duration::from_micros(1 + self.dice.roll(60)),
        };
        let found = self.store.dequeue(&ask, self.now, &mut News::default()).unwrap();
        let leased: Vec<JobId> = found.jobs.iter().map(|job| job.id).collect();
        assert_eq!(leased, expected, "at {:?}", self.now);
        self.starts.extend(found.jobs.iter().map(|job| (job.partition.clone(), self.now)));
        self.check_again(found.again);
    }

    fn check_figures(&mut self) {
        let stats = self.store.stats(&self.spec.name, self.now).unwrap();
        let jobs = self.jobs();
        let mut counts = [0; 8];
        for job in &jobs {
            counts[usize::from(job.state.code())] += 1;
        }
        assert_eq!(stats.jobs, counts);
        assert_eq!(stats.leases, counts[usize::from(State::Active.code())]);
        let waiting = jobs.iter().filter(|job| job.state == State::Waiting);
        assert_eq!(stats.oldest_ready, waiting.map(|job| job.due).min());
        let by_id: HashMap<JobId, &Job> = jobs.iter().map(|job| (job.id, job)).collect();
        for job in &jobs {
            let dependents = self.store.dependents(&job.reference(), self.now);
            let live = dependents.iter().filter(|d| !d.state.is_terminal()).count();
            let slot = self.store.find(&job.reference()).unwrap();
            let extra = self.store.jobs[slot].extra.as_deref();
            assert_eq!(extra.map_or(0, |extra| extra.live_dependents), live);
            assert!(dependents.iter().all(|d| by_id.contains_key(&d.id)));
        }
    }

    fn step(&mut self) {
        match self.dice.roll(16) {
            0..=3 => {
                let batch: Vec<NewJob> = (0..self.dice.roll(4)).map(|_| self.new_job()).collect();
                let answer = self.store.enqueue(batch, self.now, &mut News::default());
                if let windlass_core::backend::EnqueueAnswer::Stored { unblocked: jobs, .. } =
                    answer
                {
                    for job in jobs {
                        self.apply(unblocked(&job, None));
                    }
                }
            }
            4..=6 => self.dequeue(),
            7..=8 => self.finish_one(),
            9 => self.control_one(),
            10 => self.extend_one(),
            11 => self.sweep(),
            12 => self.clean(),
            _ => self.now = self.now.after(self.dice.micros(12)),
        }
        self.check_figures();
    }
}

const FREE: Limits = Limits { concurrency: None, rate: None };

#[test]
fn a_plain_queue_agrees_with_the_model() {
    for seed in 0..20 {
        let mut bench = Bench::new(seed, None, FREE);
        for _ in 0..300 {
            bench.step();
        }
    }
}

#[test]
fn a_limited_queue_agrees_with_the_model_while_its_limits_change() {
    for seed in 20..40 {
        let mut bench = Bench::new(seed, None, FREE);
        for round in 0..300 {
            if round % 40 == 20 {
                bench.change_limits();
            }
            bench.step();
        }
    }
}

#[test]
fn a_partitioned_queue_agrees_with_the_model_while_its_limits_change() {
    for seed in 40..80 {
        let mut bench = Bench::new(seed, Some(Partitions::default()), FREE);
        for round in 0..300 {
            if round % 60 == 59 {
                bench.change_limits();
            }
            bench.step();
        }
    }
}

#[test]
fn a_clock_that_is_set_back_leaves_the_indexes_right() {
    for seed in 80..100 {
        let partitions = (seed % 2 == 0).then(Partitions::default);
        let mut bench = Bench::new(seed, partitions, FREE);
        for round in 0..200 {
            if round % 25 == 24 {
                bench.now = bench.now.before(bench.dice.micros(40));
            }
            bench.step();
        }
    }
}

#[test]
fn what_is_left_when_all_jobs_are_removed_is_nothing() {
    let mut bench = Bench::new(7, Some(Partitions::default()), FREE);
    for _ in 0..400 {
        bench.step();
    }
    let jobs: Vec<JobRef> = bench.jobs().iter().map(Job::reference).collect();
    for job in jobs {
        let slot = bench.store.find(&job).unwrap();
        bench.store.remove(slot, bench.now, &mut Vec::new());
    }
    let at = bench.store.names[&bench.spec.name];
    bench.store.tick(at, bench.now.after(Duration::from_secs(1)));
    let text = format!("{:?}", bench.store.queues[at]);
    for blank in ["by_key: {}, startable: {}, opening: {}, waking: {}", "taken: {}, held: {}"] {
        assert!(text.contains(blank), "{text}");
    }
    assert!(!text.contains("Some(Slot("), "{text}");
    assert!(!text.contains("tree: {("), "{text}");
}
