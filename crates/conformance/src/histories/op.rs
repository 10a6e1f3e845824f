//! What can happen in a history, and how likely each is.
//!
//! A history names what it acts on by number: the n-th active job, the n-th
//! answer seen so far, wrapped around. So any sequence of operations makes
//! sense, and one that fails can be shrunk by leaving out what it does not need.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use windlass_core::backend::{CleanWhich, Overdue};
use windlass_core::decide::Retryable;
use windlass_core::decide::control::Wish;
use windlass_core::model::{
    Direction, Keep, Limits, Missed, OnRetry, Overlap, Partitions, PriorityMode, QueueSpec, Rate,
    Retention, State, When,
};

use crate::fixture::{micros, secs};
use crate::harness::spec;

/// How many queues a history has.
pub(super) const QUEUES: usize = 3;

/// A queue, a job, a lease or an earlier answer, by number.
pub(super) type Pick = u8;

/// Queues, and what happens to them.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) queues: Vec<QueueSpec>,
    pub(super) ops: Vec<Op>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Advance(Duration),
    Enqueue {
        drafts: Vec<Draft>,
        follow: Follow,
    },
    EnqueueAgain(Pick),
    Dequeue {
        queue: Pick,
        max: u32,
        lease: Duration,
    },
    Settle {
        attempts: Vec<(Held, Ending)>,
        pace: Pace,
        follow: Follow,
    },
    Extend(Vec<(Held, Duration, Option<u64>)>),
    Control {
        job: Pick,
        wish: Wish,
        pace: Pace,
        follow: Follow,
    },
    /// A sweep; a heartbeat comes between the look and the decisions.
    Sweep {
        queue: Pick,
        what: Overdue,
        limit: u32,
        heartbeat: Option<Duration>,
        pace: Pace,
        follow: Follow,
    },
    Late {
        decided: Vec<Pick>,
        follow: Follow,
    },
    Step {
        held: Held,
        position: u32,
        outcome: u8,
    },
    Declare {
        queue: Pick,
        concurrency: Option<u32>,
        rate: u32,
        partitions: Option<u32>,
    },
    Pause(Pick),
    Resume(Pick),
    Repeat {
        queue: Pick,
        key: Pick,
        plan: Plan,
    },
    Fire {
        queue: Pick,
        pace: Pace,
    },
    FireLate(Pick),
    Forget {
        queue: Pick,
        key: Pick,
    },
    Clean {
        queue: Pick,
        state: State,
        which: CleanWhich,
        limit: u32,
    },
    Beat {
        worker: Pick,
        leaves: bool,
    },
    Look(Pick),
    List {
        queue: Option<Pick>,
        by: By,
        direction: Direction,
        page: u32,
    },
}

/// Whether what follows from an answer is done at once, or the answer is lost.
#[derive(Clone, Copy, Debug)]
pub(super) enum Follow {
    Through,
    Lost,
}

/// When a decision is carried out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    Now,
    /// By a later `Late` or `FireLate`, when it may have been overtaken.
    Later,
}

/// Whose lease.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    /// That of a job which is active.
    Current(Pick),
    /// Any that was ever given.
    Ever(Pick),
}

/// How an attempt ends.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    Success(Option<u8>),
    Failure(Retryable),
    Snooze(When),
    Release,
    UnknownType,
    Cancelled,
}

/// What is chosen about a new job.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) queue: Pick,
    pub(super) kind: Pick,
    pub(super) payload: u8,
    pub(super) priority: Option<i32>,
    pub(super) due: When,
    pub(super) expires: Option<Duration>,
    pub(super) key: Option<Pick>,
    pub(super) dedup: Option<(Pick, Policy)>,
    pub(super) partition: Pick,
    pub(super) tag: Option<Pick>,
    pub(super) depends_on: Vec<On>,
    pub(super) broken: Broken,
    pub(super) parent: Option<Held>,
    pub(super) attempts: u32,
}

/// What follows when a deduplication key is taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Policy {
    Reject,
    ReturnExisting,
    Debounce(Option<Duration>),
    Throttle(Duration),
}

/// What a job depends on.
#[derive(Clone, Copy, Debug)]
pub(super) enum On {
    /// A job of the same batch.
    Mate(Pick),
    /// A job that is stored.
    Stored(Pick),
    /// One that never was.
    Nothing,
}

/// What a broken dependency does to a job.
#[derive(Clone, Copy, Debug)]
pub(super) enum Broken {
    Cancels,
    Runs,
}

/// A repeatable.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) every: Duration,
    pub(super) count: Option<u64>,
    pub(super) missed: Missed,
    pub(super) overlap: Overlap,
    pub(super) payload: u8,
}

/// What a listing is filtered by.
#[derive(Clone, Debug)]
pub(super) enum By {
    Nothing,
    States(Vec<State>),
    Kind(Pick),
    Key(Pick),
    Dedup(Pick),
    Partition(Pick),
    Tag(Pick),
    Parent(Pick),
}

/// Every history, the long ones as likely as the short ones.
pub(super) fn histories() -> impl Strategy<Value = History> {
    let queues: Vec<_> = (0..QUEUES).map(queue).collect();
    (queues, vec(op(), 1..90)).prop_map(|(queues, ops)| History { queues, ops })
}

fn limits() -> impl Strategy<Value = Limits> {
    let rate = (0..4_u32).prop_map(|limit| Rate { limit, period: secs(4) });
    (weighted(0.4, 0..4_u32), weighted(0.3, rate))
        .prop_map(|(concurrency, rate)| Limits { concurrency, rate })
}

fn queue(index: usize) -> impl Strategy<Value = QueueSpec> {
    let partitions = (limits(), prop_oneof![Just(OnRetry::Hold), Just(OnRetry::Yield)], 0..2_u8)
        .prop_map(|(mut limits, on_retry, one)| {
            // As it is by default, half of the time.
            if one == 0 {
                limits.concurrency = Some(1);
            }
            Partitions { limits, on_retry }
        });
    let mode = prop_oneof![
        Just(PriorityMode::LowestFirst),
        Just(PriorityMode::HighestFirst),
        Just(PriorityMode::Disabled),
    ];
    let keep = prop_oneof![4 => Just(Keep::Forever), 1 => Just(Keep::Remove)];
    let partitioned = if index == 0 { 0.9 } else { 0.2 };
    (
        mode,
        weighted(0.3, Just(micros(1_500_000))),
        weighted(partitioned, partitions),
        limits(),
        keep,
    )
        .prop_map(move |(priority, aging, partitions, limits, completed)| QueueSpec {
            aging: aging.filter(|_| priority != PriorityMode::Disabled),
            priority,
            partitions,
            limits,
            retention: Retention { completed, other: Keep::Forever },
            max_stalls: 1,
            ..spec(["a", "b", "c"][index])
        })
}

fn length() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(micros(1)),
        Just(micros(500_000)),
        Just(secs(1)),
        Just(secs(2)),
        Just(secs(5)),
        Just(secs(70)),
    ]
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![3 => Just(When::Now), 2 => length().prop_map(When::After)]
}

fn pace() -> impl Strategy<Value = Pace> {
    prop_oneof![3 => Just(Pace::Now), 1 => Just(Pace::Later)]
}

fn follow() -> impl Strategy<Value = Follow> {
    prop_oneof![4 => Just(Follow::Through), 1 => Just(Follow::Lost)]
}

fn held() -> impl Strategy<Value = Held> {
    prop_oneof![4 => any::<Pick>().prop_map(Held::Current), 1 => any::<Pick>().prop_map(Held::Ever)]
}

fn ending() -> impl Strategy<Value = Ending> {
    let retry = prop_oneof![
        2 => Just(Retryable::Yes),
        2 => length().prop_map(Retryable::After),
        1 => Just(Retryable::No),
    ];
    prop_oneof![
        4 => any::<Option<u8>>().prop_map(Ending::Success),
        3 => retry.prop_map(Ending::Failure),
        2 => when().prop_map(Ending::Snooze),
        1 => Just(Ending::Release),
        1 => Just(Ending::UnknownType),
        1 => Just(Ending::Cancelled),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let policy = prop_oneof![
        Just(Policy::Reject),
        Just(Policy::ReturnExisting),
        weighted(0.5, length()).prop_map(Policy::Debounce),
        length().prop_map(Policy::Throttle),
    ];
    let on = prop_oneof![
        6 => (0..4_u8).prop_map(On::Mate),
        6 => any::<Pick>().prop_map(On::Stored),
        1 => Just(On::Nothing),
    ];
    let depends_on = prop_oneof![3 => Just(Vec::new()), 2 => vec(on, 1..3)];
    let names = (
        weighted(0.15, 0..3_u8),
        weighted(0.25, (0..2_u8, policy)),
        0..3_u8,
        weighted(0.2, 0..2_u8),
    );
    let ties = (
        depends_on,
        prop_oneof![Just(Broken::Cancels), Just(Broken::Runs)],
        weighted(0.1, held()),
        1..4_u32,
    );
    let moments = (when(), weighted(0.2, length()));
    let priority = weighted(0.6, prop_oneof![-1..=1_i32, Just(i32::MAX), Just(-i32::MAX)]);
    (0..QUEUES as u8, 0..2_u8, any::<u8>(), priority, moments, names, ties).prop_map(
        |(queue, kind, payload, priority, (due, expires), names, ties)| {
            let (key, dedup, partition, tag) = names;
            let (depends_on, broken, parent, attempts) = ties;
            Draft {
                queue,
                kind,
                payload,
                priority,
                due,
                expires,
                key,
                dedup,
                partition,
                tag,
                depends_on,
                broken,
                parent,
                attempts,
            }
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let missed = prop_oneof![
        Just(Missed::RunOnce),
        Just(Missed::Skip),
        (1..4_u32).prop_map(Missed::RunAll),
    ];
    let overlap = prop_oneof![Just(Overlap::Allow), Just(Overlap::Skip)];
    let every = prop_oneof![Just(secs(1)), Just(secs(3)), Just(secs(40))];
    (every, weighted(0.3, 1..5_u64), missed, overlap, 0..2_u8).prop_map(
        |(every, count, missed, overlap, payload)| Plan { every, count, missed, overlap, payload },
    )
}

fn by() -> impl Strategy<Value = By> {
    prop_oneof![
        Just(By::Nothing),
        vec(prop::sample::select(&State::ALL[..]), 1..4).prop_map(By::States),
        (0..2_u8).prop_map(By::Kind),
        (0..3_u8).prop_map(By::Key),
        (0..2_u8).prop_map(By::Dedup),
        (0..3_u8).prop_map(By::Partition),
        (0..2_u8).prop_map(By::Tag),
        any::<Pick>().prop_map(By::Parent),
    ]
}

fn sweep() -> impl Strategy<Value = Op> {
    let what = prop_oneof![
        2 => Just(Overdue::LostLeases),
        1 => Just(Overdue::Expired),
        1 => Just(Overdue::Unblocked),
    ];
    let heartbeat = weighted(0.3, length());
    (0..QUEUES as u8, what, 1..4_u32, heartbeat, pace(), follow()).prop_map(
        |(queue, what, limit, heartbeat, pace, follow)| Op::Sweep {
            queue,
            what,
            limit,
            heartbeat,
            pace,
            follow,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let queue = || 0..QUEUES as u8;
    let wish = prop_oneof![
        2 => Just(Wish::Cancel),
        2 => when().prop_map(Wish::Delay),
        2 => Just(Wish::Promote),
        2 => Just(Wish::Retry),
        1 => Just(Wish::Remove),
    ];
    let cleanable: Vec<State> = State::ALL
        .into_iter()
        .filter(|state| !matches!(state, State::Active | State::Blocked))
        .collect();
    let which = prop_oneof![
        prop_oneof![Just(Duration::ZERO), length()].prop_map(CleanWhich::OlderThan),
        (0..4_u64).prop_map(CleanWhich::BeyondNewest),
    ];
    let extension = (held(), length(), any::<Option<u64>>());
    prop_oneof![
        12 => length().prop_map(Op::Advance),
        16 => (vec(draft(), 1..5), follow())
            .prop_map(|(drafts, follow)| Op::Enqueue { drafts, follow }),
        1 => any::<Pick>().prop_map(Op::EnqueueAgain),
        16 => (queue(), 1..5_u32, length())
            .prop_map(|(queue, max, lease)| Op::Dequeue { queue, max, lease }),
        14 => (vec((held(), ending()), 1..4), pace(), follow())
            .prop_map(|(attempts, pace, follow)| Op::Settle { attempts, pace, follow }),
        4 => vec(extension, 1..4).prop_map(Op::Extend),
        8 => (any::<Pick>(), wish, pace(), follow())
            .prop_map(|(job, wish, pace, follow)| Op::Control { job, wish, pace, follow }),
        6 => sweep(),
        4 => (vec(any::<Pick>(), 1..4), follow())
            .prop_map(|(decided, follow)| Op::Late { decided, follow }),
        2 => (held(), 0..3_u32, any::<u8>())
            .prop_map(|(held, position, outcome)| Op::Step { held, position, outcome }),
        2 => (queue(), weighted(0.6, 0..4_u32), 0..4_u32, weighted(0.8, 1..3_u32)).prop_map(
            |(queue, concurrency, rate, partitions)| {
                Op::Declare { queue, concurrency, rate, partitions }
            }
        ),
        1 => queue().prop_map(Op::Pause),
        2 => queue().prop_map(Op::Resume),
        3 => (queue(), 0..2_u8, plan())
            .prop_map(|(queue, key, plan)| Op::Repeat { queue, key, plan }),
        4 => (queue(), pace()).prop_map(|(queue, pace)| Op::Fire { queue, pace }),
        3 => any::<Pick>().prop_map(Op::FireLate),
        1 => (queue(), 0..2_u8).prop_map(|(queue, key)| Op::Forget { queue, key }),
        3 => (queue(), prop::sample::select(cleanable), which, 1..4_u32)
            .prop_map(|(queue, state, which, limit)| Op::Clean { queue, state, which, limit }),
        1 => (0..2_u8, any::<bool>()).prop_map(|(worker, leaves)| Op::Beat { worker, leaves }),
        2 => any::<Pick>().prop_map(Op::Look),
        2 => (
            weighted(0.7, queue()),
            by(),
            prop_oneof![Just(Direction::OldestFirst), Just(Direction::NewestFirst)],
            1..5_u32,
        )
            .prop_map(|(queue, by, direction, page)| Op::List { queue, by, direction, page }),
    ]
}
