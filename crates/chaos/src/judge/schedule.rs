//! Every moment is fired once, and nothing starts before its moment.

use std::collections::HashMap;
use std::time::Duration;

use windlass::model::Timestamp;

use super::Check;
use super::index::Index;
use crate::plan::TICK;

pub(super) fn checks(index: &Index<'_>) -> Vec<Check> {
    vec![fired(index), early(index)]
}

/// The moment that a job was fired for, and the repeatable: its job key says
/// both.
fn moment(key: &str) -> Option<(&str, Timestamp)> {
    let (repeatable, micros) = key.strip_prefix("repeat:")?.rsplit_once(':')?;
    Some((repeatable, Timestamp::from_micros(micros.parse().ok()?)))
}

/// Duplicates = 0, missed = 0.
fn fired(index: &Index<'_>) -> Check {
    let mut check = Check::new("each moment of a repeatable is fired once", &["F17"]);
    let terms = &index.evidence.terms;
    let mut jobs: HashMap<(&str, Timestamp), u64> = HashMap::new();
    for record in index.evidence.records.iter().filter(|r| r.queue.as_str() == "ticks") {
        match record.key.as_deref().and_then(moment) {
            Some(moment) => *jobs.entry(moment).or_default() += 1,
            None => check.look(false, || format!("job {} was fired for no moment", record.id)),
        }
    }
    for repeated in &index.evidence.repeatables {
        let key = repeated.key.as_str();
        for nth in 0..terms.moments() {
            let moment = terms.ticks_from.after(TICK * u32::try_from(nth).unwrap_or(u32::MAX));
            let count = jobs.remove(&(key, moment)).unwrap_or_default();
            check.look(count == 1, || format!("{key} fired {count} times for {moment}"));
        }
        let (fired, wanted) = (repeated.fired, terms.moments());
        if fired != wanted || repeated.next.is_some() {
            let next = repeated.next;
            check.violations.push(format!(
                "{key} counts {fired} fires of {wanted} moments, and goes on at {next:?}"
            ));
        }
    }
    for ((key, moment), count) in jobs {
        check.look(false, || {
            format!("{key} fired {count} times for {moment}, which is none of its own")
        });
    }
    check
}

/// Early starts = 0, for delayed jobs and for those of repeatables.
fn early(index: &Index<'_>) -> Check {
    let mut check = Check::new("no job starts before its moment", &["F20", "F21"]);
    for record in &index.evidence.records {
        let delay = index.acknowledged.get(&record.id).and_then(|known| known.delay);
        let delayed = delay.map(|delay| record.enqueued_at.after(Duration::from_micros(delay)));
        let fired = record.key.as_deref().and_then(moment).map(|(_, moment)| moment);
        let Some(due) = delayed.or(fired) else { continue };
        let first = index.first_start(record);
        check.look(first.is_none_or(|first| first >= due), || {
            format!("job {} started at {first:?}, and its moment was {due}", record.id)
        });
    }
    check
}
