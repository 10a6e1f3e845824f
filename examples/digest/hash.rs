//! The handlers that digest files and directories.

use std::fs::File;
use std::io::{ErrorKind, Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use windlass::model::State;
use windlass::{Context, Job, JobError};

use crate::scan::Bytes;

/// Digests a file.
#[derive(Serialize, Deserialize, Job)]
#[job(name = "digest.file", retries = 3, backoff = fixed("200ms"))]
pub struct DigestFile {
    /// Its path.
    pub path: Bytes,
}

/// Digests the results of a directory's entries.
#[derive(Serialize, Deserialize, Job)]
#[job(name = "digest.directory")]
pub struct DigestDirectory {
    /// Its path.
    pub path: Bytes,
    /// Why it could not be listed, if it could not.
    pub unreadable: Option<String>,
}

/// What a file or a directory came to.
#[derive(Serialize, Deserialize)]
pub struct Digested {
    /// In hexadecimal.
    pub sha256: String,
    /// How many bytes, in all.
    pub bytes: u64,
}

/// Handles [`DigestFile`]: streams it, so that large ones take no memory.
pub fn file(job: DigestFile) -> Result<Digested, JobError> {
    let path = job.path.to_path();
    let failed = |error: std::io::Error| {
        let message = format!("{}: {error}", path.display());
        match error.kind() {
            // Trying again will not help.
            ErrorKind::PermissionDenied | ErrorKind::NotFound => JobError::permanent(message),
            _ => JobError::new(message),
        }
    };
    let mut file = File::open(&path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
                bytes += n as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(Digested { sha256: hex(&hasher.finalize()), bytes })
}

/// Handles [`DigestDirectory`]: the digest of its entries' digests, in the
/// order of their names.
pub async fn directory(job: DigestDirectory, context: Context) -> Result<Digested, JobError> {
    if let Some(why) = job.unreadable {
        let path = job.path.to_path();
        return Err(JobError::permanent(format!("{}: {why}", path.display())));
    }
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    for entry in context.dependencies().await? {
        match (entry.state, entry.result) {
            (Some(State::Completed), Some(result)) => {
                let digested: Digested = serde_json::from_slice(result.as_slice())?;
                hasher.update(&digested.sha256);
                bytes += digested.bytes;
            }
            // It has failed, and says so itself.
            _ => hasher.update("unreadable"),
        }
    }
    Ok(Digested { sha256: hex(&hasher.finalize()), bytes })
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
