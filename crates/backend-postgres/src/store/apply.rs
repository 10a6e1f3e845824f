//! Carrying out what core has decided.

use std::collections::HashSet;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, PgConnection};
use windlass_core::backend::{
    Applied, ApplyAnswer, CancelRequest, Expiry, LeaseGuard, Place, Target, Transition,
};
use windlass_core::model::{JobId, Payload, State, Step, Timestamp, When, micros};
use windlass_core::{Error, ErrorKind};

use super::enqueue::queues_of;
use super::query::Query;
use super::{Store, run_in};
use crate::error::{damaged, from_sqlx};
use crate::record::{dedup_key, facts, id, signed, uuid};

/// The largest payload, result or course that is tried: Postgres' own limit is
/// 1 GiB for a value, and for a whole call.
const MAX_BYTES: usize = 400_000_000;

/// Where a transition goes, as `functions/apply.sql` has it.
mod to {
    pub(super) const STAYS: i16 = 0;
    pub(super) const PENDING: i16 = 1;
    pub(super) const ENDED: i16 = 2;
    pub(super) const REMOVED: i16 = 3;
}

impl Store {
    /// Carries out transitions whose guards hold, each alone.
    pub(crate) async fn apply(&self, transitions: &[Transition]) -> Result<ApplyAnswer, Error> {
        if transitions.is_empty() {
            let now = self.now().await?;
            return Ok(ApplyAnswer { outcomes: Vec::new(), unblocked: Vec::new(), now });
        }
        let mut refused: Vec<Option<Error>> = transitions.iter().map(too_large).collect();
        let tried: Vec<usize> =
            (0..transitions.len()).filter(|at| refused[*at].is_none()).collect();
        let arguments = self.apply_arguments(transitions, &tried)?;
        match self.run(self.queries.get(Query::Apply), arguments).await {
            Ok(rows) => self.applied(&rows, transitions.len(), &tried, refused).await,
            Err(error) => {
                let error = from_sqlx(error);
                if error.kind().is_transient() || transitions.len() == 1 {
                    if error.kind().is_transient() {
                        return Err(error);
                    }
                    refused[0] = Some(error);
                    return self.applied(&[], 1, &[], refused).await;
                }
                self.apply_one_by_one(transitions).await
            }
        }
    }

    /// The server refused a batch because of something in it: the others must not
    /// suffer.
    async fn apply_one_by_one(&self, transitions: &[Transition]) -> Result<ApplyAnswer, Error> {
        let mut all = ApplyAnswer {
            outcomes: Vec::with_capacity(transitions.len()),
            unblocked: Vec::new(),
            now: Timestamp::EPOCH,
        };
        for transition in transitions {
            let answer = Box::pin(self.apply(std::slice::from_ref(transition))).await?;
            all.outcomes.extend(answer.outcomes);
            all.unblocked.extend(answer.unblocked);
            all.now = all.now.max(answer.now);
        }
        Ok(all)
    }

    /// Carries out transitions inside the caller's transaction.
    pub(crate) async fn apply_in(
        &self,
        connection: &mut PgConnection,
        transitions: &[Transition],
    ) -> Result<ApplyAnswer, Error> {
        let refused: Vec<Option<Error>> = transitions.iter().map(too_large).collect();
        let tried: Vec<usize> =
            (0..transitions.len()).filter(|at| refused[*at].is_none()).collect();
        let arguments = self.apply_arguments(transitions, &tried)?;
        let rows = run_in(connection, self.queries.get(Query::Apply), arguments)
            .await
            .map_err(from_sqlx)?;
        self.applied(&rows, transitions.len(), &tried, refused).await
    }

    fn apply_arguments(
        &self,
        transitions: &[Transition],
        tried: &[usize],
    ) -> Result<PgArguments, Error> {
        let batch: Vec<&Transition> = tried.iter().map(|at| &transitions[*at]).collect();
        let mut arguments = PgArguments::default();
        arguments
            .add(self.clock())
            .and_then(|()| add(&mut arguments, &batch))
            .map_err(|error| damaged("a batch", error))?;
        Ok(arguments)
    }

    async fn applied(
        &self,
        rows: &[PgRow],
        count: usize,
        tried: &[usize],
        mut refused: Vec<Option<Error>>,
    ) -> Result<ApplyAnswer, Error> {
        self.learn(rows).await?;
        let mut reader = self.names.reader();
        let mut outcomes: Vec<Applied> = (0..count)
            .map(|at| refused[at].take().map_or(Applied::Applied, Applied::Refused))
            .collect();
        let (mut unblocked, mut now) = (Vec::new(), Timestamp::EPOCH);
        for row in rows {
            let facts = facts(row)?.unwrap_or_default();
            let fact = |at: usize| facts.get(at).copied().flatten().unwrap_or_default();
            match (fact(0), fact(2)) {
                (0, _) => now = Timestamp::from_micros(fact(1)),
                (1, what) => {
                    let outcome = match what {
                        1 => Applied::Gone,
                        // A row that cannot be read concerns this one alone.
                        2 => match reader.job(row, now) {
                            Ok(job) => Applied::Stale(Box::new(job)),
                            Err(error) => Applied::Refused(error),
                        },
                        _ => Applied::KeyTaken { key: dedup_key(row)?, by: id(row)? },
                    };
                    let at = usize::try_from(fact(1)).ok().and_then(|at| tried.get(at));
                    if let Some(slot) = at.and_then(|at| outcomes.get_mut(*at)) {
                        *slot = outcome;
                    }
                }
                _ => unblocked.push(reader.job(row, now)?),
            }
        }
        Ok(ApplyAnswer { outcomes, unblocked, now })
    }
}

/// Whether a transition ends the lease of a job on which, as far as is known
/// here, nothing else hangs.
fn is_plain(transition: &Transition) -> bool {
    matches!(transition.to, Target::Ended { .. } | Target::Removed)
        && matches!(transition.guard.lease, LeaseGuard::Held(_))
        && transition.course.is_none()
        && transition.payload.is_none()
        && transition.expiry == Expiry::Unchanged
        && transition.steps.is_empty()
}

/// Adds the fields of transitions in the order of the function's parameters.
fn add(arguments: &mut PgArguments, batch: &[&Transition]) -> Result<(), sqlx::error::BoxDynError> {
    let (names, which) = queues_of(batch.iter().map(|transition| &transition.job.queue));
    // Two transitions of one job have to see each other.
    let mut seen: HashSet<JobId> = HashSet::with_capacity(batch.len());
    let repeated: HashSet<JobId> =
        batch.iter().map(|t| t.job.id).filter(|id| !seen.insert(*id)).collect();
    let plain: Vec<i16> =
        batch.iter().map(|t| i16::from(is_plain(t) && !repeated.contains(&t.job.id))).collect();
    let all_plain = plain.iter().all(|plain| *plain == 1);
    arguments.add(names)?;
    arguments.add(which)?;
    arguments.add(batch.iter().map(|t| uuid(t.job.id.as_bytes())).collect::<Vec<_>>())?;
    arguments.add(batch.iter().map(|t| signed(t.guard.version)).collect::<Vec<_>>())?;
    arguments.add(batch.iter().map(|t| token(t)).collect::<Vec<_>>())?;
    arguments.add(
        (!all_plain).then(|| batch.iter().map(|t| must_have_run_out(t)).collect::<Vec<_>>()),
    )?;
    arguments.add(&plain)?;
    arguments.add(batch.iter().map(|t| target(t)).collect::<Vec<_>>())?;
    arguments.add(batch.iter().map(|t| end(t)).collect::<Vec<_>>())?;
    arguments.add(batch.iter().map(|t| result(t)).collect::<Vec<_>>())?;
    add_seldom(arguments, if all_plain { &[] } else { batch })
}

/// Adds what plain ends have not.
fn add_seldom(
    arguments: &mut PgArguments,
    batch: &[&Transition],
) -> Result<(), sqlx::error::BoxDynError> {
    arguments.add(column(batch, |t| {
        Some(matches!(t.to, Target::Stay { cancel: CancelRequest::Requested }))
    }))?;
    arguments.add(column(batch, |t| due(t).0))?;
    arguments.add(column(batch, |t| due(t).1))?;
    arguments
        .add(column(batch, |t| Some(matches!(t.to, Target::Pending { place: Place::Kept, .. }))))?;
    arguments.add(column(batch, |t| t.course.as_ref().map(|_| true)))?;
    arguments.add(column(batch, |t| t.course.as_ref().and_then(|course| course.encode())))?;
    arguments.add(column(batch, |t| t.payload.as_ref().map(Payload::as_slice)))?;
    arguments.add(column(batch, |t| (t.expiry == Expiry::Dropped).then_some(true)))?;
    arguments.add(column(batch, |t| (!t.steps.is_empty()).then_some(true)))?;
    add_steps(arguments, batch)
}

/// Adds the steps that come with transitions.
fn add_steps(
    arguments: &mut PgArguments,
    batch: &[&Transition],
) -> Result<(), sqlx::error::BoxDynError> {
    let steps: Vec<(i32, &Step)> = (1..)
        .zip(batch)
        .flat_map(|(number, transition)| transition.steps.iter().map(move |step| (number, step)))
        .collect();
    let any = !steps.is_empty();
    arguments.add(any.then(|| steps.iter().map(|(number, _)| *number).collect::<Vec<_>>()))?;
    let positions = steps.iter().map(|(_, step)| i64::from(step.position));
    arguments.add(any.then(|| positions.collect::<Vec<_>>()))?;
    let names = steps.iter().map(|(_, step)| step.name.as_str());
    arguments.add(any.then(|| names.collect::<Vec<_>>()))?;
    let outcomes = steps.iter().map(|(_, step)| step.outcome.as_slice());
    arguments.add(any.then(|| outcomes.collect::<Vec<_>>()))
}

/// One field of all, or nothing where it would hold nothing.
fn column<'t, T>(
    batch: &[&'t Transition],
    field: impl Fn(&'t Transition) -> Option<T>,
) -> Option<Vec<Option<T>>> {
    let values: Vec<Option<T>> = batch.iter().map(|transition| field(transition)).collect();
    values.iter().any(Option::is_some).then_some(values)
}

fn token(transition: &Transition) -> Option<i64> {
    match transition.guard.lease {
        LeaseGuard::Any => None,
        LeaseGuard::Held(token) | LeaseGuard::RunOut(token) => Some(signed(token.0)),
    }
}

fn must_have_run_out(transition: &Transition) -> bool {
    matches!(transition.guard.lease, LeaseGuard::RunOut(_))
}

fn target(transition: &Transition) -> i16 {
    match transition.to {
        Target::Stay { .. } => to::STAYS,
        Target::Pending { .. } => to::PENDING,
        Target::Ended { .. } => to::ENDED,
        Target::Removed => to::REMOVED,
    }
}

fn end(transition: &Transition) -> Option<i16> {
    match transition.to {
        Target::Ended { end, .. } => Some(i16::from(State::from(end).code())),
        _ => None,
    }
}

fn result(transition: &Transition) -> Option<&[u8]> {
    match &transition.to {
        Target::Ended { result, .. } => result.as_ref().map(Payload::as_slice),
        _ => None,
    }
}

/// The moment of a pending job: a length of time from now, or an instant.
fn due(transition: &Transition) -> (Option<i64>, Option<i64>) {
    match transition.to {
        Target::Pending { due: When::Now, .. } => (Some(0), None),
        Target::Pending { due: When::After(length), .. } => (Some(micros(length)), None),
        Target::Pending { due: When::At(moment), .. } => (None, Some(moment.as_micros())),
        _ => (None, None),
    }
}

fn too_large(transition: &Transition) -> Option<Error> {
    let size = result(transition).map_or(0, <[u8]>::len)
        + transition.payload.as_ref().map_or(0, Payload::len)
        + transition.steps.iter().map(|step| step.outcome.len()).max().unwrap_or(0)
        + transition.course.as_ref().and_then(|course| course.encode()).map_or(0, |c| c.len());
    (size > MAX_BYTES).then(|| {
        let context = format!("{size} bytes are more than Postgres holds in a row beside the rest");
        Error::new(ErrorKind::Invalid, context)
    })
}
