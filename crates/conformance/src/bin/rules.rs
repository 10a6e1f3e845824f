//! Prints which cases hold stores to which rule, and fails if a rule has none.

use std::io::Write;
use std::process::ExitCode;

use windlass_conformance::rules;

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    // A reader that has seen enough is no failure.
    let _ = out.write_all(rules::table().as_bytes());
    let problems = rules::problems();
    for problem in &problems {
        let _ = writeln!(std::io::stderr(), "error: {problem}");
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
