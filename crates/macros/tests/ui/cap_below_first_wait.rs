use serde::{Deserialize, Serialize};
use windlass_macros::Job;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = exponential("1h", 2.0, "1s"))]
struct Exponential;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = linear("1m", "5s", "30s"))]
struct Linear;

fn main() {}
