use serde::{Deserialize, Serialize};
use windlass_macros::Job;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(nmae = "welcome", max_attempts = 5, delay = "1s")]
struct Welcome;

fn main() {}
