//! The `custom_backend` example: the published suite on it, and jobs that
//! outlive a process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::digest::example;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(example("custom_backend"));
    command.args(arguments).current_dir(folder);
    // What is said about notices and missing stores is for other suites.
    command.env_remove("WINDLASS_DEAF").env_remove("WINDLASS_ALLOW_MISSING_STORE");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    // Of hundreds of cases, those that failed are told: they stand at the end.
    let told = String::from_utf8_lossy(&output.stdout);
    let failures = told.split_once("\nfailures:").map_or(&*told, |(_, failures)| failures);
    assert!(output.status.success(), "{}: {failures}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_store_written_from_scratch_passes_the_whole_suite() {
    let folder = tempfile::tempdir().unwrap();
    let listed = said(&run(folder.path(), &["--list"]));
    let cases = listed.lines().filter(|line| line.ends_with(": test")).count();
    assert!(cases >= windlass_conformance::all_cases().count(), "{listed}");
    let output = said(&run(folder.path(), &[]));
    let passed = format!("test result: ok. {cases} passed; 0 failed; 0 ignored;");
    assert!(output.contains(&passed), "{output}");
}

#[test]
fn what_one_process_has_enqueued_another_one_runs_once() {
    let folder = tempfile::tempdir().unwrap();
    let enqueued = said(&run(folder.path(), &["demo", "jobs.redb", "Ada", "Ben"]));
    assert_eq!(enqueued.matches(" is waiting").count(), 2, "{enqueued}");
    let worked = said(&run(folder.path(), &["demo", "jobs.redb"]));
    assert!(worked.starts_with("hello, Ada\nhello, Ben\n"), "{worked}");

    let again = said(&run(folder.path(), &["demo", "jobs.redb", "Ada"]));
    assert!(again.contains(" is completed"), "{again}");
    let nothing = said(&run(folder.path(), &["demo", "jobs.redb"]));
    assert!(!nothing.contains("hello"), "{nothing}");
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..500).map(|n| format!("name-{n}")).collect();
    let mut client = Command::new(example("custom_backend"))
        .args(["demo", "jobs.redb"])
        .args(&names)
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It is killed while it enqueues, wherever that finds it. What it managed
    // to say until then was stored before it was said.
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut acknowledged: Vec<String> = lines.by_ref().take(20).collect();
    client.kill().unwrap();
    acknowledged.extend(lines);
    client.wait().unwrap();

    let worked = said(&run(folder.path(), &["demo", "jobs.redb"]));
    let greeted: Vec<&str> = worked.lines().filter(|line| line.starts_with("hello, ")).collect();
    assert!(acknowledged.len() >= 20 && greeted.len() >= acknowledged.len(), "{worked}");
    for (name, (line, greeting)) in names.iter().zip(acknowledged.iter().zip(&greeted)) {
        assert_eq!(*line, format!("the job for {name} is waiting"));
        assert_eq!(*greeting, format!("hello, {name}"));
    }
    // One more may have been stored, and not said any more.
    assert!(greeted.len() - acknowledged.len() <= 1, "{worked}");
}

#[test]
fn a_file_that_is_not_a_store_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "milk, bread").unwrap();
    let output = run(folder.path(), &["demo", "notes.txt"]);
    assert!(!output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the file is not one of redb's, or is damaged"), "{said}");
    assert_eq!(std::fs::read(folder.path().join("notes.txt")).unwrap(), b"milk, bread");
}
