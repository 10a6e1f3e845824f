//! What the suite cannot ask of every store.

mod cancelled;
mod cluster;
mod connections;
mod crashes;
mod fixture;
mod full;
mod load;
mod lost_changes;
mod lost_ends;
mod lost_replies;
mod proxy;
mod server;
mod shards;
mod unanswered;
