//! The whole, as a user has it: the facade on real stores, and the `digest`
//! example as real processes.

mod connect;
mod digest;
mod examples;
mod spans;
mod transaction;
