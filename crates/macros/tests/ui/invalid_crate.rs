use serde::{Deserialize, Serialize};
use windlass_macros::Job;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = windlass_runtime)]
struct Bare;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass runtime")]
struct Spaced;

fn main() {}
