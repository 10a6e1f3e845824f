use serde::{Deserialize, Serialize};
use windlass_macros::Job;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(priority = -2_147_483_648)]
struct Low;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(priority = 2_147_483_648)]
struct High;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(priority = 1.5)]
struct Fraction;

fn main() {}
