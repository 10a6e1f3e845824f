//! Prints which case finds which planted fault, and fails if one is meant for
//! a case that does not exist.

use std::io::Write;
use std::process::ExitCode;

use windlass_conformance::faults;

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    // A reader that has seen enough is no failure.
    let _ = out.write_all(faults::table().as_bytes());
    let problems = faults::problems();
    for problem in &problems {
        let _ = writeln!(std::io::stderr(), "error: {problem}");
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
