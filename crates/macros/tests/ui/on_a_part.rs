use serde::{Deserialize, Serialize};
use windlass_macros::Job;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
struct Welcome {
    #[job(retries = 5)]
    to: String,
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
enum Choice {
    #[job(name = "a")]
    A,
    B {
        #[job]
        n: u8,
    },
}

fn main() {}
