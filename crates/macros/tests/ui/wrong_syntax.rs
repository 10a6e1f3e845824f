use serde::{Deserialize, Serialize};
use windlass_macros::Job;

#[derive(Serialize, Deserialize, Job)]
#[job]
struct Bare;

#[derive(Serialize, Deserialize, Job)]
#[job = "welcome"]
struct Value;

#[derive(Serialize, Deserialize, Job)]
#[job["welcome"]]
struct Brackets;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job("welcome")]
struct OnlyText;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(name)]
struct WithoutValue;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(name =)]
struct WithoutValueBehindEquals;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(retries(5))]
struct Call;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(name: "welcome")]
struct Colon;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(name = "welcome" queue = "emails")]
struct WithoutComma;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[job(name = "welcome",, queue = "emails")]
struct Commas;

fn main() {}
