//! The rules of a job, held to a cluster of three masters and their replicas.

mod prefixes;

use prefixes::Prefixes;

fn main() {
    windlass_conformance::main(Prefixes::on("WINDLASS_TEST_REDIS_CLUSTER_URL"));
}
