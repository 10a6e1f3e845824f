//! The runtime, on a store in memory. Time is a manual clock for the store and
//! tokio's paused clock for the worker: nothing here sleeps for real.

mod bad_input;
mod batching;
mod clocks;
mod control;
mod durable;
mod enqueueing;
mod extremes;
mod failing;
mod handlers;
mod keeping;
mod repeating;
mod shutdown;
mod support;
mod testing_kit;
