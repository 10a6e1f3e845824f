//! The rules of a job, held to a cluster of three masters and their replicas.
//!
//! That the suite finds planted faults is shown on one server already: they are planted
//! in front of the store.

mod prefixes;

use libtest_mimic::Arguments;
use prefixes::Prefixes;

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = windlass_conformance::trials(Prefixes::on("WINDLASS_TEST_REDIS_CLUSTER_URL"));
    trials.retain(|trial| !trial.name().ends_with("_is_found"));
    libtest_mimic::run(&arguments, trials).exit();
}
