//! Dependents start when their dependencies have ended, and end as those say.

use windlass::Job;
use windlass::model::State;

use super::Check;
use super::index::Index;
use crate::fact::IfBroken;
use crate::jobs::Doomed;

pub(super) fn checks(index: &Index<'_>) -> Vec<Check> {
    vec![after_dependencies(index), as_they_ended(index)]
}

fn after_dependencies(index: &Index<'_>) -> Check {
    let mut check = Check::new("a dependent starts after its dependencies have ended", &["F8"]);
    for known in index.acknowledged.values() {
        let Some(record) = index.records.get(&known.job) else { continue };
        let Some(began) = index.first_start(record) else { continue };
        for of in &known.after {
            let ended = index.records.get(of).and_then(|record| record.ending.finished_at);
            check.look(ended.is_some_and(|ended| ended <= began), || {
                format!("job {} started at {began}, and {of} ended at {ended:?}", known.job)
            });
        }
    }
    check
}

fn as_they_ended(index: &Index<'_>) -> Check {
    let mut check = Check::new("a dependent ends as its dependencies allow", &["F8"]);
    for known in index.acknowledged.values().filter(|known| known.queue.as_str() == "flows") {
        let Some(record) = index.records.get(&known.job) else { continue };
        if record.job_type == Doomed::NAME {
            continue;
        }
        let met = known.after.iter().all(|of| {
            index.records.get(of).is_some_and(|record| record.end() == Some(State::Completed))
        });
        let runs = met || known.broken == IfBroken::Run;
        let wanted = if runs { State::Completed } else { State::Cancelled };
        let starts = index.starts_of(known.job).len();
        check.look(record.end() == Some(wanted) && (runs || starts == 0), || {
            format!(
                "job {} is {} after {starts} starts, not {wanted}",
                known.job, record.ending.state
            )
        });
    }
    check
}
