//! The rules of a job, held to this store: a file of its own for each case.

use windlass_conformance::{main as hold, opening};
use windlass_sqlite::{SqliteBackend, SqliteConfig};

fn main() {
    let folder = tempfile::tempdir().expect("a folder for the files");
    hold(opening(move |name, clock| {
        let mut config = SqliteConfig::new(folder.path().join(name));
        config.clock = clock;
        SqliteBackend::open(config)
    }));
}
