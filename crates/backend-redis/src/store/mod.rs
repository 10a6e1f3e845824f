//! The server, and what every call does there: scripts, atomic each.

mod apply;
mod assemble;
mod away;
mod clean;
#[cfg(test)]
mod crossed;
mod dequeue;
pub(crate) mod encode;
mod enqueue;
mod graph;
#[cfg(test)]
mod half_done;
pub(crate) mod lease;
mod link;
mod listing;
mod operations;
pub(crate) mod queues;
mod repeatables;
mod reply;
mod script;
mod server;
mod steps;
mod workers;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::RedisResult;
use tokio::time::{Instant, sleep};
use windlass_core::decide::shards::Extent;
use windlass_core::model::{Clock, Job, Limits, QueueName, QueueSpec, Timestamp};
use windlass_core::{Error, ErrorKind};

use crate::config::RedisConfig;
use crate::error::{Failure, failure, from_redis};
use crate::record::Reader;
use away::Away;
use encode::moment;
use link::{Answer, Link, Request};
use operations::Operations;
use queues::Stored;
use reply::Reply;

pub(crate) use script::Script;

/// How long a call that met a passing trouble waits before it is made again, at first
/// and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// What a short script answers where the one for all cases is to be asked.
const CAREFUL: &str = "careful";

/// For so many dequeues a queue whose main line was not enough is not asked for that
/// alone.
const CAREFUL_FOR: u32 = 20;

/// The store, on one connection. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    link: Link,
    prefix: Arc<str>,
    clock: Clock,
    replicas: u32,
    answer_within: Duration,
    patience: Duration,
    operations: Operations,
    /// Whether the last change that replicas were waited for was not confirmed in all of
    /// `patience`.
    is_unconfirmed: Arc<AtomicBool>,
    specs: Arc<Mutex<HashMap<QueueName, Known>>>,
    /// Which queues those who have something to tell them do not wait for.
    away: Away,
    /// For how many dequeues more a queue is taken for one whose next jobs do not stand in
    /// its main line.
    careful: Arc<Mutex<HashMap<QueueName, u32>>>,
    /// Which call of which script is made to fail.
    #[cfg(test)]
    fault: Arc<Mutex<Option<(Script, usize)>>>,
}

/// What is known of a queue's declaration.
#[derive(Clone)]
struct Known {
    /// The name that the server gives to the declaration; nothing if that was not said.
    declared: Vec<u8>,
    spec: Arc<QueueSpec>,
    extent: Extent,
    /// When it was last seen to be so.
    seen: Instant,
}

/// Where a script works: all its keys are in one place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'q> {
    /// With a queue.
    Queue(&'q QueueName),
    /// Where all queues are known.
    Registry,
}

/// The arguments of a script behind those that all have.
///
/// Shared, since a call may have to be made again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    bytes: Arc<Vec<Vec<u8>>>,
}

impl Arguments {
    pub(crate) fn with_room_for(count: usize) -> Self {
        Self { bytes: Arc::new(Vec::with_capacity(count)) }
    }

    pub(crate) fn add(&mut self, bytes: impl Into<Vec<u8>>) -> &mut Self {
        Arc::make_mut(&mut self.bytes).push(bytes.into());
        self
    }

    pub(crate) fn add_number(&mut self, number: impl ToString) -> &mut Self {
        self.add(number.to_string())
    }
}

impl Store {
    /// Connects.
    pub(crate) async fn connect(config: &RedisConfig) -> Result<Self, Error> {
        config.check()?;
        let store = Self {
            link: Link::new(config),
            prefix: config.prefix.as_str().into(),
            clock: config.clock.clone(),
            replicas: config.replicas,
            answer_within: config.answer_within,
            patience: config.patience,
            operations: Operations::default(),
            is_unconfirmed: Arc::default(),
            specs: Arc::default(),
            away: Away::default(),
            careful: Arc::default(),
            #[cfg(test)]
            fault: Arc::default(),
        };
        store.check_reachable().await?;
        store.check_servers().await?;
        store.check_format().await?;
        Ok(store)
    }

    /// What no other client is called.
    pub(crate) fn client(&self) -> &str {
        self.operations.client()
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// The store's time.
    pub(crate) async fn now(&self) -> Result<Timestamp, Error> {
        if let Clock::Manual(clock) = &self.clock {
            return Ok(clock.now());
        }
        self.call(Place::Registry, Script::Clock, Arguments::default()).await?.moment()
    }

    /// Makes one call, which has happened whole or not at all, and answers what stands
    /// behind `ok`.
    ///
    /// A call whose answer does not come is made again, under the same number: what
    /// has happened already does not happen twice.
    async fn call(
        &self,
        place: Place<'_>,
        script: Script,
        arguments: Arguments,
    ) -> Result<Reply, Error> {
        match self.ask(place, script, arguments).await? {
            Outcome::Done(reply) => Ok(reply),
            Outcome::Unknown => Err(match place {
                Place::Queue(queue) => Error::unknown_queue(queue),
                Place::Registry => crate::error::damaged("an answer", "it is of no queue"),
            }),
            Outcome::Other(status, _) => Err(crate::error::damaged("an answer", status)),
        }
    }

    /// The same, where other answers than `ok` are expected.
    async fn ask(
        &self,
        place: Place<'_>,
        script: Script,
        arguments: Arguments,
    ) -> Result<Outcome, Error> {
        loop {
            let store = self.clone();
            let tag = self.tag(place);
            let arguments = arguments.clone();
            // A call that has begun comes to its end, whoever waits for it.
            let made = self
                .operations
                .run(async move { store.make(&tag, script, &arguments.bytes).await });
            let (value, confirmed) = made.await?;
            let mut reply = Reply::new(value, confirmed)?;
            let status = reply.text()?;
            // A script that leaves a case to another one has changed nothing.
            if confirmed == Confirmed::No && !script.leases() && status != CAREFUL {
                return Err(unconfirmed());
            }
            return Ok(match status.as_str() {
                "ok" => Outcome::Done(reply),
                "unknown" => Outcome::Unknown,
                // Time has passed over more jobs than one call should do.
                "more" => continue,
                status => Outcome::Other(status.to_owned(), reply),
            });
        }
    }

    async fn make(
        &self,
        tag: &str,
        script: Script,
        arguments: &[Vec<u8>],
    ) -> Result<(redis::Value, Confirmed), Error> {
        let text = script.text();
        let operation = text.writes.then(|| self.operations.begin());
        let confirmed_by =
            (text.writes && self.replicas > 0).then(|| (self.replicas, self.answer_within / 10));
        let request = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(text.keys.len());
            for key in &text.keys {
                match (*key, &operation) {
                    ("ops", Some(_)) => {
                        command.arg(format!("{{{tag}}}:ops:{}", self.operations.client()));
                    }
                    _ => {
                        command.arg(format!("{{{tag}}}:{key}"));
                    }
                }
            }
            match &self.clock {
                Clock::Store => command.arg(""),
                Clock::Manual(clock) => command.arg(&moment(clock.now())[..]),
            };
            if let Some(operation) = &operation {
                command.arg(operation.slot()).arg(&operation.number()[..]);
            }
            for argument in arguments {
                command.arg(&argument[..]);
            }
            Request { command, key: format!("{{{tag}}}").into_bytes(), confirmed_by }
        };
        let mut known = match self.with_fault(script) {
            Some(text) => request("EVAL", &text),
            None => request("EVALSHA", &text.hash),
        };
        let end = Instant::now() + self.patience;
        let mut pause = PAUSES.0;
        loop {
            let error = match self.attempt(&known).await {
                Ok(answer) if confirmed_by.is_none_or(|(count, _)| answer.confirmed >= count) => {
                    if confirmed_by.is_some() {
                        self.is_unconfirmed.store(false, Ordering::Relaxed);
                    }
                    return Ok((answer.value, Confirmed::Yes));
                }
                // Made again, it gets the same answer, and replicas have had more time. Where
                // they have not come back in all of that, nobody waits for them so long again.
                Ok(answer) => {
                    let is_over = Instant::now() + pause >= end;
                    if is_over || self.is_unconfirmed.load(Ordering::Relaxed) {
                        self.is_unconfirmed.store(true, Ordering::Relaxed);
                        return Ok((answer.value, Confirmed::No));
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                    continue;
                }
                Err(error) => error,
            };
            match failure(&error) {
                Failure::UnknownScript => {
                    // Given whole, it is known from then on.
                    known = request("EVAL", &text.text);
                    continue;
                }
                Failure::Lasting => return Err(from_redis(error)),
                Failure::Unclear | Failure::Passing if Instant::now() + pause >= end => {
                    return Err(from_redis(error));
                }
                Failure::Unclear | Failure::Passing => {
                    tracing::debug!(script = script.name(), %error, "a call is made again");
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "what fails, fails in tests")]
    fn with_fault(&self, _: Script) -> Option<String> {
        None
    }

    /// The script of which one call fails, if that is wished for.
    #[cfg(test)]
    fn with_fault(&self, script: Script) -> Option<String> {
        let (_, number) = self.fault.lock().unwrap().filter(|(of, _)| *of == script)?;
        let text = &script.text().text;
        let (flags, rest) = match text.starts_with("#!") {
            true => text.split_once('\n')?,
            false => ("", text.as_str()),
        };
        let fault = format!(
            "local calls, true_redis = 0, redis local redis = {{ error_reply = \
             true_redis.error_reply, sha1hex = true_redis.sha1hex, call = function(...) calls = \
             calls + 1 if calls == {number} then error('forced') end return \
             true_redis.call(...) end }}"
        );
        Some(format!("{flags}{}{fault}\n{rest}", if flags.is_empty() { "" } else { "\n" }))
    }

    async fn attempt(&self, request: &Request) -> RedisResult<Answer> {
        let (number, mut connection) = self.link.connection().await?;
        let answer = connection.send(request).await;
        if let Err(error) = &answer
            && (failure(error) == Failure::Unclear || error.code() == Some("READONLY"))
            && !self.link.is_cluster()
        {
            self.link.give_up(number);
        }
        answer
    }

    /// What all keys of a place have in braces: they are in one slot.
    fn tag(&self, place: Place<'_>) -> String {
        match place {
            Place::Queue(queue) => format!("{}:{queue}", self.prefix),
            Place::Registry => self.prefix.to_string(),
        }
    }

    /// Sends empty notices.
    pub(crate) async fn publish(&self, channel: &str, queues: &[String]) -> Result<(), Error> {
        let mut outcome = Ok(());
        for queue in queues {
            let mut command = redis::cmd("PUBLISH");
            command.arg(channel).arg(queue);
            let request = Request { command, key: channel.into(), confirmed_by: None };
            // The next one goes by a new connection.
            if let Err(error) = self.attempt(&request).await {
                outcome = Err(from_redis(error));
            }
        }
        outcome
    }

    /// The declaration of a queue, as it is stored: mostly the last one again.
    fn spec(
        &self,
        queue: &QueueName,
        declared: Vec<u8>,
        stored: Option<Vec<u8>>,
    ) -> Result<Option<(Arc<QueueSpec>, Extent)>, Error> {
        let mut specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Instant::now();
        if let Some(stored) = stored {
            let Stored { spec, extent } = queues::read_stored(&stored)?;
            let spec = Arc::new(spec);
            let known = Known { declared, spec: Arc::clone(&spec), extent, seen };
            specs.insert(queue.clone(), known);
            return Ok(Some((spec, extent)));
        }
        let known = specs.get_mut(queue).filter(|known| known.declared == declared);
        Ok(known.map(|known| {
            known.seen = seen;
            (Arc::clone(&known.spec), known.extent)
        }))
    }

    /// Notes what a look at a queue has found.
    fn note_declaration(&self, queue: &QueueName, spec: &Arc<QueueSpec>, extent: Extent) {
        let mut specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Instant::now();
        match specs.get_mut(queue) {
            Some(known) if known.spec == *spec && known.extent == extent => known.seen = seen,
            _ => {
                let (declared, spec) = (Vec::new(), Arc::clone(spec));
                specs.insert(queue.clone(), Known { declared, spec, extent, seen });
            }
        }
    }

    /// Over which shards a queue is spread, as far as is known.
    pub(crate) fn known_extent(&self, queue: &QueueName) -> Option<Extent> {
        let specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        specs.get(queue).map(|known| known.extent)
    }

    /// The same, and whether that was not seen for so long. Says so once, so that of many
    /// calls one looks again.
    pub(crate) fn known_extent_or_old(
        &self,
        queue: &QueueName,
        old: Duration,
    ) -> Option<(Extent, bool)> {
        let mut specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        specs.get_mut(queue).map(|known| {
            let is_old = known.seen.elapsed() > old;
            if is_old {
                known.seen = Instant::now();
            }
            (known.extent, is_old)
        })
    }

    /// Which declaration of a queue is known.
    fn known_declaration(&self, queue: &QueueName) -> Vec<u8> {
        let specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        specs.get(queue).map(|known| known.declared.clone()).unwrap_or_default()
    }

    /// Whether a queue has partitions, as far as is known.
    fn is_partitioned(&self, queue: &QueueName) -> bool {
        let specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        specs.get(queue).is_some_and(|known| known.spec.partitions.is_some())
    }

    /// Whether the next dequeue had better be the one for all cases at once.
    fn is_careful_case(&self, queue: &QueueName) -> bool {
        let mut careful = self.careful.lock().unwrap_or_else(PoisonError::into_inner);
        match careful.get_mut(queue) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    fn note_careful_case(&self, queue: &QueueName) {
        let mut careful = self.careful.lock().unwrap_or_else(PoisonError::into_inner);
        careful.insert(queue.clone(), CAREFUL_FOR);
    }

    /// Whether a lease that ends may let another job of this queue start, as far as is
    /// known.
    pub(crate) fn is_bounded(&self, queue: &QueueName) -> bool {
        let specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        specs.get(queue).is_none_or(|Known { spec, .. }| {
            spec.limits != Limits::default() || spec.partitions.is_some()
        })
    }
}

/// Whether as many replicas have a change as were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmed {
    Yes,
    No,
}

fn unconfirmed() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "too few replicas have confirmed the change in time; it is made on the master, and may be \
         lost with it",
    )
}

/// What a script has answered.
enum Outcome {
    /// `ok`, and what stands behind it.
    Done(Reply),
    /// The queue was never declared.
    Unknown,
    /// Something else, and what stands behind it.
    Other(String, Reply),
}

impl Outcome {
    /// Whether the short script that was asked has left it to the one for all cases.
    fn is_careful(&self) -> bool {
        matches!(self, Self::Other(status, _) if status == CAREFUL)
    }
}

/// Reads jobs and what is kept apart of them.
fn read_jobs(
    reply: &mut Reply,
    queue: &QueueName,
    now: Timestamp,
    with_payload: bool,
) -> Result<Vec<Job>, Error> {
    let mut reader = Reader::new(queue, now);
    let mut stored = reply.list()?;
    let mut jobs = Vec::new();
    while !stored.is_at_end() {
        let (fixed, life) = (stored.bytes()?, stored.bytes()?);
        jobs.push(reader.job(fixed, &life, with_payload)?);
    }
    let mut apart = reply.list()?;
    while !apart.is_at_end() {
        let (number, letter, bytes) = (apart.number()?, apart.bytes()?, apart.bytes()?);
        let job = usize::try_from(number).ok().and_then(|number| jobs.get_mut(number - 1));
        let job = job.ok_or_else(|| crate::error::damaged("an answer", "there is no such job"))?;
        Reader::put_apart(job, &letter, bytes)?;
    }
    Ok(jobs)
}
