//! What a repeatable fires, and when next (rules S1 to S4 and S6).

use std::sync::Arc;
use std::time::Duration;

use crate::backend::PutRepeatable;
use crate::model::{
    JobId, JobKey, Missed, NewJob, Overlap, QueueSpec, Repeatable, RepeatableRecord, Timestamp,
    When,
};

use super::enqueue::{InvalidJob, JobRequest, enqueue};
use super::missed::latest;

/// By how much a moment may be late before it counts as missed.
pub const MISSED_AFTER: Duration = Duration::from_secs(60);

/// How many missed moments are made up for at most, whatever was asked for.
pub const MAX_MADE_UP: u32 = 1000;

/// How many of a repeatable's next moments are told at most, whatever was asked
/// for: it may have no end.
pub const MAX_UPCOMING: usize = 1000;

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
    // One that is removed and put anew must not come by a version that somebody has read of
    // the former one: versions go up by less than one a microsecond.
    let version = stored.map_or_else(
        || u64::try_from(now.as_micros()).unwrap_or(0).max(1),
        |record| record.version + 1,
    );
    if let Some(record) = stored {
        if record.spec == wanted {
            return None;
        }
        let old = &record.spec;
        let same_moments = old.schedule == wanted.schedule
            && (old.start, old.end, old.count) == (wanted.start, wanted.end, wanted.count);
        if same_moments {
            return Some(RepeatableRecord { spec: wanted, version, ..record.clone() });
        }
    }
    let anchor = wanted.start.unwrap_or(now);
    // A start in the future is itself the first moment that may fire.
    let after = if anchor > now { anchor.before(Duration::from_micros(1)) } else { now };
    let mut record = RepeatableRecord {
        spec: wanted,
        version,
        anchor,
        next: None,
        fired: 0,
        // Its last job may still be live, and not be overlapped.
        last_fire: stored.and_then(|record| record.last_fire),
        last_job: stored.and_then(|record| record.last_job),
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

/// How the job of a repeatable's last moment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Previous {
    /// It has not ended.
    Live,
    /// It has ended, or been removed, or there was none.
    Ended,
}

/// What a repeatable fires at `now`. `None`: nothing is due.
///
/// The jobs have ids that derive from (repeatable, moment), and go to the
/// store in the same step as the new record (rule S2).
///
/// # Errors
/// [`InvalidJob`] if its queue does not take its jobs.
pub fn fire(
    record: &RepeatableRecord,
    queue: &QueueSpec,
    now: Timestamp,
    previous: Previous,
) -> Result<Option<PutRepeatable>, InvalidJob> {
    let Some(first) = record.due().filter(|due| *due <= now) else {
        return Ok(None);
    };
    let spec = &record.spec;
    let wanted = match spec.missed {
        Missed::RunOnce | Missed::Skip => 1,
        Missed::RunAll(bound) => bound.clamp(1, MAX_MADE_UP),
    };
    let end = spec.end.unwrap_or(Timestamp::MAX).min(now);
    let after = |moment| spec.schedule.next(record.anchor, moment);
    let mut moments = latest(after, first, end, wanted as usize);
    if spec.missed == Missed::Skip {
        moments.retain(|moment| now.since(*moment) <= MISSED_AFTER);
    }
    if spec.overlap == Overlap::Skip {
        // Several at once would overlap each other.
        let excess = moments.len().saturating_sub(usize::from(previous == Previous::Ended));
        moments.drain(..excess);
    }
    if let Some(count) = spec.count {
        let left = usize::try_from(count.saturating_sub(record.fired)).unwrap_or(usize::MAX);
        moments.truncate(left);
    }
    let jobs: Vec<NewJob> =
        moments.iter().map(|m| job(record, queue, *m)).collect::<Result<_, _>>()?;

    let mut after = RepeatableRecord {
        version: record.version + 1,
        fired: record.fired.saturating_add(jobs.len() as u64),
        last_fire: moments.back().copied().or(record.last_fire),
        last_job: jobs.last().map(|job| job.id).or(record.last_job),
        ..record.clone()
    };
    after.next = next(&after, now);
    Ok(Some(PutRepeatable { record: after, guard: Some(record.version), jobs }))
}

/// The record of a repeatable that goes on to its next moment without firing
/// the ones that are due. `None`: nothing is due.
#[must_use]
pub fn pass_over(record: &RepeatableRecord, now: Timestamp) -> Option<PutRepeatable> {
    record.due().filter(|due| *due <= now)?;
    let mut after = RepeatableRecord { version: record.version + 1, ..record.clone() };
    after.next = next(&after, now);
    Some(PutRepeatable { record: after, guard: Some(record.version), jobs: Vec::new() })
}

fn job(
    record: &RepeatableRecord,
    queue: &QueueSpec,
    moment: Timestamp,
) -> Result<NewJob, InvalidJob> {
    // A repeatable's key has at most 128 of the characters that a job key may
    // have, so that this one is always valid; the id derives from it.
    let key = JobKey::new(format!("repeat:{}:{}", record.spec.key, moment.as_micros())).ok();
    enqueue(queue, JobRequest { key, due: When::At(moment), ..request(record) })
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
    enqueue(queue, JobRequest { id, ..request(record) })
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
    let mut after = RepeatableRecord { paused, version, ..record.clone() };
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

/// The next moments at which a repeatable fires, so many at most, and never
/// more than [`MAX_UPCOMING`].
#[must_use]
pub fn upcoming(record: &RepeatableRecord, count: usize) -> Vec<Timestamp> {
    let left = record.spec.count.map_or(u64::MAX, |count| count.saturating_sub(record.fired));
    let count = count.min(MAX_UPCOMING).min(usize::try_from(left).unwrap_or(usize::MAX));
    std::iter::successors(record.next, |moment| next(record, *moment)).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::samples::{at, queue};
    use crate::model::{JobOptions, JobTemplate, JobType, Payload, RepeatableKey};
    use crate::schedule::Schedule;

    const SECOND: i64 = 1_000_000;

    fn repeatable(period_ms: u64) -> Repeatable {
        Repeatable {
            key: RepeatableKey::new("r").unwrap(),
            queue: queue(),
            template: JobTemplate {
                job_type: JobType::new("t").unwrap(),
                payload: Payload::from("1"),
                options: JobOptions::default(),
                partition: None,
                tags: Vec::new(),
            },
            schedule: Schedule::every(Duration::from_millis(period_ms)).unwrap(),
            start: None,
            end: None,
            count: None,
            missed: Missed::RunOnce,
            overlap: Overlap::Allow,
        }
    }

    /// Put at 100 s; fires every 10 s from 110 s on.
    fn record(change: impl FnOnce(&mut Repeatable)) -> RepeatableRecord {
        let mut wanted = repeatable(10_000);
        change(&mut wanted);
        put(None, wanted, at(100 * SECOND)).unwrap()
    }

    /// The moments fired at `now`, in seconds, and the next one.
    fn fired(record: &RepeatableRecord, now: i64, previous: Previous) -> (Vec<i64>, Option<i64>) {
        let put =
            fire(record, &QueueSpec::new(queue()), at(now * SECOND), previous).unwrap().unwrap();
        assert_eq!(put.guard, Some(record.version));
        assert_eq!(put.record.version, record.version + 1);
        assert_eq!(put.record.fired, record.fired + put.jobs.len() as u64);
        let seconds = |moment: Timestamp| moment.as_micros() / SECOND;
        let moments = put.jobs.iter().map(|job| match job.due {
            When::At(moment) => seconds(moment),
            other => panic!("{other:?}"),
        });
        (moments.collect(), put.record.next.map(seconds))
    }

    #[test]
    fn nothing_fires_before_its_moment() {
        let record = record(|_| {});
        assert_eq!(record.next, Some(at(110 * SECOND)));
        let spec = QueueSpec::new(queue());
        assert_eq!(fire(&record, &spec, at(110 * SECOND - 1), Previous::Ended), Ok(None));
        assert_eq!(fired(&record, 110, Previous::Ended), (vec![110], Some(120)));
    }

    #[test]
    fn missed_moments_are_made_up_for_as_was_chosen() {
        let table = [
            // Seen in time: there is nothing to choose.
            (Missed::RunOnce, 115, vec![110], Some(120)),
            (Missed::Skip, 115, vec![110], Some(120)),
            (Missed::RunAll(9), 115, vec![110], Some(120)),
            // Three have passed.
            (Missed::RunOnce, 135, vec![130], Some(140)),
            (Missed::Skip, 135, vec![130], Some(140)),
            (Missed::RunAll(9), 135, vec![110, 120, 130], Some(140)),
            (Missed::RunAll(2), 135, vec![120, 130], Some(140)),
        ];
        for (missed, now, moments, next) in table {
            let record = record(|r| r.missed = missed);
            assert_eq!(
                fired(&record, now, Previous::Ended),
                (moments, next),
                "{missed:?} at {now}"
            );
        }
        // More than a minute late is missed even if it is the latest.
        let seldom = |missed| {
            let mut wanted = repeatable(600_000);
            wanted.missed = missed;
            put(None, wanted, at(0)).unwrap()
        };
        assert_eq!(fired(&seldom(Missed::Skip), 660, Previous::Ended), (vec![600], Some(1200)));
        assert_eq!(fired(&seldom(Missed::Skip), 661, Previous::Ended), (vec![], Some(1200)));
        assert_eq!(fired(&seldom(Missed::RunOnce), 661, Previous::Ended), (vec![600], Some(1200)));
    }

    #[test]
    fn millions_of_missed_moments_are_passed_over_quickly_and_rightly() {
        let mut wanted = repeatable(1);
        wanted.missed = Missed::RunAll(3);
        let record = put(None, wanted, at(0)).unwrap();
        let year = 365 * 24 * 3600 * SECOND;
        let put =
            fire(&record, &QueueSpec::new(queue()), at(year), Previous::Ended).unwrap().unwrap();
        let moments: Vec<_> = put.jobs.iter().map(|job| job.due).collect();
        assert_eq!(moments, [2000, 1000, 0].map(|before| When::At(at(year - before))));
        assert_eq!(put.record.next, Some(at(year + 1000)));
    }

    #[test]
    fn a_moment_that_cannot_be_fired_is_passed_over() {
        let record = record(|_| {});
        assert_eq!(pass_over(&record, at(110 * SECOND - 1)), None);
        let passed = pass_over(&record, at(135 * SECOND)).unwrap();
        assert_eq!((passed.record.next, passed.record.fired), (Some(at(140 * SECOND)), 0));
        assert_eq!((passed.guard, passed.jobs.len()), (Some(record.version), 0));
    }

    #[test]
    fn an_overlap_is_skipped_where_that_was_chosen() {
        let skip = record(|r| r.overlap = Overlap::Skip);
        assert_eq!(fired(&skip, 110, Previous::Live), (vec![], Some(120)));
        assert_eq!(fired(&skip, 110, Previous::Ended), (vec![110], Some(120)));
        let all = record(|r| {
            r.overlap = Overlap::Skip;
            r.missed = Missed::RunAll(9);
        });
        assert_eq!(fired(&all, 135, Previous::Ended), (vec![130], Some(140)));
        assert_eq!(fired(&record(|_| {}), 110, Previous::Live), (vec![110], Some(120)));
    }

    #[test]
    fn start_end_and_count_bound_the_moments() {
        let later = record(|r| r.start = Some(at(500 * SECOND)));
        assert_eq!(upcoming(&later, 2), [at(500 * SECOND), at(510 * SECOND)]);
        // A start that has passed still says where periods are counted from.
        let earlier = record(|r| r.start = Some(at(93 * SECOND)));
        assert_eq!(upcoming(&earlier, 2), [at(103 * SECOND), at(113 * SECOND)]);
        let ending = record(|r| r.end = Some(at(120 * SECOND)));
        assert_eq!(upcoming(&ending, 9), [at(110 * SECOND), at(120 * SECOND)]);
        let counted = record(|r| {
            r.count = Some(2);
            r.missed = Missed::RunAll(9);
        });
        assert_eq!(upcoming(&counted, 9).len(), 2);
        assert_eq!(fired(&counted, 115, Previous::Ended), (vec![110], Some(120)));
        assert_eq!(fired(&counted, 135, Previous::Ended), (vec![110, 120], None));
    }

    #[test]
    fn the_same_moment_always_gives_the_same_job() {
        let spec = QueueSpec::new(queue());
        let id = |now| {
            fire(&record(|_| {}), &spec, at(now), Previous::Ended).unwrap().unwrap().jobs[0].id
        };
        assert_eq!(id(110 * SECOND), id(119 * SECOND));
        assert_ne!(id(110 * SECOND), id(120 * SECOND));
    }

    #[test]
    fn putting_again_keeps_the_course_only_if_the_moments_are_the_same() {
        let mut record = record(|_| {});
        (record.fired, record.version) = (7, 3);
        let now = at(200 * SECOND);
        assert_eq!(put(Some(&record), repeatable(10_000), now), None);
        let mut other_payload = repeatable(10_000);
        other_payload.template.payload = Payload::from("2");
        let kept = put(Some(&record), other_payload, now).unwrap();
        assert_eq!((kept.fired, kept.next, kept.version), (7, record.next, 4));
        let afresh = put(Some(&record), repeatable(20_000), now).unwrap();
        assert_eq!((afresh.fired, afresh.next), (0, Some(at(220 * SECOND))));
    }

    #[test]
    fn one_that_is_put_anew_has_no_version_of_the_former_one() {
        let former = record(|_| {});
        let changed = pause(&former, Pause::Pause, at(100 * SECOND + 1)).unwrap();
        let anew = put(None, former.spec.clone(), at(100 * SECOND + 2)).unwrap();
        assert!(anew.version > changed.version && changed.version > former.version);
        // Also before 1970.
        assert_eq!(put(None, former.spec, at(-SECOND)).unwrap().version, 1);
    }

    #[test]
    fn what_passes_during_a_pause_is_not_missed() {
        let record = record(|r| r.missed = Missed::RunAll(9));
        let paused = pause(&record, Pause::Pause, at(105 * SECOND)).unwrap();
        assert_eq!(paused.due(), None);
        assert_eq!(pause(&paused, Pause::Pause, at(106 * SECOND)), None);
        assert_eq!(
            fire(&paused, &QueueSpec::new(queue()), at(500 * SECOND), Previous::Ended),
            Ok(None)
        );
        let resumed = pause(&paused, Pause::Resume, at(145 * SECOND)).unwrap();
        assert_eq!(resumed.due(), Some(at(150 * SECOND)));
        // A short pause between two moments changes nothing.
        let resumed = pause(&paused, Pause::Resume, at(107 * SECOND)).unwrap();
        assert_eq!(resumed.due(), Some(at(110 * SECOND)));
    }

    #[test]
    fn however_many_moments_are_asked_for_a_bounded_number_is_told() {
        assert_eq!(upcoming(&record(|_| {}), usize::MAX).len(), MAX_UPCOMING);
        assert_eq!(upcoming(&record(|r| r.count = Some(u64::MAX)), usize::MAX).len(), 1000);
    }

    #[test]
    fn moments_at_both_ends_of_time_neither_panic_nor_fire_out_of_turn() {
        let (first, last) = (at(i64::MIN), Timestamp::MAX);
        let spec = QueueSpec::new(queue());
        for (start, end, now) in [
            (Some(first), None, at(0)),
            (Some(last), None, at(0)),
            (None, Some(first), at(0)),
            (Some(first), Some(last), last),
            (Some(last), Some(first), first),
            (None, None, first),
            (None, None, last),
        ] {
            for missed in [Missed::RunOnce, Missed::Skip, Missed::RunAll(u32::MAX)] {
                let wanted = Repeatable { start, end, missed, ..repeatable(1) };
                let record = put(None, wanted, now).unwrap();
                assert!(
                    record.next.is_none_or(|next| next > now && Some(next) <= end.or(Some(last)))
                );
                if let Some(next) = record.next {
                    let late = next.after(Duration::from_secs(1_000_000));
                    let put = fire(&record, &spec, late, Previous::Ended).unwrap().unwrap();
                    assert!(put.jobs.len() <= 1000);
                }
            }
        }
    }
}
