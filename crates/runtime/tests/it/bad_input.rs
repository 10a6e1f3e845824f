//! What nobody should give, refused with what is wrong and what would be right.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_runtime::backend::{Ask, EnqueueAnswer};
use windlass_runtime::decide::{self, JobRequest};
use windlass_runtime::model::{
    Backoff, FailureKind, JobId, JobType, Payload, State, StepName, WorkerId,
};
use windlass_runtime::{Client, Error, Job, JobDefaults, JobHandle, Queue};

use crate::support::{Number, queue, store, worker};

/// A job whose payload is a text, and so as long as one likes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Text(String);

impl Job for Text {
    const NAME: &'static str = "text";

    fn defaults() -> JobDefaults {
        JobDefaults::default()
    }
}

impl Text {
    /// One whose payload has so many bytes.
    fn of_bytes(bytes: usize) -> Self {
        Self("x".repeat(bytes - 2))
    }
}

const MIB: usize = 1024 * 1024;

/// Asserts that an error says what is wrong and what would be right, briefly
/// and on one line.
#[track_caller]
fn says(error: &Error, wrong: &str, right: &str) {
    let text = error.to_string();
    assert!(text.contains(wrong), "what is wrong ({wrong}) is missing: {text}");
    assert!(text.contains(right), "what would be right ({right}) is missing: {text}");
    assert!(text.len() < 800 && !text.contains(['\n', '\0', '\u{202e}']), "{text}");
}

#[tokio::test]
async fn hostile_names_are_refused_wherever_a_name_is_taken() {
    let (client, _) = store();
    let queue = client.queue("q").declare().await.unwrap();
    let long = "x".repeat(129);
    let huge = "/".repeat(1_000_000);
    let right = "use 1 to 128 of the characters A-Z a-z 0-9 _ . : -";
    for (name, wrong) in [
        ("", "it is empty"),
        (" ", "it contains ' '"),
        ("../../etc/passwd", "it contains '/'"),
        ("..\\windows", "it contains '\\\\'"),
        ("a\0b", "it contains '\\0'"),
        ("a\nb", "it contains '\\n'"),
        ("'; DROP TABLE jobs; --", "it contains '\\''"),
        ("\"quoted\"", "it contains '\"'"),
        ("{tag}:key", "it contains '{'"),
        ("%2e%2e%2f", "it contains '%'"),
        ("\u{202e}gpj.exe", "it contains '\\u{202e}'"),
        ("\u{200b}", "it contains '\\u{200b}'"),
        ("é", "it contains 'é'"),
        (&long, "it has 129 characters"),
        (&huge, "it contains '/'"),
    ] {
        says(&client.queue(name).declare().await.unwrap_err(), wrong, right);
        says(&client.open_queue(name).await.unwrap_err(), wrong, right);
        says(&client.handle_by_key(name, "k").unwrap_err(), wrong, right);
        says(&queue.enqueue_raw(name, &Value::Null).await.unwrap_err(), wrong, right);
        says(&queue.repeatable(name).unwrap_err(), wrong, right);
        let every = queue.repeat(name, Number(1)).every(Duration::from_secs(1));
        says(&every.await.unwrap_err(), wrong, right);
        let handling = worker(&queue).handle_raw(name, |_: Value| async {});
        says(&handling.start().await.unwrap_err(), wrong, right);
    }
    assert_eq!(client.queues().await.unwrap().len(), 1, "the store was not touched");
    assert_eq!(queue.stats().await.unwrap().jobs, [0; 8]);
    client.queue("x".repeat(128)).declare().await.unwrap();
}

#[tokio::test]
async fn hostile_keys_are_refused_by_their_bytes_and_awkward_ones_taken() {
    let (client, _) = store();
    let plain = client.queue("plain").declare().await.unwrap();
    let split = client.queue("split").partitioned().declare().await.unwrap();
    let right = "use 1 to 256 bytes of UTF-8 without NUL";
    let (ascii, wide) = ("x".repeat(257), "é".repeat(129));
    for (key, wrong) in [
        ("", "it is empty"),
        ("a\0b", "it contains NUL"),
        ("\0", "it contains NUL"),
        (&ascii, "it has 257 bytes"),
        (&wide, "it has 258 bytes"),
        (&"\u{202e}".repeat(100_000), "it has 300000 bytes"),
    ] {
        let job = || plain.enqueue(Number(1));
        says(&job().key(key).await.unwrap_err(), wrong, right);
        says(&job().dedup(key).await.unwrap_err(), wrong, right);
        says(&job().debounce(key, None).await.unwrap_err(), wrong, right);
        says(&job().throttle(key, Duration::MAX).await.unwrap_err(), wrong, right);
        says(&job().tag(key).await.unwrap_err(), wrong, right);
        says(&split.enqueue(Number(1)).partition(key).await.unwrap_err(), wrong, right);
        says(&client.handle_by_key("plain", key).unwrap_err(), wrong, right);
        let repeat = || split.repeat("r", Number(1)).every(Duration::from_secs(1));
        says(&repeat().partition(key).await.unwrap_err(), wrong, right);
        says(&repeat().tag(key).await.unwrap_err(), wrong, right);
        says(&StepName::new(key).unwrap_err().into(), wrong, right);
    }
    for key in ["../..", "'; DROP TABLE jobs; --", "\u{202e}rtl", "\"", "\n", &"é".repeat(128)] {
        let job = plain.enqueue(Number(1)).key(key).dedup(key).tag(key).await.unwrap();
        let job = job.job().await.unwrap();
        assert_eq!(job.key.unwrap().as_str(), key);
        assert_eq!((job.dedup.unwrap().key.as_str(), job.tags[0].as_str()), (key, key));
        let job = split.enqueue(Number(1)).partition(key).await.unwrap();
        assert_eq!(job.job().await.unwrap().partition.unwrap().as_str(), key);
    }
}

#[tokio::test]
async fn a_payload_may_have_the_limit_and_not_a_byte_more() {
    let (client, _) = store();
    let by_default = client.queue("default").declare().await.unwrap();
    let configured = client.queue("configured").max_payload(100).declare().await.unwrap();
    for (queue, limit) in [(by_default, MIB), (configured, 100)] {
        queue.enqueue(Text::of_bytes(limit)).await.unwrap();
        let (wrong, right) = (
            format!("the payload has {} bytes, more than the {limit} that queue", limit + 1),
            "send a reference instead, or declare the queue with a larger max_payload",
        );
        let big = || Text::of_bytes(limit + 1);
        says(&queue.enqueue(big()).await.unwrap_err(), &wrong, right);
        says(&queue.enqueue_all([Text::of_bytes(2), big()]).await.unwrap_err(), &wrong, right);
        let repeat = queue.repeat("r", big()).every(Duration::from_secs(1));
        says(&repeat.await.unwrap_err(), &wrong, right);
        let dedup = queue.enqueue(Text::of_bytes(2)).debounce("k", None).await.unwrap();
        says(&queue.enqueue(big()).debounce("k", None).await.unwrap_err(), &wrong, right);
        assert_eq!(dedup.job().await.unwrap().payload.unwrap().len(), 2);
        assert_eq!(queue.stats().await.unwrap().count(State::Waiting), 2);
    }
}

/// The only error of a job that failed at its first attempt.
async fn failed<J>(handle: &JobHandle<J>) -> (FailureKind, String) {
    let job = handle.wait().await.unwrap();
    assert_eq!((job.state, job.course.failed_attempts), (State::Failed, 1));
    let mut errors = job.course.errors;
    assert_eq!(errors.len(), 1);
    let error = errors.remove(0);
    (error.kind, error.message)
}

#[tokio::test(start_paused = true)]
async fn a_result_may_have_the_limit_and_not_a_byte_more() {
    let (client, _) = store();
    let by_default = client.queue("default").declare().await.unwrap();
    let configured = client.queue("configured").max_payload(100).declare().await.unwrap();
    let answer = |job: Number| async move { Ok::<_, String>("x".repeat(job.0 as usize - 2)) };
    for (queue, limit) in [(by_default, MIB as u64), (configured, 100)] {
        let worker = worker(&queue).handle(answer).start().await.unwrap();
        let fits = queue.enqueue(Number(limit)).await.unwrap();
        assert_eq!(fits.result::<String>().await.unwrap().len() as u64, limit - 2);
        let (kind, said) = failed(&queue.enqueue(Number(limit + 1)).await.unwrap()).await;
        assert_eq!(kind, FailureKind::Result);
        assert!(
            said.contains(&format!("has {} bytes, more than the {limit}", limit + 1)),
            "{said}"
        );
        assert!(said.contains("return less, or declare the queue"), "{said}");
        worker.stop().await;
    }
}

/// So many brackets round nothing.
fn nested(depth: usize) -> Value {
    (1..depth).fold(Value::Array(Vec::new()), |inner, _| Value::Array(vec![inner]))
}

#[tokio::test(start_paused = true)]
async fn json_that_could_not_be_read_back_is_not_written() {
    let (queue, _) = queue().await;
    let right = "use 127 levels at most";
    for (depth, job) in [(128, nested(128)), (100_000, nested(100_000))] {
        let wrong = format!("the job cannot be written as JSON: it is nested {depth} levels deep");
        says(&queue.enqueue_raw("raw", &job).await.unwrap_err(), &wrong, right);
        // Dropping it would use up the stack: a tree of others, not of ours.
        std::mem::forget(job);
    }
    let grow = |job: Value| async move { Ok::<_, String>(Value::Array(vec![job])) };
    let worker = worker(&queue).handle_raw("raw", grow).start().await.unwrap();
    let fits = queue.enqueue_raw("raw", &nested(126)).await.unwrap();
    assert_eq!(fits.result::<Value>().await.unwrap(), nested(127));
    let (kind, said) = failed(&queue.enqueue_raw("raw", &nested(127)).await.unwrap()).await;
    assert_eq!(kind, FailureKind::Result);
    assert!(said.contains("result cannot be written as JSON: it is nested 128"), "{said}");
    assert!(said.contains(right), "{said}");
    worker.stop().await;
}

/// Stores a payload that no client of ours would write, under a type's name.
async fn enqueue_bytes(queue: &Queue, id: u32, payload: Vec<u8>) -> JobHandle {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&id.to_be_bytes());
    let job_type = JobType::new(Text::NAME).unwrap();
    let request = JobRequest::new(JobId::from_bytes(bytes), job_type, Payload::from(payload));
    let job = decide::enqueue(queue.spec(), request).unwrap();
    let of = windlass_runtime::model::JobRef { queue: job.queue.clone(), id: job.id };
    let answer = queue.client().backend().enqueue(vec![job]).await.unwrap();
    assert!(matches!(answer, EnqueueAnswer::Stored { .. }));
    queue.client().handle(of)
}

#[tokio::test(start_paused = true)]
async fn payloads_that_do_not_decode_fail_at_once_and_say_what_was_expected() {
    let (queue, _) = queue().await;
    let worker = worker(&queue).handle(|_: Text| async {}).start().await.unwrap();
    let deep = "[".repeat(200_000).into_bytes();
    for (n, (payload, expected)) in [
        (&b""[..], "EOF while parsing a value at line 1 column 0"),
        (b"7734", "invalid type: integer, expected a string at line 1 column 4"),
        (b"{\"pin\": 7734}", "invalid type: map, expected a string"),
        (b"\"open", "EOF while parsing a string at line 1 column 5"),
        (b"\xff\xfe\x00", "expected value at line 1 column 1"),
        (&deep, "invalid type: sequence, expected a string"),
    ]
    .into_iter()
    .enumerate()
    {
        let handle = enqueue_bytes(&queue, n as u32, payload.to_vec()).await;
        let (kind, said) = failed(&handle).await;
        assert_eq!(kind, FailureKind::Decode);
        let expected = format!("the payload is not what the handler takes: {expected}");
        assert!(said.starts_with(&expected) && !said.contains("77"), "{said}");
    }
    worker.stop().await;
}

/// Pseudo-random numbers that are the same in every run: Marsaglia's xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below a usize")
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_bytes_a_payload_has_its_job_ends_and_nothing_panics() {
    let rounds = crate::support::by_hand("WINDLASS_FUZZ", 1_000);
    let (queue, _) = queue().await;
    let worker = worker(&queue).handle(|_: Text| async {}).start().await.unwrap();
    let pieces = ["\"", "\\", "\\u00", "{", "}", "[", "]", ":", ",", "1e999", "-", "null", "é"];
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut handles = Vec::new();
    for n in 0..rounds {
        let mut payload = Vec::new();
        for _ in 0..numbers.below(20) {
            match numbers.below(4) {
                0 => payload.push(u8::try_from(numbers.below(256)).unwrap()),
                _ => payload.extend(pieces[numbers.below(pieces.len())].bytes()),
            }
        }
        handles.push(enqueue_bytes(&queue, n, payload).await);
    }
    let (mut ends, mut open, mut panics) = ([0_u32; 2], 0, 0);
    for handle in &handles {
        let job = handle.wait().await.unwrap();
        match job.state {
            State::Completed => ends[0] += 1,
            State::Failed => ends[1] += 1,
            _ => open += 1,
        }
        panics += job.course.errors.iter().filter(|e| e.kind != FailureKind::Decode).count();
    }
    eprintln!("payload fuzz: {rounds} jobs, {ends:?} completed and failed, {panics} panics");
    assert_eq!((open, panics), (0, 0));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn errors_with_nul_and_of_any_size_end_their_jobs_and_harm_no_sibling() {
    const JOBS: u64 = 400;
    let (queue, _) = queue().await;
    let work = |job: Number| async move {
        match job.0 % 4 {
            0 => Ok(job.0),
            1 => Err("nul \0 inside".to_owned()),
            2 => Err("é\0".repeat(MIB)),
            _ => panic!("{}", "\0".repeat(9_000)),
        }
    };
    let handles = queue.enqueue_all((0..JOBS).map(Number)).await.unwrap();
    let retried = queue.enqueue(Number(2)).retries(30).backoff(Backoff::Fixed(Duration::ZERO));
    let retried = retried.await.unwrap();
    let once = |builder: windlass_runtime::WorkerBuilder| builder.handle(work).concurrency(32);
    let worker = once(worker(&queue)).start().await.unwrap();
    let (mut open, mut damaged) = (0, 0);
    for (n, handle) in handles.iter().enumerate() {
        if n % 4 == 0 {
            damaged += u32::from(handle.result::<u64>().await.ok() != Some(n as u64));
        }
    }
    let job = retried.wait().await.unwrap();
    assert_eq!((job.course.failed_attempts, job.course.errors.len()), (31, 10));
    for error in &job.course.errors {
        assert!(error.message.len() <= 8192 && !error.message.contains('\0'));
    }
    for (n, handle) in handles.iter().enumerate().filter(|(n, _)| n % 4 != 0) {
        // Its second attempt is a while away: what counts is that the first one
        // could be recorded.
        let job = crate::support::until_changed(handle).await;
        open += u32::from(job.state == State::Active);
        assert_eq!(job.course.failed_attempts, 1, "{n}");
        let error = &job.course.errors[0];
        assert!(error.message.len() <= 8192 && !error.message.contains('\0'));
        assert!(error.message.contains(char::REPLACEMENT_CHARACTER));
    }
    eprintln!("hostile errors: {JOBS} jobs, {open} stuck, {damaged} damaged siblings");
    assert_eq!((open, damaged), (0, 0));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_job_tells_is_cut_and_loses_its_nul() {
    let (queue, _) = queue().await;
    let tell = |_: Number, context: windlass_runtime::Context| async move {
        context.progress(u64::MAX, u64::MAX);
        context.say(&"m\0".repeat(MIB));
        for _ in 0..1000 {
            context.log(&"é\0".repeat(2000));
        }
    };
    let worker = worker(&queue).handle(tell).start().await.unwrap();
    let handle = queue.enqueue(Number(1)).await.unwrap();
    let progress = handle.wait().await.unwrap().progress.unwrap();
    assert_eq!((progress.done, progress.total), (u64::MAX, Some(u64::MAX)));
    let message = progress.message.unwrap();
    assert!(message.len() <= 1024 && message.starts_with("m\u{fffd}m"), "{message}");
    assert_eq!(progress.log.len(), 20);
    assert!(progress.log.iter().all(|line| line.len() <= 1024 && !line.contains('\0')));
    worker.stop().await;
}

#[tokio::test]
async fn declarations_that_do_not_go_together_are_refused_with_the_one_that_holds() {
    let (client, _) = store();
    let step = Duration::from_secs(5);
    client.queue("q").aging(step).concurrency(3).declare().await.unwrap();
    let right = "declare it so, or use another name";
    use windlass_runtime::model::PriorityMode::HighestFirst;
    let clashes = [
        client.queue("q"),
        client.queue("q").aging(Duration::from_secs(6)),
        client.queue("q").aging(step).priority(HighestFirst),
        client.queue("q").aging(step).partitioned(),
    ];
    for clash in clashes {
        let error = clash.declare().await.unwrap_err();
        says(&error, "was declared before with another priority mode, ageing or use of", right);
        says(&error, "(LowestFirst, Some(5s), partitioned: false)", right);
    }
    let stored = client.open_queue("q").await.unwrap();
    assert_eq!(stored.spec().limits.concurrency, Some(3), "nothing of it has changed");
    // What may change does.
    client.queue("q").aging(step).concurrency(4).declare().await.unwrap();
    assert_eq!(client.open_queue("q").await.unwrap().spec().limits.concurrency, Some(4));
}

#[tokio::test]
async fn a_number_of_shards_that_leaves_some_nothing_is_refused_with_what_would_do() {
    let (client, _) = store();
    let second = Duration::from_secs(1);
    let table = [
        (client.queue("q").shards(0), "it has 0 shards", "use 1 to 64"),
        (client.queue("q").shards(65), "too many shards", "use 1 to 64"),
        (client.queue("q").shards(4).concurrency(3), "its concurrency is less", "fewer shards"),
        (client.queue("q").shards(4).rate(3, second), "has fewer starts", "fewer shards"),
    ];
    for (builder, wrong, right) in table {
        says(&builder.declare().await.unwrap_err(), wrong, right);
    }
    let queue = client.queue("q").shards(4).concurrency(4).declare().await.unwrap();
    assert_eq!(queue.spec().shards, 4);
    client.queue("q").shards(4).concurrency(0).declare().await.unwrap();
    let stored = client.open_queue("q").await.unwrap();
    assert_eq!((stored.spec().shards, stored.spec().limits.concurrency), (4, Some(0)));
}

#[tokio::test]
async fn what_a_queue_does_not_take_is_refused_with_what_it_takes() {
    let (client, _) = store();
    let plain = client.queue("plain").declare().await.unwrap();
    let split = client.queue("split").partitioned().declare().await.unwrap();
    let none = windlass_runtime::model::PriorityMode::Disabled;
    let unranked = client.queue("unranked").priority(none).declare().await.unwrap();
    let job = || plain.enqueue(Number(1));
    let zero = Duration::ZERO;
    for (enqueue, wrong, right) in [
        (unranked.enqueue(Number(1)).priority(0), "without priorities", "leave the priority out"),
        (job().priority(i32::MIN), "-2147483648 is out of range", "use -2147483647 to 2147483647"),
        (split.enqueue(Number(1)), "is partitioned", "give every job a partition key"),
        (job().partition("p"), "is not partitioned", "leave the partition key out"),
        (job().timeout(zero), "the time-out is zero", "leave it out to have none"),
        (job().backoff(Backoff::List(Vec::new())), "list of waits is empty", "at least one"),
        (
            (0..33).fold(job(), |job, n| job.tag(n.to_string())),
            "the job has 33 tags",
            "give it 32 at most",
        ),
    ] {
        says(&enqueue.await.unwrap_err(), wrong, right);
    }
    let repeat = || plain.repeat("r", Number(1));
    let (short, long) = ("is too short; the shortest is one milli", "the longest is 36525 days");
    says(&repeat().every(zero).await.unwrap_err(), short, "one millisecond");
    says(&repeat().every(Duration::from_nanos(999_999)).await.unwrap_err(), short, "one milli");
    says(&repeat().every(Duration::MAX).await.unwrap_err(), "is too long", long);
    says(&repeat().await.unwrap_err(), "has no schedule", "call every(…) or cron(…)");
    for (cron, zone, wrong, right) in [
        ("* * * *", "UTC", "4", "five"),
        ("61 * * * *", "UTC", "`61`", "0-59"),
        ("@reboot", "UTC", "`@reboot`", "@hourly"),
        ("* * * * *", "Mars/Base", "`Mars/Base`", "Europe/Berlin"),
        (&"*".repeat(100_000), "UTC", "100000 bytes is too long", "the longest has 256"),
        ("0 0 30 2 *", "UTC", "would never fire", "between its start (or now) and its end"),
    ] {
        says(&repeat().cron(cron, zone).await.unwrap_err(), wrong, right);
    }
    assert_eq!(plain.repeatables().await.unwrap(), []);
    assert_eq!(plain.stats().await.unwrap().jobs, [0; 8]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_makes_no_sense_says_what_would() {
    let (queue, _) = queue().await;
    let ready = || worker(&queue).handle(|_: Number| async {});
    let client: Client = queue.client().clone();
    for (worker, wrong, right) in [
        (client.worker().handle(|_: Number| async {}), "it has no queue", "queue(…)"),
        (worker(&queue), "it has no handler", "handle(…)"),
        (ready().handle(|_: Number| async {}), "two handlers take jobs of type", "keep one"),
        (ready().queue(&queue), "was given twice", "give it once"),
        (ready().concurrency(0), "its concurrency is 0", "use 1 to 10000, or pause the queue"),
        (
            client.worker().queue_with(&queue, 0).handle(|_: Number| async {}),
            "its concurrency is 0",
            "use 1 to 10000",
        ),
        (ready().lease(Duration::ZERO), "its lease of 0ns", "a millisecond at least"),
        (ready().lease(Duration::from_micros(999)), "its lease of 999µs", "a few seconds"),
    ] {
        says(&worker.start().await.unwrap_err(), wrong, right);
    }
    let ask = Ask {
        queue: queue.name().clone(),
        worker: WorkerId::from_bytes([1; 16]),
        max: 1,
        lease: Duration::from_secs(1),
    };
    assert!(client.backend().dequeue(ask).await.unwrap().jobs.is_empty());
}
