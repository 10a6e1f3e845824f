//! What depends on which stores this program was built with: a fresh one, and
//! whether the structure of a used one is sound.

use tempfile::TempDir;

use crate::Failure;
use crate::judge::Integrity;

/// The URL of a fresh store in this folder.
#[cfg(feature = "sqlite")]
pub(crate) fn fresh_store(folder: &TempDir) -> Result<String, Failure> {
    Ok(format!("sqlite:{}", folder.path().join("jobs.db").display()))
}

/// No store is made without a server.
#[cfg(not(feature = "sqlite"))]
pub(crate) fn fresh_store(_: &TempDir) -> Result<String, Failure> {
    Err("built without an embedded store; give one with --store URL".into())
}

/// Asks the library to check the whole file (fault F39).
#[cfg(feature = "sqlite")]
pub(crate) fn check(store: &str) -> Result<Integrity, Failure> {
    use windlass::sqlite::{SqliteConfig, rusqlite::Connection};
    if !store.starts_with("sqlite:") {
        return Ok(Integrity::NotChecked);
    }
    let file = Connection::open(SqliteConfig::parse(store)?.path)?;
    let said: String = file.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok(if said == "ok" { Integrity::Sound } else { Integrity::Broken(said) })
}

/// No store that was compiled in can be checked from here.
#[cfg(not(feature = "sqlite"))]
pub(crate) fn check(_: &str) -> Result<Integrity, Failure> {
    Ok(Integrity::NotChecked)
}
