//! Tries to write under leases that are known to be lost (rule L2).
//!
//! The runtime is careful not to; a careless one must be refused all the same.
//! What is tried here goes to the store as it is, past the runtime.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use windlass::Client;
use windlass::backend::{
    Applied, BackendExt, EnqueueAnswer, Expiry, Extend, Extended, Guard, LeaseGuard, Place,
    Refusal, Result, Target, Transition,
};
use windlass::model::{
    Beat, End, Event, Job, JobRef, NewStep, Parent, Payload, Progress, StepName, StepRecorded,
    Token, When, WorkerId,
};

use crate::Member;
use crate::fact::{Accepted, Fact, LeasedWrite, Occasion};
use crate::jobs::Work;
use crate::plan::Queues;
use crate::worker::Hands;

/// How often the process looks whether it has been away.
const LOOK: Duration = Duration::from_millis(20);

/// How often a lease that has ended is tried.
const TRY: Duration = Duration::from_millis(250);

/// How many leases are tried after having been away.
const AT_ONCE: usize = 64;

/// Notices that the process was stopped, or the store slow, and tries what a
/// careless worker would do after that.
pub(crate) async fn watch(hands: Arc<Hands>, client: Client, queues: Queues, member: Member) {
    let lease = member.lease();
    let mut random = fastrand::Rng::with_seed(member.seed);
    let (tell, mut told) = mpsc::unbounded_channel();
    let _looking = EndOnDrop(tokio::spawn(look(Arc::clone(&hands), lease, tell)));
    loop {
        let (mut leases, mut occasion) = (Vec::new(), Occasion::Ended);
        match tokio::time::timeout(TRY, told.recv()).await {
            Ok(held) => {
                occasion = Occasion::Away;
                leases = held.unwrap_or_default();
                random.shuffle(&mut leases);
                leases.truncate(AT_ONCE);
            }
            Err(_) => {
                leases.extend(hands.past(&mut random));
                let tried = Instant::now();
                // A write that changes nothing tells how slow the store is.
                let nobody = WorkerId::from_bytes(random.u128(..).to_be_bytes());
                if let Err(error) = client.backend().beat(Beat::Leaving(nobody)).await {
                    hands.history.note_failure("beat", &error);
                }
                note_away(&hands, tried.elapsed(), lease);
            }
        }
        for (job, token) in leases {
            if let Err(error) = probe(&hands, &client, &queues, (&job, token), occasion).await {
                hands.history.note_failure("a write under a lost lease", &error);
            }
        }
    }
}

/// Notices that the process was stopped, whatever else it is at, and tells which leases it
/// had in hand then.
async fn look(
    hands: Arc<Hands>,
    lease: Duration,
    tell: mpsc::UnboundedSender<Vec<(JobRef, Token)>>,
) {
    loop {
        let before = Instant::now();
        tokio::time::sleep(LOOK).await;
        let away = before.elapsed();
        note_away(&hands, away, lease);
        if away > lease && tell.send(hands.leases()).is_err() {
            return;
        }
    }
}

/// Ends a task with what it works for.
struct EndOnDrop(tokio::task::JoinHandle<()>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Being away for a third of a lease is what a heartbeat does not notice; for
/// longer may cost leases.
fn note_away(hands: &Hands, away: Duration, lease: Duration) {
    if away > lease / 3 {
        let ms = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
        hands.history.note(Fact::Away { ms });
    }
}

/// Tries every kind of write under a lease, if it is known to be lost: tokens
/// only rise, so that what was lost once is lost for ever.
async fn probe(
    hands: &Hands,
    client: &Client,
    queues: &Queues,
    (of, token): (&JobRef, Token),
    occasion: Occasion,
) -> Result<()> {
    let backend = client.backend();
    let Some(seen) = backend.job(of).await? else { return Ok(()) };
    if seen.job.lease.is_some_and(|lease| lease.token == token) {
        hands.history.note(Fact::StillHeld { job: of.id, token });
        return Ok(());
    }
    let note = |write, accepted| {
        hands.history.note(Fact::Probed { job: of.id, token, write, occasion, accepted });
    };
    let accepted = |yes| if yes { Accepted::Yes } else { Accepted::No };

    let progress = Progress { message: Some("stale".to_owned()), ..Progress::default() };
    let extend =
        Extend { job: of.clone(), token, lease: Duration::from_secs(1), progress: Some(progress) };
    let (extended, _) = backend.extend(vec![extend]).await?;
    note(LeasedWrite::Extend, accepted(extended.iter().any(|e| *e != Extended::Lost)));

    // With the version as it is now, nothing but the token is in the way.
    let complete = Target::Ended { end: End::Completed, result: Some(Payload::from("\"stale\"")) };
    let take_over = Target::Pending { due: When::Now, place: Place::Kept };
    for (write, lease, to) in [
        (LeasedWrite::Complete, LeaseGuard::Held(token), complete),
        (LeasedWrite::TakeOver, LeaseGuard::RunOut(token), take_over),
    ] {
        let answer = backend.apply(vec![transition(&seen.job, lease, to)]).await?;
        let applied = answer.outcomes.iter().any(|o| matches!(o, Applied::Applied));
        note(write, accepted(applied));
    }

    let step = NewStep {
        job: of.clone(),
        token,
        position: 1000,
        name: StepName::new("stale").map_err(invalid)?,
        outcome: Payload::from("stale"),
    };
    let recorded = backend.record_step(step).await?;
    note(LeasedWrite::RecordStep, accepted(recorded != StepRecorded::StaleLease));

    let child = queues.bulk.enqueue(Work { ms: 1 }).prepare().map_err(invalid)?;
    let mut child = child.job;
    child.parent = Some(Parent { job: of.clone(), token });
    let answer = backend.enqueue(vec![child]).await?;
    let refused = matches!(answer, EnqueueAnswer::Refused { why: Refusal::StaleParent(_), .. });
    note(LeasedWrite::EnqueueChild, accepted(!refused));
    Ok(())
}

fn transition(job: &Job, lease: LeaseGuard, to: Target) -> Transition {
    Transition {
        job: job.reference(),
        guard: Guard { version: job.version, lease },
        to,
        course: None,
        payload: None,
        expiry: Expiry::Unchanged,
        steps: Vec::new(),
        event: Event::Completed,
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> windlass::backend::Error {
    let kind = windlass::backend::ErrorKind::Invalid;
    windlass::backend::Error::new(kind, "the attempt itself is wrong").with_source(error)
}
