//! Real processes, killed and stopped for a minute on a server that is restarted
//! and ends connections meanwhile (faults F25, F26 and F28).

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::chaos::{assert_all_checks_looked, count};

/// `scripts/services`, with a server of its own: it is not for others to notice
/// what happens to it.
fn services() -> Command {
    let mut command = Command::new(script());
    command.args(["--instance", "chaos", "--only", "postgres"]).stdin(Stdio::null());
    command
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs chaos in a schema of that server. A URL that was given may have options.
const RUN: &str = r#"
    case $DATABASE_URL in *\?*) store="$DATABASE_URL&schema=$1" ;; *) store="$DATABASE_URL?schema=$1" ;; esac
    shift
    exec "$0" --store "$store" --seconds 60 "$@"
"#;

/// Removes what a run has stored, also if it fails.
struct Schema(String);

impl Drop for Schema {
    fn drop(&mut self) {
        let mut drop = services();
        drop.arg("run").arg(script()).args(["--instance", "chaos", "drop", "postgres", &self.0]);
        let _ = drop.status();
    }
}

#[test]
fn nothing_is_violated_while_a_server_is_restarted_and_ends_connections() {
    let schema = Schema(format!("chaos_{}", std::process::id()));
    let harm = |what: &str| format!("'{}' --instance chaos {what}", script().display());
    let output = services()
        .args(["run", "sh", "-c"])
        .arg(RUN)
        .arg(env!("CARGO_BIN_EXE_windlass-chaos"))
        .arg(&schema.0)
        // Each of them happens at least once: the first time within its period.
        .args(["--disturb", &harm("restart postgres fast"), "--disturb-every", "30"])
        .args(["--disturb", &harm("restart postgres immediate"), "--disturb-every", "30"])
        .args(["--disturb", &harm("terminate postgres"), "--disturb-every", "4"])
        .args(["--disturb", &harm("terminate postgres listener"), "--disturb-every", "10"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));

    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_all_checks_looked(&summary, &said(&output));
    let figures = &summary["figures"];
    let done = figures["disturbances"].as_array().unwrap();
    for what in ["restart postgres fast", "restart postgres immediate", "terminate postgres"] {
        let times = done.iter().filter(|one| one["command"].as_str().unwrap().contains(what));
        assert!(times.count() > 0, "no {what}: {figures:#}");
    }
    for (figure, at_least) in [
        ("jobs_acknowledged", 500),
        ("workers_killed", 3),
        ("producers_killed", 2),
        ("workers_stopped", 2),
        ("stalls", 3),
    ] {
        assert!(count(&figures[figure]) >= at_least, "{figure}: {figures:#}");
    }
}
