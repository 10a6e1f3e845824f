use serde::{Deserialize, Serialize};
use windlass_macros::Job;
use windlass_runtime::Job;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(retries = "5")]
struct Welcome;

// The uses of a type with a mistake in an attribute add no errors.
fn takes_a_job<J: Job>(_: J) {}

fn main() {
    takes_a_job(Welcome);
}
