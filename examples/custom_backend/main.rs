//! A store of one's own, on a key-value crate: what it takes, and the suite
//! that judges it.
//!
//! - `cargo run --example custom_backend` runs the published suite on it, with
//!   the command line of the usual test harness (`--list`, a filter, …).
//! - `cargo run --example custom_backend -- demo jobs.redb Ada Ben` enqueues a
//!   greeting for each name and stops; without names, it works what is there.
//!
//! `backend` is the trait, one step of the store for each method; `store` is
//! what each step does; `record` is a job as it is stored, and in which indexes
//! it is; `keys` says what lies where; `kv` is the only file that knows the
//! key-value crate. No rule of scheduling is decided here: core decides, and
//! this stores, orders, compares and counts.

mod backend;
mod demo;
mod keys;
mod kv;
mod record;
mod store;

use backend::RedbBackend;
use windlass_conformance::opening;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("demo") {
        return demo::run(arguments);
    }
    windlass_conformance::main(opening(|_, clock| async { RedbBackend::in_memory(clock) }));
}
