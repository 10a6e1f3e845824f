//! The whole, as a user has it: the facade on real stores, and the examples as
//! real processes.

mod axum_app;
mod captured;
mod connect;
mod custom_backend;
mod digest;
mod durable;
mod examples;
mod histories;
mod log_size;
mod secrets;
mod server;
mod spans;
mod transaction;
mod transaction_postgres;
mod trouble;
