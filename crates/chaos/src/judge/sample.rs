//! A short run in which nothing went wrong, written by hand: for tests to plant
//! a violation in.

use std::collections::HashMap;
use std::time::Duration;

use windlass::Job;
use windlass::model::{
    FailureKind, JobId, PartitionKey, QueueName, State, Timestamp, Token, WorkerId,
};

use super::{
    Book, Died, Disturbance, Ending, Evidence, Incidents, Integrity, Observed, Places, Process,
    Record, Repeated, RunInfo,
};
use crate::fact::{
    Accepted, Acknowledged, Fact, IfBroken, LeasedWrite, Noted, Occasion, Start, StepAnswer,
};
use crate::jobs::{Doomed, Flaky, Parent, Poison, Rare, Steps, Tick, Work};
use crate::plan::{MAX_STALLS, RATE, TICK, Terms};

/// The jobs of the run, by what they are there for.
pub(super) mod job {
    pub(crate) const PLAIN: u8 = 1;
    pub(crate) const FLAKY: u8 = 2;
    pub(crate) const STEPS: u8 = 3;
    pub(crate) const PARENT: u8 = 4;
    pub(crate) const CHILD: u8 = 5;
    pub(crate) const RARE: u8 = 6;
    pub(crate) const POISON: u8 = 7;
    pub(crate) const DELAYED: u8 = 8;
    /// Four at once, and one after them.
    pub(crate) const LIMITED: [u8; 5] = [20, 21, 22, 23, 24];
    /// The first and the second of a partition.
    pub(crate) const LINE: [u8; 2] = [40, 41];
    /// Two, one that waits for both, and one that waits for that.
    pub(crate) const FLOW: [u8; 4] = [50, 51, 52, 53];
    pub(crate) const DOOMED: u8 = 54;
    pub(crate) const CANCELLED: u8 = 55;
    pub(crate) const RUN_ANYWAY: u8 = 56;
    /// Two with one deduplication key.
    pub(crate) const UNIQUE: [u8; 2] = [60, 61];
    pub(crate) const TICKS: [u8; 3] = [70, 71, 72];
    /// The first of as many as a window of the rate takes, and one more.
    pub(crate) const RATED: u8 = 100;
}

pub(super) const LEASE: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_secs(2);

pub(super) fn id(nth: u8) -> JobId {
    JobId::from_bytes([nth; 16])
}

/// So many milliseconds after the run began.
pub(super) fn at(ms: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000).after(Duration::from_millis(ms))
}

pub(super) fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// A run in which nothing went wrong.
pub(super) fn sound() -> Evidence {
    let mut run = Builder::default();
    plain_jobs(&mut run);
    jobs_of_dying_workers(&mut run);
    bounded_jobs(&mut run);
    dependent_jobs(&mut run);
    keyed_jobs(&mut run);
    run.finish()
}

fn plain_jobs(run: &mut Builder) {
    run.job::<Work>("bulk", job::PLAIN, 0).ran(1, 100, 200);
    let flaky = run.job::<Flaky>("bulk", job::FLAKY, 0);
    flaky.ran(1, 100, 200).ran(2, 300, 400).record.ending.failed_attempts = 1;
    run.job::<Parent>("bulk", job::PARENT, 0).ran(1, 100, 200);
    let child = run.job::<Work>("bulk", job::CHILD, 150).named("child-of-4").ran(1, 200, 300);
    child.record.parent = Some(id(job::PARENT));
    run.job::<Rare>("rare", job::RARE, 0).ran(1, 100, 200);
    let delayed = run.job::<Work>("bulk", job::DELAYED, 0);
    delayed.acknowledged.delay = u64::try_from(DELAY.as_micros()).ok();
    delayed.ran(1, 2000, 2010);
}

fn jobs_of_dying_workers(run: &mut Builder) {
    let steps = run.job::<Steps>("bulk", job::STEPS, 0);
    steps.died(1, 100).ran(2, 1300, 1700);
    steps.record.ending.stalls = 1;
    for (position, answer, token, outcome) in [
        (0, StepAnswer::Recorded, 1, "under 1"),
        (0, StepAnswer::Existing, 2, "under 1"),
        (1, StepAnswer::Recorded, 2, "under 2"),
        (2, StepAnswer::Recorded, 2, "under 2"),
    ] {
        let (token, outcome) = (Token(token), outcome.to_owned());
        let fact = Fact::Step { job: id(job::STEPS), token, position, answer, outcome };
        steps.facts.push(fact);
    }
    let stored = [(0, "under 1"), (1, "under 2"), (2, "under 2")];
    steps.record.steps = stored.map(|(at, outcome)| (at, outcome.to_owned())).to_vec();

    let poison = run.job::<Poison>("poison", job::POISON, 0);
    for nth in 0..=u64::from(MAX_STALLS) {
        poison.died(nth + 1, 100 + 1200 * nth);
    }
    poison.record.ending.stalls = MAX_STALLS + 1;
    poison.record.ending.state = State::Failed;
    poison.record.ending.finished_at = Some(at(6000));
    poison.record.last_failure = Some(FailureKind::Stalled);
}

fn bounded_jobs(run: &mut Builder) {
    for (nth, job) in job::LIMITED.into_iter().enumerate() {
        let begin = if nth < 4 { 100 } else { 200 };
        run.job::<Work>("limited", job, 0).ran(1, begin, begin + 100);
    }
    for nth in 0..=RATE {
        let begin = if nth < RATE { 100 } else { 1100 };
        let job = job::RATED + u8::try_from(nth).unwrap();
        run.job::<Work>("rated", job, 0).ran(1, begin, begin + 1);
    }
    for (job, begin) in job::LINE.into_iter().zip([100, 200]) {
        run.job::<Work>("lines", job, 0).of_partition("p0").ran(1, begin, begin + 100);
    }
}

fn dependent_jobs(run: &mut Builder) {
    let [first, second, both, last] = job::FLOW;
    run.job::<Work>("flows", first, 0).ran(1, 100, 150);
    run.job::<Work>("flows", second, 0).ran(1, 100, 200);
    run.job::<Work>("flows", both, 0).waits_for(&[first, second]).ran(1, 200, 250);
    run.job::<Work>("flows", last, 0).waits_for(&[both]).ran(1, 250, 300);
    run.job::<Doomed>("flows", job::DOOMED, 0).ran(1, 100, 150).ended(State::Failed, 150);
    let cancelled = run.job::<Work>("flows", job::CANCELLED, 0).waits_for(&[job::DOOMED]);
    cancelled.ended(State::Cancelled, 160);
    let anyway = run.job::<Work>("flows", job::RUN_ANYWAY, 0).waits_for(&[job::DOOMED]);
    anyway.acknowledged.broken = IfBroken::Run;
    anyway.ran(1, 160, 170);
}

fn keyed_jobs(run: &mut Builder) {
    for (job, begin) in job::UNIQUE.into_iter().zip([0, 500]) {
        let unique = run.job::<Work>("unique", job, begin).ran(1, begin + 100, begin + 200);
        unique.record.dedup = Some("d0".to_owned());
        unique.facts.push(Fact::Duplicate { key: "d0".to_owned(), existing: id(job) });
    }
    for (nth, job) in (0..).zip(job::TICKS) {
        let moment = at(2000).after(TICK * nth);
        let begin = 2000 + u64::from(nth) * 200;
        let key = format!("repeat:tick-0:{}", moment.as_micros());
        run.job::<Tick>("ticks", job, begin).named(&key).ran(1, begin, begin + 1);
    }
}

/// Builds a run out of jobs.
#[derive(Default)]
struct Builder {
    jobs: Vec<Drafted>,
}

/// A job, and what is known of it.
struct Drafted {
    record: Record,
    acknowledged: Acknowledged,
    facts: Vec<Fact>,
    /// Facts of processes that died.
    last_facts: Vec<Fact>,
}

impl Builder {
    fn job<J: Job>(&mut self, queue_name: &str, nth: u8, enqueued: u64) -> &mut Drafted {
        let queue = queue(queue_name);
        let ending = Ending {
            state: State::Completed,
            finished_at: None,
            started_at: None,
            result: None,
            stalls: 0,
            failed_attempts: 0,
            version: 3,
            has_dependents: false,
        };
        let record = Record {
            id: id(nth),
            queue: queue.clone(),
            job_type: J::NAME.to_owned(),
            seq: u64::from(nth),
            place: at(enqueued),
            enqueued_at: at(enqueued),
            ending,
            snoozes: 0,
            last_failure: None,
            key: None,
            dedup: None,
            partition: None,
            parent: None,
            steps: Vec::new(),
        };
        let acknowledged = Acknowledged::new(id(nth), &queue);
        let drafted = Drafted { record, acknowledged, facts: Vec::new(), last_facts: Vec::new() };
        self.jobs.push(drafted);
        let last = self.jobs.len() - 1;
        &mut self.jobs[last]
    }

    fn finish(self) -> Evidence {
        let workers = [WorkerId::from_bytes([1; 16]), WorkerId::from_bytes([2; 16])];
        let mut facts = vec![Fact::Began { worker: workers[0] }];
        let mut last_facts = vec![Fact::Began { worker: workers[1] }];
        let mut records = Vec::new();
        for job in self.jobs {
            facts.push(Fact::Acknowledged(job.acknowledged));
            facts.extend(job.facts);
            last_facts.extend(job.last_facts);
            records.push(job.record);
        }
        let (job, token) = (id(job::STEPS), Token(1));
        let write = LeasedWrite::Complete;
        let (occasion, accepted) = (Occasion::Away, Accepted::No);
        facts.push(Fact::Probed { job, token, write, occasion, accepted });
        let processes = vec![
            process("worker-0-0", facts, Died::Told),
            process("worker-1-0", last_facts, Died::Killed(at(150))),
        ];
        Evidence {
            terms: Terms {
                lease: LEASE,
                slots: 10,
                ticks_from: at(2000),
                ticks_until: at(2000).after(TICK * 2),
            },
            processes,
            disturbances: vec![Disturbance {
                command: "restart".to_owned(),
                begin: at(NOTED_AFTER - 1000),
                end: at(NOTED_AFTER),
            }],
            incidents: Incidents { workers_killed: 1, ..Incidents::default() },
            observed: Observed {
                looks: 10,
                most_leases: HashMap::from([(queue("limited"), 4), (queue("poison"), 1)]),
                most_starts: HashMap::from([(queue("rated"), u64::from(RATE))]),
                ended: records.iter().map(|r| (r.id, r.ending.clone())).collect(),
                dedup_pages: 10,
                ..Observed::default()
            },
            books: books(&records),
            records,
            repeatables: vec![Repeated { key: "tick-0".to_owned(), fired: 3, next: None }],
            dangling: Vec::new(),
            keys_tried: 1,
            integrity: Integrity::Sound,
            run: RunInfo { drained: Some(Duration::ZERO), ..RunInfo::default() },
            places: Places::default(),
        }
    }
}

/// When everything was noted, by the machine's clock: in the middle of what was
/// done to the store.
pub(super) const NOTED_AFTER: u64 = 50_000;

fn process(name: &str, facts: Vec<Fact>, died: Died) -> Process {
    let noted = at(NOTED_AFTER);
    let facts = facts.into_iter().map(|fact| Noted { noted, fact }).collect();
    let lost = "WARN job{queue=bulk}: the lease is lost; the handler is dropped";
    let said = vec![format!("{}  {lost}", noted.as_micros())];
    Process { name: name.to_owned(), facts, died, said }
}

/// Counters that agree with these records.
fn books(records: &[Record]) -> Vec<Book> {
    let mut books: Vec<Book> = Vec::new();
    for record in records {
        let at = books.iter().position(|book| book.queue == record.queue).unwrap_or_else(|| {
            books.push(Book { queue: record.queue.clone(), jobs: [0; 8], leases: 0 });
            books.len() - 1
        });
        books[at].jobs[usize::from(record.ending.state.code())] += 1;
    }
    books
}

impl Drafted {
    fn start(&self, token: u64, begin: u64) -> Fact {
        let partition = self.record.partition.as_ref();
        Fact::Started(Start {
            job: self.record.id,
            queue: self.record.queue.clone(),
            token: Token(token),
            at: at(begin),
            until: at(begin).after(LEASE),
            attempt: 1,
            partition: partition.map(|key| PartitionKey::new(key.as_str()).unwrap()),
            worker: WorkerId::from_bytes([1; 16]),
        })
    }

    /// It ran, and completed a millisecond later.
    fn ran(&mut self, token: u64, begin: u64, end: u64) -> &mut Self {
        self.facts.push(self.start(token, begin));
        let (job, token) = (self.record.id, Token(token));
        self.facts.push(Fact::Finished { job, token, at: at(end) });
        self.record.ending.started_at = Some(at(begin));
        self.ended(State::Completed, end)
    }

    /// It began in a process that died.
    fn died(&mut self, token: u64, begin: u64) -> &mut Self {
        self.last_facts.push(self.start(token, begin));
        self.record.ending.started_at = Some(at(begin));
        self
    }

    fn ended(&mut self, state: State, end: u64) -> &mut Self {
        self.record.ending.state = state;
        self.record.ending.finished_at = Some(at(end));
        self
    }

    fn named(&mut self, key: &str) -> &mut Self {
        self.record.key = Some(key.to_owned());
        self.acknowledged.key = Some(key.to_owned());
        self
    }

    fn of_partition(&mut self, key: &str) -> &mut Self {
        self.record.partition = Some(key.to_owned());
        self
    }

    fn waits_for(&mut self, jobs: &[u8]) -> &mut Self {
        self.acknowledged.after = jobs.iter().map(|nth| id(*nth)).collect();
        self
    }
}
