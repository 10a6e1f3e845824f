//! Carrying out what core has decided (rules L2, R1, R7, D1, C1, C2).

use std::collections::BTreeMap;

use futures_util::future::join_all;
use windlass_core::Error;
use windlass_core::backend::{
    Applied, ApplyAnswer, CancelRequest, Expiry, LeaseGuard, Place as Standing, Target, Transition,
};
use windlass_core::model::{DedupKey, End, Job, QueueName, Timestamp, When};

use super::encode::{number, put_bytes, token, when};
use super::enqueue::read_id;
use super::reply::Reply;
use super::{Arguments, Outcome, Place, Script, Store, read_jobs};
use crate::error::damaged;

/// How many transitions go in one call: so many failures hold up the server for some 40 ms.
const AT_ONCE: usize = 1_500;

impl Store {
    /// Carries out transitions.
    pub(crate) async fn apply(&self, transitions: &[Transition]) -> Result<ApplyAnswer, Error> {
        let mut places: BTreeMap<QueueName, Vec<usize>> = BTreeMap::new();
        for (index, transition) in transitions.iter().enumerate() {
            match places.get_mut(&transition.job.queue) {
                Some(indexes) => indexes.push(index),
                None => drop(places.insert(transition.job.queue.clone(), vec![index])),
            }
        }
        self.apply_at(places, transitions).await
    }

    /// The same, where it is known which of them belong to which queue, or shard of one.
    pub(crate) async fn apply_at(
        &self,
        places: BTreeMap<QueueName, Vec<usize>>,
        transitions: &[Transition],
    ) -> Result<ApplyAnswer, Error> {
        if transitions.is_empty() {
            let now = self.now().await?;
            return Ok(ApplyAnswer { outcomes: Vec::new(), unblocked: Vec::new(), now });
        }
        // Side by side: a machine that is away holds up its queues only.
        let calls = places.into_iter().map(|(queue, indexes)| async move {
            let mut answers = Vec::new();
            for part in indexes.chunks(AT_ONCE) {
                let of_part: Vec<&Transition> =
                    part.iter().map(|index| &transitions[*index]).collect();
                answers.push(self.apply_to(&queue, &of_part).await?);
            }
            Ok::<_, Error>((indexes, answers))
        });
        let mut outcomes: Vec<Option<Applied>> = Vec::new();
        outcomes.resize_with(transitions.len(), || None);
        let mut unblocked: BTreeMap<(QueueName, u64), Job> = BTreeMap::new();
        // Machines have clocks of their own.
        let mut now = Timestamp::MAX;
        for answer in join_all(calls).await {
            let (indexes, answers) = answer?;
            let mut indexes = indexes.into_iter();
            for answer in answers {
                now = now.min(answer.now);
                // A later transition of the same call may have moved one on.
                for job in answer.unblocked {
                    unblocked.insert((job.queue.clone(), job.seq), job);
                }
                for (outcome, index) in answer.outcomes.into_iter().zip(indexes.by_ref()) {
                    outcomes[index] = Some(outcome);
                }
            }
        }
        let outcomes: Option<Vec<Applied>> = outcomes.into_iter().collect();
        let outcomes = outcomes.ok_or_else(|| damaged("an answer", "it ends too early"))?;
        Ok(ApplyAnswer { outcomes, unblocked: unblocked.into_values().collect(), now })
    }

    /// Carries out transitions of jobs that stand in this queue, or in this shard of it,
    /// so many as go in one call.
    async fn apply_to(
        &self,
        queue: &QueueName,
        transitions: &[&Transition],
    ) -> Result<ApplyAnswer, Error> {
        let shapes: Vec<u8> = transitions.iter().map(|transition| shape_of(transition)).collect();
        let mut arguments = Arguments::with_room_for(2 * transitions.len() + 1);
        arguments.add(shapes.clone());
        for (transition, shape) in transitions.iter().zip(&shapes) {
            if let (LeaseGuard::Held(held), true) = (transition.guard.lease, *shape != b'-') {
                let mut guard = number(transition.guard.version).to_vec();
                guard.extend_from_slice(&token(held));
                arguments.add(transition.job.id.as_bytes()).add(guard);
                continue;
            }
            let rest = rest_of(transition);
            arguments.add(head_of(transition, !rest.is_empty()));
            if !rest.is_empty() {
                arguments.add(rest);
            }
        }
        let place = Place::Queue(queue);
        if !shapes.contains(&b'-')
            && !self.is_partitioned(queue)
            && let Outcome::Done(mut reply) =
                self.ask(place, Script::ApplyPlain, arguments.clone()).await?
        {
            let now = reply.moment()?;
            let outcomes = transitions.iter().map(|_| Applied::Applied).collect();
            return Ok(ApplyAnswer { outcomes, unblocked: Vec::new(), now });
        }
        let mut reply = match self.ask(place, Script::Apply, arguments).await? {
            Outcome::Done(reply) => reply,
            // A queue that was never declared has no jobs.
            _ => {
                let now = self.now().await?;
                let outcomes = transitions.iter().map(|_| Applied::Gone).collect();
                return Ok(ApplyAnswer { outcomes, unblocked: Vec::new(), now });
            }
        };
        let now = reply.moment()?;
        let outcomes = read_outcomes(&mut reply, queue, now)?;
        let mut unblocked = read_jobs(&mut reply, queue, now, false)?;
        unblocked.extend(self.tell_others(queue, &mut reply).await);
        Ok(ApplyAnswer { outcomes, unblocked, now })
    }
}

/// The letter of a transition that can be told in few words, or `-`.
fn shape_of(transition: &Transition) -> u8 {
    let nothing_else = transition.course.is_none()
        && transition.payload.is_none()
        && transition.expiry == Expiry::Unchanged
        && transition.steps.is_empty()
        && matches!(transition.guard.lease, LeaseGuard::Held(_));
    match &transition.to {
        Target::Ended { end: End::Completed, result: None } if nothing_else => b'c',
        Target::Removed if nothing_else => b'd',
        _ => b'-',
    }
}

fn head_of(transition: &Transition, has_rest: bool) -> [u8; 42] {
    let mut head = [0; 42];
    head[..16].copy_from_slice(transition.job.id.as_bytes());
    head[16..22].copy_from_slice(&number(transition.guard.version));
    let (guard, held) = match transition.guard.lease {
        LeaseGuard::Any => (b'n', None),
        LeaseGuard::Held(token) => (b'h', Some(token)),
        LeaseGuard::RunOut(token) => (b'r', Some(token)),
    };
    head[22..28].copy_from_slice(&held.map_or([0; 6], token));
    head[28] = guard;
    let (target, moment, place) = match &transition.to {
        Target::Stay { cancel: CancelRequest::Unchanged } => (b's', None, b'-'),
        Target::Stay { cancel: CancelRequest::Requested } => (b'S', None, b'-'),
        Target::Pending { due, place } => (
            b'p',
            Some(*due),
            match place {
                Standing::AtDue => b'd',
                Standing::Kept => b'k',
            },
        ),
        Target::Ended { end, .. } => (
            match end {
                End::Completed => b'c',
                End::Failed => b'f',
                End::Cancelled => b'x',
                End::Expired => b'e',
            },
            None,
            b'-',
        ),
        Target::Removed => (b'd', None, b'-'),
    };
    head[29] = target;
    head[30..39].copy_from_slice(&when(moment.unwrap_or(When::Now)));
    head[39] = place;
    head[40] = match transition.expiry {
        Expiry::Unchanged => b'0',
        Expiry::Dropped => b'1',
    };
    head[41] = if has_rest { b'+' } else { b'-' };
    head
}

/// What a transition writes besides.
fn rest_of(transition: &Transition) -> Vec<u8> {
    let mut rest = Vec::new();
    let mut put = |letter: u8, bytes: &[u8]| {
        rest.push(letter);
        put_bytes(&mut rest, bytes);
    };
    if let Some(course) = &transition.course {
        put(b'c', &course.encode().unwrap_or_default());
    }
    if let Some(payload) = &transition.payload {
        put(b'p', payload.as_slice());
    }
    if let Target::Ended { result: Some(result), .. } = &transition.to {
        put(b'r', result.as_slice());
    }
    for step in &transition.steps {
        let name = step.name.as_str().as_bytes();
        let size = u16::try_from(name.len()).unwrap_or(u16::MAX);
        let mut piece = step.position.to_be_bytes().to_vec();
        piece.extend_from_slice(&size.to_be_bytes());
        piece.extend_from_slice(name);
        piece.extend_from_slice(step.outcome.as_slice());
        put(b's', &piece);
    }
    rest
}

fn read_outcomes(
    reply: &mut Reply,
    queue: &QueueName,
    now: Timestamp,
) -> Result<Vec<Applied>, Error> {
    let letters = reply.bytes()?;
    let mut told = reply.list()?;
    let mut outcomes = Vec::with_capacity(letters.len());
    for letter in letters {
        outcomes.push(match letter {
            b'a' => Applied::Applied,
            b'g' => Applied::Gone,
            b's' => {
                let mut piece = told.list()?;
                piece.number()?;
                let job = read_jobs(&mut piece, queue, now, false)?.pop();
                Applied::Stale(Box::new(
                    job.ok_or_else(|| damaged("an answer", "a job is missing"))?,
                ))
            }
            b'k' => {
                let mut piece = told.list()?;
                piece.number()?;
                let by = read_id(&piece.bytes()?)?;
                let key = DedupKey::new(piece.text()?)
                    .map_err(|error| damaged("a deduplication key", error))?;
                Applied::KeyTaken { key, by }
            }
            _ => return Err(damaged("an answer", "there is no such outcome")),
        });
    }
    Ok(outcomes)
}
