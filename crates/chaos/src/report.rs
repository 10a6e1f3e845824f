//! What a run has come to, for people and for programs.

use serde_json::{Value, json};

use crate::Failure;
use crate::judge::Verdict;

/// How many violations of a check the table shows.
const SHOWN: usize = 10;

/// A table of checks, to standard error.
pub(crate) fn table(verdict: &Verdict) {
    eprintln!("{:<68} {:<10} {:>10} {:>10}", "what must hold", "faults", "looked at", "violations");
    for check in &verdict.checks {
        eprintln!(
            "{:<68} {:<10} {:>10} {:>10}",
            check.name,
            check.faults.join(" "),
            check.looked_at,
            check.violations.len()
        );
        for violation in check.violations.iter().take(SHOWN) {
            eprintln!("    {violation}");
        }
    }
    let figures = &verdict.figures;
    if figures.disturbances.is_empty() {
        return;
    }
    let waited = |ms: Option<u64>| ms.map_or_else(|| "for ever".to_owned(), |ms| ms.to_string());
    eprintln!(
        "\n{:<58} {:>8} {:>8} {:>15} {:>15}",
        "what was done to the store", "after ms", "took ms", "no enqueue, ms", "no start, ms"
    );
    for done in &figures.disturbances {
        eprintln!(
            "{:<58} {:>8} {:>8} {:>15} {:>15}",
            done.command,
            done.after,
            done.took,
            waited(done.without_enqueue),
            waited(done.without_start)
        );
    }
    eprintln!("calls that failed meanwhile: {:?}", figures.errors_while_disturbed);
}

/// Everything, on one page of JSON.
pub(crate) fn json(verdict: &Verdict) -> Result<String, Failure> {
    let checks: Vec<Value> = verdict
        .checks
        .iter()
        .map(|check| {
            json!({
                "check": check.name,
                "faults": check.faults,
                "looked_at": check.looked_at,
                "violations": check.violations.len(),
                "first": check.violations.iter().take(SHOWN).collect::<Vec<_>>(),
            })
        })
        .collect();
    let summary = json!({
        "clean": verdict.is_clean(),
        "checks": checks,
        "figures": verdict.figures,
    });
    Ok(serde_json::to_string_pretty(&summary)?)
}
