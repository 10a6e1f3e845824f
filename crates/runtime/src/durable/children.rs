//! Jobs that a durable handler spawns, and waits for (rules W2 and W3).

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use windlass_core::backend::BackendExt;
use windlass_core::decide::durable::{ChildEnd, LOOK_AGAIN, gate_type};
use windlass_core::decide::{self, JobRequest, OnDuplicate};
use windlass_core::model::{
    Awaits, Dependency, Gate, JobId, JobKey, JobOptions, JobRef, NewJob, OnBrokenDependency,
    Parent, Payload, State, Step, StepName, Timestamp, json,
};

use super::entry::{self, Kind};
use super::journal::{Call, Wait};
use super::{Durable, step_name};
use crate::client::Client;
use crate::context::Context;
use crate::enqueue::{Enqueue, fresh_id, store_all};
use crate::error::{Error, Result};
use crate::handle::{JobHandle, decode_result};
use crate::job::Job;
use crate::queue::Queue;

/// What can be spawned: a job, which goes to the queue that its type names or, if it names
/// none, to that of its parent; or what [`Queue::enqueue`] makes, for any queue and with
/// choices of its own.
pub trait IntoChild {
    /// The type of the job.
    type Job;

    /// The job about to be enqueued.
    ///
    /// # Errors
    /// [`Error::Store`] if its queue cannot be looked up.
    fn into_child(self, of: &Durable) -> impl Future<Output = Result<Enqueue<Self::Job>>> + Send;
}

impl<J: Job> IntoChild for J {
    type Job = J;

    async fn into_child(self, of: &Durable) -> Result<Enqueue<J>> {
        let queue = match J::defaults().queue {
            Some(name) if name != of.queue().as_str() => of.client().open_queue(name).await?,
            _ => Queue::new(of.client().clone(), Arc::clone(&of.running().spec)),
        };
        Ok(queue.enqueue(self))
    }
}

impl<J: 'static> IntoChild for Enqueue<J> {
    type Job = J;

    async fn into_child(self, _: &Durable) -> Result<Self> {
        Ok(self)
    }
}

/// How soon children are looked at again of which one is gone.
const LOOK_SOON: Duration = Duration::from_secs(60);

/// What is recorded of a spawn.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Spawned {
    #[serde(rename = "c")]
    children: Vec<JobRef>,
    #[serde(rename = "g")]
    gate: Option<JobId>,
    #[serde(rename = "t")]
    at: Timestamp,
}

/// Jobs that were spawned together.
#[derive(Clone)]
pub struct Children {
    context: Context,
    position: u32,
    spawned: Spawned,
}

/// A job that was spawned.
#[derive(Clone)]
pub struct Child(Children);

impl std::fmt::Debug for Children {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Children").field(&self.spawned.children).finish()
    }
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Child").field(&self.0.spawned.children).finish()
    }
}

impl Durable {
    /// Enqueues a job once, as a child of this one: whatever becomes of this attempt, it
    /// exists once (rule W3). Its result can be waited for.
    ///
    /// # Errors
    /// As [`Enqueue`] and [`Durable::step`].
    pub async fn spawn<C: IntoChild>(&self, name: impl Into<String>, child: C) -> Result<Child> {
        self.spawn_all(name, [child]).await.map(Child)
    }

    /// The same for many jobs, all or none where the store can do that over their queues.
    ///
    /// # Errors
    /// As [`Durable::spawn`].
    pub async fn spawn_all<C: IntoChild>(
        &self,
        name: impl Into<String>,
        children: impl IntoIterator<Item = C>,
    ) -> Result<Children> {
        let children: Vec<C> = children.into_iter().collect();
        let store = async |position| self.store_children(position, children, true).await;
        let (position, spawned) = self.placed(Kind::Spawn, name, store).await?;
        Ok(Children { context: self.context.clone(), position, spawned })
    }

    /// Enqueues a job once, that this one does not wait for.
    ///
    /// # Errors
    /// As [`Durable::spawn`].
    pub async fn enqueue<C: IntoChild>(
        &self,
        name: impl Into<String>,
        job: C,
    ) -> Result<JobHandle<C::Job>> {
        let of: JobRef = self
            .once(Kind::Enqueue, name, async |position| {
                let stored = self.store_children(position, vec![job], false).await?;
                stored.children.into_iter().next().ok_or_else(|| Error::Gone(self.id()))
            })
            .await?;
        Ok(JobHandle::new(self.client().clone(), of))
    }

    /// Waits until one of these has ended, and answers with its place among them: the first
    /// one, if several have when this job goes on.
    ///
    /// # Errors
    /// [`Error::Gone`] if there is none, [`Error::Diverged`], [`Error::Store`].
    pub async fn first(&self, children: &[&Child]) -> Result<usize> {
        let name = step_name("first")?;
        let call = self.journal().enter(Kind::First, &name, 1)?;
        let first = self.first_in(&call, name, children).await;
        call.answer(first)
    }

    async fn first_in(
        &self,
        call: &Call<'_>,
        name: StepName,
        children: &[&Child],
    ) -> Result<usize> {
        let (journal, position) = (self.journal(), call.position);
        self.begin(call).await?;
        if let Some(step) = journal.expect(self.id(), position, Kind::First, &name)? {
            return entry::read(&step);
        }
        if children.is_empty() {
            return Err(Error::Gone(self.id()));
        }
        let ended = children.iter().position(|child| journal.results(child.0.position).is_some());
        if let Some(place) = ended {
            let outcome = entry::write(Kind::First, &place)?;
            self.record(Step { position, name, outcome }).await?;
            return Ok(place);
        }
        self.wait_for(children.iter().map(|child| &child.0), true).await
    }

    /// Waits until all of these have ended, however they did.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn join(&self, children: &[&Child]) -> Result<()> {
        let journal = self.journal();
        let call = journal.open()?;
        self.begin(&call).await?;
        let open = || children.iter().filter(|c| journal.results(c.0.position).is_none());
        if open().next().is_none() {
            return Ok(());
        }
        self.wait_for(open().map(|child| &child.0), false).await
    }

    async fn wait_for<T>(&self, all: impl Iterator<Item = &Children>, first: bool) -> Result<T> {
        let (mut results, mut until) = (Vec::new(), self.leased_at().after(LOOK_AGAIN));
        for children in all {
            until = until.min(self.mend_gate(children).await?);
            results.push(children.position);
        }
        let awaits = Awaits { results, first, topics: Vec::new() };
        Ok(self.journal().wait(Wait { until, awaits, steps: Vec::new() }).await)
    }

    /// Stores children, and the gate that tells what they came to.
    async fn store_children<C: IntoChild>(
        &self,
        position: u32,
        children: Vec<C>,
        gated: bool,
    ) -> Result<Spawned> {
        let mut jobs: Vec<(NewJob, OnDuplicate)> = Vec::with_capacity(children.len() + 1);
        for (at, child) in children.into_iter().enumerate() {
            let child = child.into_child(self).await?.child_of(&self.context);
            // The same in every attempt: so the store knows it again.
            let key = format!("windlass:{}/{position}/{at}", self.life());
            // Kept as it ends, also if nobody waits for it: until it is recorded here, it may
            // be stored again.
            let prepared = child.or_key(JobKey::new(key)?).awaited().prepare()?;
            jobs.push((prepared.job, prepared.on_duplicate));
        }
        let reference = |job: &NewJob| JobRef { queue: job.queue.clone(), id: job.id };
        let mut spawned = Spawned {
            children: jobs.iter().map(|(job, _)| reference(job)).collect(),
            gate: None,
            at: self.leased_at(),
        };
        let told = self.journal().results(position).is_some();
        let gated = gated && !jobs.is_empty() && !told;
        // Which job a deduplication key means is known only when it is stored.
        if !told && jobs.iter().any(|(job, _)| job.dedup.is_some()) {
            spawned.children = store_all(self.client(), std::mem::take(&mut jobs)).await?;
        }
        if gated {
            let gate = self.gate(position, &spawned.children, "gate")?;
            spawned.gate = Some(gate.id);
            jobs.push((gate, OnDuplicate::Reject));
        }
        // Told what they came to: they were there.
        if !jobs.is_empty() && !told {
            store_all(self.client(), jobs).await?;
        }
        Ok(spawned)
    }

    fn gate(&self, position: u32, children: &[JobRef], which: &str) -> Result<NewJob> {
        let key = format!("windlass:{}/{position}/{which}", self.life());
        let depends_on = distinct(children);
        let request = JobRequest {
            options: Arc::new(JobOptions {
                on_broken_dependency: OnBrokenDependency::Run,
                gate: Some(self.gate_at(position)),
                ..JobOptions::default()
            }),
            key: Some(JobKey::new(key)?),
            partition: self.job().partition.clone(),
            depends_on,
            parent: Some(Parent { job: self.reference(), token: self.token() }),
            ..JobRequest::new(fresh_id(), gate_type(), Payload::from("null"))
        };
        Ok(decide::enqueue(&self.running().spec, request)?)
    }

    /// Where a gate tells this job what the jobs came to that were spawned at a position.
    fn gate_at(&self, position: u32) -> Gate {
        Gate { position, life: self.job().enqueued_at }
    }

    /// Puts a gate up again that somebody has taken away, or tells this job itself what the
    /// gate would have. That can only be an operator, so that it is looked for only after a
    /// while. Answers when to look again.
    async fn mend_gate(&self, of: &Children) -> Result<Timestamp> {
        let later = self.leased_at().after(LOOK_AGAIN);
        let Some(gate) = of.spawned.gate else { return Ok(later) };
        let age = self.leased_at().since(of.spawned.at);
        if age < LOOK_AGAIN {
            return Ok(later);
        }
        let _busy = self.journal().busy();
        let gate = JobRef { queue: self.queue().clone(), id: gate };
        if self.client().job(&gate).await?.is_some_and(|job| job.state == State::Blocked) {
            return Ok(later);
        }
        let mut ends = Vec::with_capacity(of.len());
        for child in of.dependencies() {
            let seen = self.client().job(&child).await?;
            let (state, result) = seen.map_or((None, None), |job| (Some(job.state), job.result));
            ends.push(Dependency { job: child, state, result });
        }
        if ends.iter().all(|end| end.state.is_none_or(State::is_terminal)) {
            let at = self.gate_at(of.position);
            self.client().backend().tell_results(&self.reference(), at, &ends).await?;
            // It was told while it runs: so it goes on at once.
            return Ok(later);
        }
        if ends.iter().any(|end| end.state.is_none()) {
            // Nothing can depend on one that is gone; the others are looked at by and by.
            return Ok(self.leased_at().after(LOOK_SOON));
        }
        // One for each such look: should it be taken away as well, another one follows.
        let which = format!("gate/{}", age.as_secs() / LOOK_AGAIN.as_secs());
        let gate = self.gate(of.position, &of.spawned.children, &which)?;
        store_all(self.client(), vec![(gate, OnDuplicate::Reject)]).await?;
        Ok(later)
    }
}

impl Child {
    /// A handle on it.
    #[must_use]
    pub fn handle(&self) -> JobHandle {
        JobHandle::new(self.0.context.client().clone(), self.reference().clone())
    }

    /// Its id and its queue.
    #[must_use]
    pub fn reference(&self) -> &JobRef {
        &self.0.spawned.children[0]
    }

    /// Waits until it has ended, and answers with what it returned. Meanwhile the job that
    /// spawned it is suspended.
    ///
    /// # Errors
    /// [`Error::NotCompleted`] or [`Error::Gone`] if it did not complete, [`Error::Decode`],
    /// [`Error::Store`].
    pub async fn result<T: DeserializeOwned>(&self) -> Result<T> {
        let mut results = self.0.results().await?;
        results.pop().ok_or_else(|| Error::Gone(self.reference().id))
    }

    /// Waits until it has ended, and answers with its state.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn state(&self) -> Result<Option<State>> {
        Ok(self.0.states().await?.pop().flatten())
    }
}

impl From<&Child> for JobRef {
    fn from(child: &Child) -> Self {
        child.reference().clone()
    }
}

impl Children {
    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spawned.children.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spawned.children.is_empty()
    }

    /// Where they stand, in the order in which they were spawned.
    #[must_use]
    pub fn references(&self) -> &[JobRef] {
        &self.spawned.children
    }

    /// Waits until all of them have ended, and answers with what they returned, in their
    /// order. Meanwhile the job that spawned them is suspended, so that they can have its
    /// slot (rule W2).
    ///
    /// # Errors
    /// [`Error::NotCompleted`] or [`Error::Gone`] of the first that did not complete,
    /// [`Error::Decode`], [`Error::Store`].
    pub async fn results<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        self.join().await?.into_iter().collect()
    }

    /// Waits until all of them have ended, and answers for each with what it returned or why
    /// it did not.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn join<T: DeserializeOwned>(&self) -> Result<Vec<Result<T>>> {
        let told = self.told().await?;
        let ends = read_ends(&told)?;
        let mut results = Vec::with_capacity(self.len());
        let ends = in_order(&ends, &self.spawned.children);
        for (child, end) in self.spawned.children.iter().zip(ends) {
            results.push(self.result_of(child, end).await?);
        }
        Ok(results)
    }

    /// Waits until all of them have ended, and answers with their states; `None` for one that
    /// was removed.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn states(&self) -> Result<Vec<Option<State>>> {
        let told = self.told().await?;
        let ends = read_ends(&told)?;
        let ends = in_order(&ends, &self.spawned.children);
        Ok(ends.into_iter().map(|end| end.and_then(|end| end.state)).collect())
    }

    /// What their gate depends on.
    fn dependencies(&self) -> Vec<JobRef> {
        distinct(&self.spawned.children)
    }

    /// What this job is told of them, once they have ended.
    async fn told(&self) -> Result<Payload> {
        let durable = Durable { context: self.context.clone() };
        let journal = durable.journal();
        let call = journal.open()?;
        durable.begin(&call).await?;
        if self.is_empty() {
            return Ok(Payload::from("[]"));
        }
        if let Some(step) = journal.results(self.position) {
            return Ok(step.outcome);
        }
        durable.wait_for(std::iter::once(self), false).await
    }

    async fn result_of<T: DeserializeOwned>(
        &self,
        child: &JobRef,
        end: Option<&ChildEnd<'_>>,
    ) -> Result<Result<T>> {
        let Some(end) = end else { return Ok(Err(Error::Gone(child.id))) };
        Ok(match end.state {
            Some(State::Completed) if end.left_out => {
                left_out(self.context.client(), child).await?
            }
            Some(State::Completed) => decode_result(end.result.map(|raw| raw.get().as_bytes())),
            Some(state) => Err(Error::NotCompleted { id: child.id, state, error: None }),
            None => Err(Error::Gone(child.id)),
        })
    }
}

/// The result of a child that was too large to be told with all the others.
async fn left_out<T: DeserializeOwned>(client: &Client, child: &JobRef) -> Result<Result<T>> {
    Ok(match client.job(child).await? {
        Some(job) => decode_result(job.result.as_ref().map(|result| result.as_slice())),
        None => Err(Error::Gone(child.id)),
    })
}

fn read_ends(told: &Payload) -> Result<Vec<ChildEnd<'_>>> {
    serde_json::from_slice(told.as_slice()).map_err(|error| Error::Decode {
        what: "outcome of spawned jobs",
        message: json::problem(&error),
    })
}

/// What a gate depends on: the children in their order or, if two of them are the same job,
/// each once, sorted; see `in_order`.
fn distinct(children: &[JobRef]) -> Vec<JobRef> {
    let distinct: BTreeSet<&JobRef> = children.iter().collect();
    match distinct.len() == children.len() {
        true => children.to_vec(),
        false => distinct.into_iter().cloned().collect(),
    }
}

/// How each child ended. A gate depends on no job twice: where two children are the same
/// job, because a deduplication key was taken, it has them sorted and once.
fn in_order<'e, 'r>(
    ends: &'e [ChildEnd<'r>],
    children: &[JobRef],
) -> Vec<Option<&'e ChildEnd<'r>>> {
    if ends.len() == children.len() {
        return ends.iter().map(Some).collect();
    }
    let distinct: BTreeSet<&JobRef> = children.iter().collect();
    let by_job: BTreeMap<&JobRef, &ChildEnd<'r>> = distinct.into_iter().zip(ends).collect();
    children.iter().map(|child| by_job.get(child).copied()).collect()
}
