//! A call that was carried out, and whose reply never came, answers what it would have
//! answered undisturbed (F31).
//!
//! Each round of a test makes one call with another of its replies lost, until the call
//! has no more of them: those that take several steps lose each step's once.

use std::collections::HashSet;
use std::time::Duration;

use windlass_core::Backend;
use windlass_core::backend::{EnqueueAnswer, Enqueued};
use windlass_core::decide::{Dedup, JobRequest, OnDuplicate};
use windlass_core::model::{
    DedupKey, Filter, FlowId, Job, JobId, JobKey, ManualClock, NewJob, Parent, QueueName,
    QueueSpec, State,
};
use windlass_redis::{Listen, RedisBackend};

use crate::fixture::*;
use crate::own::Own;
use crate::proxy::Proxy;

/// What is lost on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    /// One reply.
    Reply,
    /// The reply, and that to the second attempt.
    TwoReplies,
    /// The call itself: the server never sees it.
    Call,
}

const LOSSES: [Loss; 3] = [Loss::Reply, Loss::TwoReplies, Loss::Call];

/// A store and two ways to it.
pub(crate) struct Troubled {
    home: Home,
    pub(crate) clock: ManualClock,
    pub(crate) proxy: Proxy,
    /// On which all is well.
    pub(crate) plain: RedisBackend,
    /// On which something is lost.
    pub(crate) through: RedisBackend,
}

impl Troubled {
    pub(crate) async fn new() -> Self {
        let home = Home::single();
        let proxy = Proxy::before(&home.server).await;
        Self::with(home, proxy).await
    }

    /// On a cluster of a test's own. There, all that is called goes through the proxy,
    /// so that a round makes calls by either.
    pub(crate) async fn on(own: &Own) -> Self {
        let proxy = Proxy::before_cluster(own).await;
        Self::with(Home::on(own.server.clone()), proxy).await
    }

    async fn with(home: Home, proxy: Proxy) -> Self {
        let clock = ManualClock::new();
        let plain = home.open_by(&clock).await;
        let mut config = proxy.lead(&home.server, home.config_by(&clock));
        // Notices are no calls, and would be lost in their place.
        config.listen = Listen::Off;
        let through = connect(config).await;
        plain.declare(&spec()).await.unwrap();
        Self { home, clock, proxy, plain, through }
    }

    /// Runs a round with each of its calls or replies lost once. A round prepares and
    /// looks by `plain`, and makes what it is about by `through`.
    pub(crate) async fn lose_each(&self, what: &str, mut round: impl AsyncFnMut()) {
        let mut figures = String::new();
        for loss in LOSSES {
            let (lost, mut rounds) = (self.lost(), 0);
            loop {
                let before = self.lost();
                match loss {
                    Loss::Reply => self.proxy.swallow(rounds, 1),
                    Loss::TwoReplies => self.proxy.swallow(rounds, 2),
                    Loss::Call => self.proxy.cut(rounds, 1),
                }
                round().await;
                rounds += 1;
                self.proxy.relent();
                if self.lost() == before {
                    break;
                }
            }
            assert!(rounds > 1, "{what}: nothing was lost");
            figures += &format!(", {} of {loss:?} in {rounds} rounds", self.lost() - lost);
        }
        eprintln!("{what}: lost {}", &figures[2..]);
    }

    /// How many replies and calls were lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.proxy.swallowed() + self.proxy.lost()
    }

    /// Enqueues on the way on which something is lost.
    async fn enqueue(&self, batch: Vec<NewJob>) -> (Vec<Enqueued>, HashSet<JobId>) {
        match self.through.enqueue(batch).await.expect("enqueue") {
            EnqueueAnswer::Stored { outcomes, unblocked, .. } => {
                (outcomes, unblocked.iter().map(|job| job.id).collect())
            }
            refused => panic!("{refused:?}"),
        }
    }

    async fn stored(&self, queue: &QueueName) -> usize {
        let filter = Filter { queue: Some(queue.clone()), ..Filter::default() };
        list(&self.plain, filter).await.len()
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.home.prefix
    }
}

fn keyed(name: &str) -> NewJob {
    let key = Some(JobKey::new(name).expect("a key"));
    new_job(JobRequest { key, ..request() })
}

fn deduplicated(name: &str, hold: Option<Duration>) -> NewJob {
    let dedup = Dedup {
        key: DedupKey::new(name).expect("a key"),
        on_duplicate: OnDuplicate::ReturnExisting,
        hold,
    };
    new_job(JobRequest { dedup: Some(dedup), ..request() })
}

fn all_stored(outcomes: &[Enqueued]) {
    assert!(outcomes.iter().all(|outcome| *outcome == Enqueued::Stored), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enqueue_stores_its_jobs_once_and_does_not_take_them_for_others() {
    let t = Troubled::new().await;
    let mut expected = 0;
    t.lose_each("enqueue, drawn ids", async || {
        let (outcomes, _) = t.enqueue(jobs(3)).await;
        all_stored(&outcomes);
        expected += 3;
        assert_eq!(t.stored(&queue()).await, expected);
    })
    .await;
    let mut number = 0;
    t.lose_each("enqueue, job keys", async || {
        number += 1;
        let batch = vec![keyed(&format!("a{number}")), keyed(&format!("b{number}"))];
        all_stored(&t.enqueue(batch).await.0);
        expected += 2;
        assert_eq!(t.stored(&queue()).await, expected);
    })
    .await;
    t.lose_each("enqueue, deduplication keys", async || {
        number += 1;
        let batch = vec![deduplicated(&format!("a{number}"), None)];
        all_stored(&t.enqueue(batch).await.0);
        expected += 1;
        assert_eq!(t.stored(&queue()).await, expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enqueue_tells_what_was_there_before_from_what_it_stored_itself() {
    let t = Troubled::new().await;
    let mut number = 0;
    t.lose_each("enqueue beside others", async || {
        number += 1;
        let key = |letter: char| format!("{letter}{number}");
        let hold = Some(Duration::from_secs(3600));
        let (live, held) = (deduplicated(&key('l'), None), deduplicated(&key('h'), hold));
        let (by_key, held_id) = (keyed(&key('k')), held.id);
        enqueue(&t.plain, vec![held]).await;
        let over: Vec<_> = take(&t.plain, 10).await.iter().map(done).collect();
        apply(&t.plain, over).await;
        enqueue(&t.plain, vec![live.clone(), by_key]).await;
        let batch = vec![
            new_job(request()),
            keyed(&key('k')),
            deduplicated(&key('l'), None),
            deduplicated(&key('h'), hold),
            deduplicated(&key('n'), None),
            deduplicated(&key('n'), None),
        ];
        let (own, before) = (batch[4].id, t.stored(&queue()).await);
        let (outcomes, _) = t.enqueue(batch).await;
        assert_eq!(outcomes[..2], [Enqueued::Stored, Enqueued::Existing]);
        assert!(matches!(&outcomes[2], Enqueued::Duplicate(job) if job.id == live.id));
        assert!(matches!(&outcomes[3], Enqueued::Held { by, .. } if *by == held_id));
        assert_eq!(outcomes[4], Enqueued::Stored);
        assert!(matches!(&outcomes[5], Enqueued::Duplicate(job) if job.id == own));
        assert_eq!(t.stored(&queue()).await, before + 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enqueue_of_dependents_names_those_that_wait_for_nothing_once() {
    let t = Troubled::new().await;
    t.lose_each("enqueue, dependencies", async || {
        let (ended, open) = (new_job(request()), new_job(request()));
        enqueue(&t.plain, vec![ended.clone()]).await;
        let over: Vec<_> = take(&t.plain, 10).await.iter().map(done).collect();
        apply(&t.plain, over).await;
        enqueue(&t.plain, vec![open.clone()]).await;
        let free = waiting_for(&queue(), &[&ended]);
        let bound = waiting_for(&queue(), &[&ended, &open]);
        let behind = waiting_for(&queue(), &[&free, &open]);
        let (outcomes, unblocked) =
            t.enqueue(vec![behind.clone(), free.clone(), bound.clone()]).await;
        all_stored(&outcomes);
        assert_eq!(unblocked, HashSet::from([free.id]));
        assert_eq!(look(&t.plain, &reference(&bound)).await.dependencies.open, 1);
        assert_eq!(look(&t.plain, &reference(&behind)).await.dependencies.open, 2);
        assert!(look(&t.plain, &reference(&open)).await.has_dependents);
        // What is left would be in the way of the next round.
        apply(&t.plain, take(&t.plain, 10).await.iter().map(done).collect()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_over_several_queues_is_stored_once_in_each() {
    over_queues(&Troubled::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_over_several_masters_is_stored_once_in_each() {
    let own = Own::start("itreplies", "redis_cluster");
    over_queues(&Troubled::on(&own).await).await;
}

async fn over_queues(t: &Troubled) {
    let (here, other, third) = (queue(), named("r"), named("s"));
    for name in [&other, &third] {
        t.plain.declare(&QueueSpec::new(name.clone())).await.unwrap();
    }
    t.lose_each("enqueue over queues", async || {
        let (parent, ended) = (new_job(request()), new_job_in(&third, request()));
        enqueue(&t.plain, vec![parent]).await;
        enqueue(&t.plain, vec![ended.clone()]).await;
        let over: Vec<_> = take_of(&t.plain, &third, 10).await.iter().map(done).collect();
        apply(&t.plain, over).await;
        let parent: Job = take(&t.plain, 10).await.pop().expect("the parent is leased");
        let child = |queue: &QueueName, depends_on: &[&NewJob]| {
            let token = parent.lease.expect("it is leased").token;
            let parent = Some(Parent { job: parent.reference(), token });
            let flow = Some(FlowId::from_bytes([1; 16]));
            let depends_on = depends_on.iter().map(|job| reference(job)).collect();
            new_job_in(queue, JobRequest { parent, flow, depends_on, ..request() })
        };
        let first = child(&other, &[]);
        let free = child(&other, &[&ended]);
        let bound = child(&third, &[&first, &ended]);
        let last = child(&here, &[&bound, &first]);
        let before = [t.stored(&here).await, t.stored(&other).await, t.stored(&third).await];
        let batch = vec![last.clone(), first.clone(), bound.clone(), free.clone()];
        let (outcomes, unblocked) = t.enqueue(batch).await;
        all_stored(&outcomes);
        assert_eq!(unblocked, HashSet::from([free.id]));
        let after = [t.stored(&here).await, t.stored(&other).await, t.stored(&third).await];
        assert_eq!(after, [before[0] + 1, before[1] + 2, before[2] + 1]);
        assert_eq!(look(&t.plain, &reference(&last)).await.dependencies.open, 2);
        assert_eq!(look(&t.plain, &reference(&bound)).await.dependencies.open, 1);
        assert_eq!(t.plain.dependents(&reference(&first)).await.unwrap().len(), 2);
        assert_eq!(count(&t.plain, &third, State::Waiting).await, 0);
        apply(&t.plain, vec![done(&parent)]).await;
        apply(&t.plain, take_of(&t.plain, &other, 10).await.iter().map(done).collect()).await;
    })
    .await;
}
