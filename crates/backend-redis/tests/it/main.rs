//! What the suite cannot ask of every store.

mod fixture;
mod lost_ends;
mod lost_replies;
mod proxy;
mod server;
mod unanswered;
