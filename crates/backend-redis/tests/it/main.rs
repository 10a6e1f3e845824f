//! What the suite cannot ask of every store.

mod cancelled;
mod cluster;
mod connections;
mod crashes;
mod failover;
mod fixture;
mod format;
mod full;
mod load;
mod longest;
mod lost_changes;
mod lost_ends;
mod lost_replies;
mod memory;
mod order;
mod own;
mod program;
mod proxy;
mod replication;
mod restarts;
mod sentinel;
mod server;
mod shards;
mod tls;
mod unanswered;
mod wire;
