//! Runs a test again in a process of its own, whose surroundings are another:
//! a small disk, a limit on files, fewer rights.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Names the folder that a child works in.
const FOLDER: &str = "WINDLASS_CHILD";

/// A way to other surroundings: a program and its arguments, which ends with a
/// shell script that is told the folder as `$1` and ends with `exec` of what
/// follows.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) before: &'static [&'static str],
    pub(crate) script: &'static str,
}

/// The folder, in a child.
pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Runs this test again in other surroundings, by the first way that works on
/// this machine, and answers which one that was.
///
/// # Panics
/// If none works: a test that cannot be made is not one that has passed. If the
/// child fails, with what it said.
pub(crate) fn run(test: &str, folder: &Path, ways: &[Way]) -> &'static str {
    let mut tried = String::new();
    for way in ways {
        let this = std::env::current_exe().unwrap();
        let this = this.to_str().unwrap();
        match command(way, folder, &[this, "--list"]).output() {
            Ok(output) if output.status.success() => {
                let args = [this, "--exact", test, "--nocapture", "--test-threads=1"];
                let output = command(way, folder, &args).output().unwrap();
                let said = told(&output);
                assert!(output.status.success(), "{} failed by {}:\n{said}", test, way.name);
                assert!(said.contains("1 passed"), "there is no test {test}:\n{said}");
                eprintln!("by {}: {said}", way.name);
                return way.name;
            }
            Ok(output) => tried.push_str(&format!("\n{}: {}", way.name, told(&output))),
            Err(error) => tried.push_str(&format!("\n{}: {error}", way.name)),
        }
    }
    panic!("none of the ways to these surroundings works here:{tried}");
}

fn command(way: &Way, folder: &Path, then: &[&str]) -> Command {
    let words = [way.before, &["sh", "-c", way.script, "sh"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(folder).args(then).env(FOLDER, folder);
    command
}

fn told(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}
