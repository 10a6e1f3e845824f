//! The rules of a job, held to one server.

mod prefixes;

use prefixes::Prefixes;

fn main() {
    windlass_conformance::main(Prefixes::on("REDIS_URL"));
}
