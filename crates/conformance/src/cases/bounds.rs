//! Nothing at all, and more than there is: limits of pages, lengths of time and
//! moments at both ends of their ranges.

use std::time::Duration;

use windlass_core::backend::{
    Again, Clean, CleanWhich, Overdue, OverduePlace, OverdueQuery, RepeatablesQuery,
};
use windlass_core::decide::OnDuplicate;
use windlass_core::decide::control::Wish;
use windlass_core::model::{
    Beat, Detail, Direction, Filter, JobsQuery, Rate, State, Timestamp, When, WorkerInfo,
};

use crate::fixture::{
    AWKWARD, Dice, TICK, dedup_key, done, ids, ids_of, job_key, partition_key, queue_name, secs,
    tag,
};
use crate::harness::{Context, case_table};

case_table! {
    [Q5] a_page_has_one_job_at_least_and_a_thousand_at_most,
    [Q5] a_cursor_that_was_never_given_out_is_a_place_like_any_other,
    [Q5] whatever_is_looked_for_a_page_is_a_page,
    [L4] a_page_of_what_is_overdue_has_its_bounds_too,
    [O4] a_job_that_is_delayed_for_ever_never_starts_and_hides_no_other,
    [O4] a_moment_before_all_others_means_now,
    [R5] a_job_without_time_expires_and_one_with_all_the_time_does_not,
    [E4] a_key_can_be_held_for_ever_or_not_at_all,
    [G1] a_period_without_end_lets_start_what_it_allows_and_no_more,
    [O3] with_ageing_the_extremes_of_priority_and_step_do_not_overflow,
    [Q3] nothing_is_older_than_for_ever_and_everything_as_old_as_nothing,
    [] a_worker_can_be_forgotten_at_once_or_never,
}

const ZERO: Duration = Duration::ZERO;
const FOR_EVER: Duration = Duration::MAX;

/// A page has 1 to 1,000 jobs; another limit is taken for the nearest of them.
async fn a_page_has_one_job_at_least_and_a_thousand_at_most(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let jobs = queue.add_all(queue.jobs(1003)).await;
    for (limit, expected) in [(0, 1), (1, 1), (999, 999), (1001, 1000), (u32::MAX, 1000)] {
        for of in [Some(queue.spec.name.clone()), None] {
            let query = JobsQuery {
                filter: Filter { queue: of, ..Filter::default() },
                direction: Direction::OldestFirst,
                after: None,
                limit,
                detail: Detail::Summary,
            };
            let page = queue.backend().jobs(query).await.expect("jobs");
            assert_eq!(ids(&page.jobs), ids_of(&jobs)[..expected], "limit {limit}");
            assert_eq!(page.next, page.jobs.last().map(|job| job.seq), "there are more");
        }
    }
}

/// The page starts behind the job with this sequence number, whether there is
/// such a job or not.
async fn a_cursor_that_was_never_given_out_is_a_place_like_any_other(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let jobs = ids_of(&queue.add_all(queue.jobs(5)).await);
    let newest: Vec<_> = jobs.iter().rev().copied().collect();
    let largest = u64::try_from(i64::MAX).expect("a positive number");
    for (direction, after, expected) in [
        (Direction::OldestFirst, u64::MAX, &[][..]),
        (Direction::OldestFirst, largest, &[]),
        (Direction::OldestFirst, largest + 1, &[]),
        (Direction::NewestFirst, u64::MAX, &newest),
        (Direction::NewestFirst, largest, &newest),
        (Direction::NewestFirst, largest + 1, &newest),
        (Direction::NewestFirst, 0, &[]),
    ] {
        for of in [Some(queue.spec.name.clone()), None] {
            let query = JobsQuery {
                filter: Filter { queue: of, ..Filter::default() },
                direction,
                after: Some(after),
                limit: 1000,
                detail: Detail::Summary,
            };
            let page = queue.backend().jobs(query).await.expect("jobs");
            assert_eq!((&ids(&page.jobs)[..], page.next), (expected, None), "{after}");
        }
    }
}

/// No filter, cursor or limit is an error, and no page is larger than asked
/// for.
async fn whatever_is_looked_for_a_page_is_a_page(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let split = ctx.queue_with("split", |spec| spec.partitions = Some(Default::default())).await;
    for text in AWKWARD {
        queue.add(queue.job().key(text).dedup(text).tag(text)).await;
        split.add(split.job().partition(text)).await;
    }
    let mut dice = Dice::new(11);
    let mut found = 0;
    for round in 0..400 {
        let mut text = || (dice.below(3) == 0).then(|| AWKWARD[dice.below(16) as usize]);
        let filter = Filter {
            key: text().map(job_key),
            dedup: text().map(dedup_key),
            partition: text().map(partition_key),
            tag: text().map(tag),
            queue: dice.pick(&[None, Some("q"), Some("split"), Some("never")]).map(queue_name),
            states: (0..dice.pick(&[0, 1, 1000]))
                .map(|_| dice.pick(&[State::Waiting, State::Active, State::Failed]))
                .collect(),
            ..Filter::default()
        };
        let query = JobsQuery {
            filter,
            direction: dice.pick(&[Direction::OldestFirst, Direction::NewestFirst]),
            after: dice.pick(&[None, Some(0), Some(7), Some(u64::MAX)]),
            limit: dice.pick(&[0, 1, 5, u32::MAX]),
            detail: dice.pick(&[Detail::Summary, Detail::Full]),
        };
        let limit = query.limit.clamp(1, 1000) as usize;
        let shown = format!("round {round}: {query:?}");
        let page = queue.backend().jobs(query).await;
        let page = page.unwrap_or_else(|error| panic!("{shown}: {error:#}"));
        assert!(page.jobs.len() <= limit, "{shown}");
        found += page.jobs.len();
    }
    assert!(found > 100, "{found} jobs in all: the pages prove nothing");
}

/// A page of what is overdue has 1 to 1,000 jobs, and starts behind any place.
async fn a_page_of_what_is_overdue_has_its_bounds_too(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_all(queue.jobs(1003)).await;
    let taken = queue.take(10_000).await;
    ctx.advance(secs(3600));
    let place = |moment, seq| Some(OverduePlace { moment, seq });
    let (first, last) = (Timestamp::from_micros(i64::MIN), Timestamp::MAX);
    for (limit, after, expected) in [
        (0, None, 1),
        (u32::MAX, None, 1000),
        (u32::MAX, place(first, u64::MAX), 1000),
        (u32::MAX, place(last, 0), 0),
        (u32::MAX, place(last, u64::MAX), 0),
    ] {
        let query = OverdueQuery {
            queue: queue.spec.name.clone(),
            what: Overdue::LostLeases,
            after,
            limit,
        };
        let page = queue.backend().overdue(query).await.expect("overdue");
        assert_eq!(ids(&page.jobs), ids(&taken)[..expected], "limit {limit} after {after:?}");
        assert_eq!(page.next.is_some(), expected > 0);
    }
    let due = RepeatablesQuery::Due(u32::MAX);
    let due = queue.backend().repeatables(due).await.expect("repeatables");
    assert_eq!((due.records, due.next_due), (Vec::new(), None));
}

/// A length of time without end leads to a moment that never comes.
async fn a_job_that_is_delayed_for_ever_never_starts_and_hides_no_other(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let never = queue.add(queue.job().priority(-9).after(FOR_EVER)).await;
    let late = queue.add(queue.job().due(When::At(Timestamp::MAX))).await;
    let put_off = queue.add(queue.job()).await;
    queue.control(&put_off, Wish::Delay(When::After(FOR_EVER))).await;
    for job in [&never, &late, &put_off] {
        let seen = queue.see(job).await;
        assert_eq!((seen.due, seen.state), (Timestamp::MAX, State::Scheduled));
    }
    let again = queue.nothing().await;
    assert!(matches!(again, Again::OnNotice | Again::At(Timestamp::MAX)), "{again:?}");
    ctx.advance(secs(1_000_000_000));
    queue.nothing().await;
    let ready = queue.add_one().await;
    assert_eq!(ids(&queue.take(10).await), [ready.id]);
    for job in [&never, &late, &put_off] {
        queue.control(job, Wish::Promote).await;
    }
    assert_eq!(queue.take(10).await.len(), 3);
}

/// An instant that has passed means now, however long ago it was.
async fn a_moment_before_all_others_means_now(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let long_ago = When::At(Timestamp::from_micros(i64::MIN));
    let first = queue.add(queue.job()).await;
    let second = queue.add(queue.job().due(long_ago)).await;
    let third = queue.add(queue.job().after(ZERO)).await;
    for job in [&first, &second, &third] {
        assert_eq!(queue.see(job).await.due, ctx.now());
    }
    assert_eq!(ids(&queue.take(10).await), ids_of(&[first, second, third]));
}

/// Expires at once, or never.
async fn a_job_without_time_expires_and_one_with_all_the_time_does_not(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let at_once = queue.add(queue.job().expires(When::After(ZERO))).await;
    let passed = When::At(Timestamp::from_micros(i64::MIN));
    let passed = queue.add(queue.job().expires(passed)).await;
    let never = queue.add(queue.job().expires(When::After(FOR_EVER))).await;
    assert_eq!(queue.see(&never).await.expires, Some(Timestamp::MAX));
    ctx.advance(secs(1_000_000_000));
    assert_eq!(ids(&queue.take(10).await), [never.id]);
    queue.sweep(Overdue::Expired).await;
    for job in [&at_once, &passed] {
        assert_eq!(queue.state(job).await, State::Expired);
    }
}

/// A key that is held for ever stays taken; one that is held for no time is
/// free once its job has ended.
async fn a_key_can_be_held_for_ever_or_not_at_all(ctx: &Context) {
    let queue = ctx.queue("q").await;
    for (key, hold, taken) in [("ever", FOR_EVER, true), ("never", ZERO, false)] {
        let debounce = OnDuplicate::Replace { latest: Some(hold) };
        let draft = || queue.job().dedup_with(key, debounce, Some(hold));
        let first = queue.add(draft()).await;
        let record = queue.see(&first).await.dedup.expect("its key");
        assert_eq!(record.held_until, Some(ctx.now().after(hold)));
        assert_eq!(record.latest, Some(ctx.now().after(hold)));
        queue.work(done()).await;
        ctx.advance(secs(1_000_000));
        let outcome = queue.offer_one(draft()).await;
        assert_eq!(outcome != windlass_core::backend::Enqueued::Stored, taken, "{outcome:?}");
    }
}

/// A limit per period holds in every window, also in one that has no end.
async fn a_period_without_end_lets_start_what_it_allows_and_no_more(ctx: &Context) {
    for (name, partitioned) in [("plain", false), ("split", true)] {
        let rate = Some(Rate { limit: 2, period: FOR_EVER });
        let queue = ctx
            .queue_with(name, |spec| {
                spec.limits.rate = rate;
                spec.limits.concurrency = Some(u32::MAX);
                if partitioned {
                    let partitions = spec.partitions.get_or_insert_default();
                    partitions.limits.rate = rate;
                    partitions.limits.concurrency = Some(u32::MAX);
                }
            })
            .await;
        let draft = || match partitioned {
            true => queue.job().partition("p"),
            false => queue.job(),
        };
        queue.add_all((0..5).map(|_| draft()).collect()).await;
        assert_eq!(queue.take(u32::MAX).await.len(), 2);
        let again = queue.nothing().await;
        assert!(matches!(again, Again::OnNotice | Again::At(Timestamp::MAX)), "{again:?}");
        ctx.advance(secs(1_000_000_000));
        queue.nothing().await;
        assert_eq!(queue.stats().await.jobs.iter().sum::<u64>(), 5);
    }
    let shortest = Some(Rate { limit: u32::MAX, period: TICK });
    let queue = ctx.queue_with("shortest", |spec| spec.limits.rate = shortest).await;
    queue.add_all(queue.jobs(3)).await;
    assert_eq!(queue.take(u32::MAX).await.len(), 3);
}

/// Rank × step saturates, and the order stays that of the ranks.
async fn with_ageing_the_extremes_of_priority_and_step_do_not_overflow(ctx: &Context) {
    for (name, step) in [("longest", FOR_EVER), ("long", secs(1 << 40)), ("shortest", TICK)] {
        let queue = ctx.queue_with(name, |spec| spec.aging = Some(step)).await;
        let worst = queue.add(queue.job().priority(i32::MAX)).await;
        let plain = queue.add(queue.job()).await;
        let best = queue.add(queue.job().priority(-i32::MAX)).await;
        let order = ids(&queue.take(10).await);
        assert_eq!(order, ids_of(&[best, plain, worst]), "{name}");
    }
}

/// So long ago or longer: everything is as old as nothing, and nothing older
/// than for ever. No more than the bound are removed, also if it is 0.
async fn nothing_is_older_than_for_ever_and_everything_as_old_as_nothing(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add_all(queue.jobs(5)).await;
    for _ in 0..5 {
        queue.work(done()).await;
    }
    ctx.advance(secs(1_000_000_000));
    for (which, limit, removed) in [
        (CleanWhich::OlderThan(FOR_EVER), u32::MAX, 0),
        (CleanWhich::BeyondNewest(u64::MAX), u32::MAX, 0),
        (CleanWhich::OlderThan(ZERO), 0, 0),
        (CleanWhich::BeyondNewest(4), u32::MAX, 1),
        (CleanWhich::OlderThan(ZERO), 1, 1),
        (CleanWhich::BeyondNewest(0), u32::MAX, 3),
        (CleanWhich::OlderThan(ZERO), u32::MAX, 0),
    ] {
        let clean = Clean { queue: queue.spec.name.clone(), state: State::Completed, which, limit };
        let answer = queue.backend().clean(clean).await.expect("clean");
        assert_eq!(answer, removed, "{which:?}, {limit} at most");
    }
}

/// Workers that have not been heard of for so long are forgotten.
async fn a_worker_can_be_forgotten_at_once_or_never(ctx: &Context) {
    let backend = ctx.backend();
    let beat = |n: u32, forget_after| {
        let worker = WorkerInfo {
            id: ctx.ids().worker(),
            host: "\u{202e}'; --".to_owned(),
            pid: u32::MAX,
            queues: Vec::new(),
            concurrency: u32::MAX,
            running: n,
        };
        backend.beat(Beat::Alive { worker, forget_after })
    };
    beat(1, FOR_EVER).await.expect("beat");
    ctx.advance(secs(1_000_000_000));
    beat(2, FOR_EVER).await.expect("beat");
    assert_eq!(backend.workers().await.expect("workers").len(), 2);
    ctx.advance(TICK);
    beat(3, ZERO).await.expect("beat");
    let left = backend.workers().await.expect("workers");
    assert_eq!(left.iter().map(|seen| seen.worker.running).collect::<Vec<_>>(), [3]);
}
