use serde::{Deserialize, Serialize};
use windlass_macros::Job;

#[derive(Serialize, Deserialize, Job)]
#[job(name = "a", crate = "windlass_runtime", name = "b")]
#[job(crate = "windlass_runtime", retries = 1, retries = 1)]
struct Welcome;

fn main() {}
