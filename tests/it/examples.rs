//! The small examples, as a reader would run them.

use std::process::Command;

use crate::digest::example;

/// The tests that this example shows; cargo would run them only if asked for
/// the example by name.
#[allow(dead_code, reason = "its main is run as a program")]
#[path = "../../examples/testing.rs"]
mod testing;

#[test]
fn each_small_example_runs_and_says_what_it_should() {
    let table = [
        ("quickstart", "welcome, ada@example.org"),
        ("in_order", "each user's events came in order"),
        ("rate_limited", "15 calls, 5 a second, took"),
        ("flow", "11 words"),
        ("cron", "still alive"),
        ("testing", "reminder of invoice 7 to ada@example.org"),
    ];
    for (name, says) in table {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(example(name)).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {output:?}");
        assert!(said.contains(says), "{name}: {said}");
    }
}
