//! Storing new jobs.

use windlass_core::backend::{CleanWhich, EnqueueAnswer, Enqueued, Refusal, Support};
use windlass_core::decide::control::Wish;
use windlass_core::decide::{InvalidJob, OnDuplicate};
use windlass_core::model::{
    Backoff, Course, JobId, JobRef, JobType, OnBrokenDependency, Partitions, Payload, Retry, State,
    Timestamp, When,
};

use crate::fixture::{
    AWKWARD, Queue, TICK, done, failure_for_good, ids, ids_of, micros, scatter, secs, success,
};
use crate::harness::{Context, case_table};

case_table! {
    [E2] outcomes_and_jobs_stand_in_the_order_of_the_batch,
    [E2] a_batch_with_one_job_that_cannot_be_stored_stores_nothing_and_comes_back,
    [E2] sequence_numbers_rise_from_batch_to_batch,
    [E2] an_empty_batch_is_stored_with_no_effect,
    [] every_field_of_a_job_comes_back,
    [] a_moment_is_resolved_by_the_stores_clock,
    [E3] a_job_key_yields_the_job_that_exists_in_whatever_state,
    [E3] nothing_of_the_existing_job_changes,
    [E3] the_same_key_in_another_queue_is_another_job,
    [E3] a_job_key_is_free_again_once_its_job_is_cleaned,
    [E3] a_key_holds_among_the_jobs_of_one_batch,
    [E3] the_same_batch_again_stores_nothing_twice,
    [E3] plain_jobs_again_or_twice_in_a_batch_are_stored_once,
    [E5] payloads_and_results_come_back_byte_for_byte,
    [E5] awkward_keys_come_back_and_are_told_apart,
    [E5] names_and_keys_of_the_longest_length_fit,
    [E5] what_breaks_a_rule_is_an_error_before_the_store_is_touched,
    [] an_id_that_another_queue_has_is_refused,
    [L2] a_child_is_enqueued_only_under_its_parents_current_lease,
}

/// Outcomes come back in order, and the batch's jobs stand in the queue in
/// that order.
async fn outcomes_and_jobs_stand_in_the_order_of_the_batch(ctx: &Context) {
    let queue = ctx.queue("q").await;
    queue.add(queue.job().key("old")).await;
    queue.work(done()).await;
    let owner = queue.add(queue.job().dedup("k")).await;
    let drafts =
        vec![queue.job(), queue.job().key("old"), queue.job(), queue.job().dedup("k"), queue.job()];
    let new: Vec<JobId> = [0, 2, 4].map(|i: usize| drafts[i].0.id).to_vec();
    let outcomes = queue.offer(drafts).await;
    assert_eq!(outcomes.len(), 5);
    for i in [0, 2, 4] {
        assert_eq!(outcomes[i], Enqueued::Stored, "job {i}");
    }
    assert_eq!(outcomes[1], Enqueued::Existing);
    assert!(matches!(&outcomes[3], Enqueued::Duplicate(job) if job.id == owner.id));
    let taken = queue.take(10).await;
    assert_eq!(ids(&taken), [&[owner.id][..], &new].concat());
}

/// All or nothing: a batch that cannot be stored because of one of its jobs
/// comes back whole, with which job and why.
async fn a_batch_with_one_job_that_cannot_be_stored_stores_nothing_and_comes_back(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let unknown = JobRef { queue: queue.spec.name.clone(), id: ctx.ids().job() };
    for position in [0, 1, 4] {
        let mut drafts: Vec<_> = (0..5)
            .map(|i| queue.job().key(&format!("k{i}")).dedup(&format!("d{i}")).tag("t"))
            .collect();
        drafts[position] = queue.job().depends_on([&unknown]);
        let expected = queue.new_jobs(drafts.clone());
        let (index, why, jobs) = queue.refused(drafts).await;
        assert_eq!(index, position);
        assert_eq!(why, Refusal::UnknownDependency(unknown.clone()));
        assert_eq!(jobs, expected, "the batch comes back whole");
        assert_eq!(queue.all().await, [], "a refused batch stored something");
        assert_eq!(queue.stats().await.jobs, [0; 8]);
    }
    // No key was left taken.
    let drafts = (0..5).map(|i| queue.job().key(&format!("k{i}")).dedup(&format!("d{i}")));
    queue.add_all(drafts.collect()).await;
}

/// The jobs of a batch have rising sequence numbers in that order, above those
/// of every earlier acknowledged batch of the same queue.
async fn sequence_numbers_rise_from_batch_to_batch(ctx: &Context) {
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for size in [1, 7, 2] {
        of_a.extend(a.add_all(a.jobs(size)).await);
        of_b.extend(b.add_all(b.jobs(size)).await);
        // Removing the latest must not make its number available again.
        let last = b.add_one().await;
        b.control(&last, Wish::Remove).await;
    }
    for (queue, jobs) in [(&a, of_a), (&b, of_b)] {
        let mut before = None;
        for job in jobs {
            let seq = queue.see(&job).await.seq;
            assert!(Some(seq) > before, "{seq} after {before:?}");
            before = Some(seq);
        }
    }
}

/// An empty batch is stored with no effect.
async fn an_empty_batch_is_stored_with_no_effect(ctx: &Context) {
    let queue = ctx.queue("q").await;
    match queue.enqueue(Vec::new()).await {
        EnqueueAnswer::Stored { outcomes, unblocked, now } => {
            assert_eq!((outcomes, unblocked), (vec![], vec![]));
            assert_eq!(now, ctx.now());
        }
        refused @ EnqueueAnswer::Refused { .. } => panic!("{refused:?}"),
    }
    assert_eq!(queue.all().await, []);
}

/// A job as the store has it is the job that was enqueued, field by field.
async fn every_field_of_a_job_comes_back(ctx: &Context) {
    let queue = ctx
        .queue_with("q", |spec| {
            spec.aging = Some(secs(3));
            spec.partitions = Some(Partitions::default());
        })
        .await;
    queue.add(queue.job().partition("other")).await;
    let parent = queue.take_one().await;
    let dependency = queue.add(queue.job().partition("other")).await;
    let flow = ctx.ids().flow();
    let now = ctx.advance(secs(11));
    let debounce = OnDuplicate::Replace { latest: Some(secs(700)) };
    let draft = queue
        .job()
        .job_type("email.welcome")
        .payload(vec![0, 159, 146, 150])
        .priority(-5)
        .after(secs(30))
        .expires(When::After(secs(90)))
        .key("the key")
        .dedup_with("the dedup", debounce, Some(secs(80)))
        .partition("the partition")
        .tag("one")
        .tag("another")
        .depends_on([&dependency])
        .flow(flow)
        .parent(&parent)
        .options(|options| {
            options.retry = Retry {
                max_attempts: 7,
                backoff: Backoff::List(vec![secs(1), micros(1_000_001)]),
                jitter: 0.25,
            };
            options.timeout = Some(secs(42));
            options.on_broken_dependency = OnBrokenDependency::Run;
        });
    let new = queue.new_job(draft.clone());
    let job = queue.add(draft).await;
    let job = queue.see(&job).await;

    assert_eq!(job.id, new.id);
    assert_eq!(job.queue, new.queue);
    assert_eq!(job.job_type, new.job_type);
    assert_eq!(job.payload, Some(new.payload));
    assert_eq!(job.options, new.options);
    assert_eq!(job.order, new.order);
    assert_eq!(job.course, Course::default());
    assert_eq!(job.state, State::Blocked);
    assert_eq!(job.due, now.after(secs(30)));
    assert_eq!(job.place, job.due, "its first place is its moment");
    assert_eq!(job.enqueued_at, now);
    assert_eq!((job.started_at, job.finished_at), (None, None));
    assert_eq!(job.expires, Some(now.after(secs(90))));
    assert_eq!((job.lease, job.cancel_requested), (None, false));
    assert_eq!((job.result, job.progress), (None, None));
    assert_eq!(job.key, new.key);
    let dedup = job.dedup.expect("a deduplication key");
    assert_eq!(dedup.key.as_str(), "the dedup");
    assert_eq!(dedup.held_until, Some(now.after(secs(80))));
    assert_eq!(dedup.latest, Some(now.after(secs(700))));
    assert_eq!(job.partition, new.partition);
    assert_eq!(job.tags.len(), 2);
    assert!(new.tags.iter().all(|tag| job.tags.contains(tag)));
    assert_eq!(job.flow, Some(flow));
    assert_eq!(job.parent, Some(parent.reference()));
    assert_eq!((job.dependencies.open, job.dependencies.broken), (1, 0));
    assert!(!job.has_dependents);
}

/// A moment is given as now, after a duration or at an instant; the store
/// resolves it, and one that has passed means now.
async fn a_moment_is_resolved_by_the_stores_clock(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let now = ctx.advance(secs(5));
    let table = [
        (When::Now, now, State::Waiting),
        (When::After(secs(0)), now, State::Waiting),
        (When::After(TICK), now.after(TICK), State::Scheduled),
        (When::At(now.after(secs(9))), now.after(secs(9)), State::Scheduled),
        (When::At(now), now, State::Waiting),
        (When::At(now.before(secs(1))), now, State::Waiting),
        (When::At(Timestamp::EPOCH), now, State::Waiting),
    ];
    for (when, due, state) in table {
        let job = queue.add(queue.job().due(when)).await;
        let job = queue.see(&job).await;
        assert_eq!((job.due, job.state), (due, state), "{when:?}");
    }
    // An enormous duration means never.
    let never = queue.add(queue.job().after(std::time::Duration::MAX)).await;
    assert_eq!(queue.see(&never).await.due, Timestamp::MAX);
    ctx.advance(secs(1_000_000_000));
    assert_eq!(queue.take(100).await.len(), 7);
    assert_eq!(queue.state(&never).await, State::Scheduled);
}

/// The same name in the same queue yields the job that already exists, in
/// whatever state.
async fn a_job_key_yields_the_job_that_exists_in_whatever_state(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let again = async |key: &str, state: State| {
        let draft = queue.job().key(key);
        let id = queue.new_job(draft.clone()).id;
        assert_eq!(queue.offer_one(draft).await, Enqueued::Existing, "{key}");
        let job = JobRef { queue: queue.spec.name.clone(), id };
        assert_eq!(queue.state(&job).await, state, "{key}");
    };
    for (key, outcome, state) in [
        ("completed", done(), State::Completed),
        ("failed", failure_for_good("no"), State::Failed),
        ("cancelled", windlass_core::decide::Outcome::Cancelled, State::Cancelled),
    ] {
        queue.add(queue.job().key(key)).await;
        queue.work(outcome).await;
        again(key, state).await;
    }
    queue.add(queue.job().key("active")).await;
    queue.take_one().await;
    again("active", State::Active).await;
    let scheduled = queue.add(queue.job().key("scheduled").after(secs(9))).await;
    again("scheduled", State::Scheduled).await;
    queue.add(queue.job().key("blocked").depends_on([&scheduled])).await;
    again("blocked", State::Blocked).await;
    let expires = When::After(secs(1));
    queue.add(queue.job().key("expired").expires(expires)).await;
    ctx.advance(secs(2));
    queue.sweep(windlass_core::backend::Overdue::Expired).await;
    again("expired", State::Expired).await;
    queue.add(queue.job().key("waiting")).await;
    again("waiting", State::Waiting).await;
}

/// Nothing of the existing job changes, and its deduplication key is not asked
/// about.
async fn nothing_of_the_existing_job_changes(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let job =
        queue.add(queue.job().key("k").dedup("d").payload("first").priority(3).tag("t")).await;
    let before = queue.see(&job).await;
    ctx.advance(secs(5));
    let other = queue
        .job()
        .key("k")
        .dedup("other")
        .job_type("other")
        .payload("second")
        .priority(-1)
        .tag("u")
        .after(secs(60));
    assert_eq!(queue.offer_one(other).await, Enqueued::Existing);
    assert_eq!(queue.see(&job).await, before);
    // The other deduplication key was not taken by the way.
    queue.add(queue.job().dedup("other")).await;
    // The same key of both kinds: existing, not duplicate.
    let both = queue.job().key("k").dedup("d");
    assert_eq!(queue.offer_one(both).await, Enqueued::Existing);
}

/// The same name in the same queue: another queue's is another job.
async fn the_same_key_in_another_queue_is_another_job(ctx: &Context) {
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    let of_a = a.add(a.job().key("k")).await;
    let of_b = b.add(b.job().key("k")).await;
    assert_ne!(of_a.id, of_b.id, "the id derives from queue and key");
    a.work(done()).await;
    assert_eq!(b.state(&of_b).await, State::Waiting);
}

/// Until it is cleaned.
async fn a_job_key_is_free_again_once_its_job_is_cleaned(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let first = queue.add(queue.job().key("k").payload("first")).await;
    queue.work(success("old")).await;
    assert_eq!(queue.clean(State::Completed, CleanWhich::OlderThan(secs(0)), 10).await, 1);
    let second = queue.add(queue.job().key("k").payload("second")).await;
    assert_eq!(first, second, "the id derives from the key");
    let job = queue.see(&second).await;
    assert_eq!((job.state, job.result), (State::Waiting, None));
    assert_eq!(job.payload, Some(Payload::from("second")));
    queue.control(&second, Wish::Remove).await;
    queue.add(queue.job().key("k")).await;
}

/// Both hold among the jobs of the batch too.
async fn a_key_holds_among_the_jobs_of_one_batch(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let outcomes = queue
        .offer(vec![
            queue.job().key("k").payload("first"),
            queue.job(),
            queue.job().key("k").payload("second"),
        ])
        .await;
    assert_eq!(outcomes, [Enqueued::Stored, Enqueued::Stored, Enqueued::Existing]);
    let taken = queue.take(10).await;
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0].payload, Some(Payload::from("first")));
}

/// By id: the same batch again answers `Existing`.
async fn the_same_batch_again_stores_nothing_twice(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let first = queue.job();
    let first_ref = JobRef { queue: queue.spec.name.clone(), id: first.0.id };
    let drafts = vec![
        first,
        queue.job().key("k"),
        queue.job().dedup("d"),
        queue.job().throttle("e", secs(60)),
        queue.job().depends_on([&first_ref]),
    ];
    queue.add_all(drafts.clone()).await;
    let before = queue.all().await;
    assert_eq!(queue.offer(drafts.clone()).await, vec![Enqueued::Existing; 5]);
    assert_eq!(queue.all().await, before);
    for _ in 0..4 {
        queue.work(done()).await;
    }
    assert_eq!(queue.offer(drafts).await, vec![Enqueued::Existing; 5]);
    assert_eq!(queue.stats().await.count(State::Completed), 4);
}

/// Jobs that nothing but their queue knows: a store may have a shorter way for
/// them, and it ends where one of them is there already.
async fn plain_jobs_again_or_twice_in_a_batch_are_stored_once(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let batch: Vec<_> = (0..3).map(|_| queue.job()).collect();
    queue.add_all(batch.clone()).await;
    let before = queue.all().await;
    assert_eq!(queue.offer(batch.clone()).await, vec![Enqueued::Existing; 3]);
    assert_eq!(queue.offer(vec![batch[1].clone()]).await, vec![Enqueued::Existing]);
    assert_eq!(queue.all().await, before);
    let (new, twice) = (queue.job(), queue.job());
    let mixed = vec![new, batch[0].clone(), twice.clone(), twice];
    let outcomes = queue.offer(mixed).await;
    let expected = [Enqueued::Stored, Enqueued::Existing, Enqueued::Stored, Enqueued::Existing];
    assert_eq!(outcomes, expected);
    let taken = queue.take(10).await;
    assert_eq!(taken.len(), 5);
    assert_eq!(queue.offer(batch).await, vec![Enqueued::Existing; 3]);
    assert_eq!(queue.stats().await.count(State::Active), 5);
}

/// Every valid payload comes back byte for byte.
async fn payloads_and_results_come_back_byte_for_byte(ctx: &Context) {
    let queue = ctx.queue("q").await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..1024 * 1024).map(|n| scatter(n).to_be_bytes()[0]).collect();
    let payloads: [Vec<u8>; 9] = [
        vec![],
        vec![0],
        b"{\"a\":[1,2.50,null],\"b\":\"\\u0000\"}".to_vec(),
        b"nul \0 inside".to_vec(),
        "\u{1f980}".as_bytes().to_vec(),
        vec![0xff, 0xfe, 0xc0, 0x80, 0xed, 0xa0, 0x80],
        every_byte.clone(),
        every_byte.into_iter().rev().collect(),
        large,
    ];
    for bytes in payloads {
        let payload = Payload::from(bytes);
        let size = payload.len();
        queue.add(queue.job().payload(payload.clone())).await;
        let job = queue.take_one().await;
        assert_eq!(job.payload.as_ref(), Some(&payload), "{size} bytes, leased");
        let result = Some(payload.clone());
        queue.settled(&job, windlass_core::decide::Outcome::Success { result }).await;
        let job = queue.see(&job.reference()).await;
        assert_eq!(job.payload.as_ref(), Some(&payload), "{size} bytes, looked at");
        // Nothing returned and an empty result are not the same.
        assert_eq!(job.result.as_ref(), Some(&payload), "{size} bytes, as a result");
    }
}

/// Keys are UTF-8, 1 to 256 bytes, no NUL, and mean what they say: nothing is
/// folded, trimmed or matched as a pattern.
async fn awkward_keys_come_back_and_are_told_apart(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.partitions = Some(Partitions::default())).await;
    for key in AWKWARD {
        let job = queue.add(queue.job().key(key).dedup(key).partition(key).tag(key)).await;
        let job = queue.see(&job).await;
        assert_eq!(job.key.as_ref().map(|k| k.as_str()), Some(key));
        assert_eq!(job.dedup.as_ref().map(|d| d.key.as_str()), Some(key));
        assert_eq!(job.partition.as_ref().map(|p| p.as_str()), Some(key));
        assert_eq!(job.tags[0].as_str(), key);
    }
    // Each is a partition of its own, so that all run at once.
    let taken = queue.take(100).await;
    assert_eq!(taken.len(), AWKWARD.len());
    for (job, key) in taken.iter().zip(AWKWARD) {
        assert_eq!(job.key.as_ref().map(|k| k.as_str()), Some(key));
    }
}

/// Names of 128 and keys of 256 bytes are valid.
async fn names_and_keys_of_the_longest_length_fit(ctx: &Context) {
    let name = "N".repeat(128);
    let key = |last: char| "k".repeat(255) + &last.to_string();
    let queue = ctx.queue_with(&name, |spec| spec.partitions = Some(Partitions::default())).await;
    for last in ['a', 'b'] {
        let key = key(last);
        let draft = queue.job().job_type(&name).key(&key).dedup(&key).partition(&key);
        let job = queue.add(draft.tag(&key)).await;
        let job = queue.see(&job).await;
        assert_eq!(job.job_type, JobType::new(name.clone()).expect("a name"));
        assert_eq!(job.key.map(|k| k.as_str().to_owned()), Some(key.clone()));
        assert_eq!(job.tags[0].as_str(), key);
    }
    assert_eq!(queue.take(10).await.len(), 2);
}

/// Anything else is a clear error before the store is touched.
async fn what_breaks_a_rule_is_an_error_before_the_store_is_touched(ctx: &Context) {
    let queue = ctx.queue_with("q", |spec| spec.max_payload = 4).await;
    let draft = queue.job().payload("12345");
    let error = windlass_core::decide::enqueue(&queue.spec, draft.0);
    assert!(matches!(error, Err(InvalidJob::PayloadTooLarge { size: 5, max: 4, .. })), "{error:?}");
    assert!(windlass_core::model::QueueName::new("no spaces").is_err());
    assert!(windlass_core::model::JobKey::new("a\0b").is_err());
    assert_eq!(queue.all().await, []);
    queue.add(queue.job().payload("1234")).await;
}

/// The id is already that of a job in another queue. A store that spreads
/// queues over machines cannot know, and does not claim to.
async fn an_id_that_another_queue_has_is_refused(ctx: &Context) {
    if ctx.backend().capabilities().cross_queue_atomicity == Support::No {
        return;
    }
    let (a, b) = (ctx.queue("a").await, ctx.queue("b").await);
    let job = a.add_one().await;
    let (index, why, jobs) = b.refused(vec![b.job(), b.job().id(job.id)]).await;
    assert_eq!((index, why), (1, Refusal::IdTaken(job.id)));
    assert_eq!(jobs.len(), 2);
    assert_eq!(b.all().await, []);
    assert_eq!(ids_of(&[job]), ids(&a.all().await));
    // In one batch, too.
    let first = a.new_job(a.job());
    let id = first.id;
    let batch = vec![b.new_job(b.job()), first, b.new_job(b.job().id(id))];
    match a.backend().enqueue(batch).await.expect("enqueue") {
        EnqueueAnswer::Refused { index, why, .. } => {
            assert_eq!((index, why), (2, Refusal::IdTaken(id)));
        }
        stored @ EnqueueAnswer::Stored { .. } => panic!("not refused: {stored:?}"),
    }
    assert_eq!(b.all().await, []);
}

/// Enqueuing a child is accepted only with the parent's current token, in one
/// atomic step.
async fn a_child_is_enqueued_only_under_its_parents_current_lease(ctx: &Context) {
    let (parents, children) = (ctx.queue("parents").await, ctx.queue("children").await);
    let parent = parents.add_one().await;
    let first = parents.take_one().await;
    let child = children.add(children.job().parent(&first)).await;
    assert_eq!(children.see(&child).await.parent, Some(parent.clone()));

    // A lease that ran out is current until it is taken over.
    ctx.advance(crate::fixture::LEASE);
    children.add(children.job().parent(&first)).await;
    parents.sweep(windlass_core::backend::Overdue::LostLeases).await;
    let refuse = async |queue: &Queue, stale: &windlass_core::model::Job, what: &str| {
        let drafts = vec![queue.job(), queue.job().parent(stale)];
        let (index, why, _) = queue.refused(drafts).await;
        assert_eq!((index, why), (1, Refusal::StaleParent(parent.clone())), "{what}");
    };
    refuse(&children, &first, "taken over").await;
    let second = parents.take_one().await;
    refuse(&children, &first, "leased anew").await;
    children.add(children.job().parent(&second)).await;
    parents.complete(&second).await;
    refuse(&children, &second, "completed").await;
    assert_eq!(children.all().await.len(), 3);

    // A parent that was never there has no lease either.
    let mut orphan = second.clone();
    orphan.id = ctx.ids().job();
    let (_, why, _) = children.refused(vec![children.job().parent(&orphan)]).await;
    assert_eq!(why, Refusal::StaleParent(orphan.reference()));
}
