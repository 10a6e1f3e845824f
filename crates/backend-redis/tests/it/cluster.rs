//! Queues on different machines of a cluster (F36).

use std::collections::HashMap;
use std::time::Duration;

use windlass_core::Backend;
use windlass_core::backend::{
    BackendExt, EnqueueAnswer, PutRepeatable, Refusal, RepeatablePut, RepeatablesQuery,
};
use windlass_core::decide::{JobRequest, repeat};
use windlass_core::model::{
    Detail, Direction, Filter, FlowId, Job, JobId, JobsQuery, ManualClock, NewJob, Parent,
    QueueName, QueueSpec, State, Tag,
};
use windlass_redis::{RedisBackend, redis};

use crate::fixture::*;

/// Names of queues to choose from; none is part of another.
const NAMES: [&str; 12] = [
    "alpha", "bravo", "cargo", "delta", "early", "fable", "gamma", "hotel", "india", "joker",
    "kilo", "lima",
];

/// A store on the cluster, and three queues of which each stands on another master.
pub(crate) struct Spread {
    _home: Home,
    pub(crate) clock: ManualClock,
    pub(crate) backend: RedisBackend,
    pub(crate) queues: [QueueName; 3],
}

impl Spread {
    pub(crate) async fn new() -> Self {
        let (home, clock) = (Home::cluster(), ManualClock::new());
        let backend = home.open_by(&clock).await;
        for name in NAMES {
            backend.declare(&QueueSpec::new(named(name))).await.unwrap();
        }
        let mut masters = home.server.masters().await;
        assert!(masters.len() >= 3, "the cluster of the tests has three masters");
        let (mut queues, mut said) = (Vec::new(), Vec::new());
        for (number, master) in masters.iter_mut().enumerate() {
            let keys = master.keys(&home.prefix).await;
            let found = keys.iter().find_map(|key| {
                let text = String::from_utf8_lossy(key);
                let name = NAMES.into_iter().find(|name| text.contains(name))?;
                Some((name, key))
            });
            let Some((name, key)) = found else { continue };
            let slot: u16 = master.run(redis::cmd("CLUSTER").arg("KEYSLOT").arg(key)).await;
            said.push(format!("{name} in slot {slot} of master {number}"));
            queues.push(named(name));
        }
        eprintln!("{}", said.join(", "));
        queues.truncate(3);
        let queues = queues.try_into().expect("a queue on each of three masters");
        Self { _home: home, clock, backend, queues }
    }

    async fn count(&self, state: State) -> u64 {
        let mut sum = 0;
        for queue in &self.queues {
            sum += count(&self.backend, queue, state).await;
        }
        sum
    }

    /// Leases and ends every job that can be; answers which, in the order in which they
    /// were ended.
    async fn run(&self) -> Vec<JobId> {
        let mut ran = Vec::new();
        loop {
            let before = ran.len();
            for queue in &self.queues {
                for job in take_of(&self.backend, queue, 100).await {
                    ran.push(job.id);
                    self.backend.apply_through(vec![done(&job)]).await.unwrap();
                }
            }
            if ran.len() == before {
                return ran;
            }
        }
    }
}

fn in_flow(queue: &QueueName, flow: FlowId, needs: &[&NewJob]) -> NewJob {
    let depends_on = needs.iter().map(|job| reference(job)).collect();
    new_job_in(queue, JobRequest { flow: Some(flow), depends_on, ..request() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_over_three_masters_runs_in_the_order_of_its_dependencies() {
    let s = Spread::new().await;
    let [a, b, c] = &s.queues;
    let flow = FlowId::from_bytes([3; 16]);
    // A chain, a fork and a join, and the last ones first.
    let first = in_flow(a, flow, &[]);
    let left = in_flow(b, flow, &[&first]);
    let right = in_flow(c, flow, &[&first]);
    let near = in_flow(a, flow, &[&first]);
    let join = in_flow(a, flow, &[&left, &right, &near]);
    let last = in_flow(c, flow, &[&join, &right]);
    let batch = [&last, &join, &near, &right, &left, &first];
    let unblocked = enqueue(&s.backend, batch.map(Clone::clone).to_vec()).await;
    assert_eq!(unblocked, [], "each waits for another");
    assert_eq!((s.count(State::Blocked).await, s.count(State::Waiting).await), (5, 1));
    let of_first = s.backend.dependents(&reference(&first)).await.unwrap();
    let mut of_first: Vec<JobId> = of_first.iter().map(|job| job.id).collect();
    of_first.sort_unstable();
    let mut expected = vec![left.id, right.id, near.id];
    expected.sort_unstable();
    assert_eq!(of_first, expected);
    let of_join = s.backend.dependencies(&reference(&join)).await.unwrap();
    let of_join: Vec<JobId> = of_join.iter().map(|dependency| dependency.job.id).collect();
    assert_eq!(of_join, [left.id, right.id, near.id], "in the order that was given");

    let ran = s.run().await;
    assert_eq!(ran.len(), 6, "each once: {ran:?}");
    let at = |job: &NewJob| ran.iter().position(|id| *id == job.id).expect("it ran");
    for job in batch {
        for need in &job.depends_on {
            let other = batch.into_iter().find(|other| other.id == need.id).expect("of the batch");
            assert!(at(other) < at(job));
        }
    }
    let filter = Filter { flow: Some(flow), ..Filter::default() };
    assert_eq!(list(&s.backend, filter).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_of_a_parent_on_another_master_are_stored_under_its_lease_only() {
    let s = Spread::new().await;
    let [a, b, c] = &s.queues;
    enqueue(&s.backend, vec![new_job_in(a, request())]).await;
    let parent = take_of(&s.backend, a, 1).await.remove(0);
    let token = parent.lease.unwrap().token;
    let child = |queue: &QueueName| {
        let parent = Some(Parent { job: parent.reference(), token });
        new_job_in(queue, JobRequest { parent, ..request() })
    };
    let children = vec![child(b), child(c), child(a), child(b)];
    enqueue(&s.backend, children).await;
    let filter = Filter { parent: Some(parent.reference()), ..Filter::default() };
    assert_eq!(list(&s.backend, filter.clone()).await.len(), 4);
    apply(&s.backend, vec![done(&parent)]).await;
    let batch = vec![new_job_in(c, request()), child(b)];
    match s.backend.enqueue(batch).await.unwrap() {
        EnqueueAnswer::Refused { index: 1, why: Refusal::StaleParent(job), jobs } => {
            assert_eq!((job, jobs.len()), (parent.reference(), 2));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(s.count(State::Waiting).await, 4, "nothing of the refused batch is stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_over_three_masters_that_cannot_be_stored_leaves_nothing() {
    let s = Spread::new().await;
    let [a, b, c] = &s.queues;
    let missing = new_job_in(a, request());
    let there = new_job_in(c, request());
    enqueue(&s.backend, vec![there.clone()]).await;
    let batch = vec![
        new_job_in(a, request()),
        waiting_for(b, &[&there]),
        new_job_in(c, request()),
        waiting_for(c, &[&missing]),
    ];
    match s.backend.enqueue(batch).await.unwrap() {
        EnqueueAnswer::Refused { index: 3, why: Refusal::UnknownDependency(job), .. } => {
            assert_eq!(job, reference(&missing));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((s.count(State::Waiting).await, s.count(State::Blocked).await), (1, 0));
    assert_eq!(s.backend.dependents(&reference(&there)).await.unwrap(), []);
    assert!(!look(&s.backend, &reference(&there)).await.has_dependents);
    assert_eq!(s.run().await, [there.id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_over_all_masters_have_every_job_once_and_in_one_order() {
    let s = Spread::new().await;
    let tag = Tag::new("even").unwrap();
    let mut expected: Vec<JobId> = Vec::new();
    for round in 0..10 {
        let batch = s.queues.iter().map(|queue| {
            let tags = if round % 2 == 0 { vec![tag.clone()] } else { Vec::new() };
            new_job_in(queue, JobRequest { tags, ..request() })
        });
        let batch: Vec<NewJob> = batch.collect();
        expected.extend(batch.iter().map(|job| job.id));
        enqueue(&s.backend, batch).await;
    }
    let walk = async |filter: Filter, direction| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let detail = Detail::Summary;
            let query = JobsQuery { filter: filter.clone(), direction, after, limit: 7, detail };
            let page = s.backend.jobs(query).await.unwrap();
            found.extend(page.jobs);
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    };
    let forwards: Vec<Job> = walk(Filter::default(), Direction::OldestFirst).await;
    assert!(forwards.is_sorted_by(|a, b| a.seq < b.seq), "by the sequence, each once");
    let mut backwards = walk(Filter::default(), Direction::NewestFirst).await;
    backwards.reverse();
    assert_eq!(forwards, backwards);
    for queue in &s.queues {
        let of_queue = forwards.iter().filter(|job| job.queue == *queue).map(|job| job.id);
        let number = s.queues.iter().position(|other| other == queue).unwrap();
        let wanted = expected.iter().skip(number).step_by(3).copied();
        assert!(of_queue.eq(wanted), "in the order of their enqueue");
    }
    let tagged = Filter { tag: Some(tag), ..Filter::default() };
    assert_eq!(walk(tagged, Direction::OldestFirst).await.len(), 15);
    let mut known: Vec<QueueName> =
        s.backend.queues().await.unwrap().into_iter().map(|found| found.spec.name).collect();
    known.sort_unstable();
    assert_eq!(known, NAMES.map(named));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeatables_of_all_masters_come_due_together_and_fire_once() {
    let s = Spread::new().await;
    let begin = s.clock.now();
    // The last queue's is due first.
    for (number, queue) in s.queues.iter().rev().enumerate() {
        s.clock.set(begin.after(Duration::from_secs(60 * number as u64)));
        let record = repeat::put(None, repeatable(queue, "r"), s.clock.now()).unwrap();
        let put = PutRepeatable { record, guard: None, jobs: Vec::new() };
        let answer = s.backend.put_repeatable(put).await.unwrap();
        assert_eq!(answer, RepeatablePut::Stored);
    }
    s.clock.set(begin.after(Duration::from_secs(3600 + 60)));
    let due = s.backend.repeatables(RepeatablesQuery::Due(10)).await.unwrap();
    let queues: Vec<&QueueName> = due.records.iter().map(|record| &record.spec.queue).collect();
    assert_eq!(queues, [&s.queues[2], &s.queues[1]]);
    assert_eq!(due.next_due, Some(begin.after(Duration::from_secs(3600 + 120))));
    let one = s.backend.repeatables(RepeatablesQuery::Due(1)).await.unwrap();
    assert_eq!(one.records, due.records[..1]);
    assert_eq!(one.next_due, due.records[1].due());
    for record in &due.records {
        let queue = QueueSpec::new(record.spec.queue.clone());
        let fired = repeat::fire(record, &queue, due.now, repeat::Previous::Ended);
        let fired = fired.unwrap().expect("it is due");
        // Of two keepers that fire the same moment, one does.
        let answers = [
            s.backend.put_repeatable(fired.clone()).await.unwrap(),
            s.backend.put_repeatable(fired).await.unwrap(),
        ];
        assert_eq!(answers[0], RepeatablePut::Stored);
        assert!(matches!(answers[1], RepeatablePut::Stale(Some(_))), "{answers:?}");
    }
    assert_eq!(s.count(State::Waiting).await, 2);
    let due = s.backend.repeatables(RepeatablesQuery::Due(10)).await.unwrap();
    assert_eq!(due.records, []);
    let ran: HashMap<JobId, usize> = s.run().await.into_iter().map(|id| (id, 1)).collect();
    assert_eq!(ran.len(), 2);
}
