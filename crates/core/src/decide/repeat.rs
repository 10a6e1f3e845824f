//! What a repeatable fires, and when next (rules S1 to S4 and S6).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::PutRepeatable;
use crate::model::{
    JobId, JobKey, Missed, NewJob, Overlap, QueueSpec, Repeatable, RepeatableRecord, Timestamp,
    When,
};

use super::enqueue::{InvalidJob, JobRequest, enqueue};

/// By how much a moment may be late before it counts as missed.
pub const MISSED_AFTER: Duration = Duration::from_secs(60);

/// How many missed moments are made up for at most, whatever was asked for.
pub const MAX_MADE_UP: u32 = 1000;

/// How many moments are walked one by one before the walk starts over from
/// nearer to the present.
const WALK: usize = 2048;

/// What is to be stored when a repeatable is put. `None`: it is stored just so
/// already.
///
/// One that fires at the same moments as before keeps its count and its next
/// moment; any other starts afresh.
#[must_use]
pub fn put(
    stored: Option<&RepeatableRecord>,
    wanted: Repeatable,
    now: Timestamp,
) -> Option<RepeatableRecord> {
    let version = stored.map_or(1, |record| record.version + 1);
    if let Some(record) = stored {
        if record.spec == wanted {
            return None;
        }
        let old = &record.spec;
        let same_moments = old.schedule == wanted.schedule
            && (old.start, old.end, old.count) == (wanted.start, wanted.end, wanted.count);
        if same_moments {
            return Some(RepeatableRecord {
                spec: wanted,
                version,
                ..record.clone()
            });
        }
    }
    let anchor = wanted.start.unwrap_or(now);
    // A start in the future is itself the first moment that may fire.
    let after = if anchor > now {
        anchor.before(Duration::from_micros(1))
    } else {
        now
    };
    let mut record = RepeatableRecord {
        spec: wanted,
        version,
        anchor,
        next: None,
        fired: 0,
        last_fire: None,
        last_job: None,
        paused: stored.is_some_and(|record| record.paused),
    };
    record.next = next(&record, after);
    Some(record)
}

/// The first moment after `after` at which the repeatable fires, within its
/// end and count.
fn next(record: &RepeatableRecord, after: Timestamp) -> Option<Timestamp> {
    let spec = &record.spec;
    if spec.count.is_some_and(|count| record.fired >= count) {
        return None;
    }
    let moment = spec.schedule.next(record.anchor, after)?;
    (moment <= spec.end.unwrap_or(Timestamp::MAX)).then_some(moment)
}

/// What a repeatable fires at `now`. `None`: nothing is due.
///
/// `previous_is_live` says whether the job of its last moment has not ended.
/// The jobs have ids that derive from (repeatable, moment), and go to the
/// store in the same step as the new record (rule S2).
///
/// # Errors
/// [`InvalidJob`] if its queue does not take its jobs.
pub fn fire(
    record: &RepeatableRecord,
    queue: &QueueSpec,
    now: Timestamp,
    previous_is_live: bool,
) -> Result<Option<PutRepeatable>, InvalidJob> {
    let Some(first) = record.due().filter(|due| *due <= now) else {
        return Ok(None);
    };
    let spec = &record.spec;
    let wanted = match spec.missed {
        Missed::RunOnce | Missed::Skip => 1,
        Missed::RunAll(bound) => bound.clamp(1, MAX_MADE_UP),
    };
    let mut moments = latest(record, first, now, wanted as usize);
    if spec.missed == Missed::Skip {
        moments.retain(|moment| now.since(*moment) <= MISSED_AFTER);
    }
    if spec.overlap == Overlap::Skip {
        // Several at once would overlap each other.
        let excess = moments.len().saturating_sub(usize::from(!previous_is_live));
        moments.drain(..excess);
    }
    if let Some(count) = spec.count {
        let left = usize::try_from(count.saturating_sub(record.fired)).unwrap_or(usize::MAX);
        moments.truncate(left);
    }
    let jobs: Vec<NewJob> = moments
        .iter()
        .map(|m| job(record, queue, *m))
        .collect::<Result<_, _>>()?;

    let mut after = RepeatableRecord {
        version: record.version + 1,
        fired: record.fired.saturating_add(jobs.len() as u64),
        last_fire: moments.back().copied().or(record.last_fire),
        last_job: jobs.last().map(|job| job.id).or(record.last_job),
        ..record.clone()
    };
    after.next = next(&after, now);
    Ok(Some(PutRepeatable {
        record: after,
        guard: Some(record.version),
        jobs,
    }))
}

/// The last so many moments from `first` up to `now`, in order.
///
/// A frequent schedule may have missed millions. If a walk from the first one
/// takes too long, spans that end now are searched instead, each four times as
/// long as the one before, until one holds enough.
fn latest(
    record: &RepeatableRecord,
    first: Timestamp,
    now: Timestamp,
    wanted: usize,
) -> VecDeque<Timestamp> {
    let end = record.spec.end.unwrap_or(Timestamp::MAX).min(now);
    let walk = |from: Timestamp, bound: usize| {
        let mut found = VecDeque::with_capacity(wanted + 1);
        let mut moment = Some(from);
        for _ in 0..bound {
            match moment.filter(|moment| *moment <= end) {
                None => return Some(found),
                Some(at) => {
                    found.push_back(at);
                    if found.len() > wanted {
                        found.pop_front();
                    }
                    moment = record.spec.schedule.next(record.anchor, at);
                }
            }
        }
        None
    };
    if let Some(found) = walk(first, WALK) {
        return found;
    }
    let mut span = Duration::from_millis(4);
    loop {
        let begin = end.before(span);
        if begin <= first {
            return walk(first, usize::MAX).unwrap_or_default();
        }
        let from = record.spec.schedule.next(record.anchor, begin);
        if let Some(found) = from.and_then(|from| walk(from, usize::MAX))
            && found.len() >= wanted
        {
            return found;
        }
        span = span.saturating_mul(4);
    }
}

fn job(
    record: &RepeatableRecord,
    queue: &QueueSpec,
    moment: Timestamp,
) -> Result<NewJob, InvalidJob> {
    // A repeatable's key has at most 128 of the characters that a job key may
    // have, so that this one is always valid; the id derives from it.
    let key = JobKey::new(format!("repeat:{}:{}", record.spec.key, moment.as_micros())).ok();
    enqueue(
        queue,
        JobRequest {
            key,
            due: When::At(moment),
            ..request(record)
        },
    )
}

/// A job as the repeatable would fire it, out of turn.
///
/// # Errors
/// [`InvalidJob`] if its queue does not take its jobs.
pub fn run_now(
    record: &RepeatableRecord,
    queue: &QueueSpec,
    id: JobId,
) -> Result<NewJob, InvalidJob> {
    enqueue(
        queue,
        JobRequest {
            id,
            ..request(record)
        },
    )
}

fn request(record: &RepeatableRecord) -> JobRequest {
    let template = &record.spec.template;
    let mut request = JobRequest::new(
        JobId::from_bytes([0; 16]),
        template.job_type.clone(),
        template.payload.clone(),
    );
    // A template's priority is a given one only if it is not the default, so
    // that queues without priorities take templates without one.
    request.priority = Some(template.options.priority).filter(|priority| *priority != 0);
    request.options = Arc::new(template.options.clone());
    request.partition = template.partition.clone();
    request.tags = template.tags.clone();
    request
}

/// The record of a repeatable that is paused, or goes on. `None`: it does
/// already. Moments that pass while it is paused are not missed.
#[must_use]
pub fn pause(record: &RepeatableRecord, pause: Pause, now: Timestamp) -> Option<RepeatableRecord> {
    let paused = pause == Pause::Pause;
    if record.paused == paused {
        return None;
    }
    let version = record.version + 1;
    let mut after = RepeatableRecord {
        paused,
        version,
        ..record.clone()
    };
    if !paused && after.next.is_some_and(|moment| moment <= now) {
        after.next = next(&after, now);
    }
    Some(after)
}

/// Whether a repeatable is to be paused or to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It stops firing.
    Pause,
    /// It fires again.
    Resume,
}

/// The next moments at which a repeatable fires, so many at most.
#[must_use]
pub fn upcoming(record: &RepeatableRecord, count: usize) -> Vec<Timestamp> {
    let left = record
        .spec
        .count
        .map_or(u64::MAX, |count| count.saturating_sub(record.fired));
    let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
    std::iter::successors(record.next, |moment| next(record, *moment))
        .take(count)
        .collect()
}
