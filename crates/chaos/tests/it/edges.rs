//! Durable jobs whose workers die at each edge, on every store (fault F11).

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::chaos::count;

/// The URL of a server of the tests, with a name of its own for what is kept there.
fn server(variable: &str, option: &str) -> String {
    let url = std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set; see CONTRIBUTING.md"));
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{option}=windlass_edges_{}", std::process::id())
}

fn die_at_each_edge(store: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_windlass-chaos"))
        .args(["edges", "--store", store])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let summary: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert!(output.status.success(), "{summary:#} {said}");
    let store_kind = store.split(':').next().unwrap_or_default();
    // Nothing violated means little if nobody died, or none in the middle of a step.
    let (calls, deaths) = (count(&summary["calls"]), count(&summary["deaths"]));
    assert!(calls >= 20 && deaths >= calls * 3 / 2, "{summary:#}");
    assert!(count(&summary["run_twice"]) > 0, "{summary:#}");
    eprintln!("{store_kind}: {calls} calls, {deaths} deaths, violations 0");
}

#[test]
fn on_sqlite_every_step_is_recorded_once_wherever_a_worker_dies() {
    let folder = tempfile::tempdir().unwrap();
    die_at_each_edge(&format!("sqlite:{}", folder.path().join("jobs.db").display()));
}

#[test]
fn on_postgres_every_step_is_recorded_once_wherever_a_worker_dies() {
    die_at_each_edge(&server("DATABASE_URL", "schema"));
    drop_schema();
}

fn drop_schema() {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
    let schema = format!("windlass_edges_{}", std::process::id());
    let status = Command::new(script).args(["drop", "postgres", &schema]).status().unwrap();
    assert!(status.success());
}

#[test]
fn on_redis_every_step_is_recorded_once_wherever_a_worker_dies() {
    die_at_each_edge(&server("REDIS_URL", "prefix"));
}

#[test]
fn on_a_redis_cluster_every_step_is_recorded_once_wherever_a_worker_dies() {
    die_at_each_edge(&server("WINDLASS_TEST_REDIS_CLUSTER_URL", "prefix"));
}
