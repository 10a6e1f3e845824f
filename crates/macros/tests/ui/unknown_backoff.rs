use serde::{Deserialize, Serialize};
use windlass_macros::Job;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = exponentail("1s", 2.0, "1h"))]
struct Misspelt;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = "5s")]
struct Text;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = fixed)]
struct WithoutArguments;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = list["1s"])]
struct Brackets;

fn main() {}
