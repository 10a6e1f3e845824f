//! What is the SQLite backend's own; the contract is judged by the suite.

#[cfg(unix)]
mod child;
mod files;
mod fixture;
mod groups;
mod log;
#[cfg(unix)]
mod surroundings;
mod transactions;
mod unreadable;
mod wakeups;
