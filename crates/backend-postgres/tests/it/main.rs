//! What is Postgres' own; the contract is judged by the suite.

mod order;
mod server;
