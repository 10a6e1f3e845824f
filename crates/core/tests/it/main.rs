//! The integration tests of the core, one binary.

mod names_hostile;
mod numbers;
mod schedule_changes;
mod schedule_hostile;
mod schedule_oracle;
mod schedule_stored;
