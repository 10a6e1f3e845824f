//! Repeatables: stored, fired once a moment, listed, paused and removed.

use windlass_core::backend::{PutRepeatable, RepeatablePut, Repeatables, RepeatablesQuery};
use windlass_core::decide::repeat::{self, Pause, Previous};
use windlass_core::model::{
    JobOptions, JobTemplate, JobType, Missed, Overlap, Partitions, Payload, QueueName, Repeatable,
    RepeatableKey, RepeatableRecord, Retry, State, Timestamp,
};
use windlass_core::schedule::Schedule;
use windlass_core::{Backend, ErrorKind};

use crate::fixture::{Queue, TICK, done, ids, partition_key, secs, tag};
use crate::harness::{Context, case_table, spec};

case_table! {
    [S1] a_repeatable_comes_back_with_every_field,
    [S1] putting_it_again_replaces_it_and_equal_content_changes_nothing,
    [S1] what_was_decided_about_a_removed_one_does_not_touch_one_that_was_put_anew,
    [S1] the_same_key_in_another_queue_is_another_repeatable,
    [S1] a_repeatable_starts_ends_and_counts_as_it_says,
    [S2] for_each_fire_moment_there_is_at_most_one_job,
    [S2] record_and_jobs_are_stored_in_one_step,
    [S2] a_job_that_exists_does_not_keep_the_record_from_being_stored,
    [S3] missed_moments_run_once_or_not_at_all_or_up_to_a_bound,
    [S4] by_choice_a_moment_is_passed_over_while_the_previous_job_is_live,
    [S5] a_fixed_time_fires_once_a_day_across_both_clock_changes,
    [S6] repeatables_of_a_queue_are_listed_by_key,
    [S6] what_is_due_is_listed_earliest_first_with_the_next_moment_behind_it,
    [S6] a_repeatable_is_due_at_exactly_its_moment,
    [S6] a_paused_repeatable_is_never_due_and_misses_nothing,
    [S6] a_repeatable_can_be_run_now_without_disturbing_its_moments,
    [S6] a_removed_repeatable_is_gone_and_its_jobs_stay,
    [] a_guard_that_does_not_hold_changes_nothing_and_says_what_is_stored,
    [] a_repeatable_of_a_queue_that_was_never_declared_is_an_error,
}

fn key(text: &str) -> RepeatableKey {
    RepeatableKey::new(text).expect("a valid repeatable key")
}

/// A repeatable that fires every so many seconds.
fn every(queue: &Queue, name: &str, period: u64) -> Repeatable {
    let template = JobTemplate {
        job_type: JobType::new("tick").expect("a valid job type"),
        payload: Payload::from("tock"),
        options: JobOptions::default(),
        partition: None,
        tags: Vec::new(),
    };
    Repeatable {
        key: key(name),
        queue: queue.spec.name.clone(),
        template,
        schedule: Schedule::every(secs(period)).expect("a valid period"),
        start: None,
        end: None,
        count: None,
        missed: Missed::RunOnce,
        overlap: Overlap::Allow,
    }
}

async fn query(backend: &dyn Backend, query: RepeatablesQuery) -> Repeatables {
    backend.repeatables(query).await.expect("repeatables")
}

async fn find(queue: &Queue, name: &str) -> Option<RepeatableRecord> {
    let one = RepeatablesQuery::One(queue.spec.name.clone(), key(name));
    let mut records = query(queue.backend(), one).await.records;
    assert!(records.len() <= 1);
    records.pop()
}

async fn see(queue: &Queue, name: &str) -> RepeatableRecord {
    find(queue, name).await.expect("a stored repeatable")
}

async fn store(queue: &Queue, put: PutRepeatable) -> RepeatablePut {
    queue.backend().put_repeatable(put).await.expect("put_repeatable")
}

/// Puts a repeatable as a client does; answers the record, or `None` if
/// nothing changed.
async fn put(ctx: &Context, queue: &Queue, wanted: Repeatable) -> Option<RepeatableRecord> {
    let stored = find(queue, wanted.key.as_str()).await;
    let record = repeat::put(stored.as_ref(), wanted, ctx.now())?;
    let put = PutRepeatable {
        record: record.clone(),
        guard: stored.map(|record| record.version),
        jobs: Vec::new(),
    };
    assert_eq!(store(queue, put).await, RepeatablePut::Stored);
    Some(record)
}

/// Does what a keeper does: fires what is due, and answers how many jobs that
/// stored.
async fn fire_due(queue: &Queue) -> usize {
    let before = queue.all().await.len();
    let due = query(queue.backend(), RepeatablesQuery::Due(100)).await;
    for record in due.records {
        let previous = match record.last_job {
            None => Previous::Ended,
            Some(id) => {
                let job = windlass_core::model::JobRef { queue: queue.spec.name.clone(), id };
                match queue.find(&job).await {
                    Some(job) if !job.state.is_terminal() => Previous::Live,
                    _ => Previous::Ended,
                }
            }
        };
        let fired = repeat::fire(&record, &queue.spec, due.now, previous).expect("valid jobs");
        if let Some(put) = fired {
            assert_eq!(store(queue, put).await, RepeatablePut::Stored);
        }
    }
    queue.all().await.len() - before
}

/// A repeatable has a key, a job template and a schedule; optional start, end
/// and count.
async fn a_repeatable_comes_back_with_every_field(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.partitions = Some(Partitions::default())).await;
    let cron = Schedule::cron("*/5 8-17 * * MON-FRI", "Europe/Berlin").expect("a schedule");
    let mut wanted = every(&queue, "A_b-c:9.x", 60);
    wanted.template.payload = Payload::from((0..=255).collect::<Vec<u8>>());
    wanted.template.options.retry = Retry::attempts(3);
    wanted.template.options.priority = -7;
    wanted.template.partition = Some(partition_key("it's \"p\""));
    wanted.template.tags = vec![tag("one"), tag("{two}")];
    wanted.schedule = cron;
    wanted.start = Some(ctx.now().after(secs(3600)));
    wanted.end = Some(Timestamp::MAX);
    wanted.count = Some(u64::MAX);
    wanted.missed = Missed::RunAll(7);
    wanted.overlap = Overlap::Skip;
    let record = put(ctx, &queue, wanted).await.expect("a new record");
    for handle in ctx.handles(2).await {
        assert_eq!(see(&queue.on(&handle), "A_b-c:9.x").await, record);
    }
    let record = RepeatableRecord {
        version: record.version + 1,
        fired: 5,
        last_fire: Some(ctx.now()),
        last_job: Some(ctx.ids().job()),
        paused: true,
        ..record
    };
    let changed =
        PutRepeatable { guard: Some(record.version - 1), record: record.clone(), jobs: Vec::new() };
    assert_eq!(store(&queue, changed).await, RepeatablePut::Stored);
    assert_eq!(see(&queue, "A_b-c:9.x").await, record);
}

/// Putting it again with the same key replaces it; equal content changes
/// nothing.
async fn putting_it_again_replaces_it_and_equal_content_changes_nothing(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let first = put(ctx, &queue, every(&queue, "k", 60)).await.expect("a new record");
    ctx.advance(secs(5));
    assert_eq!(put(ctx, &queue, every(&queue, "k", 60)).await, None);
    assert_eq!(see(&queue, "k").await, first);
    let second = put(ctx, &queue, every(&queue, "k", 30)).await.expect("a change");
    assert_eq!(second.version, first.version + 1);
    assert_eq!(see(&queue, "k").await, second);
    let of_queue = RepeatablesQuery::OfQueue(queue.spec.name.clone());
    assert_eq!(query(queue.backend(), of_queue).await.records, [second]);
    // The old moment does not count any more.
    ctx.advance(secs(30));
    assert_eq!(fire_due(&queue).await, 1);
}

/// Whoever decided about one that was removed since finds another in its place.
async fn what_was_decided_about_a_removed_one_does_not_touch_one_that_was_put_anew(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let old = put(ctx, &queue, every(&queue, "k", 10)).await.expect("a new record");
    let now = ctx.advance(secs(10));
    let fired = repeat::fire(&old, &queue.spec, now, Previous::Ended).expect("valid jobs");
    queue.backend().remove_repeatable(&queue.spec.name, &key("k")).await.expect("remove");
    let new = put(ctx, &queue, every(&queue, "k", 3600)).await.expect("a new record");
    let answer = store(&queue, fired.expect("it is due")).await;
    assert_eq!(answer, RepeatablePut::Stale(Some(Box::new(new.clone()))));
    assert_eq!(see(&queue, "k").await, new);
    assert_eq!(queue.all().await, []);
}

/// Its name within the queue.
async fn the_same_key_in_another_queue_is_another_repeatable(ctx: &Context) {
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    let of_a = put(ctx, &a, every(&a, "k", 10)).await.expect("new");
    let of_b = put(ctx, &b, every(&b, "k", 20)).await.expect("new");
    assert_eq!(see(&a, "k").await, of_a);
    assert_eq!(see(&b, "k").await, of_b);
    assert!(a.backend().remove_repeatable(&a.spec.name, &key("k")).await.expect("remove"));
    assert_eq!(find(&a, "k").await, None);
    assert_eq!(see(&b, "k").await, of_b);
}

/// Optional start, end and count.
async fn a_repeatable_starts_ends_and_counts_as_it_says(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let begin = ctx.now();
    let at = |wait| begin.after(secs(wait));
    let mut bounded = every(&queue, "bounded", 10);
    bounded.start = Some(at(25));
    bounded.end = Some(at(45));
    put(ctx, &queue, bounded).await;
    let mut counted = every(&queue, "counted", 10);
    counted.count = Some(2);
    put(ctx, &queue, counted).await;
    for (wait, fired) in [(9, 0), (10, 1), (20, 1), (24, 0), (25, 1), (35, 1), (45, 1), (99, 0)] {
        ctx.clock().set(at(wait));
        assert_eq!(fire_due(&queue).await, fired, "at {wait} s");
    }
    for name in ["bounded", "counted"] {
        assert_eq!(see(&queue, name).await.next, None, "{name} never fires again");
    }
}

/// For each fire moment there is at most one job, because its job key derives
/// from (repeatable, moment).
async fn for_each_fire_moment_there_is_at_most_one_job(ctx: &Context) {
    let queue = ctx.queue("q").await;
    put(ctx, &queue, every(&queue, "k", 10)).await;
    for round in 1..=5_usize {
        let now = ctx.advance(secs(10));
        let record = see(&queue, "k").await;
        // Two schedulers decide from the same record.
        let fired = repeat::fire(&record, &queue.spec, now, Previous::Ended).expect("valid jobs");
        let fired = fired.expect("it is due");
        assert_eq!(store(&queue, fired.clone()).await, RepeatablePut::Stored);
        let stored = see(&queue, "k").await;
        assert_eq!(stored, fired.record);
        let answer = store(&queue, fired).await;
        assert_eq!(answer, RepeatablePut::Stale(Some(Box::new(stored))));
        assert_eq!(fire_due(&queue).await, 0, "it is not due any more");
        assert_eq!(queue.all().await.len(), round);
    }
    let job = queue.take_one().await;
    assert_eq!(job.job_type.as_str(), "tick");
    assert_eq!(job.payload, Some(Payload::from("tock")));
}

/// The record and its jobs in one step: of several that fire the same moment,
/// one does.
async fn record_and_jobs_are_stored_in_one_step(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let mut all = every(&queue, "k", 1);
    all.missed = Missed::RunAll(10);
    put(ctx, &queue, all).await;
    let now = ctx.advance(secs(5));
    let record = see(&queue, "k").await;
    let fired =
        repeat::fire(&record, &queue.spec, now, Previous::Ended).expect("valid jobs").expect("due");
    assert_eq!(fired.jobs.len(), 5);
    let mut stale = fired.clone();
    stale.guard = Some(record.version + 1);
    assert!(matches!(store(&queue, stale).await, RepeatablePut::Stale(_)));
    assert_eq!(queue.all().await, [], "a stale guard stored a job");
    let expected: Vec<_> = fired.jobs.iter().map(|job| job.id).collect();
    assert_eq!(store(&queue, fired).await, RepeatablePut::Stored);
    assert_eq!(ids(&queue.take(9).await), expected);
}

/// A job whose id exists is not stored again, and does not keep the record
/// from being stored.
async fn a_job_that_exists_does_not_keep_the_record_from_being_stored(ctx: &Context) {
    let queue = ctx.queue("q").await;
    put(ctx, &queue, every(&queue, "k", 10)).await;
    ctx.advance(secs(10));
    let first = see(&queue, "k").await;
    assert_eq!(fire_due(&queue).await, 1);
    queue.work(done()).await;
    // Removed and put again from before the moment: it fires for it again.
    queue.backend().remove_repeatable(&queue.spec.name, &key("k")).await.expect("remove");
    let anew = PutRepeatable {
        record: RepeatableRecord { version: 1, ..first },
        guard: None,
        jobs: Vec::new(),
    };
    assert_eq!(store(&queue, anew).await, RepeatablePut::Stored);
    assert_eq!(fire_due(&queue).await, 0, "the job of that moment exists");
    assert_eq!(see(&queue, "k").await.fired, 1, "the record went on");
    let jobs = queue.all().await;
    assert_eq!((jobs.len(), jobs[0].state), (1, State::Completed));
}

/// Missed moments, by choice: run once now (default), skip, or run all up to a
/// bound.
async fn missed_moments_run_once_or_not_at_all_or_up_to_a_bound(ctx: &Context) {
    let policies = [
        ("once", Missed::RunOnce, 1),
        ("skip", Missed::Skip, 0),
        ("all", Missed::RunAll(100), 10),
        ("bound", Missed::RunAll(3), 3),
    ];
    let begin = ctx.now();
    for (name, missed, _) in policies {
        let queue = ctx.queue(name).await;
        let mut wanted = every(&queue, "k", 300);
        wanted.missed = missed;
        put(ctx, &queue, wanted).await;
    }
    ctx.clock().set(begin.after(secs(3100)));
    for (name, _, fired) in policies {
        let queue = ctx.queue(name).await;
        let due = query(queue.backend(), RepeatablesQuery::Due(100)).await;
        for record in due.records.iter().filter(|r| r.spec.queue == queue.spec.name) {
            let put =
                repeat::fire(record, &queue.spec, due.now, Previous::Ended).expect("valid jobs");
            store(&queue, put.expect("due")).await;
        }
        let jobs = queue.all().await;
        assert_eq!(jobs.len(), fired, "{name}");
        // All are ready now, in the order of their moments.
        assert!(jobs.iter().all(|job| job.state == State::Waiting));
        assert_eq!(ids(&queue.take(99).await), ids(&jobs));
        let next = see(&queue, "k").await.next;
        assert_eq!(next, Some(begin.after(secs(3300))), "{name}");
    }
}

/// Overlap, by choice: allow (default) or skip while the previous one is not
/// terminal.
async fn by_choice_a_moment_is_passed_over_while_the_previous_job_is_live(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let mut wanted = every(&queue, "k", 10);
    wanted.overlap = Overlap::Skip;
    put(ctx, &queue, wanted).await;
    let mut fired = Vec::new();
    for round in 0..6 {
        ctx.advance(secs(10));
        fired.push(fire_due(&queue).await);
        if round == 2 {
            queue.take_one().await;
        }
        if round == 3 {
            let running = queue.all().await.remove(0);
            queue.settled(&running, done()).await;
        }
    }
    // The first is live until after the fourth moment, the fifth's until the end.
    assert_eq!(fired, [1, 0, 0, 0, 1, 0]);
    assert_eq!(see(&queue, "k").await.fired, 2);
}

/// Daylight saving as in Vixie cron: a fixed time that does not exist fires at
/// the first instant after the gap; one that exists twice fires the first time
/// only.
async fn a_fixed_time_fires_once_a_day_across_both_clock_changes(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let at = |text: i64| Timestamp::from_micros(text * 1_000_000);
    // 2024-03-09, 2024-11-02, each 12:00 in New York.
    for (begin, first, second) in [
        // 02:30 EST on the 10th does not exist; 03:00 EDT is the first instant
        // after the gap. On the 11th it is 02:30 EDT.
        (1_710_003_600, 1_710_054_000, 1_710_138_600),
        // 01:30 exists twice on the 3rd: 01:30 EDT counts, 01:30 EST does not.
        (1_730_563_200, 1_730_611_800, 1_730_701_800),
    ] {
        let expression = if begin < 1_720_000_000 { "30 2 * * *" } else { "30 1 * * *" };
        ctx.clock().set(at(begin));
        let mut wanted = every(&queue, "k", 1);
        wanted.schedule = Schedule::cron(expression, "America/New_York").expect("a schedule");
        let record = put(ctx, &queue, wanted).await.expect("a change");
        assert_eq!(record.next, Some(at(first)), "{expression}");
        for moment in [first, second] {
            let due = query(queue.backend(), RepeatablesQuery::Due(9)).await;
            assert_eq!((due.records, due.next_due), (vec![], Some(at(moment))));
            ctx.clock().set(at(moment));
            assert_eq!(fire_due(&queue).await, 1, "{expression} at {moment}");
        }
    }
}

/// Those of a queue, by key.
async fn repeatables_of_a_queue_are_listed_by_key(ctx: &Context) {
    let (queue, other) = (ctx.queue("q").await, ctx.queue("other").await);
    put(ctx, &other, every(&other, "elsewhere", 1)).await;
    let names = ["m", "z", "B", "a", "a.1", "a-1", "a:1", "10", "9"];
    for (i, name) in names.into_iter().enumerate() {
        put(ctx, &queue, every(&queue, name, 100 - i as u64)).await;
    }
    let mut sorted = names;
    sorted.sort_unstable();
    let list =
        async |name: QueueName| query(queue.backend(), RepeatablesQuery::OfQueue(name)).await;
    let listed = list(queue.spec.name.clone()).await;
    let keys: Vec<_> = listed.records.iter().map(|r| r.spec.key.as_str()).collect();
    assert_eq!(keys, sorted);
    assert_eq!(listed.now, ctx.now());
    // With the next moments.
    let record = &listed.records[0];
    assert_eq!(record.spec.key.as_str(), "10");
    let next: Vec<_> = [93, 186].map(|wait| ctx.now().after(secs(wait))).to_vec();
    assert_eq!(repeat::upcoming(record, 2), next);
    assert_eq!(list(crate::fixture::queue_name("unknown")).await.records, []);
    assert_eq!(find(&queue, "unknown").await, None);
}

/// Those of every queue whose moment has come, the earliest first, so many at
/// most; and when the next one that is not among them is due.
async fn what_is_due_is_listed_earliest_first_with_the_next_moment_behind_it(ctx: &Context) {
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    let begin = ctx.now();
    let at = |wait| Some(begin.after(secs(wait)));
    let due = async |limit: u32| {
        let due = query(a.backend(), RepeatablesQuery::Due(limit)).await;
        let periods: Vec<_> = due
            .records
            .iter()
            .map(|record| record.next.expect("due").since(begin).as_secs())
            .collect();
        (periods, due.next_due)
    };
    assert_eq!(due(9).await, (vec![], None));
    for (queue, name, period) in [(&a, "x", 30), (&b, "y", 10), (&a, "z", 50), (&b, "w", 20)] {
        put(ctx, queue, every(queue, name, period)).await;
    }
    assert_eq!(due(9).await, (vec![], at(10)));
    ctx.advance(secs(35));
    assert_eq!(due(9).await, (vec![10, 20, 30], at(50)));
    assert_eq!(due(2).await, (vec![10, 20], at(30)));
    assert_eq!(due(3).await, (vec![10, 20, 30], at(50)));
    ctx.advance(secs(3600));
    assert_eq!(due(9).await, (vec![10, 20, 30, 50], None));
}

/// When a keeper has to look at it: from its moment on, and not before.
async fn a_repeatable_is_due_at_exactly_its_moment(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let record = put(ctx, &queue, every(&queue, "k", 10)).await.expect("new");
    let moment = record.next.expect("a moment");
    ctx.clock().set(moment.before(TICK));
    let due = query(queue.backend(), RepeatablesQuery::Due(9)).await;
    assert_eq!((due.records, due.next_due), (vec![], Some(moment)));
    ctx.clock().set(moment);
    let due = query(queue.backend(), RepeatablesQuery::Due(9)).await;
    assert_eq!((due.records, due.next_due), (vec![record], None));
}

/// Paused, resumed: moments that pass while it is paused are not missed.
async fn a_paused_repeatable_is_never_due_and_misses_nothing(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let record = put(ctx, &queue, every(&queue, "k", 10)).await.expect("new");
    let change = async |record: &RepeatableRecord, wish| {
        let changed = repeat::pause(record, wish, ctx.now()).expect("a change");
        let put = PutRepeatable {
            record: changed.clone(),
            guard: Some(record.version),
            jobs: Vec::new(),
        };
        assert_eq!(store(&queue, put).await, RepeatablePut::Stored);
        changed
    };
    let paused = change(&record, Pause::Pause).await;
    ctx.advance(secs(95));
    let due = query(queue.backend(), RepeatablesQuery::Due(9)).await;
    assert_eq!((due.records, due.next_due), (vec![], None));
    assert_eq!(see(&queue, "k").await, paused);
    let resumed = change(&paused, Pause::Resume).await;
    assert_eq!(fire_due(&queue).await, 0);
    ctx.clock().set(resumed.next.expect("a moment"));
    assert_eq!(fire_due(&queue).await, 1);
}

/// Run now.
async fn a_repeatable_can_be_run_now_without_disturbing_its_moments(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let record = put(ctx, &queue, every(&queue, "k", 10)).await.expect("new");
    let job = repeat::run_now(&record, &queue.spec, ctx.ids().job()).expect("a valid job");
    queue.backend().enqueue(vec![job]).await.expect("enqueue");
    assert_eq!(queue.work(done()).await.payload, Some(Payload::from("tock")));
    assert_eq!(see(&queue, "k").await, record);
    ctx.advance(secs(10));
    assert_eq!(fire_due(&queue).await, 1);
}

/// Removes a repeatable; its jobs stay. Answers whether there was one.
async fn a_removed_repeatable_is_gone_and_its_jobs_stay(ctx: &Context) {
    let queue = ctx.queue("q").await;
    put(ctx, &queue, every(&queue, "k", 10)).await;
    put(ctx, &queue, every(&queue, "stays", 500)).await;
    ctx.advance(secs(10));
    assert_eq!(fire_due(&queue).await, 1);
    let remove = async || {
        let removed = queue.backend().remove_repeatable(&queue.spec.name, &key("k")).await;
        removed.expect("remove_repeatable")
    };
    assert!(remove().await);
    assert!(!remove().await);
    assert_eq!(find(&queue, "k").await, None);
    ctx.advance(secs(60));
    assert_eq!(fire_due(&queue).await, 0);
    assert_eq!(queue.take(9).await.len(), 1);
    assert!(find(&queue, "stays").await.is_some());
    let elsewhere = crate::fixture::queue_name("unknown");
    let removed = queue.backend().remove_repeatable(&elsewhere, &key("stays")).await;
    assert!(!removed.expect("remove_repeatable"));
}

/// The guard did not hold; nothing changed. Carries what is stored.
async fn a_guard_that_does_not_hold_changes_nothing_and_says_what_is_stored(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job = || vec![queue.new_job(queue.job())];
    let new = repeat::put(None, every(&queue, "k", 10), ctx.now()).expect("new");
    let put = |guard, record: &RepeatableRecord| PutRepeatable {
        record: record.clone(),
        guard,
        jobs: job(),
    };
    let answer = store(&queue, put(Some(1), &new)).await;
    assert_eq!(answer, RepeatablePut::Stale(None));
    assert_eq!(find(&queue, "k").await, None);
    assert_eq!(store(&queue, put(None, &new)).await, RepeatablePut::Stored);
    let other = RepeatableRecord { version: 2, fired: 9, ..new.clone() };
    for guard in [None, Some(0), Some(2)] {
        let answer = store(&queue, put(guard, &other)).await;
        assert_eq!(answer, RepeatablePut::Stale(Some(Box::new(new.clone()))), "{guard:?}");
        assert_eq!(see(&queue, "k").await, new);
    }
    assert_eq!(queue.all().await.len(), 1, "only the stored one brought its job");
}

/// The queue was never declared: `UnknownQueue`.
async fn a_repeatable_of_a_queue_that_was_never_declared_is_an_error(ctx: &Context) {
    let queue = Queue::new(ctx.backend().clone(), spec("unknown"), ctx.ids().clone());
    let record = repeat::put(None, every(&queue, "k", 10), ctx.now()).expect("new");
    let put = PutRepeatable { record, guard: None, jobs: Vec::new() };
    let error = queue.backend().put_repeatable(put).await.expect_err("no such queue");
    assert_eq!(error.kind(), ErrorKind::UnknownQueue);
    assert_eq!(find(&queue, "k").await, None);
}
