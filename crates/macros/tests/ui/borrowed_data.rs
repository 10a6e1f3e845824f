use serde::{Deserialize, Serialize};
use windlass_macros::Job;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime", jitter = 2)]
struct Welcome<'a> {
    to: &'a str,
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
enum Choice {
    A(&'static str),
    B { n: u8 },
}

fn main() {}
