//! What the suite cannot ask of every store.

mod bounds;
mod cancelled;
mod collisions;
mod crossed;
mod fixture;
mod harmed;
mod hidden;
mod isolation;
mod listener;
mod order;
mod payloads;
mod refusals;
mod schema;
mod server;
mod take_over;
