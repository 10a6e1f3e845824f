//! Core has the rules, the derive repeats them: what it takes at the edges of
//! each range is taken by core too. (What lies beyond, core refuses, and
//! `tests/ui` shows that the derive does.)

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use windlass_core::decide::{JobRequest, enqueue};
use windlass_core::model::{JobId, JobOptions, JobType, Payload, QueueName, QueueSpec};
use windlass_macros::Job;
use windlass_runtime::Job;

#[derive(Serialize, Deserialize, Job)]
#[job(
    crate = "windlass_runtime",
    name = "A",
    queue = "az.AZ:09_-",
    retries = 0,
    backoff = exponential("0s", 1, "0s"),
    jitter = 0,
    timeout = "1ns",
    priority = -2_147_483_647
)]
struct Lowest;

#[derive(Serialize, Deserialize, Job)]
#[job(
    crate = "windlass_runtime",
    name = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    queue = "q",
    retries = 4_294_967_294,
    backoff = exponential("999999999y", 1e308, "999999999y"),
    jitter = 1.0,
    timeout = "999999999y",
    priority = 2_147_483_647
)]
struct Highest;

fn assert_core_takes<J: Job>() {
    let defaults = J::defaults();
    let queue = QueueName::new(defaults.queue.unwrap()).unwrap();
    let options = JobOptions {
        retry: defaults.retry.unwrap(),
        timeout: defaults.timeout,
        ..JobOptions::default()
    };
    let request = JobRequest {
        priority: defaults.priority,
        options: Arc::new(options),
        ..JobRequest::new(
            JobId::from_bytes([7; 16]),
            JobType::new(J::NAME).unwrap(),
            Payload::from("{}"),
        )
    };
    enqueue(&QueueSpec::new(queue), request).unwrap();
}

#[test]
fn core_takes_the_outermost_values_that_the_derive_takes() {
    assert_core_takes::<Lowest>();
    assert_core_takes::<Highest>();
    assert_eq!(Highest::NAME.len(), 128);
}
