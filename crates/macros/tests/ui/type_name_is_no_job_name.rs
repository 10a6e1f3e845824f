use serde::{Deserialize, Serialize};
use windlass_macros::Job;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
struct Größe;

fn main() {}
