use serde::{Deserialize, Serialize};
use windlass_macros::Job;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(
    name = "email welcome",
    queue = 7,
    tries = 5,
    backoff = exponential("soon", 0.1, "1h"),
    jitter = 7.0,
    timeout = "0s",
    priority = "high"
)]
struct Welcome {
    #[job(name = "to")]
    to: String,
}

fn main() {}
