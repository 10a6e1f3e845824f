//! Scans a tree and enqueues its graph of jobs.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use windlass::model::{FlowId, JobId, JobRef};
use windlass::{Context, Data, Flow, Job, JobError, Queue};

use crate::hash::{DigestDirectory, DigestFile, hex};
use crate::run::root_key;

/// How many jobs are enqueued together.
const BATCH: usize = 1000;

/// Scans a tree.
#[derive(Serialize, Deserialize, Job)]
#[job(name = "digest.scan", retries = 2)]
pub struct Scan {
    /// The directory, as it was given.
    pub dir: Bytes,
}

/// A file name: text where it is valid UTF-8, bytes where it is not, so that
/// every name comes back as it was.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bytes {
    /// Valid UTF-8.
    Text(String),
    /// Anything else.
    Raw(Vec<u8>),
}

impl From<&OsStr> for Bytes {
    fn from(name: &OsStr) -> Self {
        match name.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Raw(name.as_bytes().to_vec()),
        }
    }
}

impl Bytes {
    /// The bytes of the name.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Raw(bytes) => bytes,
        }
    }

    /// The name as a path.
    pub fn to_path(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.as_slice().to_vec()))
    }
}

/// Handles [`Scan`]. Being killed half-way does no harm: every job is named
/// after its path, so that what is enqueued already is not enqueued again.
pub async fn scan(job: Scan, context: Context, queue: Data<Queue>) -> Result<u64, JobError> {
    let dir = job.dir.to_path();
    let run = context.id();
    let walk = move || {
        let flow = queue.client().continue_flow(FlowId::from_bytes(*run.as_bytes()));
        let mut walk =
            Walk { run, queue: &queue, flow: Some(flow), runtime: Handle::current(), jobs: 0 };
        // As find does: the directory as it was given, a slash, and the rest.
        let mut prefix = dir.into_os_string().into_vec();
        if !prefix.ends_with(b"/") {
            prefix.push(b'/');
        }
        walk.directory(&mut prefix, root_key(run))?;
        walk.flush()?;
        Ok::<_, JobError>(walk.jobs)
    };
    tokio::task::spawn_blocking(walk).await?
}

struct Walk<'a> {
    run: JobId,
    queue: &'a Queue,
    flow: Option<Flow>,
    runtime: Handle,
    jobs: u64,
}

impl Walk<'_> {
    /// Enqueues what is below a directory, then the directory itself.
    fn directory(&mut self, path: &mut Vec<u8>, key: String) -> Result<JobRef, JobError> {
        let mut entries = Vec::new();
        let mut unreadable = None;
        match list(Path::new(OsStr::from_bytes(path))) {
            Ok(found) => {
                for (name, kind) in found {
                    let length = path.len();
                    path.extend(name.as_bytes());
                    if kind.is_dir() {
                        path.push(b'/');
                        let key = self.key(path);
                        entries.push(self.directory(path, key)?);
                    } else if kind.is_file() {
                        entries.push(self.file(path)?);
                    }
                    path.truncate(length);
                }
            }
            Err(error) if key == root_key(self.run) => return Err(JobError::permanent(error)),
            Err(error) => unreadable = Some(error.to_string()),
        }
        let name = Bytes::from(OsStr::from_bytes(path));
        let job = self.queue.enqueue(DigestDirectory { path: name, unreadable });
        // A file that cannot be read is no reason not to digest the others.
        self.add(job.key(key).after_all(entries).even_if_broken())
    }

    fn file(&mut self, path: &[u8]) -> Result<JobRef, JobError> {
        let name = Bytes::from(OsStr::from_bytes(path));
        let key = self.key(path);
        self.add(self.queue.enqueue(DigestFile { path: name }).key(key))
    }

    fn add<J: 'static>(&mut self, job: windlass::Enqueue<J>) -> Result<JobRef, JobError> {
        let client = self.queue.client();
        let id = FlowId::from_bytes(*self.run.as_bytes());
        let flow = self.flow.get_or_insert_with(|| client.continue_flow(id));
        let of = flow.add(job)?;
        self.jobs += 1;
        if flow.len() >= BATCH {
            self.flush()?;
        }
        Ok(of)
    }

    fn flush(&mut self) -> Result<(), JobError> {
        if let Some(flow) = self.flow.take() {
            self.runtime.block_on(flow.enqueue())?;
        }
        Ok(())
    }

    /// A job key has at most 256 bytes, a path may have more.
    fn key(&self, path: &[u8]) -> String {
        format!("{}:{}", self.run, hex(&Sha256::digest(path)))
    }
}

/// The entries of a directory, by name.
fn list(dir: &Path) -> io::Result<Vec<(OsString, fs::FileType)>> {
    let mut entries = fs::read_dir(dir)?
        .map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))))
        .collect::<io::Result<Vec<_>>>()?;
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}
