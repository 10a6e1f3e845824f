use serde::{Deserialize, Serialize};
use windlass_macros::Job;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = fixed())]
struct Nothing;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = fixed("1s", "2s"))]
struct Surplus;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = exponential("1s", "2", "1h"))]
struct TextFactor;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = exponential("1s", 0.5, "1h"))]
struct Shrinking;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = exponential(1, 1e999, "1 hour"))]
struct EachOne;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = linear("1s", "1h", "10 s"))]
struct Misspelt;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = list())]
struct EmptyList;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(backoff = list("1s", 5, "soon"))]
struct WrongItems;

fn main() {}
