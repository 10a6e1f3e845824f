//! Real processes, killed and stopped for 20 seconds.

use std::process::{Command, Stdio};

use serde_json::Value;

pub(crate) fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

/// Nothing violated means little if nothing happened.
pub(crate) fn assert_all_checks_looked(summary: &Value, said: &str) {
    for check in summary["checks"].as_array().unwrap() {
        assert!(count(&check["looked_at"]) > 0, "{check} looked at nothing: {said}");
    }
}

/// What a run of 20 seconds mostly comes to; a machine with much else to do may need another
/// one for what depends on who was stopped when.
const AT_LEAST: [(&str, u64); 9] = [
    ("jobs_acknowledged", 500),
    ("moments_fired", 1010),
    ("workers_killed", 3),
    ("producers_killed", 2),
    ("workers_aborted_by_a_job", 1),
    ("workers_stopped", 2),
    ("stalls", 3),
    ("stale_writes_tried_after_being_away", 1),
    ("ended_jobs_watched", 100),
];

/// The most runs for all of that together.
const RUNS: usize = 3;

#[test]
fn nothing_is_violated_while_processes_are_killed_and_stopped() {
    let mut sums = [0; AT_LEAST.len()];
    for _ in 0..RUNS {
        let output = Command::new(env!("CARGO_BIN_EXE_windlass-chaos"))
            .args(["--seconds", "20"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");

        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_all_checks_looked(&summary, &said);
        let figures = &summary["figures"];
        assert_eq!(figures["integrity"], "ok");
        for (sum, (figure, _)) in sums.iter_mut().zip(AT_LEAST) {
            *sum += count(&figures[figure]);
        }
        if sums.iter().zip(AT_LEAST).all(|(sum, (_, at_least))| *sum >= at_least) {
            return;
        }
    }
    panic!("after {RUNS} runs {sums:?} of {AT_LEAST:?}");
}

#[test]
fn a_store_that_was_used_before_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let windlass = windlass::Windlass::connect(&store).await.unwrap();
        let queue = windlass.queue("bulk").declare().await.unwrap();
        queue.enqueue_raw("t", &Value::Null).await.unwrap();
    });
    let output = Command::new(env!("CARGO_BIN_EXE_windlass-chaos"))
        .args(["--seconds", "1", "--store", &store])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("used before"), "{said}");
}
