//! The same on a Redis that is restarted and ends connections, for a moment (faults F31
//! to F33, F36).

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::chaos::count;

#[test]
fn nothing_is_violated_while_a_redis_is_restarted_and_ends_connections() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
    let services = |arguments: &[&str]| {
        let mut command = Command::new(&script);
        command.args(["--instance", "chaosredis"]).args(arguments).stdin(Stdio::null());
        // It is not for others to notice what happens to this one.
        command.env_remove("REDIS_URL");
        command
    };
    let harm = |what: &str| {
        let script = script.display();
        format!("unset REDIS_URL; '{script}' --instance chaosredis {what}")
    };
    let output = services(&["--only", "redis", "run", "sh", "-c"])
        .arg(r#"exec "$0" --store "$REDIS_URL" --seconds 15 "$@""#)
        .arg(env!("CARGO_BIN_EXE_windlass-chaos"))
        .args(["--disturb", &harm("restart redis fast"), "--disturb-every", "10"])
        .args(["--disturb", &harm("restart redis immediate"), "--disturb-every", "10"])
        .args(["--disturb", &harm("terminate redis"), "--disturb-every", "4"])
        .args(["--disturb", &harm("terminate redis pubsub"), "--disturb-every", "8"])
        .output()
        .unwrap();
    let removed = services(&["remove"]).status().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && removed.success(), "{said}");

    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let figures = &summary["figures"];
    let done = figures["disturbances"].as_array().unwrap();
    for what in ["restart redis fast", "restart redis immediate", "terminate redis"] {
        let times = done.iter().filter(|one| one["command"].as_str().unwrap().contains(what));
        assert!(times.count() > 0, "no {what}: {figures:#}");
    }
    for (figure, at_least) in [("jobs_acknowledged", 300), ("workers_killed", 1), ("stalls", 1)] {
        assert!(count(&figures[figure]) >= at_least, "{figure}: {figures:#}");
    }
}
