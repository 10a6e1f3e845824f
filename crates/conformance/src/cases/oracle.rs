//! Long lives of queues of every kind, in which each dequeue is compared with
//! what the rules say, worked out from the jobs one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_core::BackendExt;
use windlass_core::backend::{Again, Overdue};
use windlass_core::decide::Outcome;
use windlass_core::decide::control::Wish;
use windlass_core::decide::limit::{slots, starts};
use windlass_core::model::{
    Backoff, Job, JobId, Limits, OnRetry, PartitionKey, Partitions, PriorityMode, QueueSpec, Rate,
    Retry, State, Timestamp, When,
};

use crate::fixture::{Dice, Queue, done, failure, ids, is_applied, micros, secs};
use crate::harness::{Context, case_table};

case_table! {
    [O1 O3 O4 G1 G4 R5] a_plain_queue_gives_out_what_the_rules_say,
    [P1 P2 P4 G1 G4 R5] a_partitioned_queue_gives_out_what_the_rules_say,
    [P2] any_life_of_a_partitioned_queue_keeps_order_and_bounds,
}

/// Leases the first jobs of a queue that are due and inside its limits, and
/// says when a dequeue may find more.
async fn a_plain_queue_gives_out_what_the_rules_say(ctx: &Context) {
    for seed in 0..10 {
        live(ctx, seed, None).await;
    }
}

/// In a partitioned queue its partition must have a free slot and start too,
/// and no job of it whose place is kept stands before.
async fn a_partitioned_queue_gives_out_what_the_rules_say(ctx: &Context) {
    let kinds = [
        (Some(1), None, OnRetry::Hold),
        (Some(1), None, OnRetry::Yield),
        (Some(2), None, OnRetry::Hold),
        (Some(1), Some(2), OnRetry::Hold),
        (None, Some(2), OnRetry::Yield),
    ];
    for (seed, (concurrency, rate, on_retry)) in (100..).zip(kinds.into_iter().cycle().take(10)) {
        let rate = rate.map(|limit| Rate { limit, period: secs(4) });
        let limits = Limits { concurrency, rate };
        live(ctx, seed, Some(Partitions { limits, on_retry })).await;
    }
}

/// A long life in which everything happens to the jobs of a few partitions:
/// each runs one at a time, in order, and every job is done in the end.
async fn any_life_of_a_partitioned_queue_keeps_order_and_bounds(ctx: &Context) {
    let mut dice = Dice::new(11);
    let queue = ctx
        .queue_with("q", |spec| {
            spec.partitions = Some(Partitions::default());
            spec.max_stalls = 1000;
        })
        .await;
    let names = ["a", "b", "c", "d"];
    let retry = Retry { max_attempts: 1000, backoff: Backoff::Fixed(secs(3)), jitter: 0.0 };
    let mut started: Vec<(String, JobId)> = Vec::new();
    let mut expected = Vec::new();
    let mut held: Vec<windlass_core::model::Job> = Vec::new();
    let mut steps = 0;
    while steps < 400 || queue.stats().await.count(State::Completed) < expected.len() as u64 {
        steps += 1;
        assert!(steps < 5000, "some job is never done");
        match dice.below(6) {
            0 if steps < 400 => {
                let partition = dice.pick(&names);
                let job = queue.add(queue.job().partition(partition).retry(retry.clone())).await;
                expected.push((partition.to_owned(), job.id));
            }
            1 => {
                ctx.advance(secs(dice.below(4)));
                queue.sweep(Overdue::LostLeases).await;
                let now = ctx.now();
                held.retain(|job| job.lease.is_some_and(|lease| lease.until > now));
            }
            2 | 3 => {
                let max = 1 + u32::try_from(dice.below(3)).expect("small");
                for job in queue.take(max).await {
                    let partition = job.partition.clone();
                    assert!(
                        held.iter().all(|other| other.partition != partition),
                        "two of {partition:?} at a time"
                    );
                    held.push(job);
                }
            }
            _ if !held.is_empty() => {
                let index = usize::try_from(dice.below(held.len() as u64)).expect("small");
                let job = held.swap_remove(index);
                let outcome = match dice.below(5) {
                    0 => failure("no"),
                    1 => Outcome::Snooze(When::After(secs(2))),
                    2 => Outcome::Release,
                    _ => {
                        let partition = job.partition.clone().expect("a partition");
                        started.push((partition.as_str().to_owned(), job.id));
                        done()
                    }
                };
                queue.settled(&job, outcome).await;
            }
            _ => {}
        }
    }
    // Jobs of a partition are done in the order in which they came.
    for name in names {
        let of = |list: &[(String, JobId)]| -> Vec<JobId> {
            list.iter().filter(|(p, _)| p == name).map(|(_, id)| *id).collect()
        };
        assert_eq!(of(&started), of(&expected), "partition {name}");
    }
}

/// How many things happen in one life.
const STEPS: u64 = 160;

/// How long leases are here: short, so that many run out.
const LEASE: Duration = secs(7);

async fn live(ctx: &Context, seed: u64, partitions: Option<Partitions>) {
    let mut dice = Dice::new(1000 + seed);
    let queue = ctx
        .queue_with(&format!("q{seed}"), |spec| {
            spec.partitions = partitions;
            spec.priority = dice.pick(&[PriorityMode::LowestFirst, PriorityMode::HighestFirst]);
            spec.aging = dice.pick(&[None, None, Some(micros(1_500_000))]);
            spec.limits.concurrency = dice.pick(&[None, Some(2), Some(4)]);
            let rate = Rate { limit: 5, period: secs(6) };
            spec.limits.rate = dice.pick(&[None, Some(rate)]);
            spec.max_stalls = 100;
        })
        .await;
    let mut oracle = Oracle { spec: queue.spec.clone(), paused: false, starts: Vec::new() };
    for step in 0..STEPS {
        if dice.below(2) == 0 {
            let max = 1 + u32::try_from(dice.below(4)).expect("small");
            let what = format!("seed {seed}, step {step}, at most {max}");
            oracle.compare(ctx, &queue, max, &what).await;
        } else {
            happen(ctx, &queue, &mut oracle, &mut dice).await;
        }
    }
}

/// Something happens to the queue.
async fn happen(ctx: &Context, queue: &Queue, oracle: &mut Oracle, dice: &mut Dice) {
    let jobs = queue.all().await;
    let held: Vec<&Job> = jobs.iter().filter(|job| job.lease.is_some()).collect();
    let any = |dice: &mut Dice, count: usize| {
        usize::try_from(dice.below(count as u64)).expect("an index")
    };
    match dice.below(12) {
        0..=2 => {
            for _ in 0..=dice.below(3) {
                let retry =
                    Retry { max_attempts: 9, backoff: Backoff::Fixed(secs(2)), jitter: 0.0 };
                let mut draft = queue.job().retry(retry).priority(dice.pick(&[-1, 0, 0, 1]));
                if oracle.spec.partitions.is_some() {
                    draft = draft.partition(dice.pick(&["a", "b", "c"]));
                }
                if dice.below(3) == 0 {
                    draft = draft.after(secs(dice.below(5)));
                }
                if dice.below(5) == 0 {
                    draft = draft.expires(When::After(secs(dice.below(6))));
                }
                queue.add(draft).await;
            }
        }
        3..=5 => {
            ctx.advance(micros(dice.pick(&[1, 500_000, 1_000_000, 2_000_000])));
        }
        6 | 7 if !held.is_empty() => {
            let job = held[any(dice, held.len())];
            let outcome = match dice.below(5) {
                0 => failure("no"),
                1 => Outcome::Snooze(When::After(secs(1))),
                2 => Outcome::Release,
                _ => done(),
            };
            assert!(is_applied(&queue.settle(job, outcome).await));
        }
        8 if !held.is_empty() => {
            queue.extend(held[any(dice, held.len())], secs(dice.below(9) + 1)).await;
        }
        9 => {
            queue.sweep(Overdue::LostLeases).await;
            queue.sweep(Overdue::Expired).await;
        }
        10 if !jobs.is_empty() => {
            let wishes =
                [Wish::Delay(When::After(secs(2))), Wish::Promote, Wish::Cancel, Wish::Retry];
            let job = jobs[any(dice, jobs.len())].reference();
            // Most are not possible in the state that the job is in.
            let _ = queue.backend().control(&job, dice.pick(&wishes)).await;
        }
        11 if dice.below(3) == 0 => {
            oracle.paused = !oracle.paused;
            let name = &queue.spec.name;
            if oracle.paused {
                queue.backend().pause(name).await.expect("pause");
            } else {
                queue.backend().resume(name).await.expect("resume");
            }
        }
        _ => {}
    }
}

/// What the rules say about a dequeue.
struct Oracle {
    spec: QueueSpec,
    paused: bool,
    /// Every start so far, oldest first.
    starts: Vec<(Timestamp, Option<PartitionKey>)>,
}

/// How many leases are held and who started, in the queue (`None`) and in each
/// partition.
type Used = BTreeMap<Option<PartitionKey>, u64>;

impl Oracle {
    /// Dequeues, and compares what came with what should have.
    async fn compare(&mut self, ctx: &Context, queue: &Queue, max: u32, what: &str) {
        let now = ctx.now();
        let before = queue.all().await;
        let expected = self.eligible(&before, now, max as usize);
        let ask = windlass_core::backend::Ask { lease: LEASE, ..queue.ask(max) };
        let dequeued = queue.backend().dequeue(ask).await.expect("dequeue");
        assert_eq!(ids(&dequeued.jobs), expected, "{what}");
        for job in &dequeued.jobs {
            self.starts.push((now, job.partition.clone()));
        }
        let after = queue.all().await;
        let ran_out = |job: &Job| job.lease.is_some_and(|lease| lease.until <= now);
        if expected.len() == max as usize || after.iter().any(ran_out) {
            return;
        }
        match dequeued.again {
            Again::Now => panic!("{what}: there is nothing more, but look at once"),
            Again::At(moment) => {
                assert!(moment > now, "{what}: look again in the past");
                let changes = self.changes(&after);
                assert!(changes.contains(&moment), "{what}: nothing changes at {moment}");
                self.nothing_between(&after, now, moment, what);
            }
            Again::OnNotice => self.nothing_between(&after, now, Timestamp::MAX, what),
        }
    }

    /// Asserts that between two moments neither time alone nor a take-over
    /// lets a further job start.
    fn nothing_between(&self, jobs: &[Job], from: Timestamp, to: Timestamp, what: &str) {
        let mut moments = self.changes(jobs);
        moments.retain(|moment| from < *moment && *moment < to);
        for moment in moments {
            let eligible = self.eligible_by(jobs, moment);
            assert_eq!(eligible, [], "{what}: told to look again too late, at {to}");
        }
    }

    /// The moments at which time changes something: a job becomes due, a lease
    /// runs out, a start leaves its window. A dequeue may name one that is too
    /// early to help, because what becomes due then stands behind another job.
    fn changes(&self, jobs: &[Job]) -> Vec<Timestamp> {
        let mut moments: Vec<Timestamp> = jobs.iter().map(|job| job.due).collect();
        for job in jobs {
            moments.extend(job.lease.map(|lease| lease.until));
        }
        let limits = [Some(&self.spec.limits), self.spec.partitions.as_ref().map(|p| &p.limits)];
        for rate in limits.into_iter().flatten().filter_map(|limits| limits.rate) {
            moments.extend(self.starts.iter().map(|(moment, _)| moment.after(rate.period)));
        }
        moments
    }

    /// The job that may start at a later moment, if leases that have run out by
    /// then are taken over and free their slots. The jobs that had them are
    /// left out of it.
    fn eligible_by(&self, jobs: &[Job], moment: Timestamp) -> Vec<JobId> {
        let mut then = jobs.to_vec();
        then.retain(|job| job.lease.is_none_or(|lease| lease.until > moment));
        self.eligible(&then, moment, 1)
    }

    /// The first `max` jobs that may start at this moment, in order.
    fn eligible(&self, jobs: &[Job], now: Timestamp, max: usize) -> Vec<JobId> {
        if self.paused {
            return Vec::new();
        }
        let mut held = Used::new();
        for job in jobs.iter().filter(|job| job.lease.is_some()) {
            *held.entry(None).or_default() += 1;
            if job.partition.is_some() {
                *held.entry(job.partition.clone()).or_default() += 1;
            }
        }
        let mut started = Used::new();
        let pending = |job: &&Job| matches!(job.state, State::Scheduled | State::Waiting);
        let mut line: Vec<&Job> = jobs.iter().filter(pending).collect();
        line.sort_unstable_by_key(|job| job.order_key());
        let mut taken = Vec::new();
        let mut waited_for: Vec<&PartitionKey> = Vec::new();
        for job in line {
            let expired = !job.has_started() && job.expires.is_some_and(|at| at <= now);
            if job.place > now || expired {
                continue;
            }
            let holds = job.partition.as_ref().filter(|_| job.due > now);
            waited_for.extend(holds);
            let waits = job.partition.as_ref().is_some_and(|p| waited_for.contains(&p));
            if job.due > now || waits || taken.len() == max {
                continue;
            }
            let partition = self.spec.partitions.as_ref().map(|p| (&job.partition, &p.limits));
            let both = [Some((&None, &self.spec.limits)), partition];
            if both
                .into_iter()
                .flatten()
                .all(|(of, limits)| self.has_room(of, limits, now, &held, &started))
            {
                for (of, _) in both.into_iter().flatten() {
                    *held.entry(of.clone()).or_default() += 1;
                    *started.entry(of.clone()).or_default() += 1;
                }
                taken.push(job.id);
            }
        }
        taken
    }

    /// Whether a queue (`None`) or a partition has a free slot and start.
    fn has_room(
        &self,
        of: &Option<PartitionKey>,
        limits: &Limits,
        now: Timestamp,
        held: &Used,
        started: &Used,
    ) -> bool {
        let count = |used: &Used| used.get(of).copied().unwrap_or_default();
        let slot = limits.concurrency.is_none_or(|limit| slots(limit, count(held), None).free > 0);
        let start = limits.rate.is_none_or(|rate| {
            let earlier = self.starts.iter().filter(|(_, p)| of.is_none() || p == of);
            let now_too = (0..count(started)).map(|_| (now, 1));
            let log = earlier.map(|(moment, _)| (*moment, 1)).chain(now_too);
            starts(rate, now, log).free > 0
        });
        slot && start
    }
}
