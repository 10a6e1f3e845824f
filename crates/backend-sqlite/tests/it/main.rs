//! What is the SQLite backend's own; the contract is judged by the suite.

mod files;
mod fixture;
mod groups;
mod log;
mod transactions;
mod unreadable;
mod wakeups;
