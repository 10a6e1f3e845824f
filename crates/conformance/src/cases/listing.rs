//! Looking at one job, and at many.

use windlass_core::backend::Result;
use windlass_core::decide::control::Wish;
use windlass_core::model::{
    Detail, Direction, Filter, Job, JobId, JobRef, JobType, JobsPage, JobsQuery, Partitions,
    Payload, State,
};

use crate::fixture::{
    AWKWARD, Queue, dedup_key, done, ids, ids_of, job_key, partition_key, secs, success, tag,
};
use crate::harness::{Context, case_table};

case_table! {
    [Q5] each_field_of_a_filter_is_obeyed_and_all_together,
    [Q5] states_are_as_the_stores_clock_has_them,
    [Q5] awkward_texts_match_themselves_and_nothing_else,
    [Q5] pages_go_both_ways_and_hold_each_job_once,
    [Q5] jobs_that_come_and_change_during_a_walk_disturb_no_other,
    [Q5] a_walk_over_every_queue_holds_each_job_once,
    [Q5] payload_and_result_are_read_only_when_asked_for,
    [] a_job_is_found_only_where_it_stands,
    [] an_unknown_queue_has_no_jobs,
}

async fn page(queue: &Queue, query: JobsQuery) -> JobsPage {
    let page: Result<JobsPage> = queue.backend().jobs(query).await;
    page.expect("jobs")
}

/// A query for the jobs of a queue.
fn of(queue: &Queue, filter: Filter) -> JobsQuery {
    JobsQuery {
        filter: Filter { queue: Some(queue.spec.name.clone()), ..filter },
        direction: Direction::OldestFirst,
        after: None,
        limit: 1000,
        detail: Detail::Summary,
    }
}

/// Everything that a walk finds, page by page.
async fn walk(queue: &Queue, mut query: JobsQuery) -> Vec<Job> {
    let mut found = Vec::new();
    loop {
        let page = page(queue, query.clone()).await;
        assert!(page.jobs.len() <= query.limit as usize, "more than the limit");
        found.extend(page.jobs);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return found,
        }
        assert!(found.len() < 10_000, "the walk does not end");
    }
}

/// List and search: by state, job type, key, partition, tag. Every field that
/// is given must match.
async fn each_field_of_a_filter_is_obeyed_and_all_together(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.partitions = Some(Partitions::default())).await;
    let flow = ctx.ids().flow();
    queue.add(queue.job().partition("parent")).await;
    let parent = queue.take_one().await;
    let everything = || {
        queue
            .job()
            .job_type("wanted")
            .key("k")
            .dedup("d")
            .partition("p")
            .tag("t")
            .tag("u")
            .flow(flow)
            .parent(&parent)
            .after(secs(60))
    };
    let plain = || queue.job().partition("other");
    let jobs = [
        queue.add(everything()).await,
        queue.add(plain().job_type("wanted")).await,
        queue.add(plain().key("other")).await,
        queue.add(plain().dedup("other")).await,
        queue.add(plain().partition("p")).await,
        queue.add(plain().tag("u")).await,
        queue.add(plain().flow(flow)).await,
        queue.add(plain().parent(&parent)).await,
        queue.add(plain().after(secs(60))).await,
    ];
    let wanted = JobType::new("wanted").expect("a name");
    let all = Filter {
        queue: None,
        states: vec![State::Scheduled, State::Failed],
        job_type: Some(wanted),
        key: Some(job_key("k")),
        dedup: Some(dedup_key("d")),
        partition: Some(partition_key("p")),
        tag: Some(tag("t")),
        flow: Some(flow),
        parent: Some(parent.reference()),
    };
    let list = async |filter: Filter| {
        let found = ids(&queue.list(filter).await);
        let index = |id: &JobId| jobs.iter().position(|job| job.id == *id);
        found.iter().map(|id| index(id).expect("a job of this case")).collect::<Vec<_>>()
    };
    let none = Filter::default;
    assert_eq!(list(all.clone()).await, [0]);
    assert_eq!(list(Filter { states: all.states.clone(), ..none() }).await, [0, 8]);
    assert_eq!(list(Filter { job_type: all.job_type.clone(), ..none() }).await, [0, 1]);
    assert_eq!(list(Filter { key: all.key.clone(), ..none() }).await, [0]);
    assert_eq!(list(Filter { dedup: all.dedup.clone(), ..none() }).await, [0]);
    assert_eq!(list(Filter { partition: all.partition.clone(), ..none() }).await, [0, 4]);
    assert_eq!(list(Filter { tag: Some(tag("u")), ..none() }).await, [0, 5]);
    assert_eq!(list(Filter { flow: all.flow, ..none() }).await, [0, 6]);
    assert_eq!(list(Filter { parent: all.parent.clone(), ..none() }).await, [0, 7]);
    // Any one that does not match is enough.
    let (key, dedup) = (Some(job_key("other")), Some(dedup_key("other")));
    for wrong in [
        Filter { states: vec![State::Waiting], ..all.clone() },
        Filter { key: key.clone(), ..all.clone() },
        Filter { dedup, ..all.clone() },
        Filter { partition: Some(partition_key("other")), ..all.clone() },
        Filter { tag: Some(tag("v")), ..all.clone() },
        Filter { flow: Some(ctx.ids().flow()), ..all.clone() },
        Filter { parent: Some(jobs[0].clone()), ..all.clone() },
    ] {
        assert_eq!(list(wrong.clone()).await, [] as [usize; 0], "{wrong:?}");
    }
    // A job that has ended still has its keys, its flow and its tags.
    queue.control(&jobs[0], Wish::Cancel).await;
    let ended = Filter { states: vec![State::Cancelled], ..all };
    assert_eq!(list(ended).await, [0]);
}

/// A job is `scheduled` before its moment and `waiting` from that moment on,
/// in every answer.
async fn states_are_as_the_stores_clock_has_them(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let jobs = [
        queue.add(queue.job().after(secs(10))).await,
        queue.add(queue.job().after(secs(20))).await,
        queue.add_one().await,
    ];
    let list = async |states: &[State]| {
        let filter = Filter { states: states.to_vec(), ..Filter::default() };
        let found = queue.list(filter).await;
        assert!(found.iter().all(|job| states.contains(&job.state)));
        ids(&found)
    };
    let both = [State::Scheduled, State::Waiting];
    for (moved, wait) in [(0, 0), (0, 9), (1, 1), (1, 9), (2, 1)] {
        ctx.advance(secs(wait));
        let mut waiting = ids_of(&jobs[..moved]);
        waiting.push(jobs[2].id);
        assert_eq!(list(&[State::Waiting]).await, waiting);
        assert_eq!(list(&[State::Scheduled]).await, ids_of(&jobs[moved..2]));
        assert_eq!(list(&both).await, ids_of(&jobs));
    }
}

/// Nothing is folded, trimmed or matched as a pattern.
async fn awkward_texts_match_themselves_and_nothing_else(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.partitions = Some(Partitions::default())).await;
    for text in AWKWARD {
        queue.add(queue.job().key(text).dedup(text).tag(text).partition(text)).await;
    }
    let jobs = queue.all().await;
    for (text, job) in AWKWARD.into_iter().zip(&jobs) {
        for filter in [
            Filter { key: Some(job_key(text)), ..Filter::default() },
            Filter { dedup: Some(dedup_key(text)), ..Filter::default() },
            Filter { tag: Some(tag(text)), ..Filter::default() },
            Filter { partition: Some(partition_key(text)), ..Filter::default() },
        ] {
            assert_eq!(ids(&queue.list(filter.clone()).await), [job.id], "{filter:?}");
        }
    }
    for text in ["%", "_lain", "plai", "plain%", "*", ""] {
        if let Ok(text) = windlass_core::model::Tag::new(text) {
            let filter = Filter { tag: Some(text), ..Filter::default() };
            assert_eq!(queue.list(filter).await, []);
        }
    }
}

/// Keyset pages, both directions; by the enqueue sequence.
async fn pages_go_both_ways_and_hold_each_job_once(ctx: &Context) {
    let (queue, other) = (ctx.queue("q").await, ctx.queue("other").await);
    let mut expected = Vec::new();
    for i in 0..23_i32 {
        // Neither priority nor moment nor state has a say in the order.
        let draft = queue.job().priority(-i).after(secs(u64::from(i % 3 == 0) * 9));
        expected.push(queue.add(draft).await.id);
        other.add_one().await;
        if i % 5 == 0 {
            queue.take(1).await;
        }
    }
    for (direction, limits) in [
        (Direction::OldestFirst, [1, 7, 22, 23, 24, 1000]),
        (Direction::NewestFirst, [1, 7, 22, 23, 24, 1000]),
    ] {
        for limit in limits {
            let query = JobsQuery { direction, limit, ..of(&queue, Filter::default()) };
            let first = page(&queue, query.clone()).await;
            assert_eq!(first.now, ctx.now());
            assert_eq!(first.next.is_some(), limit < 23, "{direction:?}, {limit} at a time");
            assert_eq!(
                ids(&walk(&queue, query).await),
                expected,
                "{direction:?}, {limit} at a time"
            );
        }
        expected.reverse();
    }
    // A filter that leaves out most does not make pages short of their limit.
    let active = Filter { states: vec![State::Active], ..Filter::default() };
    let query = JobsQuery { limit: 2, ..of(&queue, active) };
    assert_eq!(page(&queue, query.clone()).await.jobs.len(), 2);
    assert_eq!(walk(&queue, query).await.len(), 4);
}

/// A job that stays in the filter is in exactly one page of a walk.
async fn jobs_that_come_and_change_during_a_walk_disturb_no_other(ctx: &Context) {
    for direction in [Direction::OldestFirst, Direction::NewestFirst] {
        let queue = ctx.queue(&format!("{direction:?}")).await;
        let jobs = queue.add_all(queue.jobs(20)).await;
        let mut query = JobsQuery { direction, limit: 4, ..of(&queue, Filter::default()) };
        let mut found: Vec<JobId> = Vec::new();
        let mut removed = Vec::new();
        for step in 0_usize.. {
            let page = page(&queue, query.clone()).await;
            found.extend(ids(&page.jobs));
            query.after = page.next;
            if page.next.is_none() {
                break;
            }
            // Each page, a job comes, some change, and two go: the one that
            // the walk stands at, and one that it may not have reached.
            queue.add_one().await;
            queue.work(done()).await;
            let last = page.jobs.last().expect("a job").reference();
            for job in [last, jobs[(step * 7 + 3) % 20].clone()] {
                if queue.find(&job).await.is_some_and(|job| job.state != State::Active) {
                    queue.control(&job, Wish::Remove).await;
                    removed.push(job.id);
                }
            }
        }
        for job in &jobs {
            let times = found.iter().filter(|id| **id == job.id).count();
            let stayed = !removed.contains(&job.id);
            assert!(times == 1 || (times == 0 && !stayed), "{times} times, {direction:?}");
        }
    }
}

/// Every queue's jobs: by the enqueue sequence, per queue.
async fn a_walk_over_every_queue_holds_each_job_once(ctx: &Context) {
    let queues = [ctx.queue("b").await, ctx.queue("a").await, ctx.queue("c").await];
    let mut expected = [vec![], vec![], vec![]];
    for i in [0, 1, 1, 2, 0, 0, 1, 2, 0, 1, 1, 0_usize] {
        expected[i].push(queues[i].add(queues[i].job().tag("t")).await.id);
        queues[i].add_one().await;
    }
    for direction in [Direction::OldestFirst, Direction::NewestFirst] {
        for limit in [1, 5, 100] {
            let query = JobsQuery {
                filter: Filter { tag: Some(tag("t")), ..Filter::default() },
                direction,
                after: None,
                limit,
                detail: Detail::Summary,
            };
            let found = walk(&queues[0], query).await;
            assert_eq!(found.len(), 12, "{direction:?}, {limit} at a time");
            for (queue, expected) in queues.iter().zip(&expected) {
                let of_queue = found.iter().filter(|job| job.queue == queue.spec.name);
                let of_queue: Vec<_> = of_queue.map(|job| job.id).collect();
                assert_eq!(of_queue, *expected, "{direction:?}, {limit} at a time");
            }
        }
        for expected in &mut expected {
            expected.reverse();
        }
    }
}

/// Payload only when asked for; and the result with it.
async fn payload_and_result_are_read_only_when_asked_for(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add(queue.job().payload("p")).await;
    queue.work(success("r")).await;
    let read = async |detail| {
        let query = JobsQuery { detail, ..of(&queue, Filter::default()) };
        let mut jobs = page(&queue, query).await.jobs;
        assert_eq!(jobs.len(), 1);
        jobs.remove(0)
    };
    let full = read(Detail::Full).await;
    assert_eq!(full.payload, Some(Payload::from("p")));
    assert_eq!(full.result, Some(Payload::from("r")));
    assert_eq!(full, queue.see(&full.reference()).await, "nothing less than the job itself");
    let summary = Job { payload: None, result: None, ..full };
    assert_eq!(read(Detail::Summary).await, summary, "and nothing else left out");
}

/// A job, with payload and result, or `None`.
async fn a_job_is_found_only_where_it_stands(ctx: &Context) {
    let (queue, other) = (ctx.queue("q").await, ctx.queue("other").await);
    let job = queue.add_one().await;
    let now = ctx.advance(secs(1));
    let seen = queue.backend().job(&job).await.expect("job").expect("the job");
    assert_eq!((seen.job.reference(), seen.now), (job.clone(), now));
    let elsewhere = JobRef { queue: other.spec.name.clone(), id: job.id };
    assert_eq!(other.find(&elsewhere).await, None);
    for queue in [&queue, &other] {
        let nobody = JobRef { queue: queue.spec.name.clone(), id: ctx.ids().job() };
        assert_eq!(queue.find(&nobody).await, None);
        let backend = queue.backend();
        assert_eq!(backend.dependents(&nobody).await.expect("dependents"), []);
        assert_eq!(backend.dependencies(&nobody).await.expect("dependencies"), []);
        assert_eq!(backend.steps(&nobody).await.expect("steps"), []);
    }
}

/// None of its own; an unknown queue has no jobs.
async fn an_unknown_queue_has_no_jobs(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = queue.add_one().await;
    let mut query = of(&queue, Filter::default());
    query.filter.queue = Some(crate::fixture::queue_name("unknown"));
    let page = page(&queue, query).await;
    assert_eq!((page.jobs, page.next), (vec![], None));
    let nowhere = JobRef { queue: crate::fixture::queue_name("unknown"), id: job.id };
    assert_eq!(queue.find(&nowhere).await, None);
}
