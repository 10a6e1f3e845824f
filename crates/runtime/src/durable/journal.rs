//! What is known of a durable job while its handler runs: what was recorded, how far the
//! code has come, and what it waits for.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use tokio::sync::OnceCell;
use windlass_core::decide::Outcome;
use windlass_core::decide::durable::{Message, Suspend};
use windlass_core::model::{
    Awaits, FIRST_MESSAGE, FIRST_RESULT, JobId, Step, StepName, Timestamp, When,
};

use super::entry::{self, Kind};
use crate::context::Running;
use crate::error::{Error, Result};

/// What is known of a durable job while its handler runs.
#[derive(Default)]
pub(crate) struct Journal {
    loaded: OnceCell<()>,
    state: Mutex<State>,
    /// The task that runs the handler.
    handler: AtomicWaker,
}

#[derive(Default)]
struct State {
    steps: BTreeMap<u32, Step>,
    /// The position of what the code does next.
    next: u32,
    /// A call that came to nothing, since the store was away, and its position.
    failed_call: Option<(Identity, u32)>,
    /// How many calls have begun and not ended.
    open: usize,
    /// What is under way: while anything is, the job is not suspended.
    busy: usize,
    waits: BTreeMap<u64, Wait>,
    wait_number: u64,
    /// What the failures of steps mean for the job if the handler passes one on, and how
    /// they are told.
    failures: Vec<(String, Outcome)>,
    /// Steps that have failed. If the handler goes on all the same, that is recorded.
    failed: Vec<Step>,
    /// Whether what is polled is within a step.
    within_step: bool,
    /// Of each topic, the positions of the messages that no receive has consumed.
    unread: HashMap<StepName, VecDeque<u32>>,
    /// The receives that are under way and have not consumed a message yet.
    receives: BTreeMap<u32, StepName>,
}

/// What a handler waits for.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    /// Until when.
    pub(super) until: Timestamp,
    /// What ends it before.
    pub(super) awaits: Awaits,
    /// What is recorded when the job is suspended for it.
    pub(super) steps: Vec<Step>,
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what was recorded, once for each lease.
    pub(super) async fn load(&self, running: &Running) -> Result<()> {
        let read = || async {
            // Of most jobs nothing is, and they need not ask.
            if running.job.is_untouched() {
                return Ok(());
            }
            let steps = running.shared.client.backend().steps(&running.job.reference()).await?;
            // Side by side, a later receive may be recorded before an earlier one.
            let consumed: HashSet<u32> = steps.iter().filter_map(consumed_by).collect();
            let mut state = self.lock();
            for step in &steps {
                if step.position >= FIRST_MESSAGE && !consumed.contains(&step.position) {
                    state.unread.entry(step.name.clone()).or_default().push_back(step.position);
                }
            }
            state.steps.extend(steps.into_iter().map(|step| (step.position, step)));
            Ok(())
        };
        self.loaded.get_or_try_init(read).await.copied()
    }

    /// Begins a call that has so many positions: those of the last one, if that came to
    /// nothing and this is the same once more.
    pub(super) fn enter(&self, kind: Kind, name: &StepName, positions: u32) -> Result<Call<'_>> {
        let mut call = self.open()?;
        let identity = Identity { kind, name: name.clone(), positions };
        let mut state = self.lock();
        call.position = match state.failed_call.take() {
            Some((failed, at)) if failed == identity && state.next == at + positions => at,
            _ => state.next,
        };
        state.next = call.position + positions;
        call.identity = Some(identity);
        Ok(call)
    }

    /// Begins a call that has no position of its own.
    pub(super) fn open(&self) -> Result<Call<'_>> {
        let mut state = self.lock();
        if state.within_step {
            return Err(Error::Nested);
        }
        // While another call is under way, the handler may not have seen yet what has
        // failed, and may still pass it on.
        let dealt_with = if state.open == 0 { state.failed.clone() } else { Vec::new() };
        state.open += 1;
        Ok(Call { journal: self, position: state.next, identity: None, dealt_with })
    }

    /// Gives a position back that was just taken.
    pub(super) fn give_back(&self, position: u32) {
        let mut state = self.lock();
        if state.next == position + 1 {
            state.next = position;
        }
    }

    /// What is recorded first from a position on.
    pub(super) fn next_from(&self, position: u32) -> Option<Step> {
        self.lock().steps.range(position..FIRST_RESULT).next().map(|(_, step)| step.clone())
    }

    /// Polls what a step does: nothing within it is a step of its own.
    pub(super) async fn within_step<T>(&self, run: impl Future<Output = T>) -> T {
        let mut run = pin!(run);
        std::future::poll_fn(|cx| {
            let before = std::mem::replace(&mut self.lock().within_step, true);
            let polled = run.as_mut().poll(cx);
            self.lock().within_step = before;
            polled
        })
        .await
    }

    /// A step that has failed, for the case that the handler goes on all the same.
    pub(super) fn has_failed(&self, step: Step) {
        self.lock().failed.push(step);
    }

    /// What is recorded at a position.
    pub(super) fn at(&self, position: u32) -> Option<Step> {
        self.lock().steps.get(&position).cloned()
    }

    /// What is recorded at a position where the code does this now.
    pub(super) fn expect(
        &self,
        id: JobId,
        position: u32,
        kind: Kind,
        name: &StepName,
    ) -> Result<Option<Step>> {
        match self.at(position) {
            Some(step) => is_the_same(id, step, kind, name).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn note(&self, step: Step) {
        let mut state = self.lock();
        state.failed.retain(|failed| failed.position != step.position);
        state.steps.insert(step.position, step);
    }

    /// What the jobs came to that were spawned at this position, once that is known.
    pub(super) fn results(&self, position: u32) -> Option<Step> {
        self.at(FIRST_RESULT.saturating_add(position))
    }

    /// Notes that the call at a position receives a message of this topic.
    pub(super) fn receive(&self, position: u32, topic: &StepName) -> Receiving<'_> {
        self.lock().receives.insert(position, topic.clone());
        Receiving(self, position)
    }

    /// The position of the message that the receive at this position is to have; it is
    /// consumed now. Those before it come first, whichever of them is polled first.
    pub(super) fn next_message(&self, position: u32, topic: &StepName) -> Option<u32> {
        let mut state = self.lock();
        let before = state
            .receives
            .range(..position)
            .filter(|(at, other)| *other == topic && !state.steps.contains_key(at));
        let before = before.count();
        let message = state.unread.get_mut(topic)?.remove(before)?;
        state.receives.remove(&position);
        Some(message)
    }

    /// What a message says.
    pub(super) fn message<T: serde::de::DeserializeOwned>(&self, position: u32) -> Result<T> {
        let step = self.at(position);
        let stored = step.as_ref().map_or(&b"null"[..], |step| step.outcome.as_slice());
        let message: Message<'_> =
            serde_json::from_slice(stored).map_err(|error| entry::undecoded(&error))?;
        serde_json::from_str(message.body.get()).map_err(|error| Error::Decode {
            what: "message",
            message: windlass_core::model::json::problem(&error),
        })
    }

    /// Keeps the job from being suspended until the answer is dropped.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.lock().busy += 1;
        Busy(self)
    }

    /// Waits. The job is suspended as soon as its handler does nothing else, and the
    /// handler dropped with this.
    pub(super) async fn wait<T>(&self, wait: Wait) -> T {
        let number = {
            let mut state = self.lock();
            state.wait_number += 1;
            let number = state.wait_number;
            state.waits.insert(number, wait);
            number
        };
        let _waiting = Waiting(self, number);
        // Somebody else's task may have come here.
        self.handler.wake();
        std::future::pending().await
    }

    /// What the handler asks for if it can only wait.
    fn suspension(&self, told: u32) -> Option<Suspend> {
        let state = self.lock();
        if state.busy > 0 {
            return None;
        }
        let until = state.waits.values().map(|wait| wait.until).min()?;
        let mut awaits = Awaits { first: state.waits.len() > 1, ..Awaits::default() };
        let mut steps = Vec::new();
        for wait in state.waits.values() {
            awaits.first |= wait.awaits.first;
            awaits.results.extend(&wait.awaits.results);
            awaits.topics.extend(wait.awaits.topics.iter().cloned());
            steps.extend(wait.steps.iter().cloned());
        }
        Some(Suspend { until: When::At(until), awaits, told, steps })
    }

    /// Remembers what the failure of a step means for the job if the handler passes it on.
    pub(super) fn failed(&self, told: String, means: Outcome) {
        self.lock().failures.push((told, means));
    }

    /// What an attempt came to, given what is known of its steps.
    pub(crate) fn judge(&self, id: JobId, outcome: Outcome) -> Outcome {
        let mut state = self.lock();
        match &outcome {
            Outcome::Failure { message, .. } => {
                let known = state.failures.iter().rposition(|(told, _)| told == message);
                known.map_or(outcome, |known| state.failures.swap_remove(known).1)
            }
            Outcome::Success { .. } => {
                // Whoever returns where there was more to do has done something else.
                let left = state.steps.range(state.next..FIRST_RESULT).next();
                left.map_or(outcome, |(position, step)| {
                    let asked = "the end of the handler".to_owned();
                    let error = diverged(id, *position, step, asked);
                    crate::outcome::JobError::new(error).into_outcome()
                })
            }
            _ => outcome,
        }
    }
}

/// A recorded step, if it is what the code does now (rule W5).
pub(super) fn is_the_same(id: JobId, step: Step, kind: Kind, name: &StepName) -> Result<Step> {
    let recorded = entry::kind(&step);
    let same = recorded == Some(kind) || (kind, recorded) == (Kind::Step, Some(Kind::Failure));
    if same && step.name == *name {
        return Ok(step);
    }
    let asked = kind.shown(name.as_str());
    Err(diverged(id, step.position, &step, asked))
}

fn diverged(id: JobId, position: u32, step: &Step, asked: String) -> Error {
    let recorded = match entry::kind(step) {
        Some(kind) => kind.shown(step.name.as_str()),
        None => format!("{:?}", step.name.as_str()),
    };
    Error::Diverged { id, position, recorded, asked }
}

/// By which a call is known to be the same once more.
#[derive(PartialEq)]
struct Identity {
    kind: Kind,
    name: StepName,
    positions: u32,
}

/// A call of the handler that is under way.
pub(super) struct Call<'j> {
    journal: &'j Journal,
    /// Its position, or the first of them.
    pub(super) position: u32,
    identity: Option<Identity>,
    /// Steps that failed before, and that the handler must have dealt with.
    pub(super) dealt_with: Vec<Step>,
}

impl Call<'_> {
    /// What the call answers. If the store was away nothing is recorded of it, and the
    /// handler may try it again; one that goes on without it leaves its position empty.
    pub(super) fn answer<T>(mut self, answer: Result<T>) -> Result<T> {
        if let Err(error) = &answer
            && error.is_transient()
        {
            let failed = self.identity.take().map(|identity| (identity, self.position));
            self.journal.lock().failed_call = failed;
        }
        answer
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.journal.lock().open -= 1;
    }
}

/// The position of the message that a receive has consumed, if a step is one.
fn consumed_by(step: &Step) -> Option<u32> {
    let receive = step.position < FIRST_RESULT && entry::kind(step) == Some(Kind::Receive);
    receive.then(|| entry::read::<Option<u32>>(step).ok().flatten()).flatten()
}

/// A receive that is under way.
pub(super) struct Receiving<'j>(&'j Journal, u32);

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.lock().receives.remove(&self.1);
    }
}

/// Keeps a job from being suspended.
pub(super) struct Busy<'j>(&'j Journal);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.busy -= 1;
        let waits = !state.waits.is_empty();
        drop(state);
        if waits {
            self.0.handler.wake();
        }
    }
}

/// Takes back that something is waited for.
struct Waiting<'j>(&'j Journal, u64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waits.remove(&self.1);
    }
}

/// Runs a handler until it ends, or can only wait for what its job is to be suspended for.
pub(crate) async fn until_suspended(
    running: &Running,
    run: impl Future<Output = Outcome>,
) -> Outcome {
    let mut run = pin!(run);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(outcome) = run.as_mut().poll(cx) {
            return Poll::Ready(match running.journal() {
                Some(journal) => journal.judge(running.job.id, outcome),
                None => outcome,
            });
        }
        let Some(journal) = running.journal() else { return Poll::Pending };
        journal.handler.register(cx.waker());
        match journal.suspension(running.job.course.told) {
            Some(suspend) => Poll::Ready(Outcome::Suspend(Box::new(suspend))),
            None => Poll::Pending,
        }
    })
    .await
}
